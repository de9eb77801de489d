"""No token, key or API key in any log, answer, error, shared memory or data file. Recognisable secrets go through everything that the
programs can do and through everything that can go wrong; then all that was written is searched for them in every disguise."""
import base64
import contextlib
import glob
import hmac
import http.server
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse

from canary import Finder, dumpable_memory, files_below, forms, parts
from case import API, account, account_id, registration
from harness import BUILD, Service, alive, children, wait_for
from sandbox import Sandbox

TOKEN_PREFIX = "IGAA"
OF_FACEBOOK = 4  # this one is sent with a proof of the app secret


MARK = f"+/{secrets.token_urlsafe(9)}=~"  # 16 bytes, with characters that each disguise treats differently


def draw(label):
    """Like a real one, with the mark at its beginning, in its middle and at its end."""
    return f"{label}{MARK}{secrets.token_urlsafe(8)}{MARK}{secrets.token_urlsafe(8)}{MARK}"


class Echo(http.server.BaseHTTPRequestHandler):
    """A provider that says whatever it was told back, in every disguise, in every place of an answer."""
    protocol_version = "HTTP/1.1"
    calls = 0
    said = []

    def do_GET(self):
        type(self).calls += 1
        token = self.headers.get("Authorization", "").removeprefix("Bearer ").encode()
        told = {disguise: text.decode("latin-1") for disguise, text in forms(token)} if token else {}
        told["line"] = self.requestline
        turn = Echo.calls % 6
        text = " ".join(told.values())
        status, body = {
            0: (400, json.dumps({"error": {"message": f"Malformed access token {text}", "code": 190, "type": text, "error_subcode": 463}})),
            1: (400, json.dumps({"error": {"message": text, "code": text, "error_user_msg": text, "fbtrace_id": text}})),
            2: (200, json.dumps({"user_id": text, "username": text, "access_token": text})),
            3: (502, f"<html><body>{text}</body></html>"),
            4: (200, json.dumps(told)[:-9]),
            5: (429, json.dumps({"error": {"code": 4, "message": text}})),
        }[turn]
        Echo.said.append(body.encode("utf-8", "replace"))
        body = body.encode("utf-8", "replace")
        self.send_response(status, "Because " + token.decode("latin-1")[:60])
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.send_header("WWW-Authenticate", f'OAuth "{token.decode("latin-1")}"')
        self.send_header("X-App-Usage", json.dumps({"call_count": token.decode("latin-1")}))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_):
        pass


class Control(unittest.TestCase):
    """The search itself: what it cannot find, it cannot rule out."""

    def test_a_secret_is_found_in_every_disguise_and_at_every_alignment(self):
        secret = draw(TOKEN_PREFIX)
        finder = Finder({"token": secret}, MARK)
        raw = secret.encode()
        for lead in range(4):
            for text, disguise in ((raw, "raw"), (raw[:24], "raw"), (raw[-20:], "raw"), (raw[11:60], "raw"),
                                   (base64.b64encode(bytes(lead) + raw + b"x"), "base64"), (base64.urlsafe_b64encode(bytes(lead) + raw + b"xy"), "base64url"),
                                   (raw.hex().encode(), "hex"), (raw.hex().upper().encode(), "hex"), (urllib.parse.quote(raw, safe="").encode(), "url-encoded"),
                                   (urllib.parse.quote_plus(raw).encode(), "url-encoded"), ("".join(f"%{b:02x}" for b in raw).encode(), "percent"),
                                   (json.dumps(secret).replace("/", "\\/").encode(), "json-escaped"), (raw[::-1], "reversed")):
                found = finder.find(b"before" * lead + text + b"after")
                self.assertIn("token", {label for label, _ in found}, (lead, disguise, text))
        self.assertEqual(finder.find(b"nothing of the kind" + os.urandom(100000)), set())
        unmarked = Finder({"key": "thk_" + "k" * 20 + secrets.token_urlsafe(16)}, MARK)
        self.assertEqual({label for label, _ in unmarked.find(b"x" + b"k" * 20)}, {"key"})

    def test_it_is_found_in_files_in_shared_memory_and_in_a_process(self):
        secret = draw(TOKEN_PREFIX)
        finder = Finder({"token": secret}, MARK)
        with tempfile.TemporaryDirectory() as folder:
            os.makedirs(f"{folder}/a/b")
            with open(f"{folder}/a/b/some.log", "w") as f:
                f.write(f"line\nvalue={base64.b64encode(secret.encode()).decode()}\n")
            self.assertEqual(set(finder.find_in_files(files_below(folder))), {f"{folder}/a/b/some.log"})
        name = f"/dev/shm/token-health-control-{secrets.token_hex(4)}"
        with open(name, "w") as f:
            f.write(secret)
        try:
            self.assertIn(name, finder.find_in_files([name]))
        finally:
            os.unlink(name)
        if os.geteuid() == 0:
            holder = subprocess.Popen([sys.executable, "-c", "import sys, time; x = sys.stdin.read(); print(len(x), flush=True); time.sleep(60)"],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            try:
                holder.stdin.write(secret)
                holder.stdin.close()
                holder.stdout.readline()
                self.assertTrue(any(finder.find(block) for block in dumpable_memory(holder.pid)), "a process that holds it")
            finally:
                holder.kill()
                holder.wait()
                holder.stdout.close()


class Canary(unittest.TestCase):
    maxDiff = None
    """One long story, told once; each test looks at one kind of place. One service logs as text, the other one in JSON."""

    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="token-health-canary-")
        cls.addClassCleanup(shutil.rmtree, cls.dir, ignore_errors=True)
        cls.sandbox = Sandbox(BUILD, log=os.path.join(cls.dir, "sandbox.log"))
        cls.sandbox.start()
        cls.addClassCleanup(cls.sandbox.stop)
        cls.answers, cls.outputs, cls.refused = [], [], 0
        cls.make_secrets()
        cls.tell_the_story()

    # ---- the secrets ----

    @classmethod
    def make_secrets(cls):
        cls.conditions = ["healthy", "healthy", "healthy", "malformed", "revoked", "500", "200_html", "truncated_json", "redirect", "app_misconfigured",
                          "rate_limited_user", "unknown_error", "healthy", "healthy", "reset"]
        cls.tokens = {n: draw("EAA" if n == OF_FACEBOOK else TOKEN_PREFIX) for n in range(1, len(cls.conditions) + 1)}
        cls.refresh_tokens = {n: draw("refresh-") for n in cls.tokens}
        cls.master, cls.salt = draw("masterkey-"), draw("globalsalt-")
        cls.app_secrets = {"instagram": draw("igsecret-"), "facebook": draw("fbsecret-")}
        cls.password = "pass" + secrets.token_hex(16)
        cls.mistaken = {n: draw(f"mistake{n}-") for n in range(8)}
        cls.secrets = {"master key": cls.master, "global salt": cls.salt, "store password": cls.password}
        cls.secrets.update({f"token {n}": t for n, t in cls.tokens.items()})
        cls.secrets.update({f"refresh token {n}": t for n, t in cls.refresh_tokens.items()})
        cls.secrets.update({f"app secret of {p}": s for p, s in cls.app_secrets.items()})
        cls.secrets["proof of the app secret"] = hmac.digest(cls.app_secrets["facebook"].encode(), cls.tokens[OF_FACEBOOK].encode(), "sha256").hex()
        cls.secrets.update({f"secret in a wrong place {n}": s for n, s in cls.mistaken.items()})

    @classmethod
    def documents(cls):
        def sealed(n):
            return {"$seal": cls.tokens[n]}
        soon = {"$date": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() + 2 * 86400))}
        documents = [account(n, "ws-1", encryptedAccessToken=sealed(n), encryptedRefreshToken={"$seal": cls.refresh_tokens[n]},
                             expiresAt=soon if n in (13, 14) else None) for n in cls.tokens]
        documents[1].pop("encryptedAccessToken")
        documents[1].update(accessToken={"$sealText": cls.tokens[2]})
        documents[2].pop("encryptedAccessToken")
        documents[2].update(accessToken=cls.tokens[3], refreshToken=cls.refresh_tokens[3])  # plain: a fault to put right
        documents[2].pop("encryptedRefreshToken")
        return documents

    @classmethod
    def service_of(cls, name, provider_url, log_format):
        service = Service(f"{cls.dir}/{name}", provider_url, key=cls.master, workers=2, settings={
            "log": {"level": "debug", "format": log_format}, "encryption": {"global_salt": cls.salt, "kdf_iterations": "1000"},
            "monitor": {"retry_delay": "10ms", "max_retries": "1"}, "provider": {"timeout": "2s"}, "store": {"timeout": "500ms"},
            "app.instagram": {"secret": cls.app_secrets["instagram"]}, "app.facebook": {"secret": cls.app_secrets["facebook"]}})
        service.crashes_on_purpose = True
        cls.addClassCleanup(service.stop)
        return service

    # ---- the story ----

    @classmethod
    def keep(cls, done):
        cls.outputs.append((done.stdout + done.stderr).encode() if isinstance(done.stdout, str) else done.stdout + done.stderr)
        return done

    @classmethod
    def ask(cls, service, method, path, body=None, key=None, **more):
        answer = service.request(method, path, body, key=key or cls.admin, **more)
        cls.answers.append(json.dumps(answer.headers).encode() + answer.body)
        return answer

    @classmethod
    def ask_everything(cls, service):
        for number in cls.tokens:
            for path in (f"{API}/check?accountId={account_id(number)}", f"{API}/status/ws-1", f"{API}/check?workspaceId=ws-1"):
                cls.ask(service, "GET", path)
            cls.ask(service, "POST", f"{API}/fix/{account_id(number)}")
            cls.ask(service, "POST", f"{API}/clear-cache", {"accountId": account_id(number)})
        for force in (False, True):
            cls.ask(service, "POST", f"{API}/validate", {"workspaceId": "ws-1", "forceRefresh": force})
        for path in (f"{API}/stats", "/livez", "/readyz", f"{API}/nothing"):
            cls.ask(service, "GET", path)
        cls.ask(service, "POST", f"{API}/clear-cache")

    @classmethod
    def send_secrets_to_wrong_places(cls, service):
        """As input: it must not come back, and not stand in a log. (nginx's own log of a URL is not ours.)"""
        m = cls.mistaken
        json_type = {"Content-Type": "application/json"}
        for body in (m[0], '{"workspaceId":{"%s":1}}' % m[0], '{"workspaceId":"x","forceRefresh":"%s"}' % m[0], '{"%s":1,"%s":2}' % (m[0], m[0])):
            cls.ask(service, "POST", f"{API}/validate", body, headers=json_type)
        cls.ask(service, "GET", f"{API}/stats", key="thk_" + m[1])
        cls.ask(service, "GET", f"{API}/stats", headers={"Authorization": m[1]}, key=None)
        cls.ask(service, "POST", f"{API}/validate", "{}", headers={"Content-Type": m[1]})

    @classmethod
    def use_every_command(cls, service):
        envelope = json.dumps({"encryptedData": "AAAA", "iv": cls.mistaken[2], "salt": cls.mistaken[2], "tag": cls.mistaken[2]})
        echo = json.dumps({"error": {"message": f"token {cls.tokens[1]} {urllib.parse.quote(cls.tokens[1], safe='')}", "code": 190}})
        fresh = json.dumps({"access_token": cls.mistaken[3], "expires_in": 5000000, "token_type": "bearer"})
        for args, text in ((["doctor"], ""), (["stats"], ""), (["key", "list"], ""), (["validate", "--workspace", "ws-1", "--force"], ""),
                           (["status", "--workspace", "ws-1"], ""), (["fix", "--account", account_id(3)], ""), (["clear-cache"], ""),
                           (["envelope", "check"], envelope), (["envelope", "check"], cls.mistaken[2]),
                           (["envelope", "check"], json.dumps({"$": cls.mistaken[2]})),
                           (["explain", "--platform", "instagram", "--status", "400"], echo),
                           (["explain", "--platform", "instagram", "--status", "200", "--kind", "refresh"], fresh),
                           (["explain", "--platform", "instagram", "--status", "200"], cls.mistaken[3]),
                           (["import"], '{"_id": "x", "platform": "instagram", "expiresAt": "%s"}\n%s\n{"_id": {"%s": 1}}' % ((cls.mistaken[4],) * 3)),
                           (["config"], "")):
            for more in ([], ["--json"]):
                cls.keep(service.ctl(*args, *more, stdin=text, check=False))

    @classmethod
    def crash_workers(cls, service):
        parent = service.processes["responder"].pid
        for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS):
            thread = threading.Thread(target=lambda: cls.try_ask(service))
            thread.start()
            for pid in children(parent):
                os.kill(pid, number)
                wait_for(lambda p=pid: not alive(p), 10, "the worker is dead")
            thread.join(30)
            wait_for(lambda: service.request("GET", "/livez").status == 200, 60, "a worker is back")

    @classmethod
    def try_ask(cls, service):
        with contextlib.suppress(OSError, AssertionError):
            cls.ask(service, "POST", f"{API}/validate", {"workspaceId": "ws-1", "forceRefresh": True})

    @classmethod
    def start_with_mistakes(cls, service):
        """Configurations with a secret where something is wrong; every program reports each of them."""
        with open(service.conf) as f:
            good = f.read()
        s = cls.mistaken[5]
        uri = f"mongodb://someone:{cls.password}@127.0.0.1:1"
        for bad in (f"[encryption]\nkey = {s}\n", f"[encryption]\n{s}\n", f"[encryption]\nkey : {s}\nkye = {s}\n", f"[nonsense]\nkey = {s}\n",
                    f"[app.instagram]\nsecret = {s}\n", f"[app.other]\nsecrte = {s}\n", f"[encryption]\n key = {s}\n", f"[encryption]\nkey = {s} ; x\n",
                    f"[responder]\nworkers = {s}\n", f"[log]\nlevel = {s}\n", f"[store]\ntimeout = {s}\n", f"{s}\n", f"[{s}\nx = 1\n"):
            cls.run_all(service, good + "\n" + bad)
        for wrong in (uri, uri + "/", uri + "/app?nonsense=" + cls.password, uri.replace("1:1", "1:99999") + "/app", uri.replace("mongodb", "mongo") + "/app",
                      f"mongodb://{cls.password}", f"mongodb://a:b:{cls.password}@h/app", f"sqlite:/nonexistent/{cls.mistaken[6][:8]}/x", uri + "/app"):
            cls.run_all(service, good.replace(f"uri = {service.store}", f"uri = {wrong}"))
        service.write_private(f"{service.dir}/open-key", cls.mistaken[7])
        os.chmod(f"{service.dir}/open-key", 0o644)
        cls.run_all(service, good.replace("key_file = ", f"key_file = {service.dir}/open-key #"), good.replace(f"{service.dir}/master-key", f"{service.dir}/open-key"))
        os.unlink(f"{service.dir}/open-key")

    @classmethod
    def run_all(cls, service, *texts):
        for text in texts:
            path = f"{service.dir}/mistake.conf"
            service.write_private(path, text)
            for program, args in (("token-health-fcgi", ["--check-config"]), ("token-health-fcgi", ["--listen", f"unix:{service.dir}/m.sock"]),
                                  ("token-health-monitor", ["--once"]), ("token-healthctl", ["doctor"]), ("token-healthctl", ["status", "--workspace", "w"])):
                process = subprocess.Popen([service.program(program), "--config", path, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                           stderr=subprocess.PIPE, env=service.environment(), cwd=service.dir)
                if "--listen" in args:  # it may well be able to start
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(0.7)
                    process.terminate()
                out, err = process.communicate(timeout=60)
                cls.outputs.append(out + err)
                if process.returncode and "--check-config" in args:
                    cls.refused += 1
                    if cls.refused > 3:  # the others say the same
                        break
            os.unlink(path)

    @classmethod
    def lose_the_store(cls, service):
        """The store's file cannot be opened, and then is no database."""
        path = f"{service.dir}/accounts.db"
        for damage in ("folder", "garbage"):
            for end in ("", "-wal", "-shm"):
                if os.path.exists(path + end):
                    os.rename(path + end, f"{service.dir}/away{end}")
            if damage == "folder":
                os.makedirs(path)
            else:
                service.write_private(path, "no database " * 1000 + cls.mistaken[6])
            for method, url, body in (("GET", f"{API}/status/ws-1", None), ("POST", f"{API}/validate", {"workspaceId": "ws-1"}), ("GET", "/readyz", None),
                                      ("POST", f"{API}/fix/{account_id(1)}", None), ("GET", f"{API}/check?accountId={account_id(1)}", None)):
                cls.ask(service, method, url, body)
            cls.keep(service.ctl("status", "--workspace", "ws-1", check=False))
            cls.keep(service.ctl("doctor", check=False))
            with contextlib.suppress(AssertionError):
                service.sweep()
            if damage == "folder":
                os.rmdir(path)
            else:
                for end in ("", "-wal", "-shm"):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(path + end)
            for end in ("", "-wal", "-shm"):
                if os.path.exists(f"{service.dir}/away{end}"):
                    os.rename(f"{service.dir}/away{end}", path + end)

    @classmethod
    def tell_the_story(cls):
        cls.sandbox.register([registration(n, "", condition, token=cls.tokens[n]) for n, condition in enumerate(cls.conditions, 1)])
        cls.service = cls.service_of("service", cls.sandbox.url, "text")
        made = cls.service.ctl("--json", "key", "create", "--name", "canary", "--scopes", "admin")
        cls.admin = json.loads(made.stdout)["key"]
        cls.secrets["API key"] = cls.admin
        cls.outputs.append(made.stderr.encode())  # standard output is the one place where a key is shown
        cls.service.import_accounts(cls.documents())
        cls.finder = Finder(cls.secrets, MARK)
        cls.plain_before = cls.finder.find_in_files(glob.glob(f"{cls.service.dir}/accounts.db*"))
        cls.service.start()
        cls.ask_everything(cls.service)
        cls.service.sweep()
        cls.send_secrets_to_wrong_places(cls.service)
        cls.use_every_command(cls.service)
        cls.crash_workers(cls.service)
        cls.tell_it_to_an_echo()
        cls.start_with_mistakes(cls.service)
        cls.lose_the_store(cls.service)
        cls.ask_everything(cls.service)
        cls.live = cls.look_at_the_living(cls.service)

    @classmethod
    def tell_it_to_an_echo(cls):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            service = cls.service_of("echo", f"http://127.0.0.1:{server.server_address[1]}", "json")
            cls.echo = service
            with open(f"{cls.service.dir}/api-keys.json") as f:
                service.write_private(f"{service.dir}/api-keys.json", f.read())
            service.import_accounts(cls.documents())
            service.start()
            for _ in range(2):
                cls.ask_everything(service)
                service.sweep()
            for command in (["validate", "--workspace", "ws-1", "--force"], ["status", "--workspace", "ws-1"], ["doctor"]):
                cls.keep(service.ctl(*command, check=False))
        finally:
            server.shutdown()
            server.server_close()

    @classmethod
    def look_at_the_living(cls, service):
        """What a core file would hold, and what the command lines tell."""
        seen = {}
        parent = service.processes["responder"].pid
        for pid in [parent] + children(parent):
            for name in ("cmdline", "environ") if os.geteuid() == 0 else ("cmdline",):
                with open(f"/proc/{pid}/{name}", "rb") as f:
                    seen[f"{name} of {pid}"] = cls.finder.find(f.read())
        return {k: v for k, v in seen.items() if v}

    # ---- what was found ----

    def assert_clean(self, found, what):
        """found: as Finder gives it, for one place or by place."""
        places = found if isinstance(found, dict) else {"": found}
        said = [f"{place} {label}, {disguise}" for place, findings in places.items() for label, disguise in sorted(findings)]
        self.assertEqual(said[:20], [], what)

    def logs(self, service):
        holders = {"master-key", "token-health.conf"}
        return [p for p in files_below(service.dir, holders) if not os.path.basename(p).startswith(("accounts.db", "away"))]

    def test_the_story_has_been_told(self):
        self.assertGreater(self.sandbox.ledger()["calls"], 30)
        self.assertGreater(Echo.calls, 30)
        self.assertTrue(self.finder.find(b" ".join(Echo.said)), "the echo never echoed")
        self.assertTrue(self.plain_before, "the plain token was not in the store to begin with")
        log = self.service.log("responder")
        for words in ("validate", "put right", "signal=11", "debug"):
            self.assertIn(words, log)
        self.assertIn('"level":"debug"', self.echo.log("responder"))
        self.assertGreater(len(self.answers), 200)
        self.assertIn(b"Malformed access token", b"".join(self.answers), "the provider's words were not passed on: nothing could leak")

    def test_logs_and_other_files(self):
        for service in (self.service, self.echo):
            paths = self.logs(service)
            self.assertLessEqual({"responder.log", "monitor.log", "nginx-error.log", "api-keys.json", "nginx.log"}, {os.path.basename(p) for p in paths})
            self.assert_clean(self.finder.find_in_files(paths), "files")

    def test_tokens_that_the_provider_made(self):
        """Their text is known to nobody but the store; all begin alike."""
        self.assertGreater(self.sandbox.refreshes(), 0)
        made = re.compile(rb"IG(AA|Q)[A-Za-z0-9_-]{16}")
        self.assertTrue(made.search(b'{"access_token":"' + self.tokens[1].replace(MARK, "x" * 16).encode()))
        for service in (self.service, self.echo):
            for path in self.logs(service):
                with open(path, "rb") as f:
                    self.assertIsNone(made.search(f.read()), path)
        for blob in self.answers + self.outputs:
            self.assertIsNone(made.search(blob), blob[:600])

    def test_answers(self):
        for blob in self.answers:
            self.assert_clean(self.finder.find(blob), blob[:600])

    def test_what_the_programs_say(self):
        for blob in self.outputs:
            self.assert_clean(self.finder.find(blob), blob[:600])

    def test_shared_memory(self):
        for service in (self.service, self.echo):
            self.assertGreater(os.path.getsize("/dev/shm" + service.shm), 1 << 20)
            self.assert_clean(self.finder.find_in_files(["/dev/shm" + service.shm]), "shared memory")

    def test_command_lines_and_environments(self):
        self.assert_clean(self.live, "processes")

    def test_core_files(self):
        with open("/proc/sys/kernel/core_pattern") as f:
            pattern = f.read().strip()
        folders = {self.dir, self.service.dir, self.echo.dir} | ({os.path.dirname(pattern)} if pattern.startswith("/") else set())
        cores = [p for folder in folders for p in glob.glob(f"{folder}/*core*") + glob.glob(f"{folder}/core*")
                 if os.path.getmtime(p) > time.time() - 900]
        self.assertEqual(cores, [], "a process that was crashed left a core file")

    def test_no_plain_token_is_left_in_the_store(self):
        for service in (self.service, self.echo):
            paths = glob.glob(f"{service.dir}/accounts.db*")
            self.assertTrue(paths)
            self.assert_clean(self.finder.find_in_files(paths), "while the programs run")

    def test_what_a_core_file_would_hold(self):
        if os.geteuid() != 0:
            self.skipTest("only root can read the memory of a process that is not dumpable")
        if "asan" in BUILD or "tsan" in BUILD:
            self.skipTest("a sanitizer keeps freed memory as it was")
        parent = self.service.processes["responder"].pid
        for pid in [parent] + children(parent):
            found = set()
            for block in dumpable_memory(pid):
                found |= self.finder.find(block)
            # libfcgi frees the Authorization parameter without wiping it.
            self.assert_clean({f for f in found if f[0] != "API key"}, f"{pid}, parent {parent}")


if __name__ == "__main__":
    unittest.main()
