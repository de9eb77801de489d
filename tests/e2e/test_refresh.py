"""Tokens with a refresh token: what becomes of the account when its access token is refused."""
import unittest

from case import ServiceCase
from rotating import APPS, Person, documents


class AccessTokenRefused(ServiceCase):
    responder = False
    settings = dict(APPS, encryption={"kdf_iterations": "1000"}, health={"confirm_interval": "0"}, monitor={"enable_auto_refresh": "false"})
    alive, without = Person(1, "twitter"), Person(2, "twitter")

    @classmethod
    def seed(cls):
        cls.sandbox.register([p.registration(condition="expired") for p in (cls.alive, cls.without)])
        cls.service.import_accounts([cls.alive.document(), cls.without.document(encryptedRefreshToken=None)])

    def test_condemns_nobody_while_a_refresh_token_is_stored(self):
        for _ in range(3):
            self.service.sweep()
        stored = documents(self.service.dir)
        self.assertNotEqual(stored[1]["tokenHealth"]["state"], "broken", stored[1])
        self.assertIsNot(stored[1].get("needsReconnection"), True, stored[1])
        self.assertEqual(stored[1]["tokenStatus"], "valid")
        self.assertEqual((stored[2]["tokenHealth"]["state"], stored[2]["needsReconnection"]), ("broken", True), stored[2])


if __name__ == "__main__":
    unittest.main()
