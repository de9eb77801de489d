"""2,000 accounts in sweep after sweep while their provider fails in every way: nobody is disconnected, nobody is woken twice, the
provider is not hammered; and as soon as it is back, what has really been revoked is found."""
import os
import re
import time
import unittest

from case import ServiceCase, account, registration, sealed
from harness import BUILD, free_port, stop_process
from sandbox import Sandbox, make_certificate

ACCOUNTS, REVOKED, SWEEPS, INTERVAL_S, CONFIRM_S, BATCH = 2000, 100, 3, 12, 1, 64
# What accounts are in, besides healthy.
OTHERS = {**{n: "revoked" for n in range(1, 41)}, **{n: "wrong_permissions" for n in range(41, 61)}}
EVENT = re.compile(r"^\S+Z error \[", re.M)


class Outage(ServiceCase):
    responder = False
    settings = {"encryption": {"kdf_iterations": "1"}, "health": {"confirm_interval": f"{CONFIRM_S}s", "reconnect_grace": "0s"},
                "provider": {"connect_timeout": "20s", "timeout": "20s"},
                "monitor": {"max_retries": "1", "retry_delay": "50ms", "check_interval": f"{INTERVAL_S}s", "batch_size": BATCH,
                            "platforms": "instagram"}}

    figures = []

    @classmethod
    def tearDownClass(cls):
        print(*cls.figures, sep="\n")
        super().tearDownClass()

    @classmethod
    def seed(cls):
        numbers = range(1, ACCOUNTS + 1)
        cls.sandbox.register([registration(n, n, OTHERS.get(n, "healthy")) for n in numbers])
        cls.service.import_accounts([account(n, encryptedAccessToken=sealed(n)) for n in numbers])
        secure = os.path.join(cls.dir, "tls")
        os.mkdir(secure)
        cls.secure_sandbox = Sandbox(BUILD, log=os.path.join(secure, "sandbox.log"), tls=make_certificate(secure))
        cls.addClassCleanup(cls.secure_sandbox.stop)
        cls.secure_sandbox.start()
        cls.service.sweep()
        time.sleep(CONFIRM_S + 0.1)
        cls.service.sweep()

    def use(self, **provider):
        self.service.settings["provider"].update(provider)
        self.service.write_conf()

    @classmethod
    def verdicts(cls):
        return {n: (d["tokenHealth"]["state"], d["tokenHealth"]["reason"], d["needsReconnection"], d["tokenStatus"])
                for n, d in cls.stored_all().items()}

    def fail_for_three_sweeps(self, name, at_most):
        """at_most: calls that all sweeps together may make, None: as many as they like."""
        before, was_logged, began = self.verdicts(), len(self.service.log("monitor")), time.monotonic()
        calls = self.sandbox.calls()
        for _ in range(SWEEPS):
            self.service.sweep()
        calls = self.sandbox.calls() - calls
        after, log = self.verdicts(), self.service.log("monitor")[was_logged:]
        changed = [n for n in before if after[n] != before[n]]
        events = len(EVENT.findall(log))
        self.figures.append(f"FIGURE: outage, {name}: {len(before)} accounts, {SWEEPS} sweeps in {time.monotonic() - began:.1f} s, "
                            f"{calls} calls, {len(changed)} states changed, {events} operator events")
        self.assertEqual(changed, [], f"{name}: from {[before[n] for n in changed[:5]]} to {[after[n] for n in changed[:5]]}")
        self.assertEqual(sum(1 for v in after.values() if v[2]), sum(1 for c in OTHERS.values() if c == "revoked"), name)
        self.assertLessEqual(events, 1, log[-3000:])
        if at_most is not None:
            self.assertLessEqual(calls, at_most, f"{name}: the provider is asked on")

    def fault(self, name, condition=None, at_most=None, usage=None, **provider):
        with self.subTest(fault=name):
            self.service.forget()
            if condition:
                self.sandbox.fail(condition)
            if usage:
                self.sandbox.usage(percent=usage)
            if provider:
                self.use(**provider)
            try:
                self.fail_for_three_sweeps(name, at_most)
            finally:
                self.sandbox.fail(None)
                self.sandbox.usage()
                self.use(sandbox_url=self.sandbox.url, timeout="20s")

    def test_a_no_fault_changes_a_state_or_tells_the_operator_twice(self):
        self.assertEqual(sorted({v[:3] for v in self.verdicts().values()}),
                         [("broken", "revoked", True), ("healthy", "ok", False), ("limited", "permission_missing", False)])
        few = 3 * BATCH  # those that are under way, their retries, the probes
        self.fault("connection refused", sandbox_url=f"http://127.0.0.1:{free_port()}")
        self.fault("DNS", sandbox_url=f"https://{'x' * 64}.invalid")  # a label that no resolver takes
        self.fault("TLS", sandbox_url=self.secure_sandbox.tls_url)
        self.fault("time-out", "hang", few, timeout="400ms")
        self.fault("reset mid-body", "truncated", few)
        self.fault("reset", "reset", 2 * few)  # a GET on a connection that was used before is sent again by the HTTP client
        self.fault("500", "500", few)
        self.fault("502 with HTML", "502_html", few)
        self.fault("code 2 flood", "code2", few)
        self.fault("200 with HTML", "200_html")
        self.fault("200, empty", "empty")
        self.fault("200, cut JSON", "truncated_json")
        self.fault("200, wrong JSON", "wrong_json")
        self.fault("429", "http_429", few)
        self.fault("code 4", "rate_limited", few)
        self.fault("usage at 100 %", at_most=few, usage=100)

    def test_b_after_an_outage_every_real_revocation_is_found(self):
        """The breaker is open as an outage leaves it, and the monitor runs by its interval. Users revoke here and there; a block of neighbours,
        which a sweep meets one after another, would be held by the guard for an interval and a half more."""
        revoked = range(ACCOUNTS % 19 + 80, ACCOUNTS, 19)[:REVOKED]
        self.service.forget()
        self.sandbox.fail("500")
        self.service.sweep()
        self.service.sweep()
        self.sandbox.register([registration(n, n, "revoked") for n in revoked])
        before = self.verdicts()
        self.sandbox.fail(None)
        began = time.monotonic()
        monitor = self.service.start_monitor()
        self.addCleanup(stop_process, monitor)
        found_s = self.seconds_until(began, lambda verdicts: all(verdicts[n][0] == "broken" for n in revoked))
        confirmed_s = self.seconds_until(began, lambda verdicts: all(verdicts[n][2] for n in revoked))
        after = self.verdicts()
        wrong = [n for n in before if n not in revoked and after[n] != before[n]]
        self.figures.append(f"FIGURE: after an outage: {REVOKED} of {ACCOUNTS} revoked, all found in {found_s:.1f} s, confirmed in "
                            f"{confirmed_s:.1f} s (interval {INTERVAL_S} s), {len(wrong)} others changed")
        self.assertEqual(wrong, [])
        # An interval to be found in, one to be confirmed in, the sweeps, and a busy machine.
        self.assertLess(found_s, INTERVAL_S + 15)
        self.assertLess(confirmed_s, 2 * INTERVAL_S + 30)
        self.assertIn("the provider answers again", self.service.log("monitor"))

    def seconds_until(self, began, condition):
        """Looks seldom: to read 2,000 documents is work, too."""
        while not condition(self.verdicts()):
            self.assertLess(time.monotonic() - began, 2 * INTERVAL_S + 60, self.service.log("monitor")[-3000:])
            time.sleep(1)
        return time.monotonic() - began


if __name__ == "__main__":
    unittest.main()
