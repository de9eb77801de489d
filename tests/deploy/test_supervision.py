"""The responder under its supervisors: a socket that outlives it (as systemd's socket unit gives it, on descriptor 0), spawn-fcgi, multiwatch.
Restarts, reloads and killed workers under load through a real nginx: nothing is lost but what a killed worker had in hand."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from case import API, ServiceCase, account, account_id, sealed
from harness import Service, stop_process, wait_for
from servers import program

PATH = f"{API}/check?accountId={account_id(1)}"
WORKERS = 2
RATE = 1000  # requests a second, at least


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return {int(word) for word in f.read().split()}


COUNT = """
local threads = {}
function setup(thread) table.insert(threads, thread) end
function init() good, bad, wrong = 0, 0, "" end
function response(status, headers)
    if status == 204 and headers["X-Token-Health"] == "healthy; ok" then
        good = good + 1
    else
        bad = bad + 1
        wrong = wrong .. (bad <= 20 and (status .. " ") or "")
    end
end
function done(summary, latency)
    local good, bad, wrong, e = 0, 0, "", summary.errors
    for _, thread in ipairs(threads) do
        good, bad, wrong = good + thread:get("good"), bad + thread:get("bad"), wrong .. thread:get("wrong")
    end
    print(string.format('COUNTED {"good": %d, "bad": %d, "wrong": "%s", "socket": %d, "us": %d, "p99_us": %d}', good, bad, wrong,
                        e.connect + e.read + e.write + e.timeout, summary.duration, latency:percentile(99)))
end
"""


class Load:
    """wrk: clients that ask `check` over kept connections, each as fast as it is answered, until the end of the with block. Counts every
    answer that is not 204 and healthy, and every connection that fails."""

    def __init__(self, port, key, directory, clients=16):
        script = os.path.join(directory, "count.lua")
        with open(script, "w") as f:
            f.write(COUNT)
        self.command = [program("wrk"), "-t1", f"-c{clients}", "-d1800s", "--timeout", "60s", "-s", script, "-H", "Authorization: Bearer " + key,
                        f"http://127.0.0.1:{port}{PATH}"]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        time.sleep(1)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        output, _ = self.process.communicate(timeout=120)
        counted = json.loads(re.search(r"^COUNTED (.*)$", output, re.M)[1])
        self.good, self.failed, self.rate = counted["good"], counted["bad"] + counted["socket"], counted["good"] / (counted["us"] / 1e6)
        self.wrong = [status for status in counted["wrong"].split() if not status.startswith("5")]
        self.text = f"{self.rate:.0f} requests a second (p99 {counted['p99_us'] / 1000:.0f} ms): {self.good} good, {self.failed} failed"
        self.details = f"{self.text}; statuses {counted['wrong'] or 'none'}, {counted['socket']} socket errors"


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

    def assert_enough(self, load):
        self.assertGreaterEqual(load.rate, RATE, "too slow a machine: this shows less than is promised")

    def test_a_restart_under_load_loses_no_request(self):
        cls = type(self)
        with Load(self.service.port, self.admin, self.dir) as load:
            for _ in range(20):
                stop_process(self.process, 30)
                cls.process = self.start()
                for _ in range(50):
                    self.assertTrue(self.answers())
                time.sleep(0.5)
        print(f"FIGURE: 20 restarts at {load.text}")
        self.assertEqual(load.failed, 0, load.details)
        self.assert_enough(load)

    def test_a_reload_under_load_loses_no_request(self):
        with Load(self.service.port, self.admin, self.dir) as load:
            for _ in range(50):
                old = self.pids()
                self.process.send_signal(signal.SIGHUP)
                wait_for(lambda: len(self.pids()) == WORKERS and not self.pids() & old, 60, "the workers are replaced")
        print(f"FIGURE: 50 reloads at {load.text}")
        self.assertEqual(load.failed, 0, load.details)
        self.assert_enough(load)

    def test_a_killed_worker_loses_at_most_the_request_in_its_hand(self):
        kills = 0
        with Load(self.service.port, self.admin, self.dir) as load:
            end = time.monotonic() + 30
            while time.monotonic() < end:
                time.sleep(0.2)
                for pid in sorted(self.pids())[:1]:
                    os.kill(pid, signal.SIGKILL)
                    kills += 1
            wait_for(lambda: len(self.pids()) == WORKERS, 60, "all workers are back")
        print(f"FIGURE: {kills} workers killed at {load.text}")
        self.assertGreater(kills, 20)
        self.assertLessEqual(load.failed, kills, load.details)
        self.assertEqual(load.wrong, [], "a wrong answer")


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
