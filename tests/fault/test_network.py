"""Whatever goes wrong between us and a provider: no account changes its state, and all is well as soon as the provider is."""
import concurrent.futures
import os
import time
import unittest

from case import API, ServiceCase, account, account_id, registration, sealed, token
from harness import BUILD, free_port, stop_process, wait_for
from sandbox import Sandbox, make_certificate

# What an inconclusive attempt must never touch.
FROZEN = ("tokenStatus", "needsReconnection", "lastTokenValidation", "lastTokenFix", "expiresAt", "updatedAt", "isActive",
          "encryptedAccessToken", "accessToken", "username", "accountId", "workspaceId")
FROZEN_HEALTH = ("state", "reason", "action", "checkedAt", "confirmations", "confirmedAt")

# name: (what the sandbox does to every call, the reason that lastAttempt names)
AT_THE_PROVIDER = {
    "500": ("500", "transient"),
    "502_with_html": ("502_html", {"transient", "bad_response"}),
    "200_with_html": ("200_html", "bad_response"),
    "200_with_nothing": ("empty", "bad_response"),
    "200_cut_off": ("truncated", {"transient", "bad_response"}),
    "200_with_half_a_json": ("truncated_json", "bad_response"),
    "200_with_a_huge_body": ("huge", {"transient", "bad_response"}),
    "429": ("http_429", "rate_limited"),
    "code_4": ("rate_limited", "rate_limited"),
    "code_17": ("rate_limited_user", "rate_limited"),
    "code_2": ("code2", "transient"),
    "an_error_that_nobody_has_seen": ("unknown_error", {"bad_response", "transient"}),
    "redirect": ("redirect", {"bad_response", "transient"}),
    "connection_reset": ("reset", "transient"),
}


class NetworkTrouble(ServiceCase):
    workers = 2
    settings = {"cache": {"ttl": "100ms", "inconclusive_ttl": "100ms"}, "health": {"confirm_interval": "300ms"},
                "provider": {"connect_timeout": "20s", "timeout": "20s"}, "monitor": {"max_retries": "0"}}
    states = {1: "healthy", 2: "broken", 3: "broken", 4: "unknown", 5: "limited"}
    figures = {"faults": 0, "attempts": 0, "changed": 0}

    @classmethod
    def seed(cls):
        conditions = {1: "healthy", 2: "revoked", 3: "password_changed", 4: "healthy", 5: "wrong_permissions"}
        cls.sandbox.register([registration(n, n, condition) for n, condition in conditions.items()])
        cls.service.import_accounts([account(n, encryptedAccessToken=sealed(n)) for n in conditions])
        secure = os.path.join(cls.dir, "tls")
        os.mkdir(secure)
        cls.secure_sandbox = Sandbox(BUILD, log=os.path.join(secure, "sandbox.log"), tls=make_certificate(secure))
        cls.addClassCleanup(cls.secure_sandbox.stop)
        cls.secure_sandbox.start()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.good_url = cls.sandbox.url
        # Through the real pipeline: healthy; broken once; broken twice; never asked; limited.
        for number in (1, 3, 5):
            cls.service.request("POST", f"{API}/fix/{account_id(number)}", key=cls.admin)
        time.sleep(0.4)
        for number in (2, 3):
            cls.service.request("POST", f"{API}/fix/{account_id(number)}", key=cls.admin)
        cls.prepared = cls.stored_all()

    @classmethod
    def tearDownClass(cls):
        print(f"FIGURE: network trouble: {cls.figures['faults']} kinds of fault, {cls.figures['attempts']} attempts on accounts in "
              f"{len(cls.states)} states, {cls.figures['changed']} states or needsReconnection changed")
        super().tearDownClass()

    def setUp(self):
        self.sandbox.usage(retry_after_s=1)
        self.begin_anew()

    def begin_anew(self):
        self.forget()
        self.service.import_accounts(self.prepared.values(), replace=True)
        self.clear()

    def forget(self):
        """Without the breaker that a fault has opened, the limit that it told: test_outage.py is about those."""
        stop_process(self.service.processes.pop("responder"))
        self.service.forget()
        self.service.start_responder()

    def clear(self):
        self.assertEqual(self.post(f"{API}/clear-cache").status, 200)

    def test_the_states_are_what_the_other_tests_take_them_for(self):
        stored = self.stored_all()
        self.assertEqual({n: d.get("tokenHealth", {}).get("state", "unknown") for n, d in stored.items()}, self.states)
        self.assertEqual({n: d.get("needsReconnection") for n, d in stored.items()}, {1: False, 2: False, 3: True, 4: None, 5: False})
        self.assertEqual({n: d.get("tokenStatus") for n, d in stored.items()},
                         {1: "valid", 2: "revoked", 3: "invalid", 4: None, 5: "valid"})

    # ---- each fault ----

    def use(self, **provider):
        """The responder begins anew with another way to the provider; the monitor reads the same configuration."""
        self.service.settings["provider"].update(provider)
        self.service.write_conf()
        stop_process(self.service.processes.pop("responder"))
        self.service.start_responder()

    def in_all_states(self, run, reason):
        """run() is one way to check all accounts; afterwards every document is as it was, but for lastAttempt."""
        before, began = self.stored_all(), time.time()
        run()
        for number, document in self.stored_all().items():
            health, was = document.get("tokenHealth", {}), before[number].get("tokenHealth", {})
            label = f"{number} ({self.states[number]})"
            type(self).figures["attempts"] += 1
            type(self).figures["changed"] += (health.get("state", "unknown") != self.states[number]
                                              or document.get("needsReconnection") != before[number].get("needsReconnection"))
            self.assertEqual({k: document.get(k) for k in FROZEN}, {k: before[number].get(k) for k in FROZEN}, label)
            self.assertEqual(health.get("state", "unknown"), self.states[number], label)
            if number != 4:
                self.assertEqual({k: health.get(k) for k in FROZEN_HEALTH}, {k: was.get(k) for k in FROZEN_HEALTH}, label)
            attempt = health.get("lastAttempt")
            self.assertIsNotNone(attempt, label)
            self.assertIn(attempt["reason"], {reason} if isinstance(reason, str) else reason, label)
            self.assertGreater(seconds(attempt["at"]), began - 1, f"{label}: lastAttempt is an older one")

    def each(self, call):
        with concurrent.futures.ThreadPoolExecutor(len(self.states)) as pool:
            return dict(zip(self.states, pool.map(call, self.states)))

    def validate(self):
        answer = self.post(f"{API}/validate", {"workspaceId": "ws-1", "forceRefresh": True})
        self.assertEqual(answer.status, 200, answer)
        accounts = {int(a["accountId"], 16): a for a in answer.json()["accounts"]}
        self.assertEqual({n: a["health"]["state"] for n, a in accounts.items()}, self.states)
        for one in accounts.values():
            self.assertIn("lastAttempt", one["health"], one)
        self.assertTrue(accounts[1]["isValid"], accounts[1])

    def fix(self):
        for number, answer in self.each(lambda n: self.post(f"{API}/fix/{account_id(n)}")).items():
            self.assertEqual(answer.status, 200, answer)
            self.assertEqual(answer.json()["account"]["health"]["state"], self.states[number])

    def check(self):
        self.clear()
        for number, answer in self.each(lambda n: self.get(f"{API}/check?accountId={account_id(n)}")).items():
            self.assertEqual(answer.status, 204, answer)
            self.assertEqual(answer.headers["x-token-health"].split(";")[0], self.states[number])
        self.assertEqual(self.get(f"{API}/check?workspaceId=ws-1").headers["x-token-health"].split(";")[0], "broken")

    def sweep(self):
        self.service.sweep()
        self.assertEqual(self.statistics()["lastSweep"]["inconclusive"], len(self.states))

    def holds(self, reason):
        for way in (self.validate, self.fix, self.check, self.sweep):
            with self.subTest(way=way.__name__):
                self.in_all_states(way, reason)
        type(self).figures["faults"] += 1

    def recovers(self):
        """The first answers that decide: what is fine is fine at once, what is broken is confirmed, no attempt is left."""
        def settled():
            self.validate_once()
            stored = self.stored_all()
            return ({n: d["tokenHealth"]["state"] for n, d in stored.items()} ==
                    {1: "healthy", 2: "broken", 3: "broken", 4: "healthy", 5: "limited"}
                    and not any("lastAttempt" in d["tokenHealth"] for d in stored.values()) and stored[2]["needsReconnection"])
        wait_for(settled, 20, "all accounts are as the provider sees them")
        stored = self.stored_all()
        self.assertEqual({n: d["needsReconnection"] for n, d in stored.items()}, {1: False, 2: True, 3: True, 4: False, 5: False})
        self.assertEqual({n: d["tokenStatus"] for n, d in stored.items()},
                         {1: "valid", 2: "revoked", 3: "invalid", 4: "valid", 5: "valid"})

    def validate_once(self):
        self.post(f"{API}/validate", {"workspaceId": "ws-1", "forceRefresh": True})

    def trouble(self, reason, **provider):
        self.use(**provider)
        try:
            self.holds(reason)
        finally:
            self.use(sandbox_url=self.good_url, timeout="20s")
        self.recovers()

    def test_connection_refused(self):
        self.trouble("transient", sandbox_url=f"http://127.0.0.1:{free_port()}")

    def test_dns_failure(self):
        # A label may have 63 characters: the resolver refuses this name without asking anybody.
        self.trouble("transient", sandbox_url=f"https://{'x' * 64}.invalid")

    def test_time_out(self):
        self.sandbox.fail("hang")
        self.addCleanup(self.sandbox.fail, None)
        self.use(timeout="300ms")
        self.holds({"timeout", "transient"})  # and no more calls, once the breaker is open
        self.sandbox.fail(None)
        self.use(timeout="20s")
        self.recovers()

    def test_tls_certificate_that_nobody_trusts(self):
        self.trouble("transient", sandbox_url=self.secure_sandbox.tls_url)

    def test_tls_handshake_with_somebody_who_does_not_speak_it(self):
        self.trouble("transient", sandbox_url=self.good_url.replace("http:", "https:"))


def seconds(date):
    text = date["$date"] if isinstance(date, dict) else date
    whole, _, fraction = text.rstrip("Z").partition(".")
    return (time.mktime(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) - time.timezone) + float("0." + (fraction or "0"))


def at_the_provider(condition, reason):
    def test(self):
        self.sandbox.fail(condition)
        self.addCleanup(self.sandbox.fail, None)
        self.holds(reason)
        self.sandbox.fail(None)
        if condition == "rate_limited":
            self.forget()  # the app's usage is at 100 % then: it takes a quarter of an hour to sink
        self.recovers()
    return test


for name, (condition, reason) in AT_THE_PROVIDER.items():
    setattr(NetworkTrouble, f"test_{name}", at_the_provider(condition, reason))


if __name__ == "__main__":
    unittest.main()
