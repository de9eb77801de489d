"""Somebody waits for an answer while a provider hangs: how long at most, what the answer is then, and that nobody else waits with them."""
import contextlib
import json
import sqlite3
import threading
import time
import unittest

from case import API, ServiceCase, account, account_id, registration, sealed
from fastcgi import Connection
from harness import wait_for
from rotating import APPS, QUICK, Person, RefreshCase

REQUEST_S, CHECK_S = 3, 1
SETTINGS = {"encryption": {"kdf_iterations": "1000"}, "responder": {"request_timeout": f"{REQUEST_S}s", "check_timeout": f"{CHECK_S}s"},
            "cache": {"inconclusive_ttl": "60s"}}


class Deadline(ServiceCase):
    """Without nginx; every request has a connection of its own."""
    responder = False
    workers = 2
    settings = SETTINGS
    registrations, accounts = [], []

    @classmethod
    def seed(cls):
        cls.sandbox.register(cls.registrations)
        cls.service.import_accounts(cls.accounts)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.service.start_responder()

    def timed(self, method, path, body=None):
        """(answer, seconds)"""
        start = time.monotonic()
        with Connection(self.service.socket, 60) as c:
            answer = c.request(method, path, b"" if body is None else json.dumps(body).encode(), key=self.admin)
        return answer, time.monotonic() - start

    def validate(self, workspace, **more):
        answer, seconds = self.timed("POST", f"{API}/validate", dict(workspaceId=workspace, **more))
        self.assertEqual(answer.status, 200, answer)
        return json.loads(answer.body), seconds

    def check(self, number):
        return self.timed("GET", f"{API}/check?accountId={account_id(number)}")

    def assert_checked(self, answer, health, is_stale):
        self.assertEqual((answer.status, answer.headers.get("X-Token-Health"), answer.headers.get("X-Token-Health-Stale")),
                         (204, health, "true" if is_stale else None))

    def clear(self):
        self.assertEqual(self.timed("POST", f"{API}/clear-cache")[0].status, 200)

    def hang(self):
        self.sandbox.fail("hang")
        self.addCleanup(self.sandbox.fail, None)
        self.sandbox.clear_ledger()


class HangingProvider(Deadline):
    conditions = {n: "revoked" if n % 10 == 0 else "healthy" for n in range(1, 201)}
    registrations = [registration(n, n, condition) for n, condition in conditions.items()]
    accounts = ([account(n, "ws-big", encryptedAccessToken=sealed(n)) for n in conditions]
                + [account(n, "ws-small", encryptedAccessToken=sealed("nobody")) for n in range(301, 305)])

    def test_a_validation_ends_in_time_with_every_account_and_without_a_trace(self):
        first, _ = self.validate("ws-big", forceRefresh=True)
        good = {a["accountId"]: a["health"]["state"] for a in first["accounts"]}
        self.assertEqual((len(good), first["validAccounts"]), (200, 180))
        stored = self.stored_all()
        self.hang()
        late, seconds = self.validate("ws-big", forceRefresh=True)
        print(f"FIGURE: a validation of 200 accounts over a provider that hangs ends after {seconds:.2f} s (limit {REQUEST_S} s)")
        self.assertLess(seconds, REQUEST_S + 1)
        self.assertGreater(seconds, REQUEST_S - 0.2, "it did not wait for the provider: the test shows nothing")
        self.assertEqual([a["accountId"] for a in late["accounts"]], [a["accountId"] for a in first["accounts"]])
        self.assertEqual({a["accountId"]: a["health"]["state"] for a in late["accounts"]}, good)
        self.assertEqual({(a["health"]["source"], a["health"]["lastAttempt"]["reason"]) for a in late["accounts"]}, {("store", "timeout")})
        self.assertEqual(self.stored_all(), stored)
        self.assertLessEqual(self.sandbox.calls(), 16, "more were asked than are at a time: the late ones were not left out")
        self.sandbox.fail(None)
        again, _ = self.validate("ws-big")
        self.assertEqual({a["accountId"]: a["health"]["state"] for a in again["accounts"]}, good)
        self.assertFalse([a for a in again["accounts"] if "lastAttempt" in a["health"]])

    def test_fix_ends_in_time_and_condemns_nobody(self):
        self.hang()
        answer, seconds = self.timed("POST", f"{API}/fix/{account_id(301)}")
        self.assertLess(seconds, REQUEST_S + 1)
        fixed = json.loads(answer.body)
        self.assertEqual((answer.status, fixed["fixed"], fixed["account"]["health"]["state"]), (200, False, "unknown"), answer)
        self.assertNotIn("tokenHealth", self.stored(301))

    def test_a_check_ends_in_time_with_what_is_known_and_the_next_ones_do_not_wait(self):
        self.validate("ws-big", forceRefresh=True)
        self.clear()
        stored = self.stored_all()
        self.hang()
        for number, health in ((1, "healthy; ok"), (302, "unknown; timeout")):
            answer, seconds = self.check(number)
            self.assertLess(seconds, CHECK_S + 1)
            self.assert_checked(answer, health, True)
            for _ in range(20):
                answer, seconds = self.check(number)
                self.assert_checked(answer, health, True)
                self.assertLess(seconds, CHECK_S - 0.2)
        self.assertEqual(self.sandbox.calls(), 2)
        self.assertEqual(self.stored_all(), stored)

    def test_a_workspace_check_ends_in_time(self):
        self.validate("ws-big", forceRefresh=True)
        self.clear()
        self.hang()
        for _ in range(2):
            answer, seconds = self.timed("GET", f"{API}/check?workspaceId=ws-big")
            self.assert_checked(answer, "broken; revoked", True)
            self.assertLess(seconds, CHECK_S + 1)

    def test_with_all_workers_waiting_for_a_provider_a_cached_check_is_answered_soon(self):
        self.clear()
        self.assertEqual(self.check(1)[0].status, 204)
        self.hang()
        waiting = [threading.Thread(target=self.check, args=(n,)) for n in range(2, 2 + self.workers)]
        for thread in waiting:
            thread.start()
        wait_for(lambda: self.sandbox.calls() == self.workers, 10, "every worker waits for the provider")
        answer, seconds = self.check(1)
        for thread in waiting:
            thread.join(30)
        self.assert_checked(answer, "healthy; ok", False)
        self.assertLess(seconds, CHECK_S + 1)

    def test_those_who_wait_for_the_same_account_cause_one_call(self):
        self.clear()
        self.hang()
        results = []
        threads = [threading.Thread(target=lambda: results.append(self.check(150))) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertEqual({answer.status for answer, _ in results}, {204})
        self.assertLess(max(seconds for _, seconds in results), 2 * CHECK_S + 1)
        # Who began a little later than the first may ask in the rest of its own time.
        self.assertLessEqual(self.sandbox.calls(), self.workers)


class Enforcing(Deadline):
    settings = dict(SETTINGS, authorizer={"mode": "enforce"})
    registrations = [registration(1, 1, "revoked"), registration(2, 2)]
    accounts = [account(n, encryptedAccessToken=sealed(n)) for n in (1, 2, 3)]

    def test_who_is_unknown_passes_and_who_is_known_to_be_broken_does_not(self):
        self.assertEqual([self.check(n)[0].status for n in (1, 2)], [403, 204])
        self.clear()
        self.hang()
        self.assertEqual([self.check(n)[0].status for n in (1, 2, 3)], [403, 204, 204])


class RefreshUnderWay(RefreshCase):
    """The answer to the refresh comes in time; the store takes it only after the deadline."""
    workers = 1
    settings = dict(APPS, **dict(QUICK, provider={"timeout": "3s"}, store={"timeout": "5s"}, responder={"request_timeout": "4s"}))
    people = {"due": Person(1, "twitter"), "no time": Person(2, "twitter", workspace="ws-2")}

    @classmethod
    def registrations(cls, person):
        slow = {"delay_ms": 2000 if person is cls.people["no time"] else 0}
        return [person.registration(**slow), {"token": person.refresh, "delay_ms": 1000}]

    def validate(self, workspace):
        start = time.monotonic()
        with Connection(self.service.socket, 60) as c:
            answer = c.request("POST", "/api/twitter/token-health/validate", json.dumps({"workspaceId": workspace}).encode(), key=self.admin)
        self.assertEqual(answer.status, 200, answer)
        return json.loads(answer.body), time.monotonic() - start

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.service.start_responder()

    def test_a_refresh_goes_on_to_its_end_past_the_deadline(self):
        person, result = self.people["due"], []
        thread = threading.Thread(target=lambda: result.append(self.validate("ws-1")))
        thread.start()
        wait_for(lambda: self.refreshes(person) == 1, 10, "the refresh is under way")
        with contextlib.closing(sqlite3.connect(f"{self.service.dir}/accounts.db", isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            time.sleep(4.5)
            db.execute("COMMIT")
        thread.join(60)
        (answer, seconds), = result
        self.assertGreater(seconds, 4.1, "the deadline did not pass: the test shows nothing")
        self.assertEqual(answer["validAccounts"], 1, answer)
        self.assert_newest(person)
        self.assert_spool_empty()

    def test_a_refresh_that_has_not_its_whole_time_is_left_to_the_next_one(self):
        person = self.people["no time"]
        answer, seconds = self.validate("ws-2")
        self.assertLess(seconds, 5)
        self.assertEqual((answer["accounts"][0]["health"]["state"], self.refreshes(person)), ("expiring", 0))
        self.assertNotIn("refresh", self.health(person))
        self.assert_spool_empty()
        self.sandbox.register({"token": person.access, "delay_ms": 0})
        self.validate("ws-2")
        self.assert_newest(person)


if __name__ == "__main__":
    unittest.main()
