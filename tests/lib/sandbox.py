"""Starts the pretend provider of tests/sandbox and speaks with its /_sandbox/ side. The program is a child of this process: it ends
with it, and only its own process is ever stopped. Standard library only.

    with Sandbox("build/debug", log="sandbox.log") as sandbox:
        sandbox.register({"token": "IGAA1", "condition": "revoked", "account_id": "17841400000000001", "username": "one"})
        ...                                     # the service under test has sandbox.url as [provider] sandbox_url
        sandbox.condition("IGAA1", "healthy")
        sandbox.ledger()["calls"]
"""
import ctypes
import hashlib
import http.client
import json
import os
import select
import signal
import subprocess
import sys
import time
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("TOKEN_HEALTH_BUILD", "build/debug"))
CHUNK = 5000  # tokens in one registration: the sandbox takes bodies up to 16 MiB


def sha256(token):
    return hashlib.sha256(token.encode()).hexdigest()


def _die_with(parent):
    def arm():
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        if os.getppid() != parent:  # it went before the line above
            os._exit(1)
    return arm


def make_certificate(directory, name="sandbox", address="127.0.0.1"):
    """A self-signed certificate and its key, as (cert, key)."""
    cert, key = os.path.join(directory, name + ".crt"), os.path.join(directory, name + ".key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=sandbox", "-addext", f"subjectAltName=IP:{address}", "-keyout", key, "-out", cert],
                   check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return cert, key


class Answer:
    def __init__(self, response, body):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:300]!r}"


class Sandbox:
    """url and tls_url are known after start(). A port of 0 is any free port; restarting keeps the port of the first start."""

    def __init__(self, build_dir=None, log=None, port=0, state=None, tls=None):
        """build_dir: where tests/sandbox/sandbox is (default $TOKEN_HEALTH_BUILD). log: a file for its standard error, appended to.
        state: a file that keeps the tokens over a restart. tls: (cert, key) files, to listen with TLS too."""
        self.program = os.path.join(os.path.abspath(build_dir or BUILD), "tests/sandbox/sandbox")
        self.log, self.port, self.state, self.tls = log, port, state, tls
        self.tls_port = 0
        self.process = None
        self.url = self.tls_url = None

    # ---- process ----

    def start(self, seconds=20):
        if self.running():
            return self
        args = [self.program, "--port", str(self.port)]
        if self.state:
            args += ["--state", self.state]
        if self.tls:
            args += ["--tls-port", str(self.tls_port), "--tls-cert", self.tls[0], "--tls-key", self.tls[1]]
        log = open(self.log, "ab") if self.log else None
        try:
            self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                                            preexec_fn=_die_with(os.getpid()))
        finally:
            if log:
                log.close()
        try:
            self.port = self._listening("listening on 127.0.0.1:", seconds)
            self.url = f"http://127.0.0.1:{self.port}"
            if self.tls:
                self.tls_port = self._listening("listening with TLS on 127.0.0.1:", seconds)
                self.tls_url = f"https://127.0.0.1:{self.tls_port}"
        except BaseException:
            self.kill()
            raise
        return self

    def _listening(self, words, seconds):
        end, line, out = time.monotonic() + seconds, b"", self.process.stdout.fileno()
        while not line.endswith(b"\n"):
            if not select.select([out], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError(f"the sandbox does not listen after {seconds} s; log: {self.log}")
            byte = os.read(out, 1)
            if not byte:
                raise AssertionError(f"the sandbox ended at start with {self.process.wait()}; log: {self.log}")
            line += byte
        text = line.decode().strip()
        if not text.startswith(words):
            raise AssertionError(f"the sandbox said {text!r}")
        return int(text[len(words):])

    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, seconds=10):
        """SIGTERM; the state file is written. Returns the exit status."""
        if self.process is None:
            return None
        if self.running():
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the sandbox did not stop on SIGTERM within {seconds} s")
        self.process.stdout.close()
        self.process = None
        return status

    def kill(self):
        """SIGKILL, as a provider that falls over."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    # ---- what the provider shall do ----

    def register(self, tokens):
        """One token or many: {"token", "condition"?, "account_id"?, "username"?, "expires_in"?, "age"?, "delay_ms"?, "rotates"?,
        "refresh_condition"?, "host"?, "refresh_token"?}. Registering a known token changes what is given and keeps the rest.
        host: where it is good, if its prefix does not say so. refresh_token: comes with it (TikTok, X); it can be registered itself,
        behind its access token, to have a condition of its own. It is single-use: used a second time, it kills all its family."""
        if isinstance(tokens, dict):
            tokens = [tokens]
        tokens = list(tokens)
        for i in range(0, len(tokens), CHUNK):
            self.post("/_sandbox/tokens", tokens[i:i + CHUNK])

    def condition(self, token, condition, **more):
        """token: the token itself, or the SHA-256 of one (64 hex digits), such as newest() gives."""
        self.post("/_sandbox/tokens", [dict(more, condition=condition, **self._name(token))])

    def fail(self, condition, host=None, kind=None, percent=100):
        """Every call ends like this, whatever the token; None: no more. percent: only so many of a hundred calls."""
        self.post("/_sandbox/fail", {"condition": condition, "host": host, "kind": kind, "percent": percent})

    def latency(self, ms):
        self.post("/_sandbox/latency", {"ms": ms})

    def usage(self, percent=0, regain_minutes=0, retry_after_s=30):
        """percent: what X-App-Usage says on every answer (0: no header). regain_minutes and retry_after_s: what rate limits say."""
        self.post("/_sandbox/usage", {"percent": percent, "regain_minutes": regain_minutes, "retry_after_s": retry_after_s})

    def require_proof(self, secret):
        """Facebook wants the appsecret_proof that is made with this secret; None: no more."""
        self.post("/_sandbox/proof", {"secret": secret})

    def reset(self):
        """No tokens, no ledger, no faults, no latency."""
        self.post("/_sandbox/reset", {})

    # ---- what happened ----

    def ledger(self, token=None, details=0):
        """Of all: {calls, by_kind, by_outcome, concurrency, max_concurrency, by_token{sha256: {calls, …}}, details[last …]}.
        Of one token: {token_sha256, calls, by_kind, issued, newest{token_sha256, …}, details[all that are still known]}."""
        query = self._name(token) if token else {"details": details}
        return self.control("GET", "/_sandbox/ledger?" + urllib.parse.urlencode(query))

    def calls(self, token=None, kind=None):
        """How many calls; 0 for a token never seen."""
        try:
            ledger = self.ledger(token) if token else self.summary()
        except KeyError:
            return 0
        return ledger["by_kind"].get(kind, 0) if kind else ledger["calls"]

    def refreshes(self, token=None):
        """Calls that ask for a new token: exchange on Facebook, refresh elsewhere."""
        return self.calls(token, "refresh") + self.calls(token, "exchange")

    def summary(self):
        """ledger() without by_token: cheap with many tokens."""
        return self.control("GET", "/_sandbox/ledger?tokens=0")

    def clear_ledger(self):
        self.control("DELETE", "/_sandbox/ledger")

    def token(self, token):
        """{token_sha256, known, alive, condition, account_id, username, expires_at, issued_at, issued, newest{…}}; KeyError if never
        seen."""
        return self.control("GET", "/_sandbox/token?" + urllib.parse.urlencode(self._name(token)))

    def newest(self, token):
        """SHA-256 of the newest token issued for this one, over any number of refreshes; its own if there was none."""
        return self.token(token)["newest"]["token_sha256"]

    def family(self, token):
        """Of any access or refresh token of it: {access_tokens[], refresh_tokens[]} as token(), oldest first, with their calls; in a
        refresh token, issued is how often it was used with effect, reuses how often afterwards. And {newest_access, newest_refresh:
        SHA-256, refreshes, reuses}. KeyError if it has no refresh token."""
        family = self.control("GET", "/_sandbox/family?" + urllib.parse.urlencode(self._name(token)))
        refresh = family["refresh_tokens"]
        return dict(family, newest_access=family["access_tokens"][-1]["token_sha256"], newest_refresh=refresh[-1]["token_sha256"],
                    refreshes=sum(t["issued"] for t in refresh), reuses=sum(t["reuses"] for t in refresh))

    # ---- HTTP ----

    @staticmethod
    def _name(token):
        is_digest = len(token) == 64 and all(c in "0123456789abcdef" for c in token)
        return {"token_sha256" if is_digest else "token": token}

    def get(self, path, token=None, headers=None, method="GET", form=None, timeout=30):
        """A provider call: path is /HOST/…; the token goes into the Authorization header, form into the body."""
        headers = dict(headers or {})
        if token:
            headers["Authorization"] = "Bearer " + token
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            form = urllib.parse.urlencode(form).encode()
        return self._send(method, path, form, headers, timeout)

    def post(self, path, body):
        return self.control("POST", path, body)

    def control(self, method, path, body=None):
        headers = {"Content-Type": "application/json"} if body is not None else {}
        text = None if body is None else json.dumps(body).encode()
        answer = self._send(method, path, text, headers, 120)
        if answer.status == 404:
            raise KeyError(answer.json()["error"])
        if answer.status != 200:
            raise AssertionError(f"{method} {path}: {answer}")
        return answer.json()

    def _send(self, method, path, body, headers, timeout):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            return Answer(response, response.read())
        finally:
            connection.close()


if __name__ == "__main__":
    sys.exit("sandbox.py is a library")
