"""The FastCGI Authorizer role: the web server asks about the application's request before it lets it through."""
import time
import unittest

from case import API, ServiceCase, account, account_id, sealed
from fastcgi import AUTHORIZER, Connection
from harness import free_port, wait_for


class Authorizer(ServiceCase):
    """The tests speak FastCGI themselves, as Apache and lighttpd do: the parameters are those of the application's own request."""
    workers = 1
    responder = False
    settings = {"authorizer": {"mode": "enforce"}, "health": {"confirmations": 1}}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.service.start_responder()
        wait_for(lambda: cls.ask(1).status == 200, 30, "the responder answers")

    @classmethod
    def seed(cls):
        for number, condition in enumerate(("healthy", "revoked", "500"), 1):
            cls.register(number, condition, condition)
            cls.service.import_accounts([account(number, f"ws-{number}", encryptedAccessToken=sealed(condition))])
        cls.service.import_accounts([account(9, "ws-9", platform="tiktok", tokenStatus="missing")])
        cls.reader = cls.service.create_key("reader", "read")

    @classmethod
    def ask(cls, number=None, key=True, method="GET", path="/app/posts?x=1", more=None):
        more = dict(more or {})
        if number:
            more.setdefault("TOKEN_HEALTH_ACCOUNT", account_id(number))
        if key:
            more.setdefault("TOKEN_HEALTH_KEY", cls.reader)
        with Connection(cls.service.socket, timeout=30) as c:
            return c.request(method, path, role=AUTHORIZER, more=more)

    def assert_passes(self, answer, health):
        self.assertEqual((answer.status, answer.headers.get("Variable-TOKEN_HEALTH"), answer.body), (200, health, b""), answer)

    def test_a_healthy_account_passes_with_its_state_for_the_application(self):
        for method in ("GET", "POST", "DELETE"):
            with self.subTest(method=method):
                self.assert_passes(self.ask(1, method=method), "healthy; ok")

    def test_a_workspace_may_be_asked_about(self):
        self.assert_passes(self.ask(more={"TOKEN_HEALTH_WORKSPACE": "ws-1"}), "healthy; ok")

    def test_enforce_keeps_a_broken_account_out(self):
        answer = self.ask(2)
        self.assertEqual((answer.status, answer.headers["X-Token-Health"]), (403, "broken; revoked"), answer)

    def test_what_decides_nothing_passes(self):
        self.assert_passes(self.ask(3), "unknown; transient")

    def test_an_unknown_account_passes(self):
        self.assert_passes(self.ask(77), "unknown; not_found")

    def test_the_platform_is_the_servers_to_say(self):
        answer = self.ask(9, more={"TOKEN_HEALTH_PLATFORM": "tiktok"})  # there it has no token
        self.assertEqual(answer.status, 403, answer)
        self.assertRegex(answer.headers["X-Token-Health"], "; missing_token$")
        self.assert_passes(self.ask(1, more={"TOKEN_HEALTH_PLATFORM": "nonesuch"}), "unknown; not_found")

    def test_the_applications_path_and_body_are_not_ours(self):
        """Not even when they look like a request of our API."""
        self.assert_passes(self.ask(1, method="POST", path=f"{API}/clear-cache"), "healthy; ok")
        self.assert_passes(self.ask(1, path="/%00%ff" + "x" * 4000), "healthy; ok")

    def test_nobody_gets_past_the_check_by_what_is_sent_beside(self):
        for more in ({"QUERY_STRING": "a=" + "b" * 5000}, {"CONTENT_TYPE": "multipart/form-data; boundary=" + "b" * 500}, {"REQUEST_METHOD": "M" * 40},
                     {"QUERY_STRING": f"accountId={account_id(1)}"}):
            with self.subTest(more=list(more)):
                self.assertEqual(self.ask(2, more=more).status, 403)

    def test_where_the_id_stands_in_the_query_the_first_one_counts_and_nothing_behind_it(self):
        """lighttpd can put it nowhere else, and has the client's query behind it."""
        for behind in ("", f"accountId={account_id(1)}", "workspaceId=ws-1", "valid_for=x", "valid_for=99999999", "%zz", "x=" + "y" * 20000):
            for first in (f"accountId={account_id(2)}", "workspaceId=ws-2", f"x=1&accountId={account_id(2)}"):
                with self.subTest(first=first, behind=behind[:40]):
                    self.assertEqual(self.ask(more={"QUERY_STRING": f"{first}&{behind}"}).status, 403)
        for query in ("x=1", "accountIdx=1", f"xaccountId={account_id(2)}", "accountId=", "accountId=" + "a" * 5000 + f"&accountId={account_id(2)}"):
            with self.subTest(query=query[:40]):
                self.assert_passes(self.ask(more={"QUERY_STRING": query}), "unknown; bad_request")

    def test_a_clients_own_header_is_no_key(self):
        for more in ({"HTTP_AUTHORIZATION": "Bearer " + self.reader}, {"HTTP_TOKEN_HEALTH_KEY": self.reader}):
            with self.subTest(more=list(more)):
                self.assert_passes(self.ask(2, key=False, more=more), "unknown; unauthorized")

    def test_the_servers_key_goes_before_the_clients_header(self):
        self.assertEqual(self.ask(2, more={"HTTP_AUTHORIZATION": "Basic dXNlcjpwYXNz"}).status, 403)
        with Connection(self.service.socket) as c:  # in the responder's role, too
            answer = c.request("GET", f"{API}/check?accountId={account_id(1)}", key="thk_wrong", more={"TOKEN_HEALTH_KEY": self.reader})
        self.assertEqual(answer.status, 204)

    def test_where_the_server_names_an_empty_id_the_clients_query_does_not_count(self):
        query = {"QUERY_STRING": f"accountId={account_id(1)}"}
        self.assert_passes(self.ask(more=query), "healthy; ok")  # where it names none
        for name in ("TOKEN_HEALTH_ACCOUNT", "TOKEN_HEALTH_WORKSPACE"):
            with self.subTest(name=name):
                self.assert_passes(self.ask(more=dict(query, **{name: ""})), "unknown; bad_request")

    def test_the_clients_header_does_not_take_the_place_of_a_key_that_is_none(self):
        with Connection(self.service.socket) as c:
            for wrong in ("", "thk_" + "x" * 5000):
                answer = c.request("GET", f"{API}/check?accountId={account_id(1)}", key=self.reader, more={"TOKEN_HEALTH_KEY": wrong})
                self.assertEqual(answer.status, 401, answer)

    def test_without_a_key_everything_passes_and_the_log_says_so_once(self):
        before = self.service.log("responder").count("pass unchecked")
        for _ in range(20):
            self.assert_passes(self.ask(2, key=False), "unknown; unauthorized")
        self.assertLessEqual(self.service.log("responder").count("pass unchecked") - before, 1)
        self.assertGreaterEqual(self.service.log("responder").count("pass unchecked"), 1)

    def test_without_an_id_everything_passes(self):
        self.assert_passes(self.ask(), "unknown; bad_request")


class ValidFor(ServiceCase):
    """check?…&valid_for=SECONDS: is the token good for that long?"""
    workers = 1
    settings = {"authorizer": {"mode": "enforce"}, "health": {"confirmations": 1}, "monitor": {"enable_auto_refresh": "false"}}
    SOON, LATER, UNKNOWN, PASSED, BROKEN = range(1, 6)

    @classmethod
    def seed(cls):
        now = time.time()
        for number, expires in ((cls.SOON, now + 600), (cls.LATER, now + 86400), (cls.UNKNOWN, None), (cls.PASSED, now - 60), (cls.BROKEN, None)):
            cls.register(number, number, "revoked" if number == cls.BROKEN else "healthy")
            date = expires and {"$date": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(expires))}
            workspace = "ws-both" if number in (cls.SOON, cls.LATER) else f"ws-{number}"
            cls.service.import_accounts([account(number, workspace, encryptedAccessToken=sealed(number), expiresAt=date)])

    def ask(self, number, seconds, by="accountId", value=None):
        answer = self.service.request("GET", f"{API}/check?{by}={value or account_id(number)}&valid_for={seconds}", key=self.admin)
        return answer.status, answer.headers.get("x-token-health-valid-for")

    def test_the_answer_says_yes_no_or_that_it_is_not_known(self):
        for number, seconds, expected in ((self.SOON, 60, (204, "yes")), (self.SOON, 3600, (403, "no")), (self.LATER, 3600, (204, "yes")),
                                          (self.LATER, 0, (204, "yes")), (self.UNKNOWN, 3600, (204, "unknown")), (self.PASSED, 1, (204, "unknown")),
                                          (self.BROKEN, 1, (403, "no"))):
            for what in ("asked", "cached"):
                with self.subTest(account=number, seconds=seconds, what=what):
                    self.assertEqual(self.ask(number, seconds), expected)

    def test_a_web_server_without_a_right_key_is_told_of_in_the_log(self):
        for key in ("thk_wrong", "thk_wrong too"):
            self.assertEqual(self.service.request("GET", f"{API}/check?accountId={account_id(self.SOON)}", key=key).status, 401)
        self.assertIn("pass unchecked", self.service.log("responder"))

    def test_of_a_workspace_the_token_that_ends_first_counts(self):
        for seconds, expected in ((60, (204, "yes")), (3600, (403, "no"))):
            for what in ("asked", "cached"):
                with self.subTest(seconds=seconds, what=what):
                    self.assertEqual(self.ask(None, seconds, "workspaceId", "ws-both"), expected)

    def test_who_does_not_ask_is_not_refused(self):
        answer = self.service.request("GET", f"{API}/check?accountId={account_id(self.SOON)}", key=self.admin)
        self.assertEqual((answer.status, answer.headers.get("x-token-health-valid-for")), (204, None))

    def test_what_is_no_number_of_seconds_is_refused(self):
        for text in ("", "-1", "1.5", "10m", "99999999", "9" * 30, "1&valid_for=2", "%31%00"):
            with self.subTest(text=text):
                self.assertEqual(self.ask(self.LATER, text)[0], 400)

    def test_an_authorizer_asks_by_a_parameter_and_a_client_cannot_change_the_question(self):
        for more, status, lasts in (({"TOKEN_HEALTH_VALID_FOR": "60"}, 200, "yes"), ({"TOKEN_HEALTH_VALID_FOR": "3600"}, 403, "no"),
                                    ({"TOKEN_HEALTH_VALID_FOR": "3600", "QUERY_STRING": "valid_for=1"}, 403, "no"),
                                    ({"TOKEN_HEALTH_VALID_FOR": "3600", "QUERY_STRING": "valid_for=x"}, 403, "no"),
                                    ({"QUERY_STRING": "valid_for=3600"}, 200, None), ({"QUERY_STRING": "valid_for=x"}, 200, None)):
            with self.subTest(more=more), Connection(self.service.socket) as c:
                answer = c.request("GET", "/app", role=AUTHORIZER, more={"TOKEN_HEALTH_KEY": self.admin, "TOKEN_HEALTH_ACCOUNT": account_id(self.SOON), **more})
                got = answer.headers.get("Variable-TOKEN_HEALTH_VALID_FOR") or answer.headers.get("X-Token-Health-Valid-For")
                self.assertEqual((answer.status, got), (status, lasts))
                self.assertNotIn("unknown", answer.headers.get("Variable-TOKEN_HEALTH", ""))


class StoreAway(ServiceCase):
    """An outage keeps nobody out, whatever the mode."""
    workers = 1
    responder = False
    settings = {"authorizer": {"mode": "enforce"}}

    @classmethod
    def store_uri(cls):
        return f"mongodb://127.0.0.1:{free_port()}/application"  # nobody listens

    def test_everything_passes(self):
        reader = self.service.create_key("reader", "read")
        self.service.start_responder()
        for name in ("TOKEN_HEALTH_ACCOUNT", "TOKEN_HEALTH_WORKSPACE"):
            with self.subTest(name=name), Connection(self.service.socket, timeout=30) as c:
                answer = c.request("GET", "/app", role=AUTHORIZER, more={name: account_id(1), "TOKEN_HEALTH_KEY": reader})
                self.assertEqual((answer.status, answer.headers.get("Variable-TOKEN_HEALTH")), (200, "unknown; service_unavailable"))


if __name__ == "__main__":
    unittest.main()
