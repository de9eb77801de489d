"""What nobody should send: the documented status and body each time, never a crash, a hang or a leak. And who may see what."""
import hashlib
import http.client
import json
import os
import re
import socket
import unittest
import urllib.parse

from case import API, ServiceCase, account, account_id, sealed, token
from harness import ROOT, children

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get", "X" * 40)
ROUTES = re.findall(r'^ROUTE\("(\w+)", "([^"]+)", (\w+)', open(os.path.join(ROOT, "fcgi/routes.def"), encoding="utf-8").read(), re.M)


def path_of(route):
    return route.replace(":platform", "instagram").replace(":argument", account_id(1) if "/fix/" in route else "ws-1")


class BadCase(ServiceCase):
    @classmethod
    def seed(cls):
        for number in (1, 2, 3):
            cls.register(number, f"t{number}")
        cls.service.import_accounts([account(1, "ws-1", encryptedAccessToken=sealed("t1")), account(2, "ws-2", encryptedAccessToken=sealed("t2")),
                                     account(3, None, encryptedAccessToken=sealed("t3")),
                                     {"_id": account_id(4), "platform": "instagram", "workspaceId": "ws-2"}, account(4, "ws-2"),
                                     account(5, "ws-2", platform="facebook")])
        cls.reader = cls.service.create_key("reader", "read", "ws-1")
        cls.writer = cls.service.create_key("writer", "write", "ws-1,ws-9")
        cls.limited_admin = cls.service.create_key("limited", "admin", "ws-1")

    def setUp(self):
        self.workers = children(self.service.processes["responder"].pid)

    def tearDown(self):
        self.assertEqual(children(self.service.processes["responder"].pid), self.workers, self.service.log("responder")[-3000:])
        self.assertEqual(self.service.request("GET", "/livez").status, 200)

    def check_error(self, answer, status, code=None):
        self.assertEqual(answer.status, status, answer)
        body = answer.json()
        self.assertEqual(set(body), {"success", "error", "code", "requestId"})
        self.assertIs(body["success"], False)
        self.assertTrue(body["error"])
        self.assertEqual(body["requestId"], answer.headers["x-request-id"])
        self.assertEqual(answer.headers["content-type"], "application/json")
        if code:
            self.assertEqual(body["code"], code)
        for inside in (self.service.dir, "sqlite", ".c:", "/dev/shm", "127.0.0.1"):
            self.assertNotIn(inside, answer.body.decode())

    def raw(self, text, timeout=20):
        """The status of an answer to bytes as they are; None when there is none."""
        with socket.create_connection(("127.0.0.1", self.service.port), timeout=timeout) as s:
            s.sendall(text)
            data = b""
            while b"\r\n" not in data:
                chunk = s.recv(4096)
                if not chunk:
                    return None
                data += chunk
        return int(data.split(b" ")[1])


class Bodies(BadCase):
    def test_bodies_that_are_refused(self):
        for body in ("{", "", "[]", "null", "{}", '"text"', "1", '{"workspaceId":""}', '{"workspaceId":{"$ne":null}}', '{"workspaceId":null}',
                     '{"workspaceId":["ws-1"]}', '{"workspaceId":{"$oid":"64b0c0ffee64b0c0ffee0001"}}', '{"workspaceId":true}',
                     '{"workspaceId":1.5}', '{"workspaceId":1e400}', '{"workspaceId":99999999999999999999}', '{"workspaceId":NaN}',
                     '{"workspaceId":"ws-1","workspaceId":"x"}', '{"workspaceId":"a\\u0000b"}', '{"workspaceId":"a\\u001fb"}',
                     '{"workspaceId":"\\ud800"}', '{"workspaceId":"' + "x" * 256 + '"}', '{"workspaceId":"ws-1","forceRefresh":"yes"}',
                     '{"workspaceId":"ws-1","forceRefresh":1}', '{"workspaceId":"ws-1","forceRefresh":{}}', "[" * 5000 + "]" * 5000,
                     '{"workspaceId":' + "[" * 32 + "]" * 32 + "}", b'{"workspaceId":"\xff\xfe"}', b'\xef\xbb\xbf{"workspaceId":"ws-1"}',
                     '{"workspaceId":"ws-1"} x', "{'workspaceId':'ws-1'}", '{"workspaceId":"ws-1",}', '{"workspaceId":"ws-1"/**/}',
                     '{"WorkspaceId":"ws-1"}', b"\0" * 100, b'{"workspaceId":"ws-1"}\0'):
            with self.subTest(body=body[:60]):
                self.check_error(self.post(f"{API}/validate", body, headers={"Content-Type": "application/json"}), 400, "bad_request")

    def test_an_error_never_repeats_what_was_sent(self):
        secret = "SECRETSECRET" + token("x")
        for body in ('{"workspaceId":{"%s":1}}' % secret, '{"%s' % secret, '{"workspaceId":"ws-1","forceRefresh":"%s"}' % secret):
            answer = self.post(f"{API}/validate", body, headers={"Content-Type": "application/json"})
            self.check_error(answer, 400)
            self.assertNotIn(secret, answer.body.decode())
        self.assertNotIn(secret, self.service.log("responder"))

    def test_the_bodies_of_clear_cache(self):
        for body in ("{", "[]", '{"accountId":null}', '{"accountId":""}', '{"accountId":{"$gt":""}}', '{"accountId":true}', '{"accountId":[]}'):
            with self.subTest(body=body):
                self.check_error(self.post(f"{API}/clear-cache", body, headers={"Content-Type": "application/json"}), 400)
        self.check_error(self.post(f"{API}/clear-cache", {"accountId": "nobody"}), 404)

    def test_too_large_a_body(self):
        for size in (65537, 70000, 1000000):
            body = '{"workspaceId":"ws-1","x":"' + "y" * (size - 29) + '"}'
            self.check_error(self.post(f"{API}/validate", body, headers={"Content-Type": "application/json"}), 413, "payload_too_large")
        body = '{"workspaceId":"ws-1","x":"' + "y" * (65536 - 29) + '"}'
        self.assertEqual(len(body), 65536)
        self.assertEqual(self.post(f"{API}/validate", body, headers={"Content-Type": "application/json"}).status, 200)

    def test_a_chunked_body_is_a_body(self):
        for size, status in ((10, 200), (80000, 413)):
            connection = http.client.HTTPConnection("127.0.0.1", self.service.port, timeout=20)
            text = json.dumps({"workspaceId": "ws-1", "x": "y" * size}).encode()
            connection.request("POST", f"{API}/validate", body=iter([text[:7], text[7:]]), encode_chunked=True, headers={
                "Authorization": "Bearer " + self.admin, "Content-Type": "application/json", "Transfer-Encoding": "chunked"})
            self.assertEqual(connection.getresponse().status, status)
            connection.close()

    def test_wrong_media_types(self):
        for media in ("application/x-www-form-urlencoded", "text/plain", "text/json", "application/jsonx", "application/json2; charset=utf-8",
                      "multipart/form-data", "json", "*/*", ""):
            with self.subTest(media=media):
                self.check_error(self.post(f"{API}/validate", '{"workspaceId":"ws-1"}', headers={"Content-Type": media}), 415,
                                 "unsupported_media_type")
        for media in ("application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "application/json;charset=UTF-8"):
            self.assertEqual(self.post(f"{API}/validate", '{"workspaceId":"ws-1"}', headers={"Content-Type": media}).status, 200, media)

    def test_a_body_with_a_get_changes_nothing(self):
        for body in (b"{", b'{"workspaceId":"ws-2"}', b"x" * 100000):
            answer = self.get(f"{API}/status/ws-1", body=body, headers={"Content-Type": "text/plain"})
            self.assertEqual((answer.status, answer.json()["totalAccounts"]), (200, 1))


# What a route wants in its body to do something; those that are not here take any of a workspace's.
BODIES = {("PATCH", "monitor"): {"batchSize": 32}, ("POST", "guard"): {"action": "release"}}


def body_of(method, route):
    if method not in ("POST", "PATCH"):
        return None
    return BODIES.get((method, route.split("/")[-1]), {"workspaceId": "ws-1", "accountId": account_id(1)})


class Routes(BadCase):
    def test_every_method_on_every_route(self):
        self.assertGreaterEqual(len(ROUTES), 8)
        for route in {route for _, route, _ in ROUTES}:
            right = [method for method, other, _ in ROUTES if other == route]
            allow = ", ".join("GET, HEAD" if method == "GET" else method for method in right)
            for method in METHODS:
                path = path_of(route) + (f"?accountId={account_id(1)}" if route.endswith("check") else "")
                with self.subTest(method=method, path=path):
                    answer = self.service.request(method, path, key=self.admin, body=body_of(method, route))
                    if method in ("TRACE", "get", "PROPFIND", "X" * 40) and answer.headers.get("content-type") == "text/html":
                        self.assertIn(answer.status, (400, 405))  # nginx's own
                    elif method in right or (method == "HEAD" and "GET" in right):
                        self.assertIn(answer.status, (200, 202, 204), answer)
                    elif method == "HEAD":
                        self.assertEqual((answer.status, answer.body), (405, b""))
                    elif len(method) > 15:
                        self.check_error(answer, 400)
                    else:
                        self.check_error(answer, 405, "method_not_allowed")
                        self.assertEqual(answer.headers["allow"], allow)

    def test_routes_that_are_not_there(self):
        for path in ("/", "/api", "/api/", "/api/instagram", f"{API}", f"{API}/", f"{API}/nothing", f"{API}/stats/", f"{API}/stats/x", f"/{API}/stats",
                     f"{API}//stats", f"{API}/status", f"{API}/status/", f"{API}/status/ws-1/", f"{API}/status/ws-1/x", f"{API}/fix", "/livez/",
                     "/LIVEZ", "/api/Instagram/token-health/stats", "/api/myspace/token-health/stats", "/api/%69nstagramm/token-health/stats",
                     f"{API}/%73tats", f"{API}/stats%2f", "/api/instagram/token-health%2fstats", "/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd",
                     f"{API}/./stats", f"{API}/x/../stats", f"{API}/stats;x=1"):
            with self.subTest(path=path):
                answer = self.get(path)
                if answer.headers.get("content-type") != "text/html":  # nginx refuses to leave its root by itself
                    self.check_error(answer, 404, "not_found")
                else:
                    self.assertEqual(answer.status, 400)

    def test_paths_that_are_badly_encoded(self):
        for text in ("%", "%2", "%zz", "%00", "a%00b", "%0a", "%0d%0aX-Injected:%201", "%7f", "%ff", "%c0%af", "%ed%a0%80", "a" * 256, "%41" * 256):
            with self.subTest(text=text[:20]):
                for answer in (self.get(f"{API}/status/{text}"), self.post(f"{API}/fix/{text}")):
                    self.assertNotIn("x-injected", answer.headers)
                    if answer.headers.get("content-type") == "text/html":
                        self.assertEqual(answer.status, 400)
                    else:
                        self.check_error(answer, 400)
        self.check_error(self.get("/api/" + "p" * 40 + "/token-health/stats"), 400)

    def test_targets_that_are_too_long(self):
        for path in (f"{API}/stats?" + "q" * 5000, f"{API}/" + "p" * 5000):
            answer = self.get(path)
            self.check_error(answer, 400)

    def test_check_arguments(self):
        for query in ("", "?", "?workspaceId=", "?workspaceId=a&accountId=b", "?workspaceId=a&workspaceId=b", "?accountId=%00", "?accountId=%zz",
                      "?accountId=%ff", "?accountId=a%0ab", "?accountId=" + "a" * 256, "?other=1", "?accountid=x", "?accountId", "?xaccountId=1",
                      "?accountId[$ne]=1"):
            with self.subTest(query=query[:40]):
                self.check_error(self.get(f"{API}/check{query}"), 400)
        for query in ("?accountId=%24ne", "?accountId=nobody", "?workspaceId=nobody", "?accountId=%7B%22%24ne%22%3Anull%7D"):
            with self.subTest(query=query):
                self.check_error(self.get(f"{API}/check{query}"), 404)
        self.assertEqual(self.get(f"{API}/check?other=1&accountId={account_id(1)}&x").status, 204)

    def test_a_request_id_of_the_clients_is_taken_over_if_it_is_harmless(self):
        self.assertEqual(self.get(f"{API}/stats", headers={"X-Request-Id": "abc-123_x.y"}).headers["x-request-id"], "abc-123_x.y")
        for wrong in ("a b", "<script>", "x" * 65, "ä".encode("utf-8"), "", "a\tb", '"'):
            answer = self.get(f"{API}/stats", headers={"X-Request-Id": wrong})
            self.assertRegex(answer.headers["x-request-id"], r"^[0-9a-f]+-[0-9a-f]+$")
        ids = {self.get("/livez").headers["x-request-id"] for _ in range(20)}
        self.assertEqual(len(ids), 20)

    def test_what_is_no_http(self):
        for text in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\0\0\0\0\r\n\r\n",
                     b"POST " + API.encode() + b"/validate HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n"):
            self.assertIn(self.raw(text), (400, 505, None))

    def test_bytes_of_all_kinds_in_headers(self):
        for value in (b"Bearer \xff\xfe", b"Bearer " + b"\xc3\xa9", b"Bearer", b"bearer", b"Basic dGhrXzp4", b"Bearer  " + self.admin.encode(),
                      self.admin.encode(), b"Bearer " + self.admin.encode() + b" ", b"Bearer " + self.admin.encode()[:-1], b"Bearer ,", b"Bearer thk_"):
            with self.subTest(value=value[:16]):
                text = (f"GET {API}/stats HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: ".encode() + value + b"\r\n\r\n")
                trimmed = value.strip() == b"Bearer " + self.admin.encode()  # white space around a header's value is no part of it
                self.assertEqual(self.raw(text), 200 if trimmed else 401)


class Keys(BadCase):
    def test_missing_and_wrong_keys(self):
        for key in (None, "", "nonsense", "thk_" + "A" * 43, "thk_" + "x" * 5000, "\u00e9", self.admin + "x", self.admin.lower()):
            for method, route, scope in ROUTES:
                if scope == "0":
                    continue
                with self.subTest(key=key and key[:12], route=route):
                    answer = self.service.request(method, path_of(route), headers={} if key is None else
                                                  {"Authorization": ("Bearer " + key).encode("latin-1")})
                    self.check_error(answer, 401, "unauthorized")
                    self.assertIn("Bearer", answer.headers["www-authenticate"])

    def test_a_stranger_learns_nothing_about_routes(self):
        bodies = {self.service.request(method, path).json()["error"] for method, path in
                  (("GET", f"{API}/stats"), ("GET", f"{API}/nothing"), ("PUT", f"{API}/stats"), ("GET", "/"), ("GET", f"{API}/status/%ff"))}
        self.assertEqual(len(bodies), 1, bodies)

    def test_the_key_of_the_query_or_a_cookie_is_none(self):
        for path, headers in ((f"{API}/stats?key={self.admin}", {}), (f"{API}/stats", {"Cookie": f"key={self.admin}"}),
                              (f"{API}/stats", {"X-Api-Key": self.admin})):
            self.check_error(self.service.request("GET", path, headers=headers), 401)

    def test_livez_and_readyz_need_no_key(self):
        for path, word in (("/livez", "alive"), ("/readyz", "ready")):
            answer = self.service.request("GET", path)
            self.assertEqual((answer.status, answer.json()), (200, {"status": word}))

    def test_scopes_of_every_route(self):
        keys = {"SCOPE_READ": self.service.create_key("r", "read"), "SCOPE_WRITE": self.service.create_key("w", "write"),
                "SCOPE_ADMIN": self.service.create_key("a", "admin")}
        order = list(keys)
        for method, route, scope in ROUTES:
            if scope == "0":
                continue
            for held, key in keys.items():
                path = path_of(route) + (f"?accountId={account_id(1)}" if route.endswith("check") else "")
                with self.subTest(route=route, key=held):
                    answer = self.service.request(method, path, body=body_of(method, route), key=key)
                    if order.index(held) >= order.index(scope):
                        self.assertIn(answer.status, (200, 202, 204), answer)
                    else:
                        self.check_error(answer, 403, "forbidden")

    def test_everything_at_once_is_for_those_who_may_see_everything(self):
        self.check_error(self.post(f"{API}/clear-cache", key=self.writer), 403)
        self.check_error(self.post(f"{API}/clear-cache", key=self.limited_admin), 403)
        self.check_error(self.get(f"{API}/stats", key=self.reader), 403)
        self.assertEqual(self.post(f"{API}/clear-cache", {"accountId": account_id(1)}, key=self.writer).status, 200)


class Secrecy(BadCase):
    """An account outside a key's workspaces is one that does not exist: the same bytes apart from the request id."""

    def bytes_of(self, answer):
        self.assertEqual(answer.status, 404, answer)
        told = answer.json()["requestId"]
        headers = {k: v for k, v in answer.headers.items() if k not in ("date", "x-request-id", "content-length")}
        return answer.body.replace(told.encode(), b"ID"), headers

    def both(self, method, path, body=None, key=None):
        """path and body hold {} for the id; every foreign account against one that does not exist."""
        def ask(number):
            sent = None if body is None else {k: account_id(number) if v == "{}" else v for k, v in body.items()}
            return self.bytes_of(self.service.request(method, path.replace("{}", account_id(number)), body=sent, key=key or self.limited_admin))
        absent = ask(77)
        for number in (2, 3, 4, 5):  # of another workspace, of none, one of two of that id, of another platform
            with self.subTest(path=path, number=number):
                self.assertEqual(ask(number), absent)

    def test_fix(self):
        self.both("POST", f"{API}/fix/{{}}")

    def test_clear_cache(self):
        self.both("POST", f"{API}/clear-cache", {"accountId": "{}"})

    def test_check_before_and_after_it_is_cached(self):
        self.both("GET", f"{API}/check?accountId={{}}")
        for number in (2, 3):
            self.assertEqual(self.get(f"{API}/check?accountId={account_id(number)}").status, 204)
        self.both("GET", f"{API}/check?accountId={{}}")

    def test_nobody_has_a_provider_called_for_somebody_elses_account(self):
        self.post(f"{API}/clear-cache")
        calls = self.sandbox.ledger()["calls"]
        self.both("GET", f"{API}/check?accountId={{}}")
        self.both("POST", f"{API}/fix/{{}}")
        self.assertEqual(self.sandbox.ledger()["calls"], calls)

    def test_workspaces(self):
        absent = self.bytes_of(self.get(f"{API}/status/nobody", key=self.reader))
        self.assertEqual(self.bytes_of(self.get(f"{API}/status/ws-2", key=self.reader)), absent)
        self.assertEqual(self.bytes_of(self.post(f"{API}/validate", {"workspaceId": "ws-2"}, key=self.writer)),
                         self.bytes_of(self.post(f"{API}/validate", {"workspaceId": "nobody"}, key=self.writer)))
        for workspace in ("ws-2", "ws", "ws-", "ws-11", "WS-1", "ws-1 "):
            quoted = urllib.parse.quote(workspace)
            self.assertEqual(self.bytes_of(self.get(f"{API}/check?workspaceId={quoted}", key=self.reader)),
                             self.bytes_of(self.get(f"{API}/check?workspaceId=nobody", key=self.reader)))

    def test_ones_own_workspace_is_open(self):
        self.assertEqual(self.get(f"{API}/status/ws-1", key=self.reader).json()["totalAccounts"], 1)
        self.assertEqual(self.get(f"{API}/check?accountId={account_id(1)}", key=self.reader).status, 204)
        self.assertEqual(self.get(f"{API}/check?accountId={account_id(1)}", key=self.reader).status, 204)
        self.assertEqual(self.get(f"{API}/check?workspaceId=ws-1", key=self.reader).status, 204)
        self.assertEqual(self.post(f"{API}/validate", {"workspaceId": "ws-1"}, key=self.writer).status, 200)
        self.assertEqual(self.post(f"{API}/fix/{account_id(1)}", key=self.writer).status, 200)

    def test_whoever_sees_all_workspaces_is_told_what_is_wrong(self):
        self.check_error(self.post(f"{API}/fix/{account_id(77)}"), 404)
        self.check_error(self.post(f"{API}/fix/{account_id(5)}"), 400)
        self.check_error(self.post(f"{API}/fix/{account_id(4)}"), 409, "conflict")
        self.check_error(self.post(f"/api/facebook/token-health/fix/{account_id(1)}"), 400)
        self.check_error(self.get(f"/api/facebook/token-health/check?accountId={account_id(1)}"), 400)


if __name__ == "__main__":
    unittest.main()
