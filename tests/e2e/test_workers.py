"""The responder's processes: what web servers may do to them, how they are listened to, replaced, stopped, and how much they take."""
import contextlib
import ctypes
import json
import os
import re
import resource
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import time
import unittest

import fastcgi
from case import API, ServiceCase, account, account_id, registration, sealed
from fastcgi import Connection
from harness import Service, alive, children, die_with_parent, free_port, stop_process, wait_for

PSS_LIMIT_KB = 12 * 1024
STALL_S = 10  # limits.h: LIMIT_REQUEST_STALL_S


def obey_permissions():
    """Before exec: what is forbidden is forbidden to root, too (PR_CAPBSET_DROP of CAP_DAC_OVERRIDE)."""
    if os.geteuid() == 0 and ctypes.CDLL(None, use_errno=True).prctl(24, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


class Workers(ServiceCase):
    """Without nginx: the tests speak FastCGI themselves. One worker, so that whoever pins it is found out."""
    workers = 1
    responder = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.service.start_responder()

    @classmethod
    def seed(cls):
        cls.register(1, "one")
        cls.service.import_accounts([account(1, encryptedAccessToken=sealed("one"))])

    def setUp(self):
        wait_for(self.answers, 30, "the responder answers")

    @property
    def parent(self):
        return self.service.processes["responder"].pid

    def answers(self):
        try:
            with self.connect(timeout=20) as c:
                return c.request().status == 200
        except (OSError, EOFError):
            return False

    def connect(self, timeout=20):
        return Connection(self.service.socket, timeout)

    def is_quick(self, seconds=5):
        start = time.monotonic()
        with self.connect() as c:
            self.assertEqual(c.request().status, 200)
        self.assertLess(time.monotonic() - start, seconds)


class Connections(Workers):
    def test_a_kept_connection_serves_one_request_after_the_other(self):
        with self.connect() as c:
            for i in range(50):
                self.assertEqual(c.request("GET", f"{API}/status/ws-1" if i % 2 else "/livez", key=self.admin).status, 200)

    def test_a_connection_that_is_not_to_be_kept_is_closed(self):
        with self.connect() as c:
            self.assertEqual(c.request(flags=0).status, 200)
            self.assertTrue(c.is_closed())

    def test_many_kept_connections_share_a_worker_with_new_ones(self):
        kept = [self.connect() for _ in range(30)]
        try:
            for _ in range(5):
                for c in kept:
                    self.assertEqual(c.request().status, 200)
                self.is_quick()
        finally:
            for c in kept:
                c.close()

    def test_of_too_many_kept_connections_the_one_silent_longest_is_closed(self):
        kept = []
        try:
            for _ in range(65):
                kept.append(self.connect())
                self.assertEqual(kept[-1].request().status, 200)
            self.assertTrue(kept[0].is_closed())
            self.assertEqual(kept[1].request().status, 200)
            self.assertEqual(kept[64].request().status, 200)
        finally:
            for c in kept:
                c.close()

    def test_kept_and_new_connections_do_not_starve_each_other(self):
        stop, counts = threading.Event(), {"kept": 0, "new": 0}

        def kept():
            with self.connect() as c:
                while not stop.is_set():
                    assert c.request().status == 200
                    counts["kept"] += 1

        def new():
            while not stop.is_set():
                with self.connect() as c:
                    assert c.request(flags=0).status == 200
                counts["new"] += 1
        threads = [threading.Thread(target=f) for f in (kept, kept, new, new)]
        for thread in threads:
            thread.start()
        time.sleep(2)
        stop.set()
        for thread in threads:
            thread.join(30)
        self.assertGreater(min(counts.values()), 0.05 * max(counts.values()), counts)

    def test_a_key_file_that_could_not_be_read_is_tried_again_though_it_is_the_same(self):
        pid, mark = children(self.parent)[0], len(self.service.log("responder"))
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        with self.connect() as c:
            def status():
                time.sleep(0.1)
                return c.request("GET", f"{API}/stats", key=self.admin).status
            self.assertEqual(status(), 200)
            os.utime(self.service.settings["responder"]["keys_file"])
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))  # it can open nothing more
            try:
                time.sleep(1.1)
                self.assertEqual({status() for _ in range(30)}, {401})
            finally:
                resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
            time.sleep(1.1)
            self.assertEqual({status() for _ in range(5)}, {200})
        self.assertEqual(self.service.log("responder")[mark:].count("no API key can be used"), 1)

    def test_silent_connections_take_nobodys_time(self):
        silent = [self.connect() for _ in range(20)]
        try:
            self.is_quick(1.5)
            silent[0].socket.close()
            self.is_quick(1.5)
            self.assertEqual(silent[1].request().status, 200)
        finally:
            for c in silent:
                c.close()

    def test_a_request_that_stops_half_way_is_given_up(self):
        with self.connect(timeout=60) as c:
            c.send(fastcgi.begin(flags=fastcgi.KEEP) + fastcgi.record(fastcgi.PARAMS, fastcgi.pair("REQUEST_METHOD", "GET")))
            start = time.monotonic()
            self.assertTrue(c.is_closed())
            self.assertLess(time.monotonic() - start, STALL_S + 10)
        self.is_quick()

    def test_a_peer_that_reads_no_answer_is_given_up(self):
        self.service.import_accounts([account(n, "ws-big", tokenStatus="missing") for n in range(100, 1600)])
        with self.connect(timeout=60) as c:
            c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            c.send(fastcgi.whole("GET", f"{API}/status/ws-big", key=self.admin))
            time.sleep(0.5)
            start = time.monotonic()
            wait_for(self.answers, STALL_S + 30, "the worker is free again")
            self.assertGreater(time.monotonic() - start, 1, "the answer fitted into the socket: the test shows nothing")

    def test_garbage_closes_the_connection(self):
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 64, b"\xff" * 4096, fastcgi.record(fastcgi.STDIN, b"x" * 100),
                        fastcgi.begin() + fastcgi.record(fastcgi.PARAMS, b"\x80\xff\xff"),
                        fastcgi.begin() + fastcgi.record(fastcgi.PARAMS, b"\xff\xff\xff\xff\xff\xff\xff\xff" * 8),
                        fastcgi.record(fastcgi.BEGIN, b"short")):
            with self.subTest(garbage=garbage[:24]), self.connect() as c:
                c.send(garbage)
                c.socket.shutdown(socket.SHUT_WR)
                self.assertTrue(c.is_closed())
                self.is_quick()

    def test_management_records_are_answered(self):
        with self.connect() as c:
            c.send(fastcgi.record(fastcgi.GET_VALUES, fastcgi.pair("FCGI_MPXS_CONNS", ""), request_id=0) + fastcgi.whole())
            kind, content = c.read_record()
            self.assertEqual(kind, fastcgi.GET_VALUES_RESULT)
            self.assertIn(b"FCGI_MPXS_CONNS0", content)
            self.assertEqual(c.answer().status, 200)

    def test_an_unknown_role_is_refused_and_the_next_request_answered(self):
        with self.connect() as c:
            c.send(fastcgi.whole(role=9))
            self.assertTrue(c.is_closed())
        self.is_quick()

    def test_an_authorizer_request_needs_no_input(self):
        with self.connect() as c:
            more = {"TOKEN_HEALTH_KEY": self.admin, "TOKEN_HEALTH_ACCOUNT": account_id(1)}
            self.assertEqual(c.request("GET", "/app", role=fastcgi.AUTHORIZER, more=more).status, 200)


class Bodies(Workers):
    def validate(self, connection, body, **more):
        return connection.request("POST", f"{API}/validate", body, key=self.admin, **more)

    def test_a_body_without_a_declared_length_is_read(self):
        with self.connect() as c:
            self.assertEqual(self.validate(c, b'{"workspaceId":"ws-1"}', without=("CONTENT_LENGTH",)).status, 200)

    def test_a_body_that_is_not_as_long_as_declared_is_refused(self):
        for declared in (5, 5000, "22x", -22, 10 ** 30):
            with self.subTest(declared=declared), self.connect() as c:
                answer = self.validate(c, b'{"workspaceId":"ws-1"}', more={"CONTENT_LENGTH": declared})
                self.assertEqual((answer.status, json.loads(answer.body)["code"]), (400, "bad_request"))
                self.assertEqual(c.request().status, 200)

    def test_the_largest_body_is_read_and_one_byte_more_is_not(self):
        frame = b'{"workspaceId":"ws-1","x":"%s"}'
        for size, status in ((65536, 200), (65537, 413), (200000, 413)):
            with self.subTest(size=size), self.connect() as c:
                body = frame % (b"y" * (size - len(frame) + 2))
                self.assertEqual(len(body), size)
                self.assertEqual(self.validate(c, body).status, status)
                self.assertEqual(c.request().status, 200, "the rest of the body was taken for a request")

    def test_an_endless_body_is_not_read_to_its_end(self):
        with self.connect() as c:
            c.send(fastcgi.begin(flags=fastcgi.KEEP) + fastcgi.params(fastcgi.values_of(
                "POST", f"{API}/validate", b"x", self.admin, without=("CONTENT_LENGTH",))))
            sent, chunk = 0, fastcgi.record(fastcgi.STDIN, b"z" * 65528)
            try:
                while sent < 64 << 20:
                    c.send(chunk)
                    sent += len(chunk)
            except (BrokenPipeError, ConnectionResetError):
                pass
            self.assertLess(sent, 8 << 20)
            self.assertEqual(c.answer().status, 413)
        self.is_quick()

    def test_a_body_sent_with_get_is_not_the_next_request(self):
        smuggled = fastcgi.whole("POST", f"{API}/clear-cache", key=self.admin)
        with self.connect() as c:
            self.assertEqual(c.request("GET", f"{API}/check?accountId={account_id(1)}", key=self.admin).status, 204)
            calls = self.sandbox.ledger()["calls"]
            for size in (0, 9000, 70000):
                answer = c.request("GET", "/livez", b"a" * size + smuggled * 3)
                self.assertEqual((answer.status, json.loads(answer.body)), (200, {"status": "alive"}))
            self.assertEqual(c.request("GET", f"{API}/check?accountId={account_id(1)}", key=self.admin).status, 204)
        self.assertEqual(self.sandbox.ledger()["calls"], calls, "the cache was cleared")

    def test_a_request_that_is_broken_off_does_nothing(self):
        """The body of clear-cache says what to clear: without it that would be everything."""
        check = f"{API}/check?accountId={account_id(1)}"
        with self.connect() as c:
            self.assertEqual(c.request("GET", check, key=self.admin).status, 204)
        calls = self.sandbox.ledger()["calls"]
        head = fastcgi.begin() + fastcgi.params(fastcgi.values_of("POST", f"{API}/clear-cache", b"", self.admin))
        for end in (b"", fastcgi.record(fastcgi.STDIN, b'{"accountId":"x"}')[:20], fastcgi.record(fastcgi.ABORT)):
            with self.subTest(end=end), self.connect() as c:
                c.send(head + end)
                c.socket.shutdown(socket.SHUT_WR)
                with self.assertRaises(EOFError):
                    while True:
                        kind, content = c.read_record()
                        self.assertNotIn(b"success", content)
        with self.connect() as c:
            self.assertEqual(c.request("GET", check, key=self.admin).status, 204)
        self.assertEqual(self.sandbox.ledger()["calls"], calls, "the cache was cleared")

    def test_parameters_that_are_too_long_are_refused(self):
        for name in ("REQUEST_METHOD", "REQUEST_URI", "QUERY_STRING", "CONTENT_TYPE", "TOKEN_HEALTH_WORKSPACE", "TOKEN_HEALTH_ACCOUNT"):
            with self.subTest(name=name), self.connect() as c:
                answer = c.request("GET", f"{API}/stats", key=self.admin, more={name: "/" + "a" * 100000})
                self.assertEqual(answer.status, 400, answer)
                self.assertEqual(c.request().status, 200)
        with self.connect() as c:
            self.assertEqual(c.request("GET", f"{API}/stats", key="thk_" + "a" * 100000).status, 401)

    def test_the_web_server_s_ids_go_before_the_clients(self):
        with self.connect() as c:
            answer = c.request("GET", f"{API}/check?accountId=nobody", key=self.admin, more={"TOKEN_HEALTH_ACCOUNT": f"{account_id(1)}"})
            self.assertEqual((answer.status, answer.headers.get("X-Token-Health")), (204, "healthy; ok"))


class Listening(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="token-health-e2e-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.service = Service(self.dir, "http://127.0.0.1:1", workers=2)
        self.addCleanup(self.service.stop)
        self.environment = self.service.environment()

    def run_responder(self, *args, stdin=subprocess.DEVNULL, without_override=False):
        return subprocess.run([self.service.program("token-health-fcgi"), "--config", self.service.conf, *args], text=True,
                              capture_output=True, env=self.environment, timeout=60, stdin=stdin,
                              preexec_fn=obey_permissions if without_override else None)

    def listen(self, where):
        self.service.settings["responder"]["listen"] = where
        self.service.write_conf()
        self.service.start_responder()

    def answers(self, where):
        with Connection(where) as c:
            return c.request().status == 200

    def test_the_socket_has_the_permissions_that_are_asked_for_and_goes_at_the_end(self):
        self.service.settings["responder"]["socket_mode"] = "0600"
        self.listen(f"unix:{self.service.socket}")
        self.assertEqual(stat.S_IMODE(os.stat(self.service.socket).st_mode), 0o600)
        self.service.stop()
        self.assertFalse(os.path.exists(self.service.socket))

    def test_a_stale_socket_is_replaced(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(self.service.socket)
        self.listen(f"unix:{self.service.socket}")
        self.assertTrue(self.answers(self.service.socket))

    def test_a_socket_in_use_is_refused_and_goes_on_working(self):
        self.listen(f"unix:{self.service.socket}")
        second = self.run_responder()
        self.assertEqual(second.returncode, 1)
        self.assertIn("another process listens on this socket", second.stderr)
        self.assertTrue(self.answers(self.service.socket))

    def refuse_politely(self):
        start, before = time.monotonic(), os.stat(self.service.socket).st_ino
        refused = self.run_responder(without_override=True)
        self.assertEqual(refused.returncode, 1, refused.stderr)
        self.assertIn("another process listens on this socket", refused.stderr)
        self.assertEqual(os.stat(self.service.socket).st_ino, before)
        self.assertLess(time.monotonic() - start, 20)

    def test_a_socket_that_may_be_in_use_is_left_alone(self):
        with self.subTest("no permission to ask"), socket.socket(socket.AF_UNIX) as s:
            s.bind(self.service.socket)
            s.listen()
            os.chmod(self.service.socket, 0)
            self.refuse_politely()
        os.unlink(self.service.socket)
        with self.subTest("its queue is full"), socket.socket(socket.AF_UNIX) as s, contextlib.ExitStack() as stack:
            s.bind(self.service.socket)
            s.listen(0)
            full = 0
            while full == 0:
                waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
                waiting.setblocking(False)
                full = waiting.connect_ex(self.service.socket)
            self.refuse_politely()
        os.unlink(self.service.socket)
        with self.subTest("of another kind"), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.bind(self.service.socket)
            self.refuse_politely()

    def test_a_file_in_the_socket_s_place_is_left_alone(self):
        with open(self.service.socket, "w") as f:
            f.write("precious")
        refused = self.run_responder()
        self.assertEqual(refused.returncode, 1)
        self.assertIn("no socket", refused.stderr)
        with open(self.service.socket) as f:
            self.assertEqual(f.read(), "precious")

    def test_places_to_listen_that_make_no_sense_are_refused_with_the_reason(self):
        for where, reason in (("nowhere", "HOST:PORT"), (":9000", "HOST:PORT"), ("127.0.0.1:notaport", "127.0.0.1:notaport"),
                              ("127.0.0.1:99999999", "127.0.0.1:99999999"), ("fd:0", "no listening socket"),
                              ("unix:/" + "x" * 200, "at most 107 bytes"), ("unix:/nonexistent/x/y.sock", "No such file"),
                              ("192.0.2.1:9000", "192.0.2.1:9000")):
            with self.subTest(where=where):
                refused = self.run_responder("--listen", where)
                self.assertEqual(refused.returncode, 1, refused.stderr)
                self.assertIn(reason, refused.stderr)

    def test_over_tcp(self):
        port = free_port()
        self.listen(f"127.0.0.1:{port}")
        silent = [Connection(("127.0.0.1", port)) for _ in range(8)]
        self.assertTrue(self.answers(("127.0.0.1", port)))
        for c in silent:
            c.close()
        busy = self.run_responder()
        self.assertEqual(busy.returncode, 1)
        self.assertIn("in use", busy.stderr)

    def test_over_tcp_only_the_web_servers_that_are_named_are_let_in(self):
        for allowed, welcome in (("127.0.0.1", True), ("192.0.2.7, 127.0.0.1", True), ("192.0.2.7", False), ("nonsense", False)):
            with self.subTest(allowed=allowed):
                port = free_port()
                os.environ["FCGI_WEB_SERVER_ADDRS"] = allowed
                try:
                    self.listen(f"127.0.0.1:{port}")
                finally:
                    del os.environ["FCGI_WEB_SERVER_ADDRS"]
                try:
                    self.assertEqual(self.answers(("127.0.0.1", port)), welcome)
                except (EOFError, ConnectionResetError, BrokenPipeError):
                    self.assertFalse(welcome)
                self.service.stop()

    def test_the_socket_on_descriptor_0(self):
        self.assertIsNotNone(shutil.which("spawn-fcgi"), "spawn-fcgi is not installed")
        path, pid_file = f"{self.dir}/spawned.sock", f"{self.dir}/pid"
        subprocess.run(["spawn-fcgi", "-s", path, "-P", pid_file, "--", self.service.program("token-health-fcgi"), "--config",
                        self.service.conf], check=True, env=self.environment, stdout=subprocess.DEVNULL, timeout=30)
        with open(pid_file) as f:
            pid = int(f.read())
        try:
            self.assertTrue(self.answers(path))
            self.assertFalse(os.path.exists(self.service.socket), "the configured socket was opened too")
        finally:
            os.kill(pid, signal.SIGTERM)
            wait_for(lambda: not alive(pid), 20, "the spawned responder stops")

    def test_a_configuration_that_no_worker_can_be_opened_with_ends_the_start(self):
        os.makedirs(f"{self.dir}/providers")
        with open(f"{self.dir}/providers/instagram.json", "w") as f:
            f.write('{\n  "platform": "instagram",\n  "nonsense": 1\n}\n')
        for args in ((), ("--check-config",)):
            with self.subTest(args=args):
                refused = self.run_responder(*args)
                self.assertEqual(refused.returncode, 1, refused)
                self.assertRegex(refused.stderr, r"instagram\.json:\d+")
        self.assertFalse(os.path.exists(self.service.socket))

    def test_version_help_and_wrong_options(self):
        self.assertRegex(self.run_responder("--version").stdout, r"^token-health-fcgi \d+\.\d+\.\d+\n$")
        self.assertIn("--listen", self.run_responder("--help").stdout)
        for args in (("--nonsense",), ("extra",), ("--workers", "0"), ("--workers", "9999"), ("--workers", "x"), ("--workers", "")):
            self.assertEqual(self.run_responder(*args).returncode, 2, args)


class Lives(Workers):
    """Workers come, go and are replaced."""
    workers = 2

    @classmethod
    def seed(cls):
        super().seed()
        cls.service.crashes_on_purpose = True

    def kids(self):
        return [pid for pid in children(self.parent) if alive(pid)]

    def log_since(self, mark):
        return self.service.log("responder")[mark:]

    def reload(self):
        mark = len(self.service.log("responder"))
        os.kill(self.parent, signal.SIGHUP)
        return mark

    def set_workers(self, count, settle=True):
        before = set(self.kids())
        self.service.settings["responder"]["workers"] = count
        self.service.write_conf()
        self.reload()
        if settle:
            wait_for(lambda: len(self.kids()) == count and not before & set(self.kids()), 40, f"{count} new workers")

    def slow_validation(self, results):
        with Connection(self.service.socket, 60) as c:
            results.append(c.request("POST", f"{API}/validate", b'{"workspaceId":"ws-1","forceRefresh":true}', key=self.admin))

    def begin_slow_validation(self, ms):
        self.sandbox.latency(ms)
        self.addCleanup(self.sandbox.latency, 0)
        calls, results = self.sandbox.ledger()["calls"], []
        thread = threading.Thread(target=self.slow_validation, args=(results,))
        thread.start()
        wait_for(lambda: self.sandbox.ledger()["calls"] > calls, 10, "the provider is being asked")
        return thread, results

    def test_a_crashed_worker_comes_back_while_the_other_one_answers(self):
        for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL):
            with self.subTest(signal=number):
                wait_for(lambda: len(self.kids()) == 2, 40, "two workers")
                victim = self.kids()[0]
                os.kill(victim, number)
                wait_for(lambda: not alive(victim), 10, "the worker is dead")
                for _ in range(10):
                    self.is_quick()
                wait_for(lambda: len(self.kids()) == 2, 40, "a new worker")
                self.assertIn(f"signal={int(number)}", self.service.log("responder"))

    def test_a_worker_that_dies_young_waits_longer_each_time(self):
        gaps = []
        for _ in range(3):
            wait_for(lambda: len(self.kids()) == 2, 40, "two workers")
            victim = self.kids()[-1]
            os.kill(victim, signal.SIGSEGV)
            wait_for(lambda: not alive(victim), 10, "the worker is dead")
            start = time.monotonic()
            wait_for(lambda: len(self.kids()) == 2, 40, "a new worker")
            gaps.append(time.monotonic() - start)
        self.assertGreater(gaps[2], gaps[1] * 1.3, gaps)
        self.assertGreater(gaps[1], 0.9, gaps)

    def test_a_worker_that_is_told_to_stop_while_it_opens_its_parts_is_no_casualty(self):
        mark, before = len(self.service.log("responder")), self.kids()
        for _ in range(4):
            os.kill(self.kids()[-1], signal.SIGTERM)  # the newest: it has hardly begun
            time.sleep(0.1)
        wait_for(lambda: len(self.kids()) == 2 and before[0] in self.kids(), 40, "two workers")
        self.assertNotIn("a worker died", self.log_since(mark))

    def test_sigterm_lets_the_request_under_way_finish(self):
        thread, results = self.begin_slow_validation(1500)
        service = Service.__new__(Service)  # the class's responder goes on for the other tests
        service.__dict__.update(self.service.__dict__, processes=dict(self.service.processes))
        stop_process(service.processes["responder"])
        thread.join(30)
        self.assertEqual(len(results), 1, "the request was cut off")
        self.assertEqual((results[0].status, json.loads(results[0].body)["validAccounts"]), (200, 1))
        self.assertEqual(service.processes["responder"].returncode, 0)
        self.service.start_responder()

    def test_sigterm_is_heard_under_constant_load(self):
        stop = threading.Event()

        def load():
            while not stop.is_set():
                try:
                    with self.connect() as c:
                        while not stop.is_set():
                            c.request()
                except (OSError, EOFError):
                    time.sleep(0.01)
        threads = [threading.Thread(target=load) for _ in range(6)]
        for thread in threads:
            thread.start()
        try:
            time.sleep(0.5)
            victims, start = self.kids(), time.monotonic()
            for pid in victims:
                os.kill(pid, signal.SIGTERM)
            wait_for(lambda: not any(alive(pid) for pid in victims), 10, "the workers stop")
            self.assertLess(time.monotonic() - start, 5)
        finally:
            stop.set()
            for thread in threads:
                thread.join(30)
        self.assertNotIn("did not finish in time", self.service.log("responder"))

    def test_sighup_replaces_the_workers_and_cuts_nobody_off(self):
        thread, results = self.begin_slow_validation(1500)
        before = self.kids()
        self.addCleanup(self.set_workers, 2)
        self.set_workers(3, settle=False)
        failures, start = 0, time.monotonic()
        while time.monotonic() - start < 5:
            with self.connect() as c:
                failures += c.request().status != 200
        thread.join(30)
        self.assertEqual((failures, [r.status for r in results]), (0, [200]))
        wait_for(lambda: len(self.kids()) == 3 and not set(before) & set(self.kids()), 40, "three new workers")

    def test_sighup_with_a_bad_configuration_changes_nothing(self):
        before = self.kids()
        with open(self.service.conf) as f:
            good = f.read()
        self.addCleanup(self.service.write_private, self.service.conf, good)
        providers = f"{self.service.dir}/providers"
        os.makedirs(providers, exist_ok=True)

        def bad_provider():
            with open(f"{providers}/instagram.json", "w") as f:
                f.write('{"platform": "instagram", "nonsense": 1}')

        def bad_key():
            self.service.write_private(self.service.conf, good + "\n[responder]\nnonsense = 1\n")
        for what, reason in ((bad_key, "token-health.conf:"), (bad_provider, "instagram.json:")):
            with self.subTest(what=what.__name__):
                what()
                mark = self.reload()
                wait_for(lambda: "the new configuration is not used" in self.log_since(mark), 20, "the refusal is logged")
                self.assertIn(reason, self.log_since(mark))
                self.assertEqual(self.kids(), before)
                self.is_quick()
                self.service.write_private(self.service.conf, good)
        os.unlink(f"{providers}/instagram.json")

    def test_a_reload_during_a_reload_is_not_lost(self):
        self.addCleanup(self.set_workers, 2)
        for count in (3, 4, 1):
            self.set_workers(count, settle=False)
            time.sleep(0.1)  # it is trying the configuration or replacing workers
        wait_for(lambda: len(self.kids()) == 1, 40, "one worker")

    def test_a_stop_during_a_reload_is_not_lost(self):
        self.reload()
        time.sleep(0.1)
        stop_process(self.service.processes["responder"])
        self.assertEqual(self.service.processes["responder"].returncode, 0)
        self.service.start_responder()

    def test_the_workers_go_with_their_parent(self):
        wait_for(lambda: len(self.kids()) == 2, 40, "two workers")
        kids = self.kids()
        os.kill(self.parent, signal.SIGKILL)
        self.service.processes["responder"].wait(10)
        wait_for(lambda: not any(alive(pid) for pid in kids), 20, "the workers end")
        self.service.start_responder()

    def test_a_new_key_is_good_at_once_and_a_revoked_one_within_a_second(self):
        key = self.service.create_key("short-lived", "read")

        def status():
            with self.connect() as c:
                return c.request("GET", f"{API}/stats", key=key).status
        self.assertEqual({status() for _ in range(8)}, {200})
        listed = json.loads(self.service.ctl("--json", "key", "list").stdout)
        self.service.ctl("key", "revoke", next(k["id"] for k in listed if k["name"] == "short-lived"))
        time.sleep(1.1)
        self.assertEqual({status() for _ in range(8)}, {401})

    def test_a_key_file_that_others_may_read_opens_nothing(self):
        path = self.service.settings["responder"]["keys_file"]
        os.chmod(path, 0o644)
        time.sleep(1.1)
        try:
            with self.connect() as c:
                self.assertEqual(c.request("GET", f"{API}/stats", key=self.admin).status, 401)
        finally:
            os.chmod(path, 0o600)
        time.sleep(1.1)
        with self.connect() as c:
            self.assertEqual(c.request("GET", f"{API}/stats", key=self.admin).status, 200)

    def status_of_stats(self):
        with self.connect() as c:
            return c.request("GET", f"{API}/stats", key=self.admin).status

    def test_a_key_file_changed_in_place_is_read_though_its_size_and_time_are_the_old_ones(self):
        path = self.service.settings["responder"]["keys_file"]
        with open(path) as f:
            good = f.read()
        old = os.stat(path)
        bad = re.sub(r'("sha256": ?")(.)', lambda m: m[1] + ("1" if m[2] == "0" else "0"), good)
        self.assertEqual({self.status_of_stats() for _ in range(8)}, {200})
        for text, status in ((bad, 401), (good, 200)):
            with open(path, "r+") as f:
                f.write(text)
            os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
            now = os.stat(path)
            self.assertEqual((now.st_ino, now.st_size, now.st_mtime_ns), (old.st_ino, old.st_size, old.st_mtime_ns))
            time.sleep(1.1)
            self.assertEqual({self.status_of_stats() for _ in range(8)}, {status})


class SecretsInTheEnvironment(Workers):
    workers = 2

    @classmethod
    def seed(cls):
        super().seed()
        s = cls.service
        cls.canaries = {"TOKEN_ENCRYPTION_KEY": s.key, "INSTAGRAM_APP_SECRET": "canary-instagram-secret", "MONGODB_URI": "mongodb://me:canary-password@127.0.0.1:1/app",
                        "TOKEN_HEALTH_STORE_URI": s.store, "TOKEN_HEALTH_APP_FACEBOOK_SECRET": "canary-facebook-secret"}
        del s.settings["encryption"]["key_file"]
        os.unlink(f"{s.dir}/master-key")
        s.write_conf()
        environment = {**s.environment(), **cls.canaries}
        s.environment = lambda: environment

    def assert_gone(self):
        if os.geteuid() != 0 and "release" in self.service.program(""):
            self.skipTest("only root may look into a process that is not dumpable")
        for pid in [self.parent] + children(self.parent):
            with open(f"/proc/{pid}/environ", "rb") as f:
                seen = f.read()
            for name, value in self.canaries.items():
                self.assertIn(name.encode() + b"=", seen, "this is not the environment that was given")
                self.assertNotIn(value.encode(), seen, f"{name} in {pid}, parent {self.parent}")

    def assert_works(self):
        with self.connect() as c:
            answer = c.request("POST", f"{API}/validate", b'{"workspaceId":"ws-1","forceRefresh":true}', key=self.admin)
        self.assertEqual(answer.status, 200)
        self.assertEqual(json.loads(answer.body)["validAccounts"], 1, answer.body)

    def test_they_are_not_in_the_process_s_environment_and_reloads_still_have_them(self):
        self.assert_works()
        self.assert_gone()
        for _ in range(2):
            before = set(children(self.parent))
            os.kill(self.parent, signal.SIGHUP)
            wait_for(lambda: len(children(self.parent)) == 2 and not before & set(children(self.parent)), 40, "new workers")
            self.assert_works()
            self.assert_gone()


class KeptByNginx(Workers):
    """nginx with fastcgi_keep_conn and upstream keepalive."""
    workers = 4

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.service.start_nginx(keepalive=8)

    def work(self, counts, stop):
        while not stop():
            for method, path, body in (("GET", f"{API}/check?accountId={account_id(1)}", None), ("POST", f"{API}/validate", {"workspaceId": "ws-1"}),
                                       ("GET", "/livez", None), ("GET", f"{API}/status/ws-1", None)):
                status = self.service.request(method, path, body=body, key=self.admin).status
                counts[(method, status)] = counts.get((method, status), 0) + 1

    def run_for(self, seconds, meanwhile=None):
        end, all_counts = time.monotonic() + seconds, [{} for _ in range(8)]
        threads = [threading.Thread(target=self.work, args=(counts, lambda: time.monotonic() > end)) for counts in all_counts]
        for thread in threads:
            thread.start()
        if meanwhile:
            meanwhile()
        for thread in threads:
            thread.join(60)
        total = {}
        for counts in all_counts:
            for key, n in counts.items():
                total[key] = total.get(key, 0) + n
        self.assertGreater(sum(total.values()), 100, total)
        return total

    def test_every_request_is_answered_over_connections_that_stay(self):
        total = self.run_for(3)
        self.assertEqual({status for _, status in total}, {200, 204}, total)
        with open("/proc/net/unix") as f:
            connected = [line for line in f if line.rstrip().endswith(self.service.socket) and line.split()[5] == "03"]
        self.assertGreater(len(connected), 1, "nginx kept no connection: the test shows nothing")

    def test_a_reload_is_not_noticed(self):
        total = self.run_for(6, lambda: (time.sleep(0.5), os.kill(self.parent, signal.SIGHUP)))
        self.assertEqual({status for method, status in total if method == "GET"}, {200, 204}, total)
        # A POST on a connection that is just being closed: nginx may not send it again (proxy_next_upstream non_idempotent).
        failed = sum(n for (method, status), n in total.items() if status not in (200, 204))
        self.assertLess(failed, 0.01 * sum(total.values()), total)


class Memory(Workers):
    workers = 2

    def read(self, pid, name):
        with open(f"/proc/{pid}/{name}") as f:
            return f.read()

    def test_the_parent_opens_nothing_that_a_worker_works_with(self):
        self.assertTrue(self.service.dir)
        maps = self.read(self.parent, "maps") if os.geteuid() == 0 else ""
        if not maps:
            self.skipTest("only root may look into a process that is not dumpable")
        self.assertNotIn("/dev/shm/token-health", maps)
        def open_files(pid):
            return [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        self.assertFalse([f for f in open_files(self.parent) if "accounts.db" in f or "eventpoll" in f], open_files(self.parent))
        worker = children(self.parent)[0]
        wait_for(lambda: any("accounts.db" in f for f in open_files(worker)), 30, "the worker opens the store")

    def test_neither_parent_nor_workers_can_leave_a_core_file(self):
        for pid in [self.parent] + children(self.parent):
            self.assertRegex(self.read(pid, "limits"), r"Max core file size +0 +0 ")
            if os.geteuid() == 0 and "asan" not in os.environ.get("TOKEN_HEALTH_BUILD", ""):
                secret = [m for m in self.read(pid, "smaps").split("VmFlags:") if " dd" in m.split("\n")[0]]
                self.assertTrue(secret, "no memory is left out of core files")

    def assert_small(self, when):
        if "release" not in os.environ.get("TOKEN_HEALTH_BUILD", "release"):
            self.skipTest("sanitizers take memory of their own")
        for pid in children(self.parent):
            if os.geteuid() == 0:
                pss = int(re.search(r"^Pss: +(\d+) kB", self.read(pid, "smaps_rollup"), re.M)[1])
            else:  # the process is not dumpable: its maps are root's; what is its own alone is not
                pss = int(re.search(r"^RssAnon:\s+(\d+) kB", self.read(pid, "status"), re.M)[1])
            print(f"FIGURE: a responder worker {when}: {pss} KiB PSS (limit {PSS_LIMIT_KB})")
            self.assertLess(pss, PSS_LIMIT_KB)

    def test_a_worker_stays_small(self):
        with self.connect() as c:
            for i in range(1000):
                if i % 20:
                    c.request("GET", f"{API}/check?accountId={account_id(1)}", key=self.admin)
                else:
                    c.request("POST", f"{API}/validate", b'{"workspaceId":"ws-1","forceRefresh":true}', key=self.admin)
        self.assert_small("after 1,000 requests")


class LargeWorkspace(Workers):
    """The shared cache, which a large workspace fills, is no worker's own: what counts is memory that is gone when the worker goes."""
    settings = {"encryption": {"kdf_iterations": "1000"}, "responder": {"request_timeout": "0"}}
    COUNT = 2000

    @classmethod
    def seed(cls):
        numbers = range(1, cls.COUNT + 1)
        cls.sandbox.register([registration(n, n) for n in numbers])
        cls.service.import_accounts([account(n, encryptedAccessToken=sealed(n)) for n in numbers])

    def own_kb(self):
        pid = children(self.parent)[0]
        name, file = ("Pss_Anon", "smaps_rollup") if os.geteuid() == 0 else ("RssAnon", "status")  # maps are root's: it is not dumpable
        with open(f"/proc/{pid}/{file}") as f:
            return int(re.search(rf"^{name}:\s+(\d+) kB", f.read(), re.M)[1])

    def test_a_worker_gives_back_what_it_took(self):
        if "release" not in os.environ.get("TOKEN_HEALTH_BUILD", "release"):
            self.skipTest("sanitizers take memory of their own")
        requests = {"validate": ("POST", f"{API}/validate", b'{"workspaceId":"ws-1","forceRefresh":true}'),
                    "status": ("GET", f"{API}/status/ws-1", b""), "check": ("GET", f"{API}/check?workspaceId=ws-1", b"")}
        for name, (method, path, body) in requests.items():
            with self.subTest(name=name), self.connect(timeout=300) as c:
                answer = c.request(method, path, body, key=self.admin)
                if name == "check":
                    self.assertEqual(answer.headers.get("X-Token-Health"), "healthy; ok")
                else:
                    self.assertEqual((answer.status, json.loads(answer.body)["totalAccounts"]), (200, self.COUNT))
                self.assertEqual(c.request().status, 200)  # by the only worker: it is done with the one before
                own_kb = self.own_kb()
                print(f"FIGURE: a responder worker after a {name} of {self.COUNT} accounts: {own_kb} KiB of its own (limit {PSS_LIMIT_KB})")
                self.assertLess(own_kb, PSS_LIMIT_KB)


if __name__ == "__main__":
    unittest.main()
