"""Which login of a platform a token is of, where its prefix does not say so, and how the app shows Facebook that it may use the token."""
import unittest

from case import ServiceCase, account

QUICK = {"encryption": {"kdf_iterations": "1"}, "health": {"confirm_interval": "0"}, "monitor": {"max_retries": "0"}}
HOST = "graph.facebook.com"


class TokenOfUnknownPrefix(ServiceCase):
    settings = QUICK
    responder = False
    taken, refused = "odd-taken-by-facebook", "odd-refused-by-both"

    @classmethod
    def seed(cls):
        cls.sandbox.register([{"token": cls.taken, "host": HOST, "account_id": "99", "username": "one", "age": 30 * 86400}])
        cls.service.import_accounts([account(n, encryptedAccessToken={"$seal": t}, tokenStatus="valid")
                                     for n, t in ((1, cls.taken), (2, cls.refused))])

    def setUp(self):
        self.sandbox.clear_ledger()

    def verdict(self, number):
        stored = self.stored(number)
        return stored["tokenHealth"]["state"], stored["tokenStatus"], stored.get("needsReconnection", False)

    def attempt(self, number):
        return self.stored(number)["tokenHealth"].get("lastAttempt", {}).get("reason")

    def test_a_is_left_as_it_was_while_the_second_host_does_not_answer(self):
        self.sandbox.fail("500", host=HOST)
        for _ in range(3):
            self.service.sweep()
        self.sandbox.fail(None)
        for number in (1, 2):
            self.assertEqual((self.verdict(number), self.attempt(number)), (("unknown", "valid", False), "transient"), number)

    def test_b_is_healthy_where_the_second_takes_it_which_is_remembered(self):
        self.service.sweep()
        self.assertEqual((self.verdict(1), self.stored(1)["tokenHealth"]["login"]), (("healthy", "valid", False), "facebook"))
        self.assertEqual(self.sandbox.calls(self.taken), 2)
        self.service.sweep()
        self.assertEqual((self.verdict(1)[0], self.sandbox.calls(self.taken)), ("healthy", 3))

    def test_c_is_broken_once_both_refused_it_and_that_is_confirmed(self):
        self.service.sweep()
        self.assertEqual(self.verdict(2), ("broken", "invalid", True))
        self.assertEqual(self.sandbox.calls(self.refused), 2)

    def test_d_keeps_its_state_when_its_own_host_is_away(self):
        self.sandbox.fail("502_html", host=HOST)
        self.addCleanup(self.sandbox.fail, None)
        self.service.sweep()
        self.assertEqual((self.verdict(1), self.verdict(2)), (("healthy", "valid", False), ("broken", "invalid", True)))
        self.assertEqual(self.attempt(1), "transient")


class FacebookWantsAProofOfTheAppSecret(ServiceCase):
    settings = QUICK
    responder = False
    secret = "facebook-app-secret-for-tests"  # of the harness

    @classmethod
    def seed(cls):
        cls.sandbox.register([{"token": f"EAAtoken{n}", "account_id": str(n), "username": "one", "age": 30 * 86400} for n in (1, 2)])
        cls.service.import_accounts([account(n, platform=p, accountId=str(n), encryptedAccessToken={"$seal": f"EAAtoken{n}"})
                                     for n, p in ((1, "facebook"), (2, "instagram"))])

    def tearDown(self):
        self.service.settings["app.facebook"]["secret"] = self.secret
        self.service.write_conf()

    def verdicts(self):
        return [(h["state"], h.get("lastAttempt", {}).get("reason")) for h in (self.stored(n)["tokenHealth"] for n in (1, 2))]

    def sweep_with(self, secret):
        if secret:
            self.service.settings["app.facebook"]["secret"] = secret
        else:
            del self.service.settings["app.facebook"]["secret"]
        self.service.write_conf()
        return self.service.sweep().stderr

    def test_a_is_not_needed_as_long_as_it_is_not_required(self):
        for secret in (None, "any"):
            self.sweep_with(secret)
            self.assertEqual(self.verdicts(), [("healthy", None)] * 2, secret)

    def test_b_where_it_is_required_the_right_secret_makes_it(self):
        self.sandbox.require_proof(self.secret)
        self.sweep_with(self.secret)
        self.assertEqual(self.verdicts(), [("healthy", None)] * 2)

    def test_c_without_one_or_with_a_wrong_one_the_operator_is_told_and_no_user_blamed(self):
        self.sandbox.require_proof(self.secret)
        for secret in (None, "wrong"):
            log = self.sweep_with(secret)
            self.assertEqual(self.verdicts(), [("healthy", "app_misconfigured")] * 2, secret)
            self.assertRegex(log, r"the operator is needed.*app_misconfigured")
            self.assertNotRegex(log, "[0-9a-f]{64}")


if __name__ == "__main__":
    unittest.main()
