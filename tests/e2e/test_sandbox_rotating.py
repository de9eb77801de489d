"""The pretend provider as TikTok and X: single-use refresh tokens, zero grace, families."""
import base64
import concurrent.futures
import http.client
import os
import time
import unittest

from harness import BUILD
from sandbox import Sandbox, sha256
from sandbox_case import DAY, IG_ME, REASONS, REFRESH, ExplainCase, SandboxCase

# TikTok and X: how a call with an access token is refused (status, code; at X a title where there is no number), and a refresh.
TIKTOK_ERRORS = {
    "expired": (401, "access_token_invalid"), "revoked": (401, "access_token_invalid"), "checkpoint": (401, "access_token_invalid"),
    "password_changed": (401, "access_token_invalid"), "invalid": (401, "access_token_invalid"),
    "wrong_permissions": (401, "scope_not_authorized"), "rate_limited": (429, "rate_limit_exceeded"),
    "rate_limited_user": (429, "rate_limit_exceeded"), "code2": (500, "internal_error"), "500": (500, "internal_error"),
    "unknown_error": (400, "something_new"),
}
X_ERRORS = {
    "expired": (401, "Unauthorized"), "revoked": (401, 89), "password_changed": (401, 89), "invalid": (401, 32),
    "checkpoint": (403, 326), "blocked": (403, 64), "wrong_permissions": (403, "Forbidden"), "rate_limited": (429, "Too Many Requests"),
    "rate_limited_user": (429, 88), "code2": (503, "Service Unavailable"), "500": (500, 131),
    "unknown_error": (400, "Something that nobody has seen before"),
}
DEAD = ("expired", "revoked", "checkpoint", "password_changed", "invalid")
TIKTOK_GRANT_ERRORS = dict({word: (400, "invalid_grant") for word in DEAD}, app_misconfigured=(401, "invalid_client"),
                           rate_limited=(429, "rate_limit_exceeded"), code2=(500, "server_error"), unknown_error=(400, "something_new"))
X_GRANT_ERRORS = dict({word: (400, "invalid_request") for word in DEAD}, app_misconfigured=(401, "unauthorized_client"),
                      rate_limited=(429, "too_many_requests"), code2=(503, "temporarily_unavailable"), unknown_error=(400, "something_new"))
TIKTOK_REASONS = dict(REASONS, revoked="expired", checkpoint="expired", password_changed="expired", invalid="expired")
X_REASONS = dict(REASONS, revoked="invalid_token", password_changed="invalid_token", blocked="blocked")
GRANT_REASONS = dict(REASONS, app_misconfigured="app_misconfigured", blank_token="bad_response", same_token="ok",
                     wrong_permissions="bad_response", **{word: "revoked" for word in DEAD})


class Rotating:
    """Zero grace: a refresh kills the refresh token at once; using it again kills the family. Of both platforms."""

    def setUp(self):
        self.sandbox.reset()
        self.sandbox.register({"token": self.ACCESS, "refresh_token": self.REFRESH, "host": self.HOST, "account_id": "501", "username": "five"})

    def me(self, token, **kw):
        return self.get(self.ME, token, **kw)

    def refresh(self, token, of=None, **kw):
        return self.ask(of or self.sandbox, token, **kw)

    def assert_refused(self, answer, status, code):
        self.assertEqual((answer.status, self.code(answer)), (status, code), answer)

    def assert_grant_refused(self, answer, status, code):
        self.assertEqual((answer.status, answer.json()["error"]), (status, code), answer)
        self.assertTrue(answer.json()["error_description"])

    def test_each_condition_of_an_access_token_has_its_answer(self):
        for word, expected in self.ERRORS.items():
            with self.subTest(condition=word):
                self.sandbox.condition(self.ACCESS, word)
                self.assert_refused(self.me(self.ACCESS), *expected)
                self.assertEqual(self.outcomes().get(word), 1)
        self.assert_refused(self.me("act.never"), *self.ERRORS["expired"])
        self.assert_refused(self.me(None), *self.ERRORS["expired"])

    def test_each_condition_of_a_refresh_token_has_its_answer_and_uses_nothing_up(self):
        for word, expected in self.GRANT_ERRORS.items():
            with self.subTest(condition=word):
                self.sandbox.condition(self.REFRESH, word)
                self.assert_grant_refused(self.refresh(self.REFRESH), *expected)
                self.assertEqual(self.outcomes().get(word), 1)
        self.assert_grant_refused(self.refresh("rft.never"), *self.GRANT_ERRORS["revoked"])
        family = self.sandbox.family(self.REFRESH)
        self.assertEqual((family["refreshes"], family["reuses"]), (0, 0))
        self.assertEqual(self.me(self.ACCESS).status, 200)

    def test_access_and_refresh_tokens_do_not_stand_in_for_each_other(self):
        self.assert_refused(self.me(self.REFRESH), *self.ERRORS["expired"])
        self.assert_grant_refused(self.refresh(self.ACCESS), *self.GRANT_ERRORS["revoked"])
        self.assertEqual(self.outcomes(), {"unknown_token": 2})

    def test_the_host_decides_where_a_token_is_good(self):
        self.assertEqual(self.sandbox.token(self.ACCESS)["host"], self.HOST)
        self.assert_error(self.get(IG_ME, self.ACCESS), 400, 190, None, "Cannot parse")
        self.assertEqual(self.outcomes(), {"wrong_host": 1})

    def test_a_refresh_gives_a_new_pair_and_the_old_refresh_token_is_dead(self):
        answer = self.refresh(self.REFRESH).json()
        access, refresh = answer["access_token"], answer["refresh_token"]
        self.assertEqual(answer["expires_in"], self.LIFETIME_S)
        self.assert_lives_in(access, self.LIFETIME_S)
        family = self.sandbox.family(self.ACCESS)
        self.assertEqual((family["newest_access"], family["newest_refresh"]), (sha256(access), sha256(refresh)))
        self.assertEqual((family["refreshes"], family["reuses"]), (1, 0))
        self.assertEqual([t["issued"] for t in family["refresh_tokens"]], [1, 0])
        self.assertEqual([t["alive"] for t in family["refresh_tokens"]], [False, True])
        for token in (self.ACCESS, access):
            self.assertEqual(self.me(token).status, 200, "the old access token lives until its date")
        again = self.refresh(refresh).json()
        family = self.sandbox.family(again["refresh_token"])
        self.assertEqual([len(family["access_tokens"]), len(family["refresh_tokens"]), family["refreshes"]], [3, 3, 2])
        self.assertEqual(family["newest_access"], sha256(again["access_token"]))
        self.assertEqual(self.sandbox.newest(self.REFRESH), sha256(again["refresh_token"]))

    def test_using_a_refresh_token_again_kills_the_family(self):
        self.sandbox.register({"token": "other", "refresh_token": "other-refresh", "host": self.HOST})
        first = self.refresh(self.REFRESH).json()
        self.assert_grant_refused(self.refresh(self.REFRESH), *self.GRANT_ERRORS["revoked"])
        for token in (self.ACCESS, first["access_token"]):
            self.assert_refused(self.me(token), *self.ERRORS["revoked"])
        self.assert_grant_refused(self.refresh(first["refresh_token"]), *self.GRANT_ERRORS["revoked"])
        family = self.sandbox.family(first["access_token"])
        self.assertEqual((family["refreshes"], family["reuses"]), (1, 1))
        self.assertEqual([t["reuses"] for t in family["refresh_tokens"]], [1, 0])
        self.assertFalse(any(t["alive"] for t in family["access_tokens"] + family["refresh_tokens"]))
        self.assertEqual(self.outcomes(), {"ok": 1, "refresh_reused": 1, "revoked": 3})
        self.assertEqual(self.me("other").status, 200)
        self.sandbox.clear_ledger()
        self.assertEqual(self.sandbox.family(self.ACCESS)["reuses"], 0)

    def test_a_lost_answer_has_used_the_refresh_token_up(self):
        self.sandbox.condition(self.REFRESH, "lost_answer")
        with self.assertRaises(ConnectionResetError):
            self.refresh(self.REFRESH)
        self.assertEqual(self.sandbox.family(self.REFRESH)["refreshes"], 1)
        self.assert_grant_refused(self.refresh(self.REFRESH), *self.GRANT_ERRORS["revoked"])
        self.assertEqual(self.sandbox.family(self.REFRESH)["reuses"], 1)

    def test_faults_of_the_whole_host_use_nothing_up_and_a_slow_refresh_works(self):
        for word in ("500", "502_html", "200_html", "empty", "http_429"):
            self.sandbox.fail(word, host=self.HOST)
            self.refresh(self.REFRESH)
        for word, error in (("reset", ConnectionResetError), ("truncated", http.client.IncompleteRead), ("hang", TimeoutError)):
            self.sandbox.fail(word, kind="refresh")
            with self.assertRaises(error):
                self.refresh(self.REFRESH, timeout=0.3 if word == "hang" else 20)
        self.sandbox.fail(None)
        self.sandbox.condition(self.REFRESH, "slow", delay_ms=400)
        start = time.monotonic()
        self.assertEqual(self.refresh(self.REFRESH).status, 200)
        self.assertGreaterEqual(time.monotonic() - start, 0.4)
        family = self.sandbox.family(self.REFRESH)
        self.assertEqual((family["refreshes"], family["reuses"]), (1, 0))

    def test_blank_and_same_tokens(self):
        self.sandbox.condition(self.REFRESH, "blank_token")
        blank = self.refresh(self.REFRESH)
        self.assertEqual((blank.status, blank.json()["access_token"], blank.json()["refresh_token"]), (200, "", ""))
        self.sandbox.condition(self.REFRESH, "same_token")
        for _ in range(2):
            answer = self.refresh(self.REFRESH).json()
            self.assertEqual(answer["refresh_token"], self.REFRESH)
            self.assertEqual(self.me(answer["access_token"]).status, 200)
        family = self.sandbox.family(answer["access_token"])
        self.assertEqual([len(family["access_tokens"]), len(family["refresh_tokens"]), family["reuses"]], [3, 1, 0])

    def test_wrong_secrets_grants_and_paths_are_refused(self):
        self.assert_grant_refused(self.refresh(self.REFRESH, secret="wrong"), *self.GRANT_ERRORS["app_misconfigured"])
        self.assertEqual(self.refresh(self.REFRESH, secret="").status, self.NO_CLIENT_STATUS)
        self.assert_grant_refused(self.refresh(self.REFRESH, grant_type="password"), 400, "unsupported_grant_type")
        self.assert_grant_refused(self.refresh(""), 400, "invalid_request")
        self.assertEqual(self.get("/" + self.HOST + "/nowhere", self.ACCESS).status, 404)
        self.assertEqual(self.outcomes(), {"wrong_secret": 1, "no_client": 1, "wrong_grant": 1, "no_token": 1, "wrong_path": 1})

    def test_two_refreshes_at_once_cannot_both_win(self):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            statuses = sorted(a.status for a in pool.map(self.refresh, [self.REFRESH] * 2))
        self.assertEqual(statuses, [200, 400])
        self.assertEqual(self.sandbox.family(self.ACCESS)["reuses"], 1)

    def test_families_survive_a_restart(self):
        state = os.path.join(self.dir, "state")
        self.addCleanup(os.unlink, state)
        with Sandbox(BUILD, state=state) as other:
            other.register({"token": self.ACCESS, "refresh_token": self.REFRESH, "host": self.HOST})
            first = self.refresh(self.REFRESH, of=other).json()
            second = self.refresh(first["refresh_token"], of=other).json()
            before = other.family(self.ACCESS)
            other.stop()
            other.start()
            after = other.family(second["access_token"])
            for tokens in (before, after):
                for token in tokens["access_tokens"] + tokens["refresh_tokens"]:
                    del token["calls"], token["by_kind"]
            self.assertEqual(after, before)
            self.assertEqual(self.refresh(first["refresh_token"], of=other).status, 400)
            self.assertEqual(other.get(self.ME, second["access_token"]).status, 401)
        with open(state, encoding="utf-8") as f:
            self.assertNotIn(second["access_token"], f.read())


class TikTok(Rotating, SandboxCase):
    HOST, ME, LIFETIME_S, NO_CLIENT_STATUS = "open.tiktokapis.com", "/open.tiktokapis.com/v2/user/info/?fields=open_id", 86400, 400
    ACCESS, REFRESH = "act.one", "rft.one"
    ERRORS, GRANT_ERRORS = TIKTOK_ERRORS, TIKTOK_GRANT_ERRORS

    @staticmethod
    def ask(sandbox, token, secret="s", grant_type="refresh_token", timeout=30):
        return sandbox.get("/open.tiktokapis.com/v2/oauth/token/", method="POST", timeout=timeout, form={
            "client_key": "k", "client_secret": secret, "grant_type": grant_type, "refresh_token": token})

    @staticmethod
    def code(answer):
        return answer.json()["error"]["code"]

    def test_a_success_says_ok_and_the_open_id(self):
        answer = self.me(self.ACCESS).json()
        self.assertEqual((answer["data"], answer["error"]["code"]), ({"user": {"open_id": "501"}}, "ok"))
        answer = self.refresh(self.REFRESH).json()
        self.assertEqual((answer["open_id"], answer["refresh_expires_in"], answer["token_type"]), ("501", 365 * DAY, "Bearer"))
        self.assertEqual((answer["access_token"][:4], answer["refresh_token"][:4]), ("act.", "rft."))

    def test_unknown_fields_are_invalid_params(self):
        self.assert_refused(self.get(f"/{self.HOST}/v2/user/info/?fields=shoe_size", self.ACCESS), 400, "invalid_params")
        self.assertEqual(self.outcomes(), {"wrong_field": 1})


class X(Rotating, SandboxCase):
    HOST, ME, LIFETIME_S, NO_CLIENT_STATUS = "api.x.com", "/api.x.com/2/users/me", 7200, 401
    ACCESS, REFRESH = "opaque-access", "opaque-refresh"
    ERRORS, GRANT_ERRORS = X_ERRORS, X_GRANT_ERRORS

    @staticmethod
    def ask(sandbox, token, secret="s", grant_type="refresh_token", timeout=30):
        basic = base64.b64encode(f"id:{secret}".encode()).decode()
        return sandbox.get("/api.x.com/2/oauth2/token", method="POST", timeout=timeout, headers={"Authorization": "Basic " + basic},
                           form={"grant_type": grant_type, "refresh_token": token})

    @staticmethod
    def code(answer):
        body = answer.json()
        if "errors" in body:
            return body["errors"][0]["code"]
        assert answer.headers["content-type"] == "application/problem+json" and body["status"] == answer.status, answer
        return body["title"]

    def test_a_success_says_who_it_is(self):
        self.assertEqual(self.me(self.ACCESS).json(), {"data": {"id": "501", "name": "five", "username": "five"}})
        self.assertIn("offline.access", self.refresh(self.REFRESH).json()["scope"])

    def test_the_app_shows_itself_by_basic_authentication(self):
        for header in (None, "Basic !!!", "Basic " + base64.b64encode(b"no colon").decode(), "Bearer " + self.ACCESS):
            answer = self.sandbox.get(f"/{self.HOST}/2/oauth2/token", method="POST", headers={"Authorization": header} if header else {},
                                      form={"grant_type": "refresh_token", "refresh_token": self.REFRESH})
            self.assert_grant_refused(answer, 401, "unauthorized_client")

    def test_rate_limits_come_with_their_end(self):
        self.assertNotIn("x-rate-limit-reset", self.me(self.ACCESS).headers)
        self.sandbox.usage(percent=80, retry_after_s=600)
        headers = self.me(self.ACCESS).headers
        self.assertEqual((headers["x-rate-limit-limit"], headers["x-rate-limit-remaining"]), ("75", "15"))
        self.sandbox.condition(self.ACCESS, "rate_limited")
        headers = self.me(self.ACCESS).headers
        self.assertEqual(headers["x-rate-limit-remaining"], "0")
        self.assertAlmostEqual(int(headers["x-rate-limit-reset"]), time.time() + 600, delta=60)


class Understood(ExplainCase):
    def test_rotating_answers(self):
        for side, platform, login, reasons in ((TikTok, "tiktok", "tiktok", TIKTOK_REASONS), (X, "twitter", "x", X_REASONS)):
            tokens = {"token": side.ACCESS, "refresh_token": side.REFRESH, "host": side.HOST, "account_id": "501"}
            self.assert_understood(reasons, platform, login, "validate", lambda: self.get(side.ME, side.ACCESS), tokens, side.ACCESS)
            self.assert_understood(GRANT_REASONS, platform, login, "refresh", lambda: side.ask(self.sandbox, side.REFRESH), tokens,
                                   side.REFRESH)
            self.sandbox.reset()
            self.sandbox.register(tokens)
            for wrong in ({"secret": "wrong"}, {"secret": ""}, {"grant_type": "password"}):
                answer = side.ask(self.sandbox, side.REFRESH, **wrong)
                self.assertEqual(self.explain(answer, platform, login, "refresh"), "app_misconfigured", answer)
            self.assertEqual(side.ask(self.sandbox, side.REFRESH).status, 200)
            self.assertEqual(self.explain(side.ask(self.sandbox, side.REFRESH), platform, login, "refresh"), "revoked")


if __name__ == "__main__":
    unittest.main()
