"""The responder under its supervisors: a socket that outlives it (as systemd's socket unit gives it, on descriptor 0), spawn-fcgi, multiwatch.
Restarts, reloads and killed workers under load through a real nginx: nothing is lost but what a killed worker had in hand."""
import http.client
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from case import API, ServiceCase, account, account_id, sealed
from harness import Service, stop_process, wait_for
from servers import program

PATH = f"{API}/check?accountId={account_id(1)}"
WORKERS = 2


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return {int(word) for word in f.read().split()}


class Load:
    """Clients that ask `check` over kept connections, one request after the other, about a thousand a second in all."""

    def __init__(self, port, key, clients=8, pause_s=0.007):
        self.port, self.key, self.pause_s, self.done = port, key, pause_s, threading.Event()
        self.good, self.bad, self.lock = 0, [], threading.Lock()
        self.threads = [threading.Thread(target=self.client) for _ in range(clients)]

    def client(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=90)
        while not self.done.is_set():
            try:
                connection.request("GET", PATH, headers={"Authorization": "Bearer " + self.key})
                response = connection.getresponse()
                response.read()
                wrong = None if (response.status, response.headers["X-Token-Health"]) == (204, "healthy; ok") else f"status {response.status}"
            except OSError as e:
                wrong = repr(e)
                connection.close()
            with self.lock:
                self.good += wrong is None
                self.bad += [wrong] if wrong else []
            time.sleep(self.pause_s)
        connection.close()

    def __enter__(self):
        self.start = time.monotonic()
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        for thread in self.threads:
            thread.join()
        self.rate = (self.good + len(self.bad)) / (time.monotonic() - self.start)


class Kept(ServiceCase):
    """The socket is this process's; responders come and go."""
    responder = False
    settings = {"cache": {"ttl": "1h"}}
    workers = WORKERS

    @classmethod
    def seed(cls):
        cls.register(1, "one")
        cls.service.import_accounts([account(1, encryptedAccessToken=sealed("one"))])

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.socket = socket.socket(socket.AF_UNIX)
        cls.addClassCleanup(cls.socket.close)
        cls.socket.bind(cls.service.socket)
        cls.socket.listen(4096)
        cls.service.start_nginx()
        cls.process = cls.start()
        cls.addClassCleanup(lambda: stop_process(cls.process, 30))
        wait_for(cls.answers, 60, "the responder answers")

    @classmethod
    def start(cls):
        with open(os.path.join(cls.service.dir, "responder.log"), "ab") as log:
            return subprocess.Popen([cls.service.program("token-health-fcgi"), "--config", cls.service.conf, "--listen", "fd:0"],
                                    stdin=cls.socket, stdout=log, stderr=log, env=cls.service.environment())

    @classmethod
    def answers(cls):
        return cls.service.request("GET", PATH, key=cls.admin).status == 204

    def pids(self):
        return children(self.process.pid)

    def test_a_restart_under_load_loses_no_request(self):
        cls = type(self)
        with Load(self.service.port, self.admin) as load:
            for _ in range(20):
                stop_process(self.process, 30)
                cls.process = self.start()
                before = load.good
                wait_for(lambda: load.good > before + 50, 60, "requests go through after a restart")
        print(f"FIGURE: 20 restarts at {load.rate:.0f} requests a second: {load.good} good, {len(load.bad)} failed")
        self.assertEqual(load.bad, [])

    def test_a_reload_under_load_loses_no_request(self):
        with Load(self.service.port, self.admin) as load:
            for _ in range(50):
                old = self.pids()
                self.process.send_signal(signal.SIGHUP)
                wait_for(lambda: len(self.pids()) == WORKERS and not self.pids() & old, 60, "the workers are replaced")
        print(f"FIGURE: 50 reloads at {load.rate:.0f} requests a second: {load.good} good, {len(load.bad)} failed")
        self.assertEqual(load.bad, [])

    def test_a_killed_worker_loses_at_most_the_request_in_its_hand(self):
        kills = 0
        with Load(self.service.port, self.admin) as load:
            end = time.monotonic() + 30
            while time.monotonic() < end:
                time.sleep(0.2)
                for pid in sorted(self.pids())[:1]:
                    os.kill(pid, signal.SIGKILL)
                    kills += 1
            wait_for(lambda: len(self.pids()) == WORKERS, 60, "all workers are back")
        print(f"FIGURE: {kills} workers killed at {load.rate:.0f} requests a second: {load.good} good, {len(load.bad)} failed")
        self.assertGreater(kills, 20)
        self.assertLessEqual(len(load.bad), kills, load.bad[:5])
        self.assertFalse([b for b in load.bad if "20" in b], "a wrong answer")


class Spawned(unittest.TestCase):
    """Other supervisors, each with a socket of its own."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="token-health-spawned-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.service = Service(self.dir, "http://127.0.0.1:9", workers=WORKERS)
        self.key = self.service.create_key("reader", "read")
        self.addCleanup(self.service.stop)

    def run_under(self, command):
        """Starts it, asks it, stops it by SIGTERM; afterwards nothing of it is left."""
        with open(os.path.join(self.dir, "supervisor.log"), "wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.service.environment(),
                                       start_new_session=True)
        try:
            self.service.start_nginx()
            wait_for(lambda: self.service.request("GET", "/livez").status == 200, 60, f"{command[0]}: /livez answers 200")
            self.assertEqual(self.service.request("GET", "/api/instagram/token-health/stats", key=self.key).status, 200)
        finally:
            stop_process(process, 30)

        def gone():
            return not any(self.is_ours(pid) for pid in os.listdir("/proc") if pid.isdigit())
        wait_for(gone, 30, "nothing of it is left")

    def is_ours(self, pid):
        try:
            with open(f"/proc/{pid}/cmdline") as f:
                return self.service.conf in f.read() and "token-health-fcgi" in open(f"/proc/{pid}/cmdline").read()
        except OSError:
            return False

    def command(self, *more):
        return [self.service.program("token-health-fcgi"), "--config", self.service.conf, *more]

    def test_under_spawn_fcgi_with_our_own_workers(self):
        self.run_under([program("spawn-fcgi"), "-n", "-s", self.service.socket, "-M", "0660", "--", *self.command()])

    def test_under_multiwatch(self):
        self.run_under([program("spawn-fcgi"), "-n", "-s", self.service.socket, "-M", "0660", "--", program("multiwatch"), "-f", "3", "-s", "TERM",
                        "--", *self.command("--workers", "1")])


if __name__ == "__main__":
    unittest.main()
