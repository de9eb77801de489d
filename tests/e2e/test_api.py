"""The whole service through a real nginx: what the API of the design answers, and what it does to the accounts."""
import hashlib
import json
import os
import socket
import time
import unittest
import urllib.parse

from case import API, ServiceCase, account, account_id, sealed, token
from mongo import Mongo


class OnMongo:
    """Before a class of tests: the same over MongoDB."""
    mongo = None

    @classmethod
    def store_uri(cls):
        cls.mongo = Mongo(os.path.join(cls.dir, "mongo"))
        cls.addClassCleanup(cls.mongo.stop)
        cls.mongo.start()
        return cls.mongo.uri

    @classmethod
    def stored_all(cls):
        return {int(d["_id"], 16): d for d in cls.mongo.documents()}


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


class SeedCasesOnMongo(OnMongo, SeedCases):
    pass


class Ids(ServiceCase):
    """Accounts and workspaces by ids of every type, in paths, queries and bodies."""
    accounts = [("64b0c0ffee64b0c0ffee0001", {"$oid": "64b0c0ffee64b0c0ffee0001"}), ("plain-text", "plain-text"), ("7", 7),
                ("with / slash & = ? % + space", "with / slash & = ? % + space"), ("ümläut \u2603", "ümläut \u2603"), ("9007199254740991",
                {"$numberLong": "9007199254740991"}), ("a" * 255, "a" * 255), ("..", ".."), ("$ne", "$ne")]
    workspaces = [("64b0c0ffee64b0c0ffee00aa", {"$oid": "64b0c0ffee64b0c0ffee00aa"}), ("42", 42), ("text / ws", "text / ws")]

    @classmethod
    def seed(cls):
        documents = []
        for number, (text, value) in enumerate(cls.accounts, 1):
            cls.register(number, text)
            documents.append(account(number, cls.workspaces[number % 3][1], encryptedAccessToken=sealed(text), _id=value))
        cls.service.import_accounts(documents)

    def test_an_account_is_found_by_the_text_of_its_id(self):
        for text, _ in self.accounts:
            with self.subTest(id=text):
                quoted = urllib.parse.quote(text, safe="")
                answer = self.post(f"{API}/fix/{quoted}")
                self.assertEqual((answer.status, answer.json().get("account", {}).get("accountId")), (200, text), answer)
                self.assertEqual(self.get(f"{API}/check?accountId={quoted}").headers.get("x-token-health"), "healthy; ok")
                self.assertEqual(self.post(f"{API}/clear-cache", {"accountId": text}).status, 200)

    def test_a_workspace_is_found_by_the_text_of_its_id(self):
        for index, (text, _) in enumerate(self.workspaces):
            with self.subTest(id=text):
                wanted = {t for n, (t, _) in enumerate(self.accounts, 1) if n % 3 == index}
                quoted = urllib.parse.quote(text, safe="")
                for answer in (self.get(f"{API}/status/{quoted}"), self.post(f"{API}/validate", {"workspaceId": text})):
                    self.assertEqual(answer.status, 200, answer)
                    self.assertEqual({a.get("id", a.get("accountId")) for a in answer.json()["accounts"]}, wanted)
                self.assertEqual(self.get(f"{API}/check?workspaceId={quoted}").headers.get("x-token-health"), "healthy; ok")

    def test_a_number_in_a_body_is_the_id_with_that_text(self):
        self.assertEqual(self.post(f"{API}/validate", {"workspaceId": 42}).json()["totalAccounts"], 3)
        self.assertEqual(self.post(f"{API}/clear-cache", {"accountId": 7}).status, 200)

    def test_a_part_of_an_id_finds_nothing(self):
        for text in ("64b0c0ffee64b0c0ffee00a", "64b0c0ffee64b0c0ffee00aaa", "4", "420", "42.0", "042", "text", "text / w", "*", "%"):
            with self.subTest(id=text):
                body = self.post(f"{API}/validate", {"workspaceId": text}).json()
                self.assertEqual((body["success"], body["accounts"], body["totalAccounts"]), (True, [], 0))


class IdsOnMongo(OnMongo, Ids):
    pass


class Workspaces(ServiceCase):
    """Sizes of workspaces, and what the totals count."""

    @classmethod
    def seed(cls):
        cls.service.import_accounts([account(n, "ws-2000") for n in range(1, 2001)] + [account(n, "ws-2001") for n in range(2001, 4002)])
        cls.register(5001, "good")
        cls.register(5002, "bad", "revoked")
        cls.register(5003, "limited", "wrong_permissions")
        cls.service.import_accounts([
            account(5001, "ws-mixed", encryptedAccessToken=sealed("good"), lastSyncAt={"$date": "2026-01-02T03:04:05.678Z"},
                    expiresAt={"$date": "2099-01-01T00:00:00.000Z"}),
            account(5002, "ws-mixed", encryptedAccessToken=sealed("bad"), needsReconnection=True),
            account(5003, "ws-mixed", encryptedAccessToken=sealed("limited")),
            account(5004, "ws-mixed", encryptedAccessToken=sealed("off"), isActive=False),
            account(5005, "ws-mixed", platform="facebook", encryptedAccessToken=sealed("elsewhere")), account(5006, "ws-mixed")])

    def test_the_largest_workspace_is_answered_whole_and_a_larger_one_refused(self):
        for method, path, body in (("GET", f"{API}/status/ws-2000", None), ("POST", f"{API}/validate", {"workspaceId": "ws-2000"})):
            answer = self.service.request(method, path, body=body, key=self.admin, timeout=60)
            self.assertEqual((answer.status, answer.json()["totalAccounts"], len(answer.json()["accounts"])), (200, 2000, 2000))
        for answer in (self.get(f"{API}/status/ws-2001"), self.post(f"{API}/validate", {"workspaceId": "ws-2001"}),
                       self.get(f"{API}/check?workspaceId=ws-2001")):
            self.assertEqual((answer.status, answer.json()["code"]), (413, "payload_too_large"), answer)
            self.assertIn("2000", answer.json()["error"])

    def test_totals_count_the_accounts_of_the_platform(self):
        body = self.post(f"{API}/validate", {"workspaceId": "ws-mixed"}).json()
        self.assertEqual((body["totalAccounts"], body["validAccounts"]), (5, 2), body)
        self.assertEqual({i["issue"] for i in body["issues"]}, {"invalid_token_api_failed", "missing_access_token"})
        for issue in body["issues"]:
            self.assertEqual(set(issue), {"accountId", "username", "issue", "reason", "action"})
        body = self.get(f"{API}/status/ws-mixed").json()
        self.assertEqual((body["totalAccounts"], body["connectedAccounts"], body["healthyAccounts"]), (5, 2, 1), body)
        first = next(a for a in body["accounts"] if a["id"] == account_id(5001))
        self.assertEqual((first["lastSyncAt"], first["health"]["expiresAt"]), ("2026-01-02T03:04:05.678Z", "2099-01-01T00:00:00.000Z"))
        self.assertRegex(first["health"]["checkedAt"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

    def test_an_unknown_workspace_is_an_empty_one(self):
        self.assertEqual(self.get(f"{API}/status/nobody").json()["accounts"], [])
        self.assertEqual(self.get(f"{API}/check?workspaceId=nobody").status, 404)


class Enforcing(ServiceCase):
    settings = {"authorizer": {"mode": "enforce"}, "health": {"confirmations": 1}}

    @classmethod
    def seed(cls):
        for number, condition in enumerate(("healthy", "revoked", "500", "wrong_permissions"), 1):
            cls.register(number, condition, condition)
        cls.service.import_accounts([account(n, f"ws-{n}", encryptedAccessToken=sealed(c)) for n, c in
                                     enumerate(("healthy", "revoked", "500", "wrong_permissions"), 1)])

    def test_only_a_broken_account_is_kept_out(self):
        for number, status, header in ((1, 204, "healthy; ok"), (2, 403, "broken; revoked"), (3, 204, "unknown; transient"),
                                       (4, 204, "limited; permission_missing")):
            for query in (f"accountId={account_id(number)}", f"workspaceId=ws-{number}"):
                for _ in range(2):  # asked, and from the cache
                    with self.subTest(query=query):
                        answer = self.get(f"{API}/check?{query}")
                        self.assertEqual((answer.status, answer.headers.get("x-token-health")), (status, header), answer)
                        if status == 403:
                            self.assertEqual(answer.json()["code"], "forbidden")


class SwitchedOff(ServiceCase):
    settings = {"authorizer": {"mode": "off"}}

    def test_everything_passes_and_nobody_is_asked(self):
        answer = self.get(f"{API}/check?accountId=nobody")
        self.assertEqual((answer.status, answer.body, answer.headers.get("x-token-health")), (204, b"", None))
        self.assertEqual(self.sandbox.ledger()["calls"], 0)


class NoFixes(ServiceCase):
    settings = {"monitor": {"enable_auto_fix": "false"}}

    @classmethod
    def seed(cls):
        cls.register(1, "misplaced")
        cls.service.import_accounts([account(1, accessToken={"$sealText": token("misplaced")})])

    def test_a_validate_leaves_the_fault_and_names_it_and_a_fix_puts_it_right(self):
        one = self.post(f"{API}/validate", {"workspaceId": "ws-1"}).json()["accounts"][0]
        self.assertEqual((one["isValid"], one["fixed"], one["issue"]), (True, False, "encrypted_token_in_access_field"))
        self.assertIn("accessToken", self.stored(1))
        fixed = self.post(f"{API}/fix/{account_id(1)}").json()
        self.assertEqual((fixed["fixed"], fixed["isValid"], fixed["account"]["issue"]), (True, True, None))
        self.assertNotIn("accessToken", self.stored(1))


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
            cls.register(number, f"t{number}", "slow", delay_ms=1500)
        cls.service.import_accounts([account(n, encryptedAccessToken=sealed(f"t{n}")) for n in range(1, 13)])

    def test_accounts_of_a_workspace_are_checked_at_the_same_time(self):
        start = time.monotonic()
        body = self.post(f"{API}/validate", {"workspaceId": "ws-1"}).json()
        took = time.monotonic() - start
        self.assertEqual(body["validAccounts"], 12)
        self.assertLess(took, 12 * 1.5 * 0.7, "12 accounts at 1.5 s each, one after another, would take 18 s")


if __name__ == "__main__":
    unittest.main()
