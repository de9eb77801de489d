"""The pretend provider itself: every condition gives the answer that the platforms give, the ledger counts, and it can be turned
about while it runs. Other tests believe what is proven here."""
import asyncio
import base64
import concurrent.futures
import http.client
import json
import os
import re
import resource
import shutil
import socket
import ssl
import tempfile
import time
import unittest
import urllib.error
import urllib.request

from harness import BUILD, Service
from sandbox import ROOT, Sandbox, make_certificate, sha256

IG, FB = "/graph.instagram.com", "/graph.facebook.com"
TH_ME = "/graph.threads.net/v1.0/me?fields=id,username"
IG_ME, FB_ME = IG + "/v25.0/me?fields=user_id,username", FB + "/v25.0/me?fields=id,name"
DAY = 86400

# What PROVIDERS.md, or a recorded answer, says: HTTP status, code, subcode, words of the message.
GRAPH_ERRORS = {
    "expired": (400, 190, 463, "Session has expired"),
    "revoked": (400, 190, 458, "has not authorized application"),
    "checkpoint": (400, 190, 459, "log in to"),
    "unconfirmed": (400, 190, 464, "not a confirmed user"),
    "password_changed": (400, 190, 460, "changed their password"),
    "invalid": (400, 190, 467, "session is invalid"),
    "malformed": (400, 190, None, "Malformed access token"),
    "page_role_lost": (400, 190, 492, "administrator, editor, or moderator"),
    "wrong_permissions": (403, 10, None, "does not have permission"),
    "object_missing": (400, 100, 33, "does not exist"),
    "app_misconfigured": (400, 101, None, "Error validating application"),
    "appsecret_proof": (400, 100, None, "appsecret_proof"),
    "blocked": (400, 368, 1390008, "deemed abusive"),
    "rate_limited": (403, 4, None, "request limit reached"),
    "rate_limited_user": (400, 17, 2446079, "request limit reached"),
    "code2": (500, 2, None, "retry your request later"),
    "unknown_error": (400, 99999, None, "nobody has seen"),
    "500": (500, 1, None, "unknown error"),
}
SERVED = {"healthy", "expiring", "too_young", "slow", "other_identity", "blank_token", "same_token", "lost_answer"}
RAW = {"http_429", "502_html", "200_html", "empty", "truncated", "truncated_json", "wrong_json", "huge", "redirect", "reset", "hang"}
# How calls end that are wrong in themselves: path, token, the answer as above.
WRONG_CALLS = {
    "unknown_token": (IG_ME, "IGAAnever-registered", 400, 190, None, "Cannot parse access token"),
    "wrong_host": (FB_ME, "IGAAone", 400, 190, None, "Cannot parse access token"),
    "no_token": (IG_ME, None, 400, 2500, None, "access token must be used"),
    "wrong_secret": (FB + "/v25.0/oauth/access_token?grant_type=fb_exchange_token&client_id=1&client_secret=wrong&fb_exchange_token=EAAone",
                     None, 400, 1, None, "validating client secret"),
    "wrong_caller": (FB + "/v25.0/debug_token?input_token=EAAone", "EAAone", 400, 190, None, "Cannot parse access token"),
    "no_client": (IG + "/access_token?grant_type=ig_exchange_token", "IGAAone", 400, 101, None, "Missing client_id"),
    "wrong_grant": (IG + "/refresh_access_token?grant_type=password", "IGAAone", 400, 100, None, "grant_type"),
    "wrong_field": (IG + "/me?fields=shoe_size", "IGAAone", 400, 100, None, "nonexisting field"),
    "wrong_method": (IG_ME, "IGAAone", 400, 100, 33, "method type: DELETE"),
    "wrong_path": (IG + "/you", "IGAAone", 400, 2500, None, "Unknown path components: /you"),
    "wrong_platform": ("/graph.example.com/me", "IGAAone", 404, None, None, ""),
}
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
# What token-health makes of an answer: the same words at every platform, and what a platform's own differ in.
REASONS = {
    "healthy": "ok", "expired": "expired", "revoked": "revoked", "checkpoint": "checkpoint", "password_changed": "password_changed",
    "invalid": "invalid_token", "wrong_permissions": "permission_missing", "rate_limited": "rate_limited", "code2": "transient",
    "rate_limited_user": "rate_limited", "500": "transient", "unknown_error": "bad_response", "http_429": "rate_limited",
    "502_html": "transient", "200_html": "bad_response", "empty": "bad_response", "truncated_json": "bad_response", "wrong_json": "bad_response",
    "redirect": "bad_response", "slow": "ok",
}
GRAPH_REASONS = dict(REASONS, unconfirmed="checkpoint", malformed="invalid_token", page_role_lost="permission_missing",
                     object_missing="permission_missing", app_misconfigured="app_misconfigured", appsecret_proof="app_misconfigured",
                     blocked="blocked")
INTROSPECT_REASONS = dict(GRAPH_REASONS, wrong_permissions="ok", object_missing="ok", blocked="ok")  # the caller is the app
TIKTOK_REASONS = dict(REASONS, revoked="expired", checkpoint="expired", password_changed="expired", invalid="expired")
X_REASONS = dict(REASONS, revoked="invalid_token", password_changed="invalid_token", blocked="blocked")
GRANT_REASONS = dict(REASONS, app_misconfigured="app_misconfigured", blank_token="bad_response", same_token="ok",
                     wrong_permissions="bad_response", **{word: "revoked" for word in DEAD})


def words_of(table):
    with open(os.path.join(ROOT, "tests/sandbox", table), encoding="utf-8") as f:
        return re.findall(r'^CONDITION\(\w+, "(\w+)"', f.read(), re.M)


class Base(unittest.TestCase):
    options = {}

    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="token-health-sandbox-")
        cls.sandbox = Sandbox(BUILD, log=os.path.join(cls.dir, "sandbox.log"), **cls.options)
        cls.sandbox.start()

    @classmethod
    def tearDownClass(cls):
        try:
            cls.sandbox.stop()
            with open(os.path.join(cls.dir, "sandbox.log"), encoding="utf-8") as f:
                log = f.read()
            if log:
                raise AssertionError("the sandbox complained:\n" + log)
        finally:
            shutil.rmtree(cls.dir, ignore_errors=True)

    def setUp(self):
        self.sandbox.reset()
        self.sandbox.register([{"token": "IGAAone", "account_id": "17841400000000001", "username": "one"},
                               {"token": "EAAone", "account_id": "4001", "username": "One Person"}])

    def get(self, path, token=None, **kw):
        return self.sandbox.get(path, token, **kw)

    def outcomes(self):
        return self.sandbox.summary()["by_outcome"]

    def assert_error(self, answer, status, code, subcode, words):
        error = answer.json()["error"]
        self.assertEqual((answer.status, error.get("code"), error.get("error_subcode")), (status, code, subcode), answer)
        self.assertIn(words, error["message"])
        self.assertTrue(error["fbtrace_id"])

    def assert_lives_in(self, token, seconds):
        left = self.sandbox.token(token)["expires_at"] - time.time()
        self.assertAlmostEqual(left, seconds, delta=60)


class Conditions(Base):
    def test_the_tables_here_cover_every_condition(self):
        self.assertEqual(set(words_of("condition.def")), set(GRAPH_ERRORS) | SERVED | RAW | set(WRONG_CALLS) | {"refresh_reused"})

    def test_each_graph_error_has_its_status_code_subcode_and_words(self):
        for word, expected in GRAPH_ERRORS.items():
            for token, path in (("IGAAone", IG_ME), ("EAAone", FB_ME)):
                with self.subTest(condition=word, token=token):
                    self.sandbox.condition(token, word)
                    self.assert_error(self.get(path, token), *expected)
            self.assertEqual(self.outcomes().get(word), 2)

    def test_each_wrong_call_has_its_answer(self):
        for word, (path, token, status, code, subcode, words) in WRONG_CALLS.items():
            with self.subTest(call=word):
                answer = self.get(path, token, method="DELETE" if word == "wrong_method" else "GET")
                if code is None:
                    self.assertEqual(answer.status, status, answer)
                else:
                    self.assert_error(answer, status, code, subcode, words)
                self.assertEqual(self.outcomes().get(word), 1, self.outcomes())

    def test_a_malformed_token_is_echoed(self):
        self.sandbox.condition("IGAAone", "malformed")
        self.assertIn("IGAAone", self.get(IG_ME, "IGAAone").json()["error"]["message"])

    def test_a_healthy_token_says_who_it_is_on_either_host(self):
        self.assertEqual(self.get(IG_ME, "IGAAone").json(),
                         {"user_id": "17841400000000001", "username": "one", "id": "25178414000000000"})
        self.assertEqual(self.get(FB_ME, "EAAone").json(), {"id": "4001", "name": "One Person"})
        self.assertEqual(self.get(IG_ME + "&access_token=IGAAone").status, 200)

    def test_other_identity_says_somebody_else(self):
        self.sandbox.condition("IGAAone", "other_identity")
        self.assertEqual(self.get(IG_ME, "IGAAone").json()["user_id"], "17841499999999999")

    def test_lifetimes_belong_to_the_condition(self):
        for word, days in (("healthy", 50), ("expiring", 3), ("expired", -1)):
            with self.subTest(condition=word):
                self.sandbox.condition("IGAAone", word)
                self.assert_lives_in("IGAAone", days * DAY)
        self.sandbox.condition("IGAAone", "healthy", expires_in=-5)
        self.assert_error(self.get(IG_ME, "IGAAone"), *GRAPH_ERRORS["expired"])
        self.assertFalse(self.sandbox.token("IGAAone")["alive"])

    def test_slow_answers_late_and_keeps_nobody_else_waiting(self):
        self.sandbox.condition("IGAAone", "slow", delay_ms=800)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            start = time.monotonic()
            slow = pool.submit(self.get, IG_ME, "IGAAone")
            while self.sandbox.summary()["concurrency"] == 0:
                time.sleep(0.01)
            self.assertEqual(self.get(FB_ME, "EAAone").status, 200)
            self.assertFalse(slow.done())
            self.assertEqual(slow.result().status, 200)
            self.assertGreaterEqual(time.monotonic() - start, 0.8)

    def test_rate_limits_say_how_long_they_last(self):
        self.sandbox.usage(percent=0, regain_minutes=7, retry_after_s=45)
        self.sandbox.condition("IGAAone", "rate_limited")
        headers = self.get(IG_ME, "IGAAone").headers
        self.assertEqual(json.loads(headers["x-app-usage"])["call_count"], 100)
        by_case = json.loads(headers["x-business-use-case-usage"])
        self.assertEqual(by_case["17841400000000001"][0]["estimated_time_to_regain_access"], 7)
        self.sandbox.condition("IGAAone", "http_429")
        answer = self.get(IG_ME, "IGAAone")
        self.assertEqual((answer.status, answer.headers["retry-after"]), (429, "45"))

    def test_usage_is_reported_on_every_answer(self):
        self.assertNotIn("x-app-usage", self.get(IG_ME, "IGAAone").headers)
        self.sandbox.usage(percent=81)
        self.assertEqual(json.loads(self.get(IG_ME, "IGAAone").headers["x-app-usage"])["call_count"], 81)


class BrokenAnswers(Base):
    """What proxies, outages and broken connections leave. hang and reset are about the connection: see also the ends of it."""

    def answer(self, word, path=IG_ME, token="IGAAone"):
        self.sandbox.condition(token, word)
        return self.get(path, token, timeout=20)

    def test_html_empty_and_cut_bodies(self):
        for word, status in (("502_html", 502), ("200_html", 200)):
            answer = self.answer(word)
            self.assertEqual((answer.status, answer.headers["content-type"]), (status, "text/html; charset=utf-8"))
            self.assertIn(b"<html", answer.body)
        self.assertEqual(self.answer("empty").body, b"")
        with self.assertRaises(json.JSONDecodeError):
            self.answer("truncated_json").json()
        self.assertGreater(len(self.answer("huge").body), 4 << 20)
        redirect = self.answer("redirect")
        self.assertEqual((redirect.status, redirect.headers["location"]), (302, "http://127.0.0.1:1/elsewhere"))

    def test_truncated_sends_less_than_it_promised_and_closes(self):
        with self.assertRaises(http.client.IncompleteRead) as caught:
            self.answer("truncated")
        self.assertGreater(len(caught.exception.partial), 0)

    def test_reset_is_a_tcp_reset(self):
        with self.assertRaises(ConnectionResetError):
            self.answer("reset")

    def test_hang_says_nothing_and_is_over_when_the_client_goes(self):
        self.sandbox.condition("IGAAone", "hang")
        with self.assertRaises(TimeoutError):
            self.get(IG_ME, "IGAAone", timeout=0.3)
        end = time.monotonic() + 10
        while self.sandbox.summary()["concurrency"] and time.monotonic() < end:
            time.sleep(0.01)
        self.assertEqual(self.sandbox.summary()["concurrency"], 0)

    def test_stopping_does_not_wait_for_calls_under_way(self):
        with Sandbox(BUILD) as other:
            other.register([{"token": "IGAAhang", "condition": "hang"}, {"token": "IGAAslow", "condition": "slow", "delay_ms": 60000}])
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                calls = [pool.submit(other.get, IG_ME, token) for token in ("IGAAhang", "IGAAslow")]
                while other.summary()["concurrency"] < 2:
                    time.sleep(0.01)
                start = time.monotonic()
                self.assertEqual(other.stop(), 0)
                self.assertLess(time.monotonic() - start, 5)
                for call in calls:
                    self.assertIsInstance(call.exception(), (http.client.HTTPException, OSError))


class Refreshing(Base):
    REFRESH = IG + "/refresh_access_token?grant_type=ig_refresh_token&access_token=IGAAone"
    EXTEND = FB + "/v25.0/oauth/access_token?grant_type=fb_exchange_token&client_id=1&client_secret=s&fb_exchange_token=EAAone"

    def test_a_refresh_gives_a_new_token_of_the_same_account(self):
        for old, path in (("IGAAone", self.REFRESH), ("EAAone", self.EXTEND)):
            with self.subTest(token=old):
                answer = self.get(path).json()
                new = answer["access_token"]
                self.assertTrue(new.startswith(old[:3]), new)
                self.assertEqual((answer["token_type"], answer["expires_in"]), ("bearer", 5183944))
                self.assertEqual(self.sandbox.newest(old), sha256(new))
                self.assertEqual(self.sandbox.token(new)["account_id"], self.sandbox.token(old)["account_id"])
                self.assert_lives_in(new, 5183944)
                self.assertEqual(self.sandbox.refreshes(old), 1)
        self.assertEqual(self.get(IG_ME, "IGAAone").status, 200)

    def test_a_rotating_token_dies_when_it_is_refreshed(self):
        self.sandbox.condition("IGAAone", "healthy", rotates=True)
        new = self.get(self.REFRESH).json()["access_token"]
        self.assertEqual(self.get(IG_ME, "IGAAone").status, 400)
        self.assertEqual(self.get(IG_ME, new).status, 200)

    def test_instagram_refuses_to_refresh_a_token_younger_than_a_day(self):
        self.sandbox.condition("IGAAone", "healthy", age=3600)
        self.assert_error(self.get(self.REFRESH), 400, 100, None, "at least 24 hours old")
        self.sandbox.condition("IGAAone", "too_young")
        self.assert_error(self.get(self.REFRESH), 400, 100, None, "at least 24 hours old")
        self.assertEqual(self.get(IG_ME, "IGAAone").status, 200)
        self.assertEqual(self.sandbox.token("IGAAone")["issued"], 0)

    def test_a_refused_refresh_leaves_the_token_alive(self):
        self.sandbox.condition("IGAAone", "healthy", refresh_condition="wrong_permissions")
        self.assert_error(self.get(self.REFRESH), *GRAPH_ERRORS["wrong_permissions"])
        self.assertEqual(self.get(IG_ME, "IGAAone").status, 200)

    def test_blank_same_and_lost_answers(self):
        self.sandbox.condition("IGAAone", "blank_token")
        self.assertEqual(self.get(self.REFRESH).json()["access_token"], "")
        self.assertEqual(self.sandbox.token("IGAAone")["issued"], 0)
        self.sandbox.condition("IGAAone", "same_token", expires_in=DAY)
        self.assertEqual(self.get(self.REFRESH).json()["access_token"], "IGAAone")
        self.assert_lives_in("IGAAone", 5183944)
        self.sandbox.condition("IGAAone", "lost_answer")
        with self.assertRaises(ConnectionResetError):
            self.get(self.REFRESH)
        self.assertNotEqual(self.sandbox.newest("IGAAone"), sha256("IGAAone"))
        self.assertEqual(self.get(IG_ME, "IGAAone").status, 200)

    def test_the_short_lived_token_is_exchanged(self):
        path = IG + "/access_token?grant_type=ig_exchange_token&client_secret=s&access_token=IGAAone"
        self.assertTrue(self.get(path).json()["access_token"].startswith("IGAA"))
        self.assertEqual(self.sandbox.calls("IGAAone", "exchange"), 1)


class Introspection(Base):
    def debug(self, condition, token="EAAone", caller="1|s"):
        if condition:
            self.sandbox.condition(token, condition)
        return self.get(FB + "/v25.0/debug_token?input_token=" + token, caller)

    def test_a_live_token_is_valid_with_its_dates_and_owner(self):
        data = self.debug("healthy").json()["data"]
        self.assertEqual((data["is_valid"], data["user_id"], data["type"]), (True, "4001", "USER"))
        self.assertAlmostEqual(data["expires_at"] - time.time(), 50 * DAY, delta=60)
        self.assertAlmostEqual(time.time() - data["issued_at"], 10 * DAY, delta=60)
        self.assertIn("instagram_basic", data["scopes"])

    def test_a_dead_token_is_no_error_of_the_caller(self):
        for word in ("expired", "revoked", "checkpoint", "password_changed", "invalid"):
            with self.subTest(condition=word):
                answer = self.debug(word)
                data = answer.json()["data"]
                status, code, subcode, words = GRAPH_ERRORS[word]
                self.assertEqual((answer.status, data["is_valid"], data["error"]["code"], data["error"]["subcode"]),
                                 (200, False, code, subcode))
                self.assertIn(words, data["error"]["message"])
                self.assertEqual(data["scopes"], [])

    def test_a_token_of_nobody_has_no_owner(self):
        data = self.debug(None, "EAAnobody").json()["data"]
        self.assertFalse(data["is_valid"])
        self.assertNotIn("user_id", data)

    def test_a_wrong_caller_is_a_top_level_error(self):
        self.assert_error(self.debug("healthy", caller="1|wrong"), 400, 1, None, "client secret")
        self.assert_error(self.debug("healthy", caller="EAAone"), 400, 190, None, "Cannot parse")
        self.assert_error(self.debug("code2"), *GRAPH_ERRORS["code2"])


class Threads(Base):
    def test_it_is_like_instagram_with_names_of_its_own(self):
        self.sandbox.register({"token": "THAAone", "account_id": "77", "username": "thready"})
        self.assertEqual(self.get(TH_ME, "THAAone").json(), {"id": "77", "username": "thready"})
        self.assert_error(self.get("/graph.threads.net/v1.0/me?fields=user_id", "THAAone"), 400, 100, None, "nonexisting field")
        self.assert_error(self.get(IG_ME, "THAAone"), 400, 190, None, "Cannot parse")
        refresh = "/graph.threads.net/refresh_access_token?grant_type=%s_refresh_token&access_token=THAAone"
        self.assert_error(self.get(refresh % "ig"), 400, 100, None, "grant_type")
        answer = self.get(refresh % "th").json()
        self.assertTrue(answer["access_token"].startswith("TH"))
        self.assertEqual(self.sandbox.newest("THAAone"), sha256(answer["access_token"]))
        exchange = "/graph.threads.net/access_token?grant_type=th_exchange_token&client_secret=%s&access_token=THAAone"
        self.assertEqual(self.get(exchange % "s").status, 200)
        self.assert_error(self.get(exchange % "wrong"), 400, 1, None, "client secret")
        self.sandbox.condition("THAAone", "healthy", age=3600)
        self.assert_error(self.get(refresh % "th"), 400, 100, None, "at least 24 hours old")


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


class TikTok(Rotating, Base):
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


class X(Rotating, Base):
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


class Understood(Base):
    """What the sandbox says is what the provider files know: otherwise the tests of the whole would prove nothing."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.service = Service(os.path.join(cls.dir, "service"), cls.sandbox.url)

    def explain(self, answer, platform, login, kind):
        headers = [word for item in answer.headers.items() for word in ("--header", "%s: %s" % item)]
        done = self.service.ctl("--json", "explain", "--platform", platform, "--login", login, "--kind", kind, "--status",
                                str(answer.status), *headers, stdin=answer.body.decode())
        return json.loads(done.stdout)["reason"]

    def assert_understood(self, reasons, platform, login, kind, call, tokens, subject):
        for word, reason in reasons.items():
            with self.subTest(platform=platform, kind=kind, condition=word):
                self.sandbox.reset()
                self.sandbox.register(tokens)
                self.sandbox.condition(subject, word, **({"delay_ms": 1} if word == "slow" else {}))
                answer = call()
                self.assertEqual(self.explain(answer, platform, login, kind), reason, answer)

    def test_graph_answers(self):
        one = lambda token: {"token": token, "account_id": "501"}
        for platform, login, token, path in (("instagram", "instagram", "IGAAone", IG_ME), ("facebook", "facebook", "EAAone", FB_ME),
                                             ("threads", "threads", "THAAone", TH_ME)):
            self.assert_understood(GRAPH_REASONS, platform, login, "validate", lambda: self.get(path, token), one(token), token)
        self.assert_understood(INTROSPECT_REASONS, "facebook", "facebook", "introspect",
                               lambda: self.get(FB + "/v25.0/debug_token?input_token=EAAone", "1|s"), one("EAAone"), "EAAone")
        refresh = dict(GRAPH_REASONS, too_young="bad_response", blank_token="bad_response", same_token="ok")
        self.assert_understood(refresh, "instagram", "instagram", "refresh", lambda: self.get(Refreshing.REFRESH), one("IGAAone"),
                               "IGAAone")
        self.assert_understood(dict(refresh, too_young="ok"), "facebook", "facebook", "refresh",
                               lambda: self.get(Refreshing.EXTEND), one("EAAone"), "EAAone")

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


class Failing(Base):
    def test_everything_fails_and_recovers_while_it_runs(self):
        for word, status in (("500", 500), ("502_html", 502), ("200_html", 200), ("http_429", 429)):
            self.sandbox.fail(word)
            for path, token in ((IG_ME, "IGAAone"), (FB_ME, "EAAone"), (IG_ME, "IGAAunknown")):
                self.assertEqual(self.get(path, token).status, status)
        self.sandbox.fail(None)
        self.assertEqual(self.get(IG_ME, "IGAAone").status, 200)
        self.assertEqual(self.sandbox.token("IGAAone")["condition"], "healthy")

    def test_one_host_or_one_kind_of_call_fails(self):
        self.sandbox.fail("500", host="graph.facebook.com")
        self.assertEqual([self.get(IG_ME, "IGAAone").status, self.get(FB_ME, "EAAone").status], [200, 500])
        self.sandbox.fail(None)
        self.sandbox.fail("500", kind="refresh")
        self.assertEqual([self.get(IG_ME, "IGAAone").status, self.get(Refreshing.REFRESH).status], [200, 500])

    def test_a_part_of_the_calls_fails_exactly(self):
        for percent in (0, 1, 25, 99, 100):
            self.sandbox.fail("code2", percent=percent)
            failed = sum(self.get(IG_ME, "IGAAone").status != 200 for _ in range(100))
            self.assertEqual(failed, percent)

    def test_an_answer_gets_lost_by_order_although_the_token_is_well(self):
        self.sandbox.fail("lost_answer", kind="refresh")
        with self.assertRaises(ConnectionResetError):
            self.get(Refreshing.REFRESH)
        self.assertEqual(self.sandbox.token("IGAAone")["issued"], 1)
        self.assertEqual(self.get(IG_ME, "IGAAone").status, 200)


class Ledger(Base):
    def test_every_call_is_counted_by_kind_outcome_and_token(self):
        self.get(IG_ME, "IGAAone")
        self.get(IG_ME, "IGAAone")
        self.get(Refreshing.REFRESH)
        self.sandbox.condition("EAAone", "revoked")
        self.get(FB_ME, "EAAone")
        self.get(FB + "/v25.0/debug_token?input_token=EAAone", "1|s")
        self.get(IG + "/you", "IGAAone")
        ledger = self.sandbox.ledger()
        self.assertEqual(ledger["calls"], 6)
        self.assertEqual(ledger["by_kind"], {"validate": 3, "refresh": 1, "introspect": 1, "other": 1})
        self.assertEqual(ledger["by_outcome"], {"ok": 3, "revoked": 2, "wrong_path": 1})
        self.assertEqual(ledger["by_token"][sha256("IGAAone")]["by_kind"], {"validate": 2, "refresh": 1, "other": 1})
        self.assertEqual([self.sandbox.calls("IGAAone"), self.sandbox.calls("EAAone", "introspect"), self.sandbox.calls("IGAAnever")],
                         [4, 1, 0])

    def test_details_tell_the_order_and_never_a_token(self):
        self.get(IG_ME, "IGAAone")
        self.get(FB_ME, "EAAone")
        self.get(IG_ME, "IGAAone")
        details = self.sandbox.ledger(details=2)["details"]
        self.assertEqual([(d["seq"], d["host"], d["path"], d["kind"], d["outcome"]) for d in details],
                         [(2, "graph.facebook.com", "/v25.0/me", "validate", "ok"), (3, "graph.instagram.com", "/v25.0/me", "validate", "ok")])
        self.assertEqual(details[1]["token_sha256"], sha256("IGAAone"))
        self.assertAlmostEqual(details[1]["at_ms"] / 1000, time.time(), delta=60)
        of_one = self.sandbox.ledger("IGAAone")
        self.assertEqual([d["seq"] for d in of_one["details"]], [1, 3])
        self.assertNotIn("IGAAone", json.dumps(of_one))

    def test_control_calls_are_not_counted(self):
        self.sandbox.summary()
        self.sandbox.latency(0)
        self.assertEqual(self.sandbox.summary()["calls"], 0)

    def test_concurrency_is_measured(self):
        self.sandbox.latency(300)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: self.get(IG_ME, "IGAAone"), range(8)))
        self.sandbox.latency(0)
        self.assertEqual(self.sandbox.summary()["max_concurrency"], 8)
        self.assertEqual(self.sandbox.summary()["concurrency"], 0)

    def test_clearing_the_ledger_keeps_tokens_and_a_reset_keeps_nothing(self):
        self.get(IG_ME, "IGAAone")
        self.sandbox.clear_ledger()
        self.assertEqual([self.sandbox.summary()["calls"], self.sandbox.calls("IGAAone")], [0, 0])
        self.assertEqual(self.get(IG_ME, "IGAAone").status, 200)
        self.sandbox.fail("500")
        self.sandbox.reset()
        self.assertEqual(self.get(IG_ME, "IGAAone").status, 400)
        self.assertEqual(self.outcomes(), {"unknown_token": 1})


class Control(Base):
    def refused(self, method, path, body=None):
        answer = self.sandbox._send(method, path, None if body is None else body.encode(), {}, 10)
        return answer.status, answer.json()["error"]

    def test_registering_again_changes_what_is_given_and_keeps_the_rest(self):
        self.sandbox.register({"token": "IGAAone", "username": "renamed"})
        self.assertEqual(self.get(IG_ME, "IGAAone").json()["username"], "renamed")
        self.assertEqual(self.sandbox.token("IGAAone")["account_id"], "17841400000000001")

    def test_a_token_can_be_named_by_its_hash(self):
        self.sandbox.condition(sha256("IGAAone"), "revoked")
        self.assert_error(self.get(IG_ME, "IGAAone"), *GRAPH_ERRORS["revoked"])

    def test_mistakes_of_a_test_are_told(self):
        for body, words in (('[{"token":"a","colour":"red"}]', "colour"), ('[{"token":"a","condition":"ill"}]', "condition"),
                            ('[{"condition":"healthy"}]', "token"), ("{}", "array"), ("[{", "line 1"),
                            ('[{"token":"a","delay_ms":-1}]', "delay_ms")):
            status, error = self.refused("POST", "/_sandbox/tokens", body)
            self.assertEqual(status, 400, body)
            self.assertIn(words, error)
        self.assertEqual(self.refused("POST", "/_sandbox/fail", '{"condition":"500","host":"example.com","percent":100}')[0], 400)
        self.assertEqual(self.refused("POST", "/_sandbox/latency", '{"ms":"50"}')[0], 400)
        self.assertEqual(self.refused("GET", "/_sandbox/token?token=IGAAnever")[0], 404)
        self.assertEqual(self.refused("GET", "/_sandbox/tokens")[0], 405)

    def test_a_hundred_thousand_tokens_are_registered_in_seconds(self):
        start = time.monotonic()
        self.sandbox.register({"token": f"IGAAmany{i}", "account_id": str(i)} for i in range(100000))
        print(f"FIGURE: sandbox: 100,000 tokens registered in {time.monotonic() - start:.1f} s")
        self.assertEqual(self.get(IG_ME, "IGAAmany99999").json()["user_id"], "99999")


class Restart(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="token-health-sandbox-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.state = os.path.join(self.dir, "state")

    def test_tokens_chains_and_the_port_survive(self):
        with Sandbox(BUILD, state=self.state) as sandbox:
            sandbox.register([{"token": "IGAAone", "account_id": "7", "username": "se\"ven"}, {"token": "EAAtwo", "condition": "revoked"}])
            new = sandbox.get(Refreshing.REFRESH).json()["access_token"]
            before, port = [sandbox.token("IGAAone"), sandbox.token("EAAtwo")], sandbox.port
            self.assertEqual(sandbox.stop(), 0)
            sandbox.start()
            self.assertEqual([sandbox.token("IGAAone"), sandbox.token("EAAtwo")], before)
            self.assertEqual((sandbox.port, sandbox.newest("IGAAone")), (port, sha256(new)))
            self.assertEqual(sandbox.get(IG_ME, new).json()["username"], "se\"ven")
        with open(self.state, encoding="utf-8") as f:
            self.assertNotIn("IGAA", f.read())

    def test_a_state_that_makes_no_sense_is_refused(self):
        with open(self.state, "w", encoding="utf-8") as f:
            f.write('{"token_sha256":"xyz"}\n')
        log = os.path.join(self.dir, "log")
        with self.assertRaises(AssertionError):
            Sandbox(BUILD, state=self.state, log=log).start()
        with open(log, encoding="utf-8") as f:
            self.assertIn("line 1", f.read())

    def test_a_port_in_use_is_told(self):
        log = os.path.join(self.dir, "log")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            with self.assertRaises(AssertionError):
                Sandbox(BUILD, port=taken.getsockname()[1], log=log).start()
        with open(log, encoding="utf-8") as f:
            self.assertIn("Address already in use", f.read())


class Tls(unittest.TestCase):
    def test_the_same_world_with_and_without_tls(self):
        directory = tempfile.mkdtemp(prefix="token-health-sandbox-")
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        certificate = make_certificate(directory)
        with Sandbox(BUILD, tls=certificate) as sandbox:
            sandbox.register([{"token": "IGAAone", "username": "one"}, {"token": "IGAAreset", "condition": "reset"}])
            sandbox.latency(20)
            request = urllib.request.Request(sandbox.tls_url + IG_ME, headers={"Authorization": "Bearer IGAAone"})
            trusting = ssl.create_default_context(cafile=certificate[0])
            with urllib.request.urlopen(request, context=trusting, timeout=20) as answer:
                self.assertEqual(json.load(answer)["username"], "one")
            with self.assertRaises(urllib.error.URLError) as caught:
                urllib.request.urlopen(request, timeout=20)
            self.assertIsInstance(caught.exception.reason, ssl.SSLCertVerificationError)
            request = urllib.request.Request(sandbox.tls_url + IG_ME, headers={"Authorization": "Bearer IGAAreset"})
            with self.assertRaises(OSError):
                urllib.request.urlopen(request, context=trusting, timeout=20)
            self.assertEqual(sandbox.get(IG_ME, "IGAAone").status, 200)
            self.assertEqual(sandbox.calls("IGAAone"), 2)


async def keep_calling(port, token, calls):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = f"GET {IG_ME} HTTP/1.1\r\nHost: sandbox\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    for _ in range(calls):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise AssertionError(head)
        await reader.readexactly(int(re.search(rb"(?i)content-length: (\d+)", head)[1]))
    writer.close()


class Load(Base):
    def load(self, clients, calls):
        """Seconds, and CPU seconds of the sandbox."""
        async def all_of_them():
            await asyncio.gather(*[keep_calling(self.sandbox.port, "IGAAone", calls) for _ in range(clients)])
        cpu, start = self.cpu_s(), time.monotonic()
        asyncio.run(all_of_them())
        return time.monotonic() - start, self.cpu_s() - cpu

    def cpu_s(self):
        with open(f"/proc/{self.sandbox.process.pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def test_calls_that_wait_cost_next_to_nothing(self):
        self.sandbox.latency(50)
        seconds, cpu_s = self.load(120, 50)
        print(f"FIGURE: sandbox: {6000 / seconds:,.0f} calls/s at 50 ms from 120 clients, {cpu_s / 6000 * 1e6:.0f} us of CPU a call")
        self.assertEqual(self.sandbox.calls("IGAAone"), 6000)
        if "release" in BUILD:
            self.assertLess(cpu_s / 6000, 300e-6)

    def test_three_thousand_calls_at_once(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.assertGreaterEqual(hard, 4000, "the limit of open files is too low for this test")
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        self.sandbox.latency(3000)
        seconds, _ = self.load(3000, 1)
        summary = self.sandbox.summary()
        print(f"FIGURE: sandbox: 3,000 calls of 3 s each in {seconds:.1f} s, {summary['max_concurrency']} at once")
        self.assertEqual(summary["by_outcome"], {"ok": 3000})
        self.assertGreater(summary["max_concurrency"], 1000)


if __name__ == "__main__":
    unittest.main()
