"""What the operator sees of the mass-failure guard and orders: API, command line, two hosts."""
import json
import os
import time
import unittest

from case import API, ServiceCase, account, registration, sealed
from harness import Service

GUARD, PROMISE_S, NOISE_S = f"{API}/guard", 5, 3


class Guard(ServiceCase):
    """Two hosts with nothing in common but the store, and 60 accounts that worked."""
    workers = 2
    accounts = range(1, 61)
    settings = {"encryption": {"kdf_iterations": "1"}, "cache": {"ttl": "100ms", "inconclusive_ttl": "100ms"},
                "health": {"confirmations": "1"}, "monitor": {"max_retries": "0"}}

    @classmethod
    def seed(cls):
        cls.sandbox.register([registration(n, n) for n in cls.accounts])
        cls.service.import_accounts([account(n, f"ws-{n % 20}", encryptedAccessToken=sealed(n)) for n in cls.accounts])
        cls.other = Service(os.path.join(cls.dir, "other"), cls.sandbox.url, store=cls.service.store, settings=cls.settings,
                            key=cls.service.key, workers=cls.workers)
        cls.addClassCleanup(cls.other.stop)
        cls.reader = cls.service.create_key("reader", "write")
        cls.local = cls.service.create_key("local", "admin", workspaces="ws-1")

    def setUp(self):
        self.service.ctl("guard", "release", "--platform", "instagram")
        time.sleep(2)  # what the other host has not heard of, it hears of now
        self.assertEqual((self.state(self.service), self.state(self.other)), ("open", "open"))
        self.service.sweep()
        self.other.sweep()
        self.assertEqual(self.marked(), 0)

    def marked(self):
        return sum(d["tokenHealth"]["state"] != "healthy" or bool(d.get("needsReconnection")) for d in self.stored_all().values())

    def state(self, host):
        done = host.ctl("--json", "guard", "status", "--platform", "instagram")
        guard = next(g for g in json.loads(done.stdout)["guards"] if g["app"] == "instagram")
        self.assertEqual(done.returncode, 3 if guard["state"] == "tripped" else 0, guard)
        return guard["state"]

    def trip(self):
        self.sandbox.fail("revoked")
        self.addCleanup(self.sandbox.fail, None)
        self.service.sweep()
        self.other.sweep()
        self.assertEqual((self.state(self.service), self.state(self.other), self.marked()), ("tripped", "tripped", 0))

    def test_who_may_ask_and_order_and_how(self):
        answer = self.get(GUARD)
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual([(g["platform"], g["app"], g["state"]) for g in answer.json()["guards"]],
                         [("instagram", "instagram", "open"), ("instagram", "facebook", "open")])
        for key in (self.reader, self.local):
            self.assertEqual((self.get(GUARD, key=key).status, self.post(GUARD, {"action": "confirm"}, key=key).status), (403, 403))
        for body in (None, {}, {"action": "status"}, {"action": 1}, {"action": None}, {"order": "confirm"}):
            answer = self.post(GUARD, body)
            self.assertEqual((answer.status, answer.json()["code"]), (400, "bad_request"), (body, answer))
        self.assertEqual(self.get("/api/nowhere/token-health/guard").status, 404)
        self.assertEqual(self.state(self.service), "open", "a refused order was obeyed")

    def test_a_held_account_is_told_in_the_api_and_stays_what_it_was(self):
        self.trip()
        answer = self.post(f"{API}/validate", {"workspaceId": "ws-1", "forceRefresh": True}).json()
        self.assertEqual(answer["validAccounts"], 3)
        for one in answer["accounts"]:
            self.assertEqual((one["health"]["state"], one["health"]["held"]["reason"], one["isValid"]), ("healthy", "revoked", True), one)
        self.assertGreater(self.get(f"{API}/stats").json()["healthChecker"]["held"], 0)
        self.assertEqual(self.get(GUARD).json()["guards"][0]["state"], "tripped")

    def test_an_order_reaches_the_other_host_in_time(self):
        for action, state in (("confirm", "confirmed"), ("release", "open")):
            with self.subTest(action=action):
                self.setUp()
                self.trip()
                began = time.monotonic()
                answer = self.post(GUARD, {"action": action})
                self.assertEqual((answer.status, answer.json()["guards"][0]["state"]), (200, state), answer)
                while self.state(self.other) != state:
                    self.assertLess(time.monotonic() - began, PROMISE_S + NOISE_S, "the other host has not heard of it")
                    time.sleep(0.1)
                print(f"FIGURE: guard {action} was obeyed on another host after {time.monotonic() - began:.1f} s (promise {PROMISE_S} s)")
                if action == "confirm":
                    self.other.sweep()
                    self.assertEqual(self.marked(), len(self.accounts))
                self.sandbox.fail(None)

    def test_the_log_says_who_ordered_what(self):
        self.post(GUARD, {"action": "release"})
        lines = [line for line in self.service.log("responder").splitlines() if "the mass-failure guard obeys" in line]
        self.assertIn('order=release by="API key', lines[-1])

    def test_without_a_platform_an_order_is_for_what_has_tripped(self):
        done = self.service.ctl("guard", "confirm", check=False)
        self.assertEqual((done.returncode, "name the --platform" in done.stderr), (1, True), done)
        self.trip()
        self.assertEqual(self.service.ctl("guard", "release").returncode, 0)
        self.assertEqual(self.state(self.service), "open")
        for words in (["guard"], ["guard", "explode"], ["guard", "status", "now"], ["guard", "status", "--platform"]):
            self.assertEqual(self.service.ctl(*words, check=False).returncode, 2, words)
        self.assertEqual(self.service.ctl("guard", "status", "--platform", "nowhere", check=False).returncode, 1)


if __name__ == "__main__":
    unittest.main()
