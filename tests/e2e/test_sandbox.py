"""The pretend provider itself: every condition gives the answer that the platforms give, the ledger counts, and it can be turned
about while it runs. Other tests believe what is proven here."""
import concurrent.futures
import http.client
import json
import time
import unittest

from harness import BUILD
from sandbox import Sandbox, sha256
from sandbox_case import DAY, EXTEND, FB, FB_ME, IG, IG_ME, REASONS, REFRESH, TH_ME, ExplainCase, SandboxCase, words_of

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
GRAPH_REASONS = dict(REASONS, unconfirmed="checkpoint", malformed="invalid_token", page_role_lost="permission_missing",
                     object_missing="permission_missing", app_misconfigured="app_misconfigured", appsecret_proof="app_misconfigured",
                     blocked="blocked")
INTROSPECT_REASONS = dict(GRAPH_REASONS, wrong_permissions="ok", object_missing="ok", blocked="ok")  # the caller is the app


class Conditions(SandboxCase):
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


class BrokenAnswers(SandboxCase):
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


class Refreshing(SandboxCase):
    def test_a_refresh_gives_a_new_token_of_the_same_account(self):
        for old, path in (("IGAAone", REFRESH), ("EAAone", EXTEND)):
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
        new = self.get(REFRESH).json()["access_token"]
        self.assertEqual(self.get(IG_ME, "IGAAone").status, 400)
        self.assertEqual(self.get(IG_ME, new).status, 200)

    def test_instagram_refuses_to_refresh_a_token_younger_than_a_day(self):
        self.sandbox.condition("IGAAone", "healthy", age=3600)
        self.assert_error(self.get(REFRESH), 400, 100, None, "at least 24 hours old")
        self.sandbox.condition("IGAAone", "too_young")
        self.assert_error(self.get(REFRESH), 400, 100, None, "at least 24 hours old")
        self.assertEqual(self.get(IG_ME, "IGAAone").status, 200)
        self.assertEqual(self.sandbox.token("IGAAone")["issued"], 0)

    def test_a_refused_refresh_leaves_the_token_alive(self):
        self.sandbox.condition("IGAAone", "healthy", refresh_condition="wrong_permissions")
        self.assert_error(self.get(REFRESH), *GRAPH_ERRORS["wrong_permissions"])
        self.assertEqual(self.get(IG_ME, "IGAAone").status, 200)

    def test_blank_same_and_lost_answers(self):
        self.sandbox.condition("IGAAone", "blank_token")
        self.assertEqual(self.get(REFRESH).json()["access_token"], "")
        self.assertEqual(self.sandbox.token("IGAAone")["issued"], 0)
        self.sandbox.condition("IGAAone", "same_token", expires_in=DAY)
        self.assertEqual(self.get(REFRESH).json()["access_token"], "IGAAone")
        self.assert_lives_in("IGAAone", 5183944)
        self.sandbox.condition("IGAAone", "lost_answer")
        with self.assertRaises(ConnectionResetError):
            self.get(REFRESH)
        self.assertNotEqual(self.sandbox.newest("IGAAone"), sha256("IGAAone"))
        self.assertEqual(self.get(IG_ME, "IGAAone").status, 200)

    def test_the_short_lived_token_is_exchanged(self):
        path = IG + "/access_token?grant_type=ig_exchange_token&client_secret=s&access_token=IGAAone"
        self.assertTrue(self.get(path).json()["access_token"].startswith("IGAA"))
        self.assertEqual(self.sandbox.calls("IGAAone", "exchange"), 1)


class Introspection(SandboxCase):
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


class Threads(SandboxCase):
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


class Understood(ExplainCase):
    def test_graph_answers(self):
        one = lambda token: {"token": token, "account_id": "501"}
        for platform, login, token, path in (("instagram", "instagram", "IGAAone", IG_ME), ("facebook", "facebook", "EAAone", FB_ME),
                                             ("threads", "threads", "THAAone", TH_ME)):
            self.assert_understood(GRAPH_REASONS, platform, login, "validate", lambda: self.get(path, token), one(token), token)
        self.assert_understood(INTROSPECT_REASONS, "facebook", "facebook", "introspect",
                               lambda: self.get(FB + "/v25.0/debug_token?input_token=EAAone", "1|s"), one("EAAone"), "EAAone")
        refresh = dict(GRAPH_REASONS, too_young="bad_response", blank_token="bad_response", same_token="ok")
        self.assert_understood(refresh, "instagram", "instagram", "refresh", lambda: self.get(REFRESH), one("IGAAone"),
                               "IGAAone")
        self.assert_understood(dict(refresh, too_young="ok"), "facebook", "facebook", "refresh",
                               lambda: self.get(EXTEND), one("EAAone"), "EAAone")


if __name__ == "__main__":
    unittest.main()
