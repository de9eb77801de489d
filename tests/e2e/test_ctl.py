"""token-healthctl: every command, for people and as JSON, its errors and its exit status."""
import base64
import hashlib
import json
import os
import shutil
import socket
import stat
import subprocess
import time
import unittest

from case import API, account, account_id, sealed, token
from ctl_case import COMMANDS, DONE, FAILED, FINDINGS, USAGE, CtlCase
from harness import Service


class CommandLine(CtlCase):
    def test_help_lists_every_command_and_exit_status(self):
        text = self.run_ctl("--help").stdout
        for name in COMMANDS:
            self.assertRegex(text, rf"(?m)^  {name} ")
        for number in range(4):
            self.assertRegex(text, rf"(?m)^  {number}  \w")
        self.assertRegex(self.run_ctl("--version").stdout, r"^token-healthctl \d+\.\d+\.\d+\n$")

    def test_every_command_explains_itself(self):
        self.assertGreater(len(COMMANDS), 9)
        for name in COMMANDS:
            for option in ("--help", "-h"):
                done = self.run_ctl(name, option)
                self.assertTrue(done.stdout.startswith(f"Usage: token-healthctl {name}"), done)
                self.assertEqual(done.stderr, "")

    def test_config_is_also_taken_after_the_command(self):
        program, conf = self.service.program("token-healthctl"), self.service.conf
        for args in (("key", "list", "-c", conf), ("key", "list", "--config", conf), ("key", f"--config={conf}", "list"),
                     ("-c", "/nonexistent", "status", "--config", conf, "--workspace", "nobody")):
            with self.subTest(args=args):
                done = subprocess.run([program, *args], text=True, capture_output=True, env=self.service.environment(), timeout=30)
                self.assertEqual((done.returncode, done.stderr), (DONE, ""))
        self.complaint("key", "list", "--config", status=USAGE)
        done = subprocess.run([program, "key", "list", "-c", "/nonexistent"], text=True, capture_output=True, timeout=30)
        self.assertEqual(done.returncode, FAILED)
        self.assertIn("--config FILE", done.stderr)

    def test_help_needs_no_configuration(self):
        done = subprocess.run([self.service.program("token-healthctl"), "--config", "/nonexistent", "validate", "--help"], text=True,
                              capture_output=True, timeout=30)
        self.assertEqual((done.returncode, done.stderr), (DONE, ""))

    def test_wrong_command_lines(self):
        for args in ((), ("nonsense",), ("--nonsense",), ("status",), ("status", "--nonsense"), ("status", "--workspace"),
                     ("status", "--workspace", "w", "extra"), ("validate",), ("fix",), ("fix", "--account"), ("stats", "extra"),
                     ("clear-cache", "extra"), ("key",), ("key", "nonsense"), ("key", "create"), ("key", "create", "--name", "x"),
                     ("key", "create", "--name", "x", "--scopes", "root"), ("key", "create", "--name", "x", "--scopes", ""),
                     ("key", "list", "extra"), ("key", "revoke"), ("key", "revoke", "a", "b"), ("import", "a", "b"),
                     ("import", "--nonsense"), ("envelope",), ("envelope", "open"), ("envelope", "check", "a", "b"), ("explain",),
                     ("explain", "--platform", "instagram"), ("explain", "--platform", "instagram", "--status", "abc"),
                     ("explain", "--platform", "instagram", "--status", "99"), ("explain", "--platform", "instagram", "--status", "600"),
                     ("explain", "--platform", "instagram", "--status", "200", "--kind", "x"),
                     ("explain", "--platform", "instagram", "--status", "200", "--header", "x"), ("doctor", "extra"), ("config", "extra")):
            with self.subTest(args=args):
                self.complaint(*args, status=USAGE)

    def test_a_configuration_that_is_wrong_is_named_with_its_line(self):
        bad = f"{self.dir}/bad.conf"
        with open(bad, "w") as f:
            f.write("[store]\nuri = sqlite:/x\n[responder]\nwrkers = 4\n")
        for args in (("status", "--workspace", "w"), ("key", "list"), ("explain", "--platform", "instagram", "--status", "200")):
            done = subprocess.run([self.service.program("token-healthctl"), "--config", bad, *args], text=True, capture_output=True,
                                  stdin=subprocess.DEVNULL, env=self.service.environment(), timeout=30)
            self.assertEqual(done.returncode, FAILED)
            self.assertIn(f"{bad}:4: ", done.stderr)

    def test_an_output_that_cannot_be_written_is_a_failure(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([self.service.program("token-healthctl"), "config"], stdout=full, stderr=subprocess.PIPE, text=True,
                                  timeout=30)
        self.assertEqual(done.returncode, FAILED)
        self.assertIn("standard output", done.stderr)


class Keys(CtlCase):
    def path(self):
        return self.service.settings["responder"]["keys_file"]

    def test_a_key_is_shown_once_and_only_its_hash_is_kept(self):
        done = self.run_ctl("key", "create", "--name", "front", "--scopes", "read,write", "--workspaces", "ws-1,ws-2")
        key = done.stdout.strip()
        self.assertRegex(key, r"^thk_[A-Za-z0-9_-]{43}$")
        with open(self.path()) as f:
            kept = f.read()
        self.assertNotIn(key, kept)
        self.assertIn(hashlib.sha256(key.encode()).hexdigest(), kept)
        self.assertEqual(stat.S_IMODE(os.stat(self.path()).st_mode), 0o600)
        self.assertNotIn(key, done.stderr)
        listed = next(k for k in self.json_of("key", "list") if k["name"] == "front")
        self.assertEqual(set(listed), {"id", "name", "scopes", "workspaces"})
        self.assertEqual((listed["scopes"], listed["workspaces"]), (["read", "write"], ["ws-1", "ws-2"]))
        text = self.run_ctl("key", "list").stdout
        self.assertRegex(text, rf"(?m)^{listed['id']} +front +read,write +workspaces ws-1,ws-2$")
        self.assertNotIn(key, text)

    def test_two_keys_are_never_the_same(self):
        made = {self.json_of("key", "create", "--name", "n", "--scopes", "read")["key"] for _ in range(5)}
        self.assertEqual(len(made), 5)

    def test_a_key_made_by_two_at_once_is_lost_by_neither(self):
        before = len(self.json_of("key", "list"))
        running = [subprocess.Popen([self.service.program("token-healthctl"), "--config", self.service.conf, "key", "create", "--name", "p",
                                     "--scopes", "read"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(8)]
        self.assertEqual([p.wait(30) for p in running], [0] * 8)
        self.assertEqual(len(self.json_of("key", "list")), before + 8)

    def test_a_revoked_key_is_gone(self):
        made = self.json_of("key", "create", "--name", "gone", "--scopes", "read")
        self.assertEqual(self.json_of("key", "revoke", made["id"]), {"success": True, "id": made["id"]})
        self.assertNotIn(made["id"], {k["id"] for k in self.json_of("key", "list")})
        self.assertIn("no key with the id", self.complaint("key", "revoke", made["id"]))

    def test_names_that_cannot_be_are_refused(self):
        for name in ("", "x" * 64):
            self.assertIn("1 to 63 bytes", self.complaint("key", "create", "--name", name, "--scopes", "read"))

    def test_a_key_file_that_others_may_read_is_refused(self):
        os.chmod(self.path(), 0o604)
        try:
            self.assertIn("other users may read", self.complaint("key", "list"))
            self.assertIn("other users may read", self.complaint("key", "create", "--name", "x", "--scopes", "read"))
        finally:
            os.chmod(self.path(), 0o600)

    def test_a_damaged_key_file_is_left_as_it_is(self):
        with open(self.path()) as f:
            good = f.read()
        try:
            for damage in ("", "{", "[]", '{"keys": 1}', '{"keys": [{"id": 1}]}', good[:-10]):
                self.service.write_private(self.path(), damage)
                self.complaint("key", "list")
                if damage != '{"keys": [{"id": 1}]}':
                    self.complaint("key", "create", "--name", "x", "--scopes", "read")
                    with open(self.path()) as f:
                        self.assertEqual(f.read(), damage)
        finally:
            self.service.write_private(self.path(), good)


class Accounts(CtlCase):
    @classmethod
    def seed(cls):
        cls.register(1, "one")
        cls.register(2, "two", "revoked")
        cls.service.import_accounts([account(1, "ws-good", encryptedAccessToken=sealed("one"), username="good\x1b[31m"),
                                     account(2, "ws-bad", encryptedAccessToken=sealed("two"))])

    def test_a_validate_puts_right_and_says_so(self):
        text = self.run_ctl("validate", "--workspace", "ws-good").stdout
        self.assertRegex(text, rf"(?m)^{account_id(1)} +good\S* +healthy +ok +none +20\S+Z  \(stored fields put right\)$")
        self.assertRegex(text, r"\Aaccount +username +state +reason +action +checked\n")
        self.assertNotIn("\x1b", text)
        listed = self.json_of("validate", "--workspace", "ws-good")
        self.assertEqual([(a["accountId"], a["isValid"], a["health"]["source"]) for a in listed], [(account_id(1), True, "cache")])

    def test_b_force_asks_the_provider(self):
        calls = self.sandbox.ledger()["calls"]
        self.run_ctl("validate", "--workspace", "ws-good")
        self.assertEqual(self.sandbox.ledger()["calls"], calls)
        self.run_ctl("validate", "--workspace", "ws-good", "--force")
        self.assertEqual(self.sandbox.ledger()["calls"], calls + 1)

    def test_c_a_broken_account_is_a_finding(self):
        listed = self.json_of("validate", "--workspace", "ws-bad", status=FINDINGS)
        self.assertEqual((listed[0]["health"]["state"], listed[0]["health"]["reason"]), ("broken", "revoked"))
        self.assertEqual(self.json_of("status", "--workspace", "ws-bad", status=FINDINGS)[0]["health"]["action"], "reconnect")
        self.assertIn("revoked", self.run_ctl("fix", "--account", account_id(2), status=FINDINGS).stdout)

    def test_d_status_asks_nobody(self):
        calls = self.sandbox.ledger()["calls"]
        listed = self.json_of("status", "--workspace", "ws-good")
        self.assertEqual(set(listed[0]), {"id", "username", "hasToken", "tokenFormat", "isActive", "lastSyncAt", "needsReconnection", "health"})
        self.assertEqual(self.run_ctl("status", "--workspace", "nobody").stdout, "no accounts\n")
        self.assertEqual(self.sandbox.ledger()["calls"], calls)

    def test_e_fix_gives_the_one_account(self):
        fixed = self.json_of("fix", "--account", account_id(1))
        self.assertEqual((fixed["accountId"], fixed["isValid"]), (account_id(1), True))
        self.assertIn("account", self.complaint("fix", "--account", account_id(77)))
        self.assertIn("not on the platform", self.complaint("fix", "--account", account_id(1), "--platform", "facebook"))

    def test_f_clear_cache(self):
        calls = self.sandbox.ledger()["calls"]
        self.assertEqual(self.json_of("clear-cache", "--account", account_id(1)), {"success": True, "accountId": account_id(1)})
        self.run_ctl("validate", "--workspace", "ws-good")
        self.assertEqual(self.sandbox.ledger()["calls"], calls + 1)
        self.assertIn("all verdicts", self.run_ctl("clear-cache").stdout)
        self.run_ctl("validate", "--workspace", "ws-good")
        self.assertEqual(self.sandbox.ledger()["calls"], calls + 2)
        self.complaint("clear-cache", "--account", account_id(77))

    def test_g_stats(self):
        stats = self.json_of("stats")
        self.assertEqual(stats["accounts"]["total"], 2)
        self.assertLessEqual({"validator", "healthChecker", "monitor", "accounts", "providers", "timestamp"}, set(stats))
        self.assertRegex(self.run_ctl("stats").stdout, r"(?m)^accounts\.total +2$")

    def test_h_a_platform_without_a_provider_file_is_said(self):
        for args in (("status", "--workspace", "w"), ("validate", "--workspace", "w"), ("fix", "--account", "a")):
            self.assertIn("no provider file", self.complaint(*args, "--platform", "myspace"))

    def test_i_the_responder_sees_what_the_command_line_did(self):
        """One cache for all: what token-healthctl found out is answered by the API without another call."""
        self.service.start()
        try:
            self.run_ctl("clear-cache")
            self.run_ctl("validate", "--workspace", "ws-good")
            calls = self.sandbox.ledger()["calls"]
            answer = self.get(f"{API}/check?accountId={account_id(1)}")
            self.assertEqual((answer.status, answer.headers["x-token-health"]), (204, "healthy; ok"))
            self.assertEqual(self.sandbox.ledger()["calls"], calls)
        finally:
            self.service.stop()


class Import(CtlCase):
    def test_good_lines_are_imported_and_bad_ones_named_by_number(self):
        lines = [json.dumps(account(1)), "", "{", json.dumps(account(2)) + "\r", '{"_id":"x"}', '{"_id":"y","platform":"instagram","_id":"y"}',
                 json.dumps(dict(account(3), expiresAt="tomorrow")), '"text"', json.dumps(account(4)) + "\0", json.dumps(account(5))]
        done = self.run_ctl("import", stdin="\n".join(lines) + "\n", status=FAILED)
        self.assertEqual(done.stdout, "3 created, 0 replaced, 6 refused\n")
        self.assertIn("standard input:5: platform: is missing\n", done.stderr)
        for number in (3, 5, 6, 7, 8, 9):
            self.assertRegex(done.stderr, rf"(?m)^token-healthctl: standard input:{number}: .+$")
        self.assertEqual(set(self.stored_all()) & set(range(10)), {1, 2, 5})

    def test_an_account_that_is_there_is_kept_unless_it_is_to_be_replaced(self):
        first, second = json.dumps(account(11, username="old")), json.dumps(account(11, username="new"))
        self.assertEqual(self.json_of("import", stdin=first), {"created": 1, "replaced": 0, "refused": 0})
        self.run_ctl("import", stdin=second, status=FAILED)
        self.assertEqual(self.stored(11)["username"], "old")
        self.assertEqual(self.json_of("import", "--replace", stdin=second), {"created": 0, "replaced": 1, "refused": 0})
        self.assertEqual(self.stored(11)["username"], "new")

    def test_a_file_and_what_is_wrong_with_it(self):
        path = f"{self.dir}/accounts.ndjson"
        with open(path, "w") as f:
            f.write(json.dumps(account(21)) + "\nnonsense")
        done = self.run_ctl("import", path, status=FAILED)
        self.assertIn(f"{path}:2: ", done.stderr)
        self.assertIn("No such file", self.complaint("import", "/nonexistent"))
        self.assertIn("directory", self.run_ctl("import", self.dir, status=FAILED).stderr)

    def test_a_line_that_is_too_long_is_passed_over(self):
        long = json.dumps(account(31, username="x" * (1 << 20)))
        done = self.run_ctl("import", stdin=long + "\n" + json.dumps(account(32)) + "\n", status=FAILED)
        self.assertIn("standard input:1: longer than", done.stderr)
        self.assertIn(32, self.stored_all())

    def test_a_line_that_does_not_fit_into_the_memory_is_not_taken_for_the_end(self):
        path = f"{self.dir}/long.ndjson"
        with open(path, "w") as f:
            f.write(json.dumps(account(41)) + "\n" + "x" * (100 << 20) + "\n" + json.dumps(account(42)) + "\n")
        done = subprocess.run(["prlimit", f"--data={64 << 20}", self.service.program("token-healthctl"), "--config", self.service.conf,
                               "import", path], text=True, capture_output=True, env=self.service.environment(), timeout=120)
        self.assertEqual((done.returncode, done.stdout), (FAILED, "1 created, 0 replaced, 0 refused\n"), done.stderr)
        self.assertIn(f"{path}:2: cannot be read: ", done.stderr)


class ImportIds(CtlCase):
    def test_ids_of_every_form_are_kept(self):
        documents = [{"_id": "text", "platform": "instagram", "workspaceId": 42}, {"_id": 7, "platform": "instagram", "workspaceId": "42"},
                     {"_id": {"$oid": "64b0c0ffee64b0c0ffee0001"}, "platform": "instagram", "workspaceId": {"$numberLong": "42"}}]
        self.run_ctl("import", stdin="\n".join(map(json.dumps, documents)))
        self.assertEqual({a["id"] for a in self.json_of("status", "--workspace", "42")}, {"text", "7", "64b0c0ffee64b0c0ffee0001"})


class Envelopes(CtlCase):
    @classmethod
    def seed(cls):
        cls.service.import_accounts([account(1, encryptedAccessToken=sealed("one")), account(2, encryptedAccessToken={"$sealText": token("one")})])

    def envelope(self):
        return self.stored(1)["encryptedAccessToken"]

    def test_one_that_opens_shows_the_hash_of_the_token_and_never_the_token(self):
        sha = hashlib.sha256(token("one").encode()).hexdigest()
        for text in (json.dumps(self.envelope()), self.stored(2)["encryptedAccessToken"], "aes-256-gcm:" + json.dumps(self.envelope()),
                     json.dumps(json.dumps(self.envelope())), json.dumps(self.envelope(), indent=2) + "\n\n"):
            with self.subTest(text=text[:20]):
                done = self.run_ctl("envelope", "check", "--json", stdin=text)
                got = json.loads(done.stdout)
                self.assertEqual((got["wellFormed"], got["opens"], got["keyId"], got["tokenSha256"], got["tokenBytes"]),
                                 (True, True, "k1", sha, len(token("one"))))
                self.assertNotIn(token("one"), done.stdout + done.stderr)
        self.assertRegex(self.run_ctl("envelope", "check", stdin=json.dumps(self.envelope())).stdout, rf"(?m)^tokenSha256 +{sha}$")

    def test_one_that_does_not_open_says_why(self):
        def damaged(**more):
            return json.dumps({k: v for k, v in dict(self.envelope(), **more).items() if v is not None})
        tag = base64.b64encode(bytes(16)).decode()
        for text, well_formed, reason in ((damaged(tag=tag), True, "no key"), (damaged(iv="AAAA"), False, "iv is 3 bytes"),
                                          (damaged(salt=None), False, "salt is missing"), (damaged(kdf=10 ** 9), False, "kdf"),
                                          ("{", False, ""), ("", False, ""), ("IGAAplaintoken", False, ""), ("[1]", False, "")):
            with self.subTest(text=text[:40]):
                got = self.json_of("envelope", "check", stdin=text, status=FINDINGS)
                self.assertEqual((got["wellFormed"], got["opens"]), (well_formed, False), got)
                self.assertTrue(got["reason"])
                self.assertIn(reason, got["reason"])
                self.assertNotIn("tokenSha256", got)

    def test_from_a_file(self):
        path = f"{self.dir}/envelope.json"
        with open(path, "w") as f:
            json.dump(self.envelope(), f)
        self.assertTrue(self.json_of("envelope", "check", path)["opens"])
        self.assertIn("No such file", self.complaint("envelope", "check", "/nonexistent"))
        self.assertIn("larger than", self.complaint("envelope", "check", stdin="x" * 100000))

    def test_another_key_does_not_open_it(self):
        os.makedirs(f"{self.dir}/other", exist_ok=True)
        other = Service(f"{self.dir}/other", self.sandbox.url)
        done = other.ctl("--json", "envelope", "check", stdin=json.dumps(self.envelope()), check=False)
        self.assertEqual((done.returncode, json.loads(done.stdout)["opens"]), (FINDINGS, False))
        os.unlink("/dev/shm" + other.shm)


class Explain(CtlCase):
    def explain(self, status, body, *more, platform="instagram"):
        return self.json_of("explain", "--platform", platform, "--status", str(status), *more, stdin=body)

    def test_answers_and_what_they_mean(self):
        def error(code, subcode=None, **more):
            return json.dumps({"error": dict({"message": "text", "type": "OAuthException", "code": code}, **({"error_subcode": subcode} if
                              subcode else {}), **more)})
        for status, body, reason, verdict, action in (
                (200, json.dumps({"user_id": "17841400000000001", "username": "u"}), "ok", "accepted", "none"),
                (400, error(190, 463), "expired", "definitive", "reconnect"), (400, error(190, 460), "password_changed", "definitive", "reconnect"),
                (400, error(4), "rate_limited", "inconclusive", "wait"), (429, "slow down", "rate_limited", "inconclusive", "wait"),
                (500, error(190, 463), "transient", "inconclusive", "wait"), (502, "<html>", "transient", "inconclusive", "wait"),
                (200, "<html>", "bad_response", "inconclusive", "wait"), (200, "", "bad_response", "inconclusive", "wait"),
                (200, '{"user_id": "1784', "bad_response", "inconclusive", "wait"), (418, "{}", None, "inconclusive", "wait")):
            with self.subTest(status=status, body=body[:60]):
                got = self.explain(status, body)
                self.assertLessEqual({"platform", "login", "reason", "class", "state", "action", "rule"}, set(got))
                self.assertEqual(got["class"], verdict, got)
                self.assertEqual(got["action"], action, got)
                self.assertTrue(got["rule"])
                if reason:
                    self.assertEqual(got["reason"], reason)
                self.assertEqual(got["state"] == "unchanged", verdict == "inconclusive")

    def test_headers_count(self):
        got = self.explain(429, "{}", "--header", "Retry-After: 77")
        self.assertEqual(got["retryAfterSeconds"], 77)

    def test_a_secret_in_an_answer_is_not_shown(self):
        body = json.dumps({"error": {"code": 190, "error_subcode": 463, "message": f"token {token('one')} has expired"}})
        done = self.run_ctl("explain", "--platform", "instagram", "--status", "400", stdin=body)
        self.assertNotIn(token("one"), done.stdout)
        self.assertIn("expired", done.stdout)
        body = json.dumps({"access_token": token("new"), "token_type": "bearer", "expires_in": 5183944})
        done = self.run_ctl("explain", "--platform", "instagram", "--kind", "refresh", "--status", "200", stdin=body)
        self.assertNotIn(token("new"), done.stdout)
        self.assertRegex(done.stdout, r"(?m)^reason +ok$")

    def test_platforms_logins_and_kinds_that_are_not_there(self):
        base = ("explain", "--status", "200")
        self.assertIn("no provider file", self.complaint(*base, "--platform", "myspace"))
        self.assertIn("no login", self.complaint(*base, "--platform", "instagram", "--login", "nonsense"))
        self.assertIn("no request", self.complaint(*base, "--platform", "instagram", "--kind", "introspect"))
        self.assertIn("larger than", self.complaint(*base, "--platform", "instagram", stdin="x" * 300000))

    def test_a_provider_file_with_a_mistake_is_named_with_its_line(self):
        folder = f"{self.service.dir}/providers"
        os.makedirs(folder)
        try:
            with open(f"{folder}/instagram.json", "w") as f:
                f.write('{\n  "platform": "instagram",\n  "nonsense": 1\n}\n')
            self.assertRegex(self.complaint("explain", "--platform", "instagram", "--status", "200"), r"instagram\.json:\d+: ")
        finally:
            shutil.rmtree(folder)


class Away(CtlCase):
    """Commands with a store that does not answer."""

    def test_they_say_so_within_the_time_limit_and_without_the_password(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            service = Service(f"{self.dir}/away", self.sandbox.url, store=f"mongodb://someone:hunter2secret@127.0.0.1:{s.getsockname()[1]}/app",
                              settings={"store": {"timeout": "500ms"}})
            for args, stdin in ((("status", "--workspace", "w"), None), (("validate", "--workspace", "w"), None), (("fix", "--account", "a"), None),
                                (("stats",), None), (("clear-cache", "--account", "a"), None), (("import",), json.dumps(account(1)))):
                with self.subTest(args=args):
                    start = time.monotonic()
                    done = service.ctl(*args, stdin=stdin, check=False)
                    self.assertEqual(done.returncode, FAILED, done)
                    self.assertLess(time.monotonic() - start, 20)
                    self.assertTrue(done.stderr.startswith("token-healthctl: "), done.stderr)
                    self.assertNotIn("hunter2secret", done.stdout + done.stderr)
            os.unlink("/dev/shm" + service.shm)


if __name__ == "__main__":
    unittest.main()
