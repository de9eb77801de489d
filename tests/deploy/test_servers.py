"""One suite, unchanged, through each web server with its shipped configuration: the API's routes, bodies, paths, headers, broken clients,
and the check in front of an application's own routes."""
import concurrent.futures
import http.client
import json
import os
import shutil
import signal
import socket
import tempfile
import time
import unittest
import urllib.parse

from case import API, account, account_id, registration, sealed
from harness import BUILD, Answer, Service, free_port, stop_process, wait_for
from sandbox import Sandbox
from servers import Apache, ApacheFcgid, Application, Caddy, Lighttpd, Nginx, give_away

HEALTHY, BROKEN, UNKNOWN = (account_id(n) for n in (1, 2, 77))
stage = None


class Stage:
    """What is behind every server: sandbox, responder (on a Unix socket and on TCP), application; each started once."""

    def __init__(self):
        self.undo = []
        self.dir = tempfile.mkdtemp(prefix="token-health-deploy-")
        self.undo.append(lambda: shutil.rmtree(self.dir, ignore_errors=True))
        self.sandbox = Sandbox(BUILD, log=os.path.join(self.dir, "sandbox.log"))
        self.undo.append(self.sandbox.stop)
        self.sandbox.start()
        self.service = Service(os.path.join(self.dir, "s"), self.sandbox.url)
        self.undo.append(self.service.stop)
        self.seed()
        self.service.start_responder()
        give_away(self.dir, self.service)
        self.tcp = f"127.0.0.1:{free_port()}"
        self.tcp_responder = self.service.spawn("responder-tcp", [self.service.program("token-health-fcgi"), "--config", self.service.conf,
                                                                  "--listen", self.tcp])
        self.undo.append(lambda: stop_process(self.tcp_responder))
        wait_for(self.tcp_is_up, 30, "the responder listens on TCP")
        self.application = Application()
        self.undo.append(self.application.stop)

    def seed(self):
        accounts = [(1, "ws-1", "healthy"), (2, "ws-2", "revoked"), (3, "ws/1 x", "healthy")]
        self.sandbox.register([registration(n, f"t{n}", condition) for n, _, condition in accounts])
        self.service.import_accounts([account(n, workspace, encryptedAccessToken=sealed(f"t{n}"), tokenStatus="valid", needsReconnection=False)
                                      for n, workspace, _ in accounts])
        self.admin = self.service.create_key("admin", "admin")
        self.reader = self.service.create_key("web server", "read")

    def tcp_is_up(self):
        if self.tcp_responder.poll() is not None:
            raise AssertionError("the responder ended at start:\n" + self.service.log("responder-tcp"))
        host, port = self.tcp.split(":")
        with socket.socket() as s:
            return s.connect_ex((host, int(port))) == 0

    def set_mode(self, mode):
        """[authorizer] mode, by SIGHUP."""
        self.service.settings["authorizer"] = {"mode": mode}
        self.service.write_conf()
        for process in (self.service.processes["responder"], self.tcp_responder):
            process.send_signal(signal.SIGHUP)

    def stop(self):
        failures = []
        for step in reversed(self.undo):
            try:
                step()
            except AssertionError as e:
                failures.append(str(e))
        if failures:
            raise AssertionError("; ".join(failures))


def setUpModule():
    global stage
    stage = Stage()


def tearDownModule():
    stage.stop()


class Client:
    """HTTP as it is written, so that nothing on this side puts paths or bodies right."""

    def __init__(self, port):
        self.port = port

    def request(self, method, target, body=None, key=None, headers=None, chunked=False):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        send = dict(headers or {})
        if key:
            send["Authorization"] = "Bearer " + key
        if isinstance(body, dict):
            body = json.dumps(body)
            send.setdefault("Content-Type", "application/json")
        try:
            connection.putrequest(method, target, skip_accept_encoding=True)
            if body is not None:
                send.setdefault("Transfer-Encoding" if chunked else "Content-Length", "chunked" if chunked else str(len(body)))
            for name, value in send.items():
                connection.putheader(name, value)
            connection.endheaders()
            try:
                if body is not None:
                    data = body.encode()
                    connection.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data) if chunked else data)
            except OSError:
                pass  # it answered before it had read everything: the answer is there all the same
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()


class Behind:
    """The suite. A subclass names the server."""
    kept = False

    @classmethod
    def setUpClass(cls):
        stage.set_mode("observe")
        cls.server = cls.kind(stage.service, stage.application, stage.reader, kept=cls.kept, tcp=stage.tcp)
        cls.server.start()
        cls.addClassCleanup(cls.server.stop)
        cls.client = Client(cls.server.port)
        wait_for(lambda: cls.client.request("GET", "/livez").status == 200, 60, f"/livez answers 200 through {cls.server.name}")

    def ask(self, method, path, body=None, key="", **more):
        return self.client.request(method, path, body, key=stage.admin if key == "" else key, **more)

    def say(self, answer):
        return f"{answer}\n{self.server.log()[-1500:]}"

    # ---- the API ----

    def test_every_route_answers(self):
        for method, path, body, status in [("GET", "/livez", None, 200), ("GET", "/readyz", None, 200),
                                           ("POST", f"{API}/validate", {"workspaceId": "ws-1"}, 200), ("GET", f"{API}/status/ws-1", None, 200),
                                           ("POST", f"{API}/fix/{HEALTHY}", {}, 200), ("GET", f"{API}/stats", None, 200),
                                           ("POST", f"{API}/clear-cache", {}, 200), ("GET", f"{API}/check?accountId={HEALTHY}", None, 204)]:
            with self.subTest(path=path):
                answer = self.ask(method, path, body)
                self.assertEqual(answer.status, status, self.say(answer))
                if status == 200:
                    self.assertEqual(answer.headers["content-type"], "application/json")
                    self.assertIsInstance(answer.json(), dict)
                else:
                    self.assertEqual((answer.body, answer.headers["x-token-health"]), (b"", "healthy; ok"))

    def test_authorization_is_passed_and_its_absence_too(self):
        for key, status in [(stage.admin, 200), (stage.reader, 200), (None, 401), ("thk_" + "A" * 43, 401)]:
            answer = self.ask("GET", f"{API}/stats", key=key)
            self.assertEqual(answer.status, status, self.say(answer))
        self.assertIn("Bearer", self.ask("GET", f"{API}/stats", key=None).headers["www-authenticate"])

    def test_bodies_with_and_without_content_length(self):
        for chunked in (False, True):
            for body in ({"workspaceId": "ws-1"}, {"workspaceId": "ws-1", "x": "y" * 30000}):
                with self.subTest(chunked=chunked, size=len(json.dumps(body))):
                    answer = self.ask("POST", f"{API}/validate", body, chunked=chunked)
                    self.assertEqual((answer.status, answer.json().get("totalAccounts")), (200, 1), self.say(answer))

    def test_an_empty_body_is_a_bad_request_in_json(self):
        answer = self.ask("POST", f"{API}/validate", "", headers={"Content-Type": "application/json"})
        self.assertEqual((answer.status, answer.json()["code"]), (400, "bad_request"), self.say(answer))

    def test_bodies_up_to_64_kib_are_taken_and_larger_ones_are_a_413(self):
        def body(size):
            frame = '{"workspaceId":"ws-1","x":""}'
            return frame[:-2] + "y" * (size - len(frame)) + frame[-2:]
        for size, status in [(65535, 200), (65536, 200), (65537, 413), (100000, 413), (300000, 413), (900000, 413)]:
            for chunked in (False, True):
                with self.subTest(size=size, chunked=chunked):
                    answer = self.ask("POST", f"{API}/validate", body(size), headers={"Content-Type": "application/json"}, chunked=chunked)
                    self.assertEqual(answer.status, status, self.say(answer))
                    if status == 413:
                        self.assertEqual(answer.json()["code"], "payload_too_large")

    def test_head_is_get_without_a_body_and_the_connection_goes_on(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        try:
            for method in ("HEAD", "GET", "HEAD", "GET"):
                connection.request(method, f"{API}/status/ws-1", headers={"Authorization": "Bearer " + stage.admin})
                response = connection.getresponse()
                body = response.read()
                self.assertEqual((response.status, bool(body)), (200, method == "GET"), method)
        finally:
            connection.close()

    def test_encoded_slashes_and_spaces_stay_inside_an_id(self):
        for target in (f"{API}/status/ws%2F1%20x", f"{API}/status/ws%2f1%20x"):
            answer = self.ask("GET", target)
            self.assertEqual((answer.status, answer.json().get("totalAccounts")), (200, 1), self.say(answer))
        answer = self.ask("GET", f"{API}/check?workspaceId=" + urllib.parse.quote("ws/1 x", safe=""))
        self.assertEqual((answer.status, answer.headers.get("x-token-health")), (204, "healthy; ok"), self.say(answer))

    def test_dots_lead_nowhere(self):
        for target in (f"{API}/status/../stats", f"{API}/status/%2e%2e/stats", f"{API}/./stats", f"/x/..{API}/stats", f"/x/..%2f..{API}/stats",
                       f"{API}/fix/..%2fstats", f"{API}//stats"):
            with self.subTest(target=target):
                answer = self.ask("GET", target)
                self.assertIn(answer.status, (400, 404, 405), self.say(answer))

    def test_other_paths_are_not_taken(self):
        for target in ("/", "/api/instagram/other", "/api/token-health/stats", "/livez/x"):
            answer = self.ask("GET", target, key=None)
            self.assertNotIn("x-request-id", answer.headers, f"{target}: {answer}")

    def test_wrong_methods_say_what_is_allowed(self):
        for method in ("DELETE", "PUT", "OPTIONS"):
            answer = self.ask(method, f"{API}/stats", body="")
            self.assertEqual(answer.status, 405, self.say(answer))
            self.assertIn("GET", answer.headers["allow"])

    def test_request_ids_go_through(self):
        answer = self.ask("GET", f"{API}/stats", headers={"X-Request-Id": "abc-123"})
        self.assertEqual(answer.headers["x-request-id"], "abc-123")

    def test_headers_do_not_pass_for_parameters(self):
        forged = {"TOKEN-HEALTH-ACCOUNT": BROKEN, "Token_Health_Account": BROKEN, "X-Token-Health": "healthy; ok", "TOKEN-HEALTH-KEY": stage.admin}
        answer = self.ask("GET", f"{API}/check?accountId={HEALTHY}", headers=forged)
        self.assertEqual((answer.status, answer.headers["x-token-health"]), (204, "healthy; ok"), self.say(answer))
        self.assertEqual(self.ask("GET", f"{API}/stats", key=None, headers=forged).status, 401)

    def test_many_at_the_same_time(self):
        def one(_):
            return self.ask("GET", f"{API}/check?accountId={HEALTHY}").status
        with concurrent.futures.ThreadPoolExecutor(40) as pool:
            statuses = list(pool.map(one, range(400)))
        self.assertEqual({s: statuses.count(s) for s in statuses}, {204: 400})

    def test_clients_that_go_away_take_no_worker_with_them(self):
        head = f"POST {API}/validate HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {stage.admin}\r\nContent-Type: application/json\r\n"
        for text in (head + "Content-Length: 1000\r\n\r\n{\"work", head + "Transfer-Encoding: chunked\r\n\r\nff\r\n{", head,
                     head + 'Content-Length: 53\r\n\r\n{"workspaceId": "ws-1", "forceRefresh": true        }'):
            for _ in range(12):
                s = socket.create_connection(("127.0.0.1", self.server.port))
                s.sendall(text.encode())
                s.close()
        start = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(lambda _: self.ask("GET", f"{API}/check?accountId={HEALTHY}").status, range(40)))
        self.assertEqual(set(statuses), {204})
        self.assertLess(time.monotonic() - start, 20)

    # ---- in front of an application ----

    refusal = 403

    def set_mode(self, mode):
        stage.set_mode(mode)
        want = {"off": (204, None), "observe": (204, "broken; revoked"), "enforce": (403, "broken; revoked")}[mode]

        def done():
            seen = {(a.status, a.headers.get("x-token-health")) for a in (self.ask("GET", f"{API}/check?accountId={BROKEN}") for _ in range(12))}
            return seen == {want}
        wait_for(done, 60, f"mode {mode} is in force")

    def application(self, account, **more):
        return self.ask("GET", f"/accounts/{account}/posts?x=1", **{"key": "the-applications-own", **more})

    def test_the_application_is_told_the_verdict_of_the_account_in_the_path(self):
        self.set_mode("observe")
        for account, verdict in [(HEALTHY, "healthy; ok"), (BROKEN, "broken; revoked")]:
            answer = self.application(account, headers={"X-Token-Health": "forged; ok"})
            self.assertEqual(answer.status, 200, self.say(answer))
            self.assertEqual((answer.json()["health"], answer.json()["authorization"]), (verdict, "Bearer the-applications-own"), self.say(answer))

    def test_what_the_application_is_told_cannot_be_forged_or_taken_away(self):
        self.set_mode("observe")
        for name in ("X-Token-Health", "x-token-health", "X_Token_Health", "X-Token_Health", "X_Token-Health", "TOKEN_HEALTH", "Token-Health"):
            with self.subTest(name=name):
                answer = self.application(BROKEN, headers={name: "healthy; ok"})
                self.assertEqual((answer.status, answer.json()["health"]), (200, "broken; revoked"), self.say(answer))
                answer = self.application(UNKNOWN, headers={name: "forged; ok"})
                self.assertNotIn("forged", answer.json()["health"] or "", self.say(answer))
        for value in ("X-Token-Health", "close, x-token-health, keep-alive"):
            answer = self.application(BROKEN, headers={"Connection": value})
            self.assertEqual((answer.status, answer.json()["health"]), (200, "broken; revoked"), self.say(answer))

    def test_nobody_gets_past_the_check_by_what_is_sent_beside(self):
        self.set_mode("enforce")
        try:
            for query in ("", f"accountId={HEALTHY}", "workspaceId=ws-1", "valid_for=x", "valid_for=99999999", "x=" + "y" * 5000):
                for headers in ({}, {"Content-Type": "text/plain; x=" + "y" * 300}, {"TOKEN-HEALTH-ACCOUNT": HEALTHY, "X-Request-Id": "z" * 3000}):
                    with self.subTest(query=query[:40], headers=headers):
                        answer = self.ask("GET", f"/accounts/{BROKEN}/posts?{query}", key=None, headers=headers)
                        self.assertEqual(answer.status, self.refusal, self.say(answer))
            for path in (f"//accounts/{BROKEN}/posts", f"/accounts//{BROKEN}/posts", f"/x/../accounts/{BROKEN}/posts", f"/accounts/{HEALTHY}/%2e%2e/{BROKEN}/posts",
                         f"/%61ccounts/{BROKEN}/posts", f"/accounts/%30{BROKEN[1:]}/posts", f"http://localhost/accounts/{BROKEN}/posts"):
                with self.subTest(path=path):
                    answer = self.ask("GET", path, key=None)
                    self.assertEqual(answer.status, self.refusal, self.say(answer))
            for headers in ({f"X-Big-{i}": "a" * 7000 for i in range(8)}, {f"X-Big-{i}": "a" * 700 for i in range(80)}):
                answer = self.ask("GET", f"/accounts/{BROKEN}/posts", key=None, headers=headers)
                self.assertNotIn(b'"app"', answer.body, f"{self.say(answer)}: {len(headers)} large headers")
        finally:
            self.set_mode("observe")

    def test_clients_whose_bodies_drip_hold_nobody_up(self):
        """More of them than the responder has workers, and none has a key."""
        slow = []
        try:
            for first in (0, 20000, 50000) * 4:
                s = socket.create_connection(("127.0.0.1", self.server.port))
                slow.append(s)
                s.sendall(f"POST {API}/validate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n".encode() + b"x" * first)
            worst = 0
            for _ in range(20):
                start = time.monotonic()
                answer = self.ask("GET", f"{API}/check?accountId={HEALTHY}")
                self.assertEqual(answer.status, 204, self.say(answer))
                worst = max(worst, time.monotonic() - start)
                time.sleep(0.1)
            self.assertLess(worst, 8)  # a silent one was given up after 10 s
        finally:
            for s in slow:
                s.close()

    def test_bodies_reach_the_application_and_not_the_check(self):
        self.set_mode("observe")
        answer = self.ask("POST", f"/accounts/{HEALTHY}/posts", {"text": "hello"}, key=None)
        self.assertEqual((answer.status, json.loads(answer.json()["body"]), answer.json()["health"]), (200, {"text": "hello"}, "healthy; ok"),
                         self.say(answer))

    def test_enforce_refuses_what_only_the_user_can_help(self):
        self.set_mode("enforce")
        try:
            self.assertEqual(self.application(HEALTHY).status, 200)
            answer = self.application(BROKEN)
            self.assertEqual(answer.status, self.refusal, self.say(answer))
            self.assertNotIn(b'"app"', answer.body)
        finally:
            self.set_mode("observe")

    def test_off_asks_nothing(self):
        self.set_mode("off")
        try:
            answer = self.application(BROKEN)
            self.assertEqual(answer.status, 200, self.say(answer))
            self.assertNotIn("broken", answer.json()["health"] or "")
        finally:
            self.set_mode("observe")

    def test_what_cannot_be_answered_passes(self):
        self.set_mode("enforce")
        try:
            answer = self.application(UNKNOWN)
            self.assertEqual(answer.status, 200, self.say(answer))
            self.assertNotEqual(answer.json()["health"], "healthy; ok")
        finally:
            self.set_mode("observe")


    # What a client gets from the API, and from the application's own routes, while there is no responder.
    away = (503, 500)

    def test_a_responder_that_is_away(self):
        server = self.kind(stage.service, stage.application, stage.reader, kept=self.kept, away=True).start()
        try:
            client = Client(server.port)
            api, own = client.request("GET", f"{API}/stats", key=stage.admin), client.request("GET", f"/accounts/{HEALTHY}/posts")
            self.assertEqual((api.status, own.status), self.away, f"{api}\n{own}\n{server.log()[-1000:]}")
            if self.kind in (Nginx, Apache):
                self.assertEqual((api.json()["code"], api.headers["retry-after"], api.headers["content-type"]),
                                 ("service_unavailable", "2", "application/json"))
        finally:
            server.stop()


class BehindNginx(Behind, unittest.TestCase):
    kind = Nginx
    away = (503, 200)


class BehindNginxKept(Behind, unittest.TestCase):
    kind, kept = Nginx, True
    away = (503, 200)


class BehindApache(Behind, unittest.TestCase):
    kind = Apache


class BehindApacheKept(Behind, unittest.TestCase):
    kind, kept = Apache, True


class BehindApacheFcgid(Behind, unittest.TestCase):
    kind = ApacheFcgid
    refusal = 401  # mod_fcgid makes it so

    test_a_responder_that_is_away = None  # mod_fcgid starts it itself

    def set_mode(self, mode):
        """mod_fcgid's processes are its own: they read the configuration when they start."""
        stage.service.settings["authorizer"] = {"mode": mode}
        stage.service.write_conf()
        self.server.stop()
        shutil.rmtree(self.server.dir)
        os.makedirs(self.server.dir)
        self.server.start()


class BehindLighttpd(Behind, unittest.TestCase):
    kind = Lighttpd
    away = (503, 503)


class BehindCaddy(Behind, unittest.TestCase):
    kind = Caddy
    away = (502, 502)


if __name__ == "__main__":
    unittest.main()
