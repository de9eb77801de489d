"""`make run`: it works as it says on the screen, says in a line why it cannot, and leaves nothing behind.

Each demo runs in a folder of links to this one, so that its run/ is its own."""
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

from harness import ROOT, free_port, wait_for
from mongo import Mongo

BUILD_S = 600  # the first start builds


class Demo:
    """make run, in a session of its own: whatever it starts can be found by it."""

    def __init__(self, folder, port, **environment):
        self.log = tempfile.TemporaryFile()
        self.folder, self.port = folder, port
        env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "TOKEN_HEALTH_BUILD", "STORE", "PORT")}
        self.make = subprocess.Popen(["make", "run"], cwd=folder, env=dict(env, PORT=str(port), **environment), stdin=subprocess.DEVNULL,
                                     stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True)

    def said(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def wait_until_up(self):
        wait_for(lambda: "Ctrl-C stops everything." in self.said() or self.make.poll() is not None, BUILD_S, "the demo is up")
        if self.make.poll() is not None:
            raise AssertionError("the demo ended:\n" + self.said())
        return self

    def processes(self):
        """{pid: name}"""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat") as f:
                    name, fields = f.read().rsplit(")", 1)
            except OSError:
                continue
            state, _, _, session = fields.split()[:4]
            if int(session) == self.make.pid and state != "Z":
                found[int(pid)] = name.split("(", 1)[1]
        return found

    def segment(self):
        with open(os.path.join(self.folder, "run/token-health.conf")) as f:
            return "/dev/shm" + re.search(r"^name = (\S+)$", f.read(), re.M)[1]

    def kill(self):
        try:
            os.killpg(self.make.pid, signal.SIGTERM)
            self.make.wait(30)
            wait_for(lambda: not self.processes(), 30, "the demo's processes are gone")
        except ProcessLookupError:
            pass
        finally:
            self.make.wait()
            self.log.close()


class DemoCase(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="token-health-demo-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        os.makedirs(os.path.join(ROOT, "build"), exist_ok=True)
        for name in os.listdir(ROOT):
            if name not in ("run", ".git"):
                os.symlink(os.path.join(ROOT, name), os.path.join(self.folder, name))

    def start(self, port=None, **environment):
        demo = Demo(self.folder, port or free_port(), **environment)
        self.addCleanup(demo.kill)
        return demo

    def curl_lines(self, demo):
        lines = re.findall(r"^  (curl .*)$", demo.said(), re.M)
        self.assertEqual(len(lines), 3, demo.said())
        return lines

    def run_line(self, line):
        done = subprocess.run(["sh", "-c", line], cwd=self.folder, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, (line, done.stderr))
        return done.stdout

    def commands_work(self, demo):
        status, validate, check = self.curl_lines(demo)
        status, validate = self.run_line(status), self.run_line(validate)
        self.assertEqual((json.loads(status)["success"], json.loads(status)["totalAccounts"]), (True, 8), status)
        accounts = {int(a["accountId"][-2:], 16): a["health"] for a in json.loads(validate)["accounts"]}
        self.assertEqual({n: h["reason"] for n, h in accounts.items() if n in (10, 12, 13, 15, 9)},
                         {9: "missing_token", 10: "ok", 12: "password_changed", 13: "checkpoint", 15: "permission_missing"}, validate)
        self.assertRegex(self.run_line(check), r"^HTTP/1.1 204")
        # Just after the start the monitor may be asking still, and a check does not wait for long.
        wait_for(lambda: "\nX-Token-Health: broken; expired\n" in self.run_line(check).replace("\r", ""), 30, f"broken; expired: {check}")

    def stops(self, demo, send, seconds=20):
        segment, began, pids = demo.segment(), time.monotonic(), list(demo.processes())
        self.assertTrue(os.path.exists(segment))
        send()
        demo.make.wait(seconds)
        wait_for(lambda: not demo.processes(), 10, f"nothing is left behind: {demo.processes()}")
        self.assertLess(time.monotonic() - began, seconds)
        self.assertFalse(os.path.exists(segment), f"{segment} was left behind")
        self.assertEqual([pid for pid in pids if os.path.exists(f"/dev/shm/mongoc-{pid}")], [], "the MongoDB driver left files behind")
        self.assertFalse(os.path.exists(os.path.join(self.folder, "run/fcgi.sock")))
        with socket.socket() as s:
            self.assertNotEqual(s.connect_ex(("127.0.0.1", demo.port)), 0)


class Works(DemoCase):
    def test_what_it_prints_works_and_control_c_stops_all_of_it(self):
        demo = self.start().wait_until_up()
        self.commands_work(demo)
        run = os.path.join(self.folder, "run")
        self.assertEqual(os.stat(run).st_mode & 0o77, 0)
        self.assertEqual(os.stat(os.path.join(run, "api-key")).st_mode & 0o77, 0)
        for name in ("token-health.conf", "responder.log", "monitor.log", "nginx-error.log", "sandbox.log"):
            self.assertTrue(os.path.exists(os.path.join(run, name)), name)
        self.stops(demo, lambda: os.killpg(demo.make.pid, signal.SIGINT))  # what a terminal does
        self.assertIn("\nstopping\n", demo.said())
        self.assertNotIn("Traceback", demo.said())

    def test_the_faults_of_the_seed_are_put_right_by_the_monitor(self):
        demo = self.start().wait_until_up()
        line = self.curl_lines(demo)[0]

        def accounts():
            return {int(a["id"][-2:], 16): a for a in json.loads(self.run_line(line))["accounts"]}
        wait_for(lambda: all(a["health"]["state"] != "unknown" for a in accounts().values()), 60, "the monitor has swept")
        self.assertEqual({n: (a["tokenFormat"], a["health"]["state"]) for n, a in accounts().items() if n <= 3},
                         {n: ("encrypted", "healthy") for n in (1, 2, 3)})

    def test_sigterm_to_make_stops_all_of_it(self):
        demo = self.start().wait_until_up()
        self.stops(demo, demo.make.terminate)

    def test_many_signals_at_once_leave_nothing_behind(self):
        demo = self.start().wait_until_up()

        def impatient():
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGINT, signal.SIGTERM):
                os.killpg(demo.make.pid, number)
        self.stops(demo, impatient)

    def test_keys_and_store_are_there_again_the_next_time(self):
        first = self.start().wait_until_up()
        with open(os.path.join(self.folder, "run/api-key")) as f:
            key = f.read()
        self.stops(first, lambda: os.killpg(first.make.pid, signal.SIGINT))
        second = self.start().wait_until_up()
        with open(os.path.join(self.folder, "run/api-key")) as f:
            self.assertEqual(f.read(), key)
        self.commands_work(second)
        third = self.start()
        third.make.wait(BUILD_S)
        self.assertIn("make run: a demo runs already from this folder", third.said())
        self.commands_work(second)

    def test_stopped_while_it_starts_it_leaves_nothing(self):
        for delay_s in (0.3, 0.6, 1.0, 1.5):
            with self.subTest(delay_s=delay_s):
                demo = self.start()
                time.sleep(delay_s)
                os.killpg(demo.make.pid, signal.SIGINT)
                demo.make.wait(30)
                wait_for(lambda: not demo.processes(), 10, "nothing is left behind")
                if os.path.exists(os.path.join(self.folder, "run/token-health.conf")):
                    self.assertFalse(os.path.exists(demo.segment()))

    def test_on_mongodb(self):
        mongo = Mongo(os.path.join(self.folder, "mongo-data"))
        self.addCleanup(mongo.stop)
        mongo.start()
        demo = self.start(STORE=mongo.uri).wait_until_up()
        self.commands_work(demo)
        self.assertEqual(len(mongo.documents()), 24)
        self.stops(demo, lambda: os.killpg(demo.make.pid, signal.SIGINT))


class Refuses(DemoCase):
    """One line that says what to do; nothing is started."""

    def refused(self, words, **environment):
        began = time.monotonic()
        demo = self.start(**environment)
        status = demo.make.wait(BUILD_S)
        lines = [line for line in demo.said().splitlines() if line.startswith("make run: ")]
        self.assertNotEqual(status, 0)
        self.assertEqual(len(lines), 1, demo.said())
        self.assertRegex(lines[0], words)
        self.assertNotIn("Traceback", demo.said())
        self.assertEqual(demo.processes(), {})
        if os.path.exists(os.path.join(self.folder, "run/token-health.conf")):
            self.assertFalse(os.path.exists(demo.segment()))
        return time.monotonic() - began

    def test_a_port_in_use(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            self.refused(rf"127\.0\.0\.1:{s.getsockname()[1]} cannot be used \(Address already in use\); choose another", port=s.getsockname()[1])

    def test_a_port_that_is_none(self):
        for port in ("http", "0", "70000", "-1", "80 80"):
            with self.subTest(port=port):
                self.refused("a port from 1 to 65535 is expected", port=port)

    def test_a_store_that_is_none(self):
        for store in ("nonsense", "mysql://localhost/x", "mongodb://", "mongodb:/db", "sqlite:"):
            with self.subTest(store=store):
                self.refused("STORE: mongodb://HOST/DATABASE or sqlite:/PATH is expected", STORE=store)

    def test_a_store_that_is_away(self):
        took_s = self.refused("cannot be reached", STORE=f"mongodb://127.0.0.1:{free_port()}/x")
        self.assertLess(took_s, 60)

    def test_a_store_in_a_folder_that_is_not_there(self):
        self.refused("no-such-folder", STORE=f"sqlite:{self.folder}/no-such-folder/x.db")


class Tools(unittest.TestCase):
    def test_a_missing_tool_is_named_where_nothing_can_be_installed(self):
        with tempfile.TemporaryDirectory() as bin_dir:
            for name in ("sh", "env", "sed", "grep", "id", "cat", "gcc", "make", "pkg-config", "python3", "dpkg-query", "dirname", "mktemp", "rm"):
                os.symlink(shutil.which(name), os.path.join(bin_dir, name))
            done = subprocess.run([os.path.join(ROOT, "tests/install-tools"), "run"], env={"PATH": bin_dir}, capture_output=True, text=True,
                                  timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertRegex(done.stderr, r"there is no apt-get here; these Debian packages or their like are needed:.* curl")


if __name__ == "__main__":
    unittest.main()
