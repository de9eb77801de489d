"""Two hosts with nothing in common but the store: what is asked for on one is soon so on the other."""
import os
import time

from case import API, ServiceCase, account, account_id, sealed, token
from harness import Service, stop_process

PROMISE_S, NOISE_S = 5, 3


class TwoHosts(ServiceCase):
    workers = 2
    settings = {"encryption": {"kdf_iterations": "1"}}
    accounts = 6

    @classmethod
    def seed(cls):
        for n in range(1, cls.accounts + 1):
            cls.register(n, n)
        cls.service.import_accounts([account(n, f"ws-{n}", encryptedAccessToken=sealed(n)) for n in range(1, cls.accounts + 1)])
        cls.other = Service(os.path.join(cls.dir, "other"), cls.sandbox.url, store=cls.service.store, settings=cls.settings, key=cls.service.key,
                            workers=cls.workers)
        cls.addClassCleanup(cls.other.stop)
        cls.other_key = cls.other.create_key("admin", "admin")
        cls.other.start()

    def check_there(self, number):
        answer = self.other.request("GET", f"{API}/check?accountId={account_id(number)}", key=self.other_key)
        self.assertEqual((answer.status, answer.headers.get("x-token-health")), (204, "healthy; ok"))

    def know_there(self, numbers):
        """The other host has verdicts in its cache, and has looked since whatever was asked for before."""
        for _ in range(2):
            time.sleep(2.5)
            for n in numbers:
                self.check_there(n)
        calls = self.sandbox.calls()
        for n in numbers:
            self.check_there(n)
        self.assertEqual(self.sandbox.calls(), calls, "a verdict was not in the cache")

    def until_asked_anew(self, number, pause_s, before=()):
        calls, began = self.sandbox.calls(token(number)), time.monotonic()
        for path, body in before:
            self.assertEqual(self.post(path, body).status, 200)
        while self.sandbox.calls(token(number)) == calls:
            self.assertLess(time.monotonic() - began, PROMISE_S + NOISE_S, "the other host still answers from its cache")
            time.sleep(pause_s)
            self.check_there(number)
        return time.monotonic() - began

    def test_a_cleared_cache_is_cleared_on_the_other_host_idle_or_busy(self):
        for label, pause_s in (("idle", 0.4), ("busy", 0)):
            self.know_there([1])
            took_s = self.until_asked_anew(1, pause_s, [(f"{API}/clear-cache", None)])
            print(f"FIGURE: clear-cache reached a responder of another host, {label}, after {took_s:.1f} s (promise {PROMISE_S} s)")

    def test_b_one_account_is_forgotten_there_and_no_other(self):
        self.know_there([2, 3])
        calls = self.sandbox.calls(token(3))
        took_s = self.until_asked_anew(2, 0.2, [(f"{API}/clear-cache", {"accountId": account_id(2)})])
        self.check_there(3)
        self.assertEqual(self.sandbox.calls(token(3)), calls, "another account was forgotten, too")
        print(f"FIGURE: clear-cache of one account reached another host after {took_s:.1f} s")

    def test_c_a_monitor_clears_its_hosts_cache_too(self):
        self.know_there([4])
        monitor = self.other.start_monitor()
        self.addCleanup(stop_process, monitor)
        time.sleep(1)
        self.until_asked_anew(4, 0.4, [(f"{API}/clear-cache", None)])


if __name__ == "__main__":
    import unittest
    unittest.main()
