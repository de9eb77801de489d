"""Refreshes from end to end, on platforms with refresh tokens that are used once (TikTok, X) and on those that extend (Instagram): what is
stored afterwards, what becomes of the account when one fails, and how often the provider is asked."""
import unittest

from rotating import APPS, FRESH_IN_S, QUICK, Person, RefreshCase, digest, documents, in_s, tokens_of

class Due(RefreshCase):
    people = {name: Person(n, platform) for n, (name, platform) in enumerate(
        [("x", "twitter"), ("tiktok", "tiktok"), ("instagram", "instagram"), ("threads", "threads")], 1)}
    people["not yet"] = Person(11, "twitter", expires_in_s=7000)
    people["plain"] = Person(12, "twitter")
    people["plain refresh"] = Person(13, "tiktok")
    people["same"] = Person(14, "twitter")
    people["off"] = Person(15, "twitter")
    people["same extended"] = Person(16, "instagram")

    @classmethod
    def registrations(cls, person):
        if person is cls.people["same extended"]:
            return [person.registration(refresh_condition="same_token")]
        if person is cls.people["same"]:
            return [person.registration(), {"token": person.refresh, "refresh_condition": "same_token"}]
        return super().registrations(person)

    @classmethod
    def document(cls, person):
        if person is cls.people["plain"]:
            return person.document(encryptedAccessToken=None, encryptedRefreshToken=None, accessToken=person.access,
                                   refreshToken={"$sealText": person.refresh})
        if person is cls.people["plain refresh"]:
            return person.document(encryptedRefreshToken=None, refreshToken=person.refresh)
        if person is cls.people["off"]:
            return person.document(isActive=False)
        return super().document(person)

    def test_tokens_are_refreshed_once_and_stored_with_all_that_goes_with_them(self):
        before = documents(self.service.dir)
        for _ in range(2):
            self.service.sweep()
        for name in ("x", "tiktok", "instagram", "threads", "plain", "plain refresh", "same"):
            with self.subTest(name=name):
                person = self.people[name]
                self.assert_newest(person)
                self.assertEqual(self.refreshes(person), 1)
                kept = ("_id", "workspaceId", "platform", "username", "accountId")
                stored = self.stored(person)
                self.assertEqual({k: stored[k] for k in kept}, {k: before[person.number][k] for k in kept})
        extended = self.people["same extended"]
        stored = self.stored(extended)
        (tokens,) = tokens_of(self.service, [stored])
        self.assertEqual((tokens["access"], tokens["fastAccess"]), (digest(extended.access), digest(extended.access)))
        self.assertEqual(self.sandbox.refreshes(extended.access), 1)
        self.assertAlmostEqual(in_s(stored["expiresAt"]), FRESH_IN_S["instagram"], delta=900)
        self.assertEqual(stored["tokenHealth"]["state"], "healthy")
        self.assertNotIn("lease", stored["tokenHealth"]["refresh"])
        for name in ("not yet", "off"):
            self.assertEqual(self.refreshes(self.people[name]), 0, name)
            (tokens,) = tokens_of(self.service, [self.stored(self.people[name])])
            self.assertEqual(tokens["refresh"], digest(self.people[name].refresh), name)
        self.assert_spool_empty()


class AccessTokenRefused(RefreshCase):
    people = {name: Person(n, platform, expires_in_s=-60) for n, (name, platform) in enumerate(
        [("alive", "twitter"), ("alive too", "tiktok"), ("both dead", "twitter"), ("without", "twitter"), ("shut", "tiktok"),
         ("away", "twitter"), ("unknown date", "tiktok"), ("locked", "twitter")], 1)}

    @classmethod
    def registrations(cls, person):
        name = next(n for n, p in cls.people.items() if p is person)
        condition = {"both dead": "revoked", "locked": "checkpoint"}.get(name, "expired")
        refresh = {"both dead": "revoked", "away": "http_429"}.get(name, "healthy")
        return [person.registration(condition=condition), {"token": person.refresh, "refresh_condition": refresh}]

    @classmethod
    def document(cls, person):
        if person is cls.people["without"]:
            return person.document(encryptedRefreshToken=None)
        if person is cls.people["shut"]:
            envelope = {"encryptedData": "AAAA", "iv": "A" * 16, "salt": "A" * 43 + "=", "tag": "A" * 22 + "==", "kdf": 1000}
            return person.document(encryptedRefreshToken=envelope)
        if person is cls.people["unknown date"]:
            return person.document(expiresAt=None)
        return super().document(person)

    def test_a_refresh_comes_first_and_only_two_dead_tokens_condemn(self):
        self.service.sweep()
        for name in ("alive", "alive too", "unknown date"):
            with self.subTest(name=name):
                self.assert_newest(self.people[name])
                self.assertEqual(self.refreshes(self.people[name]), 1)
        first = self.stored(self.people["both dead"])
        self.assertEqual(first["tokenHealth"]["state"], "broken")
        self.assertIsNot(first.get("needsReconnection"), True, "after one answer")
        self.service.sweep()
        dead = self.stored(self.people["both dead"])
        self.assertEqual((dead["tokenHealth"]["state"], dead["needsReconnection"], dead["tokenHealth"]["refresh"]["standing"]),
                         ("broken", True, "dead"))
        self.assertEqual(self.refreshes(self.people["both dead"]), 2, "a dead refresh token is asked about twice")
        without = self.stored(self.people["without"])
        self.assertEqual((without["tokenHealth"]["state"], without["needsReconnection"]), ("broken", True))
        locked = self.stored(self.people["locked"])
        self.assertEqual((locked["tokenHealth"]["action"], self.refreshes(self.people["locked"])), ("confirm_identity", 0))
        shut = self.stored(self.people["shut"])
        self.assertEqual(shut["tokenHealth"]["reason"], "undecryptable")
        self.assertIsNot(shut.get("needsReconnection"), True)
        away = self.stored(self.people["away"])
        self.assertEqual((away["tokenHealth"]["state"], away["tokenHealth"]["lastAttempt"]["reason"]), ("unknown", "rate_limited"))
        self.assertIsNot(away.get("needsReconnection"), True)
        self.assertEqual(self.refreshes(self.people["away"]), 1, "the second try waits")
        self.assert_spool_empty()


class SwitchedOff(RefreshCase):
    settings = dict(APPS, **dict(QUICK, monitor={"enable_auto_refresh": "false", "max_retries": "0"}))
    people = {"alive": Person(1, "twitter", expires_in_s=-60), "due": Person(2, "twitter")}

    @classmethod
    def registrations(cls, person):
        return [person.registration(condition="expired" if person is cls.people["alive"] else "healthy")]

    def test_nothing_is_refreshed_and_nobody_condemned(self):
        for _ in range(3):
            self.service.sweep()
        refused = self.stored(self.people["alive"])
        self.assertEqual(refused["tokenHealth"]["state"], "unknown")
        self.assertEqual(refused["tokenHealth"]["lastAttempt"]["rule"], "refresh_off")
        self.assertIsNot(refused.get("needsReconnection"), True)
        self.assertEqual(self.health(self.people["due"])["state"], "healthy")
        self.assertEqual([self.refreshes(p) for p in self.people.values()], [0, 0])


class Failing(RefreshCase):
    """The refresh fails; the access token works."""
    people = {name: Person(n, "twitter") for n, name in enumerate(
        ["refused", "lost_answer", "blank_token", "http_429", "500", "hang", "200_html", "truncated", "502_html", "app_misconfigured"], 1)}
    people["refused early"] = Person(21, "tiktok", expires_in_s=3 * 3600)
    people["extend"] = Person(22, "instagram")
    unsure = ("lost_answer", "blank_token", "500", "hang", "200_html", "truncated", "502_html")

    @classmethod
    def registrations(cls, person):
        name = next(n for n, p in cls.people.items() if p is person)
        condition = {"refused": "revoked", "refused early": "revoked", "extend": "lost_answer"}.get(name, name)
        if not person.refresh:
            return [person.registration(refresh_condition=condition)]
        return [person.registration(), {"token": person.refresh, "refresh_condition": condition}]

    def test_leaves_a_live_access_token_alone_and_uses_no_refresh_token_twice(self):
        for _ in range(3):
            self.service.sweep()
        for name, person in self.people.items():
            with self.subTest(name=name):
                stored = self.stored(person)
                health = stored["tokenHealth"]
                self.assertEqual((health["state"], stored["tokenStatus"]), ("healthy" if name == "refused early" else "expiring", "valid"))
                self.assertIsNot(stored.get("needsReconnection"), True)
                # A GET that gets no answer on a connection that was used before is sent again by the HTTP client.
                self.assertIn(self.refreshes(person), (1, 2) if name == "extend" else (1,), "tried again too soon")
                standing = "unsure" if name in self.unsure else "dead" if name.startswith("refused") else None
                self.assertEqual((health["refresh"].get("standing"), health["refresh"]["failures"]), (standing, 1))
                self.assertGreater(in_s(health["refresh"]["nextAt"]), 0)
                self.assertNotIn("lease", health["refresh"])
                (tokens,) = tokens_of(self.service, [stored])
                self.assertEqual(tokens["access"], digest(person.access))
        self.assert_spool_empty()
        self.assertIn("may be used up", self.service.log("monitor"))


class LastChance(RefreshCase):
    """A refresh without an answer; then the access token is refused."""
    people = {"500": Person(1, "twitter"), "lost_answer": Person(2, "tiktok")}

    @classmethod
    def registrations(cls, person):
        name = next(n for n, p in cls.people.items() if p is person)
        return [person.registration(), {"token": person.refresh, "refresh_condition": name}]

    def test_is_taken_once_nothing_is_left_to_lose(self):
        for _ in range(2):
            self.service.sweep()
        self.assertEqual([self.health(p)["refresh"]["standing"] for p in self.people.values()], ["unsure", "unsure"])
        for name in ("500", "lost_answer"):  # not used, whatever we feared; and used: the provider revokes all
            self.sandbox.register([{"token": self.people[name].refresh, "refresh_condition": None},
                                   {"token": self.people[name].access, "condition": "expired"}])
        self.service.sweep()
        self.assertEqual([self.refreshes(self.people[n]) for n in ("500", "lost_answer")], [1, 1], "it waits 15 minutes after a failure")
        self.let_wait(self.people.values())
        self.service.sweep()
        self.assert_newest(self.people["500"])
        lost = self.stored(self.people["lost_answer"])
        self.assertEqual((lost["tokenHealth"]["state"], lost["tokenHealth"]["refresh"]["standing"]), ("broken", "dead"))
        self.service.sweep()
        self.assertIs(self.stored(self.people["lost_answer"])["needsReconnection"], True)


class TokensAreNotGiven(RefreshCase):
    """Only the place where tokens are given is out of order: one account in ten is due."""
    settings = dict(APPS, **dict(QUICK, monitor={"max_retries": "0", "batch_size": "4"}))
    people = {n: Person(n, "twitter", expires_in_s=None if n % 10 == 0 else 7000) for n in range(1, 401)}

    def test_all_accounts_are_checked_on_and_few_refresh_tokens_are_risked(self):
        due = [p for n, p in self.people.items() if n % 10 == 0]
        self.sandbox.fail("500", kind="refresh")
        self.service.sweep()
        states = [d["tokenHealth"]["state"] for d in self.documents().values()]
        self.assertEqual(sorted(set(states)), ["expiring", "healthy"], states)
        self.assertEqual(states.count("expiring"), len(due))
        risked = sum(self.refreshes(p) for p in due)
        self.assertLessEqual(risked, 12, "five in a row, those that were under way, a probe now and then")
        self.assertEqual(self.service.log("monitor").count("a provider does not answer"), 1)
        self.sandbox.fail(None)
        self.service.forget()
        self.service.sweep()
        self.assert_newest(*(p for p in due if self.health(p)["refresh"].get("standing") != "unsure"))
        self.assertEqual(sum(self.health(p)["refresh"].get("standing") == "unsure" for p in due), risked)


class UnknownExpiry(RefreshCase):
    people = {"x": Person(1, "twitter"), "instagram": Person(2, "instagram"), "facebook": Person(3, "facebook"),
              "too young": Person(4, "instagram")}

    @classmethod
    def registrations(cls, person):
        if person is cls.people["too young"]:
            return [person.registration(condition="too_young", age=60)]
        return super().registrations(person)

    @classmethod
    def document(cls, person):
        return person.document(expiresAt=None)

    def test_it_is_learnt_by_introspection_or_by_one_refresh_a_day(self):
        for _ in range(3):
            self.service.sweep()
        for name in ("x", "instagram"):
            self.assert_newest(self.people[name])
            self.assertEqual(self.refreshes(self.people[name]), 1)
        facebook = self.people["facebook"]
        self.assertAlmostEqual(in_s(self.stored(facebook)["expiresAt"]), facebook.expires_in_s, delta=120)
        self.assertEqual((self.sandbox.calls(facebook.access, "introspect"), self.refreshes(facebook)), (1, 0))
        young = self.stored(self.people["too young"])
        self.assertEqual((young["tokenHealth"]["state"], self.refreshes(self.people["too young"])), ("healthy", 1))


if __name__ == "__main__":
    unittest.main()
