"""Where the responder listens, and what it refuses at its start."""
import contextlib
import ctypes
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
import unittest

from fastcgi import Connection
from harness import Service, alive, free_port, stop_process, wait_for


def obey_permissions():
    """Before exec: what is forbidden is forbidden to root, too (PR_CAPBSET_DROP of CAP_DAC_OVERRIDE)."""
    if os.geteuid() == 0 and ctypes.CDLL(None, use_errno=True).prctl(24, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


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

    def test_the_socket_that_systemd_gives(self):
        path = f"{self.dir}/given.sock"
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path)
            s.listen()
            command = ["sh", "-c", 'exec 3<&"$0"; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"', str(s.fileno()),
                       self.service.program("token-health-fcgi"), "--config", self.service.conf]
            process = subprocess.Popen(command, env=self.environment, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=[s.fileno()])
            try:
                self.assertTrue(self.answers(path))
                self.assertFalse(os.path.exists(self.service.socket), "the configured socket was opened too")
            finally:
                stop_process(process)

    def test_two_sockets_are_refused_as_one_would_never_be_answered(self):
        command = ["sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=2 exec "$@"', "sh", self.service.program("token-health-fcgi"), "--config", self.service.conf]
        refused = subprocess.run(command, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        self.assertEqual(refused.returncode, 1, refused)
        self.assertIn("2 sockets were given", refused.stderr)

    def test_a_socket_that_was_given_to_another_process_is_not_taken(self):
        self.environment.update(LISTEN_PID="1", LISTEN_FDS="1")
        self.service.environment = lambda: self.environment
        self.listen(f"unix:{self.service.socket}")
        self.assertTrue(self.answers(self.service.socket))

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


if __name__ == "__main__":
    unittest.main()
