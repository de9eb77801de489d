"""The whole service through a real nginx: the API of the design, its errors, its guards."""
import base64
import concurrent.futures
import hashlib
import json
import os
import shutil
import socket
import sqlite3
import tempfile
import time
import unittest
import urllib.parse

from case import API, ServiceCase, account, sealed, token

class SeedCases(ServiceCase):
    """The faults that applications really have."""

    @classmethod
    def seed(cls):
        names = ["bare", "misplaced", "plain", "text", "revoked", "wrong-id", "stale"]
        for number, name in enumerate(names, 1):
            cls.register(number, name, "revoked" if name == "revoked" else "healthy")
        cls.sandbox.register([{"token": token("wrong-id"), "condition": "healthy", "account_id": "999", "username": "other"}])
        cls.service.import_accounts([
            account(1, encryptedAccessToken=sealed("bare")),
            account(2, accessToken={"$sealText": token("misplaced")}, tokenStatus="valid", needsReconnection=False),
            account(3, accessToken=token("plain")),
            account(4, encryptedAccessToken={"$sealText": token("text")}),
            account(5, encryptedAccessToken=sealed("revoked")),
            account(6, encryptedAccessToken=sealed("wrong-id")),
            account(7, encryptedAccessToken=sealed("stale"), tokenStatus="expired", needsReconnection=True,
                    lastTokenValidation={"$date": "2026-01-01T00:00:00.000Z"}),
            account(8),
            account(9, encryptedAccessToken=sealed("off"), isActive=False),
        ])
        cls.answer = None

    def validated(self):
        if not type(self).answer:
            type(self).answer = self.post(f"{API}/validate", {"workspaceId": "ws-1"})
        return type(self).answer

    def test_a_validate_answers_with_the_documented_fields(self):
        answer = self.validated()
        self.assertEqual(answer.status, 200, answer)
        body = answer.json()
        self.assertEqual(set(body), {"success", "accounts", "issues", "totalAccounts", "validAccounts", "fixedAccounts"})
        self.assertEqual(body["totalAccounts"], 9)
        for one in body["accounts"]:
            self.assertEqual(set(one), {"accountId", "username", "workspaceId", "isValid", "hasToken", "tokenFormat",
                                        "apiResponse", "issue", "fixed", "timestamp", "health"})
            self.assertLessEqual({"state", "reason", "action", "checkedAt", "expiresAt", "source"}, set(one["health"]))

    def by_number(self, number):
        return next(a for a in self.validated().json()["accounts"] if a["accountId"] == f"{number:024x}")

    def test_b_encrypted_token_and_nothing_else_gets_its_companions(self):
        self.assertTrue(self.by_number(1)["isValid"])
        self.assertTrue(self.by_number(1)["fixed"])
        doc = self.stored(1)
        self.assertEqual(doc["tokenStatus"], "valid")
        self.assertIs(doc["needsReconnection"], False)
        self.assertIn("lastTokenValidation", doc)
        self.assertEqual(doc["tokenHealth"]["state"], "healthy")

    def test_c_envelope_in_the_plain_field_is_moved(self):
        self.assertTrue(self.by_number(2)["fixed"])
        doc = self.stored(2)
        self.assertNotIn("accessToken", doc)
        self.assertEqual(set(doc["encryptedAccessToken"]), {"encryptedData", "iv", "salt", "tag", "kdf"})

    def test_d_plain_token_is_sealed_and_gone(self):
        self.assertTrue(self.by_number(3)["fixed"])
        doc = self.stored(3)
        self.assertNotIn("accessToken", doc)
        self.assertNotIn(token("plain"), json.dumps(doc))
        checked = self.service.ctl("--json", "envelope", "check", stdin=json.dumps(doc["encryptedAccessToken"]))
        self.assertEqual(json.loads(checked.stdout)["tokenSha256"], hashlib.sha256(token("plain").encode()).hexdigest())

    def test_e_json_text_envelope_is_read(self):
        self.assertEqual(self.by_number(4)["tokenFormat"], "encrypted_json")
        self.assertTrue(self.by_number(4)["isValid"])

    def test_f_revoked_once_is_broken_but_not_yet_confirmed(self):
        one = self.by_number(5)
        self.assertEqual((one["isValid"], one["issue"], one["health"]["state"], one["health"]["reason"]),
                         (False, "invalid_token_api_failed", "broken", "revoked"))
        doc = self.stored(5)
        self.assertEqual(doc["tokenStatus"], "revoked")
        self.assertIs(doc["needsReconnection"], False)

    def test_g_a_token_of_somebody_else_is_an_identity_mismatch(self):
        self.assertEqual(self.by_number(6)["health"]["reason"], "identity_mismatch")

    def test_h_stale_status_is_put_right(self):
        self.assertTrue(self.by_number(7)["fixed"])
        doc = self.stored(7)
        self.assertEqual((doc["tokenStatus"], doc["needsReconnection"]), ("valid", False))

    def test_i_no_token_at_all(self):
        one = self.by_number(8)
        self.assertEqual((one["hasToken"], one["issue"], one["health"]["reason"]), (False, "missing_access_token", "missing_token"))

    def test_j_disconnected_is_left_alone(self):
        self.assertEqual(self.by_number(9)["health"]["state"], "disconnected")
        self.assertNotIn("tokenHealth", self.stored(9))

    def test_k_status_reads_and_asks_nobody(self):
        self.validated()
        calls = self.sandbox.ledger()["calls"]
        answer = self.get(f"{API}/status/ws-1")
        self.assertEqual(answer.status, 200, answer)
        body = answer.json()
        self.assertEqual(set(body), {"success", "accounts", "totalAccounts", "connectedAccounts", "healthyAccounts", "issues"})
        self.assertEqual(body["totalAccounts"], 9)
        self.assertEqual(set(body["accounts"][0]), {"id", "username", "hasToken", "tokenFormat", "isActive", "lastSyncAt",
                                                    "needsReconnection", "health"})
        self.assertEqual(self.sandbox.ledger()["calls"], calls)

    def test_l_second_validate_comes_from_the_cache_and_force_does_not(self):
        self.validated()
        calls = self.sandbox.ledger()["calls"]
        body = self.post(f"{API}/validate", {"workspaceId": "ws-1"}).json()
        self.assertEqual(self.sandbox.ledger()["calls"], calls)
        self.assertEqual(next(a for a in body["accounts"] if a["accountId"].endswith("1"))["health"]["source"], "cache")
        self.post(f"{API}/validate", {"workspaceId": "ws-1", "forceRefresh": True})
        self.assertGreater(self.sandbox.ledger()["calls"], calls)

    def test_m_fix_one_account(self):
        answer = self.post(f"{API}/fix/{1:024x}")
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(set(answer.json()), {"success", "account", "fixed", "isValid"})
        self.assertTrue(answer.json()["isValid"])

    def test_n_check_says_state_and_reason(self):
        answer = self.get(f"{API}/check?accountId={1:024x}")
        self.assertEqual((answer.status, answer.headers.get("x-token-health")), (204, "healthy; ok"))
        worst = self.get(f"{API}/check?workspaceId=ws-1")
        self.assertEqual(worst.status, 204)
        self.assertTrue(worst.headers["x-token-health"].startswith("broken; "), worst.headers)

    def test_o_stats(self):
        body = self.get(f"{API}/stats").json()
        self.assertLessEqual({"success", "validator", "healthChecker", "monitor", "accounts", "providers", "timestamp"}, set(body))
        self.assertEqual(body["accounts"]["total"], 9)

    def test_p_clear_cache(self):
        self.assertTrue(self.post(f"{API}/clear-cache", {"accountId": f"{1:024x}"}).json()["success"])
        calls = self.sandbox.ledger()["calls"]
        self.get(f"{API}/check?accountId={1:024x}")
        self.assertEqual(self.sandbox.ledger()["calls"], calls + 1)
        self.assertTrue(self.post(f"{API}/clear-cache").json()["success"])

    def test_q_monitor_sweeps_and_publishes(self):
        self.service.sweep()
        monitor = self.get(f"{API}/stats").json()["monitor"]
        self.assertEqual(monitor["lastSweep"]["accounts"], 8)
        self.assertTrue(monitor["lastSweep"]["complete"])


class BadInput(ServiceCase):
    @classmethod
    def seed(cls):
        cls.register(1, "one")
        cls.register(2, "two")
        cls.service.import_accounts([account(1, "ws-1", encryptedAccessToken=sealed("one")),
                                     account(2, "ws-2", encryptedAccessToken=sealed("two"))])
        cls.reader = cls.service.create_key("reader", "read", "ws-1")
        cls.writer = cls.service.create_key("writer", "write", "ws-1")

    def check_error(self, answer, status):
        self.assertEqual(answer.status, status, answer)
        body = answer.json()
        self.assertIs(body["success"], False)
        self.assertEqual(set(body), {"success", "error", "code", "requestId"})
        self.assertTrue(body["error"])

    def test_bodies_that_are_refused(self):
        for body, status in [("{", 400), ("", 400), ("[]", 400), ("null", 400), ("{}", 400), ('{"workspaceId":""}', 400),
                             ('{"workspaceId":{"$ne":null}}', 400), ('{"workspaceId":null}', 400), ('{"workspaceId":["ws-1"]}', 400),
                             ('{"workspaceId":true}', 400), ('{"workspaceId":1.5}', 400), ('{"workspaceId":"ws-1","workspaceId":"x"}', 400),
                             ('{"workspaceId":"a\\u0000b"}', 400), ('{"workspaceId":"' + "x" * 300 + '"}', 400),
                             ('{"workspaceId":"ws-1","forceRefresh":"yes"}', 400), ("[" * 5000 + "]" * 5000, 400),
                             (b'{"workspaceId":"\xff\xfe"}', 400), ('{"workspaceId":"ws-1"} x', 400)]:
            with self.subTest(body=body[:40]):
                self.check_error(self.post(f"{API}/validate", body, headers={"Content-Type": "application/json"}), status)

    def test_too_large_a_body(self):
        body = '{"workspaceId":"ws-1","x":"' + "y" * 70000 + '"}'
        self.check_error(self.post(f"{API}/validate", body, headers={"Content-Type": "application/json"}), 413)

    def test_wrong_media_type(self):
        self.check_error(self.post(f"{API}/validate", "workspaceId=ws-1",
                                   headers={"Content-Type": "application/x-www-form-urlencoded"}), 415)

    def test_unknown_routes_and_methods(self):
        self.check_error(self.get("/api/instagram/token-health/nothing"), 404)
        self.check_error(self.get("/"), 404)
        self.check_error(self.get("/api/myspace/token-health/stats"), 404)
        answer = self.get(f"{API}/validate")
        self.check_error(answer, 405)
        self.assertIn("POST", answer.headers["allow"])
        self.check_error(self.service.request("DELETE", f"{API}/stats", key=self.admin), 405)

    def test_missing_and_wrong_keys(self):
        for key in (None, "nonsense", "thk_" + "A" * 43, "thk_" + "x" * 5000, "\u00e9"):
            with self.subTest(key=key and key[:12]):
                answer = self.service.request("GET", f"{API}/stats", headers={} if key is None else
                                              {"Authorization": ("Bearer " + key).encode("latin-1")})
                self.assertIn(answer.status, (400, 401), answer)
        answer = self.service.request("GET", f"{API}/stats")
        self.check_error(answer, 401)
        self.assertIn("Bearer", answer.headers["www-authenticate"])

    def test_scopes(self):
        self.check_error(self.post(f"{API}/validate", {"workspaceId": "ws-1"}, key=self.reader), 403)
        self.check_error(self.post(f"{API}/clear-cache", key=self.writer), 403)
        self.assertEqual(self.get(f"{API}/status/ws-1", key=self.reader).status, 200)
        self.assertEqual(self.post(f"{API}/validate", {"workspaceId": "ws-1"}, key=self.writer).status, 200)

    def test_other_workspaces_look_like_none(self):
        def body(answer):
            self.assertEqual(answer.status, 404, answer)
            return {k: v for k, v in answer.json().items() if k != "requestId"}
        foreign = body(self.post(f"{API}/fix/{2:024x}", key=self.writer))
        absent = body(self.post(f"{API}/fix/{77:024x}", key=self.writer))
        self.assertEqual(foreign, absent)
        self.get(f"{API}/check?accountId={2:024x}")  # now it is cached
        foreign = body(self.get(f"{API}/check?accountId={2:024x}", key=self.reader))
        absent = body(self.get(f"{API}/check?accountId={77:024x}", key=self.reader))
        self.assertEqual(foreign, absent)
        self.assertEqual(body(self.get(f"{API}/status/ws-2", key=self.reader)), body(self.get(f"{API}/status/none", key=self.reader)))

    def test_fix_of_unknown_and_of_another_platform(self):
        self.check_error(self.post(f"{API}/fix/{77:024x}"), 404)
        self.check_error(self.post(f"/api/facebook/token-health/fix/{1:024x}"), 400)

    def test_check_arguments(self):
        for query in ("", "?workspaceId=", "?workspaceId=a&accountId=b", "?workspaceId=a&workspaceId=b", "?accountId=%00", "?accountId=%zz",
                      "?other=1"):
            with self.subTest(query=query):
                self.check_error(self.get(f"{API}/check{query}"), 400)
        self.check_error(self.get(f"{API}/check?accountId=%24ne"), 404)

    def test_head_answers_without_a_body(self):
        answer = self.service.request("HEAD", f"{API}/stats", key=self.admin)
        self.assertEqual((answer.status, answer.body), (200, b""))

    def test_it_still_lives_after_all_that(self):
        self.assertEqual(self.service.request("GET", "/livez").status, 200)
        self.assertEqual(self.service.request("GET", "/readyz").status, 200)
        self.assertNotIn("obituary", self.service.log("responder"))
        self.assertNotIn("AddressSanitizer", self.service.log("responder"))


class Burst(ServiceCase):
    @classmethod
    def seed(cls):
        cls.register(1, "one", "slow", delay_ms=700)
        cls.service.import_accounts([account(1, encryptedAccessToken=sealed("one"))])

    def test_a_thousand_checks_of_one_account_cost_one_call(self):
        request = (f"GET {API}/check?accountId={1:024x} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                   f"Authorization: Bearer {self.admin}\r\n\r\n").encode()
        sockets = []
        for _ in range(1000):
            s = socket.create_connection(("127.0.0.1", self.service.port), timeout=60)
            s.sendall(request)
            sockets.append(s)
        statuses = {}
        for s in sockets:
            data = b""
            while b"\r\n\r\n" not in data:
                chunk = s.recv(4096)
                if not chunk:
                    break
                data += chunk
            status = data[9:12].decode()
            statuses[status] = statuses.get(status, 0) + 1
            s.close()
        self.assertEqual(statuses, {"204": 1000})
        self.assertEqual(self.sandbox.ledger()["calls"], 1)


class Concurrency(ServiceCase):
    @classmethod
    def seed(cls):
        for number in range(1, 13):
            cls.register(number, f"t{number}", "slow", delay_ms=500)
        cls.service.import_accounts([account(n, encryptedAccessToken=sealed(f"t{n}")) for n in range(1, 13)])

    def test_accounts_of_a_workspace_are_checked_at_the_same_time(self):
        start = time.monotonic()
        body = self.post(f"{API}/validate", {"workspaceId": "ws-1"}).json()
        took = time.monotonic() - start
        self.assertEqual(body["validAccounts"], 12)
        self.assertLess(took, 12 * 0.5 * 0.7, "12 accounts at 0.5 s each, one after another, would take 6 s")


if __name__ == "__main__":
    unittest.main()
