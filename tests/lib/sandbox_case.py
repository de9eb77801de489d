"""What the tests of the pretend provider share."""
import json
import os
import re
import shutil
import tempfile
import time
import unittest

from harness import BUILD, Service
from sandbox import ROOT, Sandbox

IG, FB = "/graph.instagram.com", "/graph.facebook.com"
TH_ME = "/graph.threads.net/v1.0/me?fields=id,username"
IG_ME, FB_ME = IG + "/v25.0/me?fields=user_id,username", FB + "/v25.0/me?fields=id,name"
DAY = 86400
REFRESH = IG + "/refresh_access_token?grant_type=ig_refresh_token&access_token=IGAAone"
EXTEND = FB + "/v25.0/oauth/access_token?grant_type=fb_exchange_token&client_id=1&client_secret=s&fb_exchange_token=EAAone"
# What token-health makes of an answer: the same words at every platform, and what a platform's own differ in.
REASONS = {
    "healthy": "ok", "expired": "expired", "revoked": "revoked", "checkpoint": "checkpoint", "password_changed": "password_changed",
    "invalid": "invalid_token", "wrong_permissions": "permission_missing", "rate_limited": "rate_limited", "code2": "transient",
    "rate_limited_user": "rate_limited", "500": "transient", "unknown_error": "bad_response", "http_429": "rate_limited",
    "502_html": "transient", "200_html": "bad_response", "empty": "bad_response", "truncated_json": "bad_response", "wrong_json": "bad_response",
    "redirect": "bad_response", "slow": "ok",
}


def words_of(table):
    with open(os.path.join(ROOT, "tests/sandbox", table), encoding="utf-8") as f:
        return re.findall(r'^CONDITION\(\w+, "(\w+)"', f.read(), re.M)


class SandboxCase(unittest.TestCase):
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


class ExplainCase(SandboxCase):
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
