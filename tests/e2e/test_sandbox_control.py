"""The pretend provider turned about while it runs, its ledger, TLS, a restart, and what it can carry."""
import asyncio
import concurrent.futures
import json
import os
import re
import resource
import shutil
import socket
import ssl
import tempfile
import time
import unittest
import urllib.error
import urllib.request

from harness import BUILD
from sandbox import Sandbox, make_certificate, sha256
from sandbox_case import FB, FB_ME, IG, IG_ME, REFRESH, SandboxCase


class Failing(SandboxCase):
    def test_everything_fails_and_recovers_while_it_runs(self):
        for word, status in (("500", 500), ("502_html", 502), ("200_html", 200), ("http_429", 429)):
            self.sandbox.fail(word)
            for path, token in ((IG_ME, "IGAAone"), (FB_ME, "EAAone"), (IG_ME, "IGAAunknown")):
                self.assertEqual(self.get(path, token).status, status)
        self.sandbox.fail(None)
        self.assertEqual(self.get(IG_ME, "IGAAone").status, 200)
        self.assertEqual(self.sandbox.token("IGAAone")["condition"], "healthy")

    def test_one_host_or_one_kind_of_call_fails(self):
        self.sandbox.fail("500", host="graph.facebook.com")
        self.assertEqual([self.get(IG_ME, "IGAAone").status, self.get(FB_ME, "EAAone").status], [200, 500])
        self.sandbox.fail(None)
        self.sandbox.fail("500", kind="refresh")
        self.assertEqual([self.get(IG_ME, "IGAAone").status, self.get(REFRESH).status], [200, 500])

    def test_a_part_of_the_calls_fails_exactly(self):
        for percent in (0, 1, 25, 99, 100):
            self.sandbox.fail("code2", percent=percent)
            failed = sum(self.get(IG_ME, "IGAAone").status != 200 for _ in range(100))
            self.assertEqual(failed, percent)

    def test_an_answer_gets_lost_by_order_although_the_token_is_well(self):
        self.sandbox.fail("lost_answer", kind="refresh")
        with self.assertRaises(ConnectionResetError):
            self.get(REFRESH)
        self.assertEqual(self.sandbox.token("IGAAone")["issued"], 1)
        self.assertEqual(self.get(IG_ME, "IGAAone").status, 200)


class Ledger(SandboxCase):
    def test_every_call_is_counted_by_kind_outcome_and_token(self):
        self.get(IG_ME, "IGAAone")
        self.get(IG_ME, "IGAAone")
        self.get(REFRESH)
        self.sandbox.condition("EAAone", "revoked")
        self.get(FB_ME, "EAAone")
        self.get(FB + "/v25.0/debug_token?input_token=EAAone", "1|s")
        self.get(IG + "/you", "IGAAone")
        ledger = self.sandbox.ledger()
        self.assertEqual(ledger["calls"], 6)
        self.assertEqual(ledger["by_kind"], {"validate": 3, "refresh": 1, "introspect": 1, "other": 1})
        self.assertEqual(ledger["by_outcome"], {"ok": 3, "revoked": 2, "wrong_path": 1})
        self.assertEqual(ledger["by_token"][sha256("IGAAone")]["by_kind"], {"validate": 2, "refresh": 1, "other": 1})
        self.assertEqual([self.sandbox.calls("IGAAone"), self.sandbox.calls("EAAone", "introspect"), self.sandbox.calls("IGAAnever")],
                         [4, 1, 0])

    def test_details_tell_the_order_and_never_a_token(self):
        self.get(IG_ME, "IGAAone")
        self.get(FB_ME, "EAAone")
        self.get(IG_ME, "IGAAone")
        details = self.sandbox.ledger(details=2)["details"]
        self.assertEqual([(d["seq"], d["host"], d["path"], d["kind"], d["outcome"]) for d in details],
                         [(2, "graph.facebook.com", "/v25.0/me", "validate", "ok"), (3, "graph.instagram.com", "/v25.0/me", "validate", "ok")])
        self.assertEqual(details[1]["token_sha256"], sha256("IGAAone"))
        self.assertAlmostEqual(details[1]["at_ms"] / 1000, time.time(), delta=60)
        of_one = self.sandbox.ledger("IGAAone")
        self.assertEqual([d["seq"] for d in of_one["details"]], [1, 3])
        self.assertNotIn("IGAAone", json.dumps(of_one))

    def test_control_calls_are_not_counted(self):
        self.sandbox.summary()
        self.sandbox.latency(0)
        self.assertEqual(self.sandbox.summary()["calls"], 0)

    def test_concurrency_is_measured(self):
        self.sandbox.latency(300)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: self.get(IG_ME, "IGAAone"), range(8)))
        self.sandbox.latency(0)
        self.assertEqual(self.sandbox.summary()["max_concurrency"], 8)
        self.assertEqual(self.sandbox.summary()["concurrency"], 0)

    def test_clearing_the_ledger_keeps_tokens_and_a_reset_keeps_nothing(self):
        self.get(IG_ME, "IGAAone")
        self.sandbox.clear_ledger()
        self.assertEqual([self.sandbox.summary()["calls"], self.sandbox.calls("IGAAone")], [0, 0])
        self.assertEqual(self.get(IG_ME, "IGAAone").status, 200)
        self.sandbox.fail("500")
        self.sandbox.reset()
        self.assertEqual(self.get(IG_ME, "IGAAone").status, 400)
        self.assertEqual(self.outcomes(), {"unknown_token": 1})


class Control(SandboxCase):
    def refused(self, method, path, body=None):
        answer = self.sandbox._send(method, path, None if body is None else body.encode(), {}, 10)
        return answer.status, answer.json()["error"]

    def test_registering_again_changes_what_is_given_and_keeps_the_rest(self):
        self.sandbox.register({"token": "IGAAone", "username": "renamed"})
        self.assertEqual(self.get(IG_ME, "IGAAone").json()["username"], "renamed")
        self.assertEqual(self.sandbox.token("IGAAone")["account_id"], "17841400000000001")

    def test_a_token_can_be_named_by_its_hash(self):
        self.sandbox.condition(sha256("IGAAone"), "revoked")
        self.assert_error(self.get(IG_ME, "IGAAone"), 400, 190, 458, "has not authorized application")

    def test_mistakes_of_a_test_are_told(self):
        for body, words in (('[{"token":"a","colour":"red"}]', "colour"), ('[{"token":"a","condition":"ill"}]', "condition"),
                            ('[{"condition":"healthy"}]', "token"), ("{}", "array"), ("[{", "line 1"),
                            ('[{"token":"a","delay_ms":-1}]', "delay_ms")):
            status, error = self.refused("POST", "/_sandbox/tokens", body)
            self.assertEqual(status, 400, body)
            self.assertIn(words, error)
        self.assertEqual(self.refused("POST", "/_sandbox/fail", '{"condition":"500","host":"example.com","percent":100}')[0], 400)
        self.assertEqual(self.refused("POST", "/_sandbox/latency", '{"ms":"50"}')[0], 400)
        self.assertEqual(self.refused("GET", "/_sandbox/token?token=IGAAnever")[0], 404)
        self.assertEqual(self.refused("GET", "/_sandbox/tokens")[0], 405)

    def test_a_hundred_thousand_tokens_are_registered_in_seconds(self):
        start = time.monotonic()
        self.sandbox.register({"token": f"IGAAmany{i}", "account_id": str(i)} for i in range(100000))
        print(f"FIGURE: sandbox: 100,000 tokens registered in {time.monotonic() - start:.1f} s")
        self.assertEqual(self.get(IG_ME, "IGAAmany99999").json()["user_id"], "99999")


class Restart(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="token-health-sandbox-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.state = os.path.join(self.dir, "state")

    def test_tokens_chains_and_the_port_survive(self):
        with Sandbox(BUILD, state=self.state) as sandbox:
            sandbox.register([{"token": "IGAAone", "account_id": "7", "username": "se\"ven"}, {"token": "EAAtwo", "condition": "revoked"}])
            new = sandbox.get(REFRESH).json()["access_token"]
            before, port = [sandbox.token("IGAAone"), sandbox.token("EAAtwo")], sandbox.port
            self.assertEqual(sandbox.stop(), 0)
            sandbox.start()
            self.assertEqual([sandbox.token("IGAAone"), sandbox.token("EAAtwo")], before)
            self.assertEqual((sandbox.port, sandbox.newest("IGAAone")), (port, sha256(new)))
            self.assertEqual(sandbox.get(IG_ME, new).json()["username"], "se\"ven")
        with open(self.state, encoding="utf-8") as f:
            self.assertNotIn("IGAA", f.read())

    def test_a_state_that_makes_no_sense_is_refused(self):
        with open(self.state, "w", encoding="utf-8") as f:
            f.write('{"token_sha256":"xyz"}\n')
        log = os.path.join(self.dir, "log")
        with self.assertRaises(AssertionError):
            Sandbox(BUILD, state=self.state, log=log).start()
        with open(log, encoding="utf-8") as f:
            self.assertIn("line 1", f.read())

    def test_a_port_in_use_is_told(self):
        log = os.path.join(self.dir, "log")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            with self.assertRaises(AssertionError):
                Sandbox(BUILD, port=taken.getsockname()[1], log=log).start()
        with open(log, encoding="utf-8") as f:
            self.assertIn("Address already in use", f.read())


class Tls(unittest.TestCase):
    def test_the_same_world_with_and_without_tls(self):
        directory = tempfile.mkdtemp(prefix="token-health-sandbox-")
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        certificate = make_certificate(directory)
        with Sandbox(BUILD, tls=certificate) as sandbox:
            sandbox.register([{"token": "IGAAone", "username": "one"}, {"token": "IGAAreset", "condition": "reset"}])
            sandbox.latency(20)
            request = urllib.request.Request(sandbox.tls_url + IG_ME, headers={"Authorization": "Bearer IGAAone"})
            trusting = ssl.create_default_context(cafile=certificate[0])
            with urllib.request.urlopen(request, context=trusting, timeout=20) as answer:
                self.assertEqual(json.load(answer)["username"], "one")
            with self.assertRaises(urllib.error.URLError) as caught:
                urllib.request.urlopen(request, timeout=20)
            self.assertIsInstance(caught.exception.reason, ssl.SSLCertVerificationError)
            request = urllib.request.Request(sandbox.tls_url + IG_ME, headers={"Authorization": "Bearer IGAAreset"})
            with self.assertRaises(OSError):
                urllib.request.urlopen(request, context=trusting, timeout=20)
            self.assertEqual(sandbox.get(IG_ME, "IGAAone").status, 200)
            self.assertEqual(sandbox.calls("IGAAone"), 2)


async def keep_calling(port, token, calls):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = f"GET {IG_ME} HTTP/1.1\r\nHost: sandbox\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    for _ in range(calls):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise AssertionError(head)
        await reader.readexactly(int(re.search(rb"(?i)content-length: (\d+)", head)[1]))
    writer.close()


class Load(SandboxCase):
    def load(self, clients, calls):
        """Seconds, and CPU seconds of the sandbox."""
        async def all_of_them():
            await asyncio.gather(*[keep_calling(self.sandbox.port, "IGAAone", calls) for _ in range(clients)])
        cpu, start = self.cpu_s(), time.monotonic()
        asyncio.run(all_of_them())
        return time.monotonic() - start, self.cpu_s() - cpu

    def cpu_s(self):
        with open(f"/proc/{self.sandbox.process.pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def test_calls_that_wait_cost_next_to_nothing(self):
        self.sandbox.latency(50)
        seconds, cpu_s = self.load(120, 50)
        print(f"FIGURE: sandbox: {6000 / seconds:,.0f} calls/s at 50 ms from 120 clients, {cpu_s / 6000 * 1e6:.0f} us of CPU a call")
        self.assertEqual(self.sandbox.calls("IGAAone"), 6000)
        if "release" in BUILD:
            self.assertLess(cpu_s / 6000, 300e-6)

    def test_three_thousand_calls_at_once(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.assertGreaterEqual(hard, 4000, "the limit of open files is too low for this test")
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        self.sandbox.latency(3000)
        seconds, _ = self.load(3000, 1)
        summary = self.sandbox.summary()
        print(f"FIGURE: sandbox: 3,000 calls of 3 s each in {seconds:.1f} s, {summary['max_concurrency']} at once")
        self.assertEqual(summary["by_outcome"], {"ok": 3000})
        self.assertGreater(summary["max_concurrency"], 1000)


if __name__ == "__main__":
    unittest.main()
