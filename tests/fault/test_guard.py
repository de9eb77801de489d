"""The mass-failure guard over 10,000 accounts: when all go bad together nothing is decided about anybody; what is true gets through."""
import hashlib
import json
import random
import time
import unittest

from case import ServiceCase, account, registration, sealed, token
from harness import stop_process, wait_for

MANY = 10000
EVENT = "many accounts go bad together"
OVER = "accounts do not go bad together any more"
ALARM = "the operator is needed"
STATUS = ("tokenStatus", "needsReconnection")


def page_token(number):
    return "EAA" + hashlib.sha256(f"page {number}".encode()).hexdigest()


class Guarded(ServiceCase):
    """All 10,000 are healthy at the beginning of each test."""
    responder = False
    confirmations = "1"
    interval_s = 10
    accounts = range(1, MANY + 1)

    @classmethod
    def setUpClass(cls):
        cls.settings = {"encryption": {"kdf_iterations": "1"}, "cache": {"ttl": "100ms", "inconclusive_ttl": "100ms"},
                        "health": {"confirmations": cls.confirmations, "confirm_interval": "1s"},
                        "monitor": {"check_interval": f"{cls.interval_s}s", "max_retries": "0", "batch_size": "64"}}
        super().setUpClass()

    @classmethod
    def seed(cls):
        cls.sandbox.register([registration(n, n) for n in cls.accounts])
        cls.service.import_accounts([account(n, f"ws-{n % 500}", encryptedAccessToken=sealed(n)) for n in cls.accounts])

    def setUp(self):
        if self.marked():
            self.service.sweep()
        self.assertEqual(self.marked(), [], "not all are healthy at the beginning")
        self.assertEqual(self.guard()["state"], "open")
        self.log_begins = len(self.service.log("monitor"))

    def said(self, words):
        return sum(words in line for line in self.service.log("monitor")[self.log_begins:].splitlines())

    def guard(self, app="instagram"):
        answer = json.loads(self.service.ctl("--json", "guard", "status", "--platform", "instagram").stdout)
        return next(g for g in answer["guards"] if g["app"] == app)

    def marked(self):
        return [n for n, d in self.stored_all().items()
                if d.get("tokenHealth", {}).get("state") != "healthy" or d.get("tokenStatus") != "valid" or d.get("needsReconnection")]

    def held(self):
        return sum("held" in d["tokenHealth"] for d in self.stored_all().values())

    def bad_sweeps(self, number, what):
        for sweep in range(number):
            time.sleep(1.1)  # what is confirmed would be by now
            self.service.sweep()
            self.assertEqual(self.marked(), [], f"{what}: accounts were marked in sweep {sweep + 1}")
        self.assertEqual(self.guard()["state"], "tripped")
        self.assertEqual((self.said(EVENT), self.said(OVER)), (1, 0), what)

    def recover(self, what):
        """Sweeps of good answers: the guard lets go by itself, within two intervals and the sweep that sees it."""
        began, sweeps = time.monotonic(), 0
        while self.guard()["state"] == "tripped":
            self.assertLess(time.monotonic() - began, 4 * self.interval_s + 60, f"{what}: the guard does not let go")
            self.service.sweep()
            sweeps += 1
        self.assertEqual((self.marked(), self.held()), ([], 0), what)
        self.assertEqual((self.said(EVENT), self.said(OVER)), (1, 1), what)
        return f"released by itself after {sweeps} good sweeps, {time.monotonic() - began:.0f} s (interval {self.interval_s} s)"

    def figure(self, text):
        print(f"FIGURE: guard, confirmations {self.confirmations}: {text}", flush=True)


class Incidents(Guarded):
    def test_the_provider_says_revoked_of_all(self):
        self.sandbox.fail("revoked")
        self.addCleanup(self.sandbox.fail, None)
        self.bad_sweeps(3, "revoked")
        self.assertEqual(self.held(), MANY)
        self.sandbox.fail(None)
        self.figure(f"provider says \"revoked\" of {MANY}, 3 sweeps: 0 marked, {MANY} held, 1 event; {self.recover('revoked')}")

    def test_the_encryption_key_is_a_wrong_one(self):
        path = f"{self.service.dir}/master-key"
        self.service.write_private(path, "a key that opens nothing of these accounts")
        self.addCleanup(self.service.write_private, path, self.service.key)
        self.bad_sweeps(2, "wrong key")
        self.assertEqual(self.said(ALARM), 0, "told twice")
        self.service.write_private(path, self.service.key)
        self.figure(f"wrong encryption key over {MANY}, 2 sweeps: 0 marked, 1 event; {self.recover('wrong key')}")


class IncidentsWithTwoConfirmations(Incidents):
    confirmations = "2"


class AppSecret(Guarded):
    """Through Facebook Login, where each call is proved with the app secret."""

    @classmethod
    def seed(cls):
        cls.sandbox.require_proof("facebook-app-secret-for-tests")
        cls.sandbox.register([registration(n, n, token=page_token(n)) for n in cls.accounts])
        cls.service.import_accounts([account(n, f"ws-{n % 500}", encryptedAccessToken={"$seal": page_token(n)})
                                     for n in cls.accounts])

    def test_the_app_secret_is_a_wrong_one(self):
        self.service.settings["app.facebook"]["secret"] = "another-app-secret"
        self.service.write_conf()
        self.sandbox.clear_ledger()
        monitor = self.service.start_monitor()
        self.addCleanup(stop_process, monitor)
        wait_for(lambda: self.sandbox.calls() >= 3 * MANY, 180, "three sweeps")
        stop_process(monitor)
        self.assertEqual(self.marked(), [])
        self.assertLessEqual(self.said(EVENT) + self.said(ALARM), 2, "at most one event in a minute")
        self.assertGreaterEqual(self.said(ALARM), 1)
        self.figure(f"wrong app secret over {MANY}, 3 sweeps: 0 marked, {self.said(EVENT) + self.said(ALARM)} event(s)")


class PartOfThem(Guarded):
    interval_s = 60  # longer than a sweep takes on a busy machine

    def revoke(self, numbers, condition="revoked"):
        self.sandbox.register([registration(n, n, condition) for n in numbers])

    def test_a_third_of_all_is_refused_and_few_are_believed_before_it_is_noticed(self):
        self.sandbox.fail("revoked", percent=33)
        self.addCleanup(self.sandbox.fail, None)
        self.service.sweep()
        marked = len(self.marked())
        self.assertLess(marked, 30)
        self.assertEqual(self.said(EVENT), 1)
        self.sandbox.fail(None)
        self.service.ctl("guard", "release")
        self.figure(f"a third of {MANY} refused: {marked} marked before it was noticed, the others held")

    def test_three_in_a_hundred_are_found_without_the_guard(self):
        gone = random.Random(3).sample(list(self.accounts), 3 * MANY // 100)
        self.revoke(gone)
        self.addCleanup(self.revoke, gone, "healthy")
        self.service.sweep()
        documents = self.stored_all()
        found = [n for n in gone if documents[n]["needsReconnection"] and documents[n]["tokenHealth"]["state"] == "broken"]
        self.assertEqual((len(found), self.marked() == sorted(gone), self.held(), self.said(EVENT)), (len(gone), True, 0, 0))
        self.figure(f"{len(gone)} of {MANY} revoked: {len(found)} found in one sweep, 0 held, 0 events")
        self.revoke(gone, "healthy")

    def test_what_the_operator_confirms_gets_through(self):
        gone = random.Random(40).sample(list(self.accounts), 4 * MANY // 10)
        self.revoke(gone)
        self.addCleanup(self.revoke, gone, "healthy")
        self.service.sweep()
        before = len(self.marked())
        self.assertLess(before, 30)
        self.assertEqual((self.guard()["state"], self.said(EVENT)), ("tripped", 1))
        self.assertEqual(self.service.ctl("guard", "confirm").returncode, 0)
        self.addCleanup(self.service.ctl, "guard", "release", "--platform", "instagram")
        self.assertEqual(self.guard()["state"], "confirmed")
        self.service.sweep()
        self.assertEqual(self.marked(), sorted(gone))
        self.figure(f"{len(gone)} of {MANY} really revoked: {before} found and the others held in the first sweep; "
                    f"after confirm all {len(gone)} in one sweep")

    def test_z_released_it_begins_to_count_anew(self):
        self.sandbox.fail("revoked")
        self.addCleanup(self.sandbox.fail, None)
        self.bad_sweeps(1, "before the release")
        self.sandbox.fail(None)
        self.assertEqual(self.service.ctl("guard", "release", "--platform", "instagram").returncode, 0)
        guard = self.guard()
        self.assertEqual((guard["state"], guard["bad"], guard["answers"]), ("open", 0, 0))
        self.service.sweep()
        self.assertEqual((self.marked(), self.held()), ([], 0))


del Guarded

if __name__ == "__main__":
    unittest.main()
