"""What a supervisor hears (sd_notify), and what becomes of workers that are stuck or have done their part."""
import os
import re
import signal
import socket
import threading
import time
import unittest

from case import API
from fastcgi import Connection
from harness import alive, children, stop_process, wait_for
from workers import Workers


class Supervisor:
    """The socket of NOTIFY_SOCKET; what came, with its time."""

    def __init__(self, directory):
        self.path, self.heard = os.path.join(directory, "notify"), []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.thread = threading.Thread(target=self.listen)
        self.thread.start()

    def listen(self):
        while text := self.socket.recv(4096).decode():
            self.heard.append((time.monotonic(), text))

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(b"", self.path)
        self.thread.join()
        self.socket.close()

    def since(self, mark, word):
        return [(at, text) for at, text in self.heard[mark:] if word in text]


class Notified(Workers):
    """stuck_timeout is short, so that a test sees it; the requests of this class have no time limit of their own."""
    workers = 2
    settings = {"responder": {"stuck_timeout": "2s", "request_timeout": "0"}, "provider": {"timeout": "30s"}}
    watchdog = "400000"  # µs

    @classmethod
    def seed(cls):
        super().seed()
        cls.service.crashes_on_purpose = True
        cls.supervisor = Supervisor(cls.service.dir)
        cls.addClassCleanup(cls.supervisor.close)
        environment = {**cls.service.environment(), "NOTIFY_SOCKET": cls.supervisor.path, "WATCHDOG_USEC": cls.watchdog}
        cls.service.environment = lambda: environment

    def kids(self):
        return [pid for pid in children(self.parent) if alive(pid)]

    def settle(self):
        def is_settled():
            last = [text for _, text in self.supervisor.since(0, "STATUS=")][-1:]
            return len(self.kids()) == 2 and "2 of 2 workers ready" in "".join(last)
        wait_for(is_settled, 60, "two workers are ready")

    def hears(self, mark, word, seconds=20):
        wait_for(lambda: self.supervisor.since(mark, word), seconds, f"the supervisor hears {word}")
        return self.supervisor.since(mark, word)[0]


class Responder(Notified):
    def test_ready_is_said_once_requests_are_answered_and_the_end_is_announced(self):
        mark = len(self.supervisor.heard)
        stop_process(self.service.processes["responder"])
        self.hears(mark, "STOPPING=1")
        mark = len(self.supervisor.heard)
        self.service.start_responder()
        _, text = self.hears(mark, "READY=1")
        self.assertRegex(text, r"STATUS=[12] of 2 workers ready")
        self.is_quick(1.5)

    def test_the_status_counts_the_requests(self):
        def counted():
            found = re.findall(r"workers ready, (\d+) requests", " ".join(text for _, text in self.supervisor.heard))
            return int(found[-1]) if found else 0
        before = counted()
        with self.connect() as c:
            for _ in range(100):
                c.request()
        wait_for(lambda: counted() >= before + 100, 20, "the status counts 100 requests more")

    def test_a_reload_is_begun_and_ended(self):
        self.settle()
        mark, before, now_us = len(self.supervisor.heard), set(self.kids()), time.monotonic() * 1e6
        os.kill(self.parent, signal.SIGHUP)
        began, text = self.hears(mark, "RELOADING=1")
        self.assertLess(abs(int(re.search(r"MONOTONIC_USEC=(\d+)", text)[1]) - now_us), 10e6)
        ended, _ = self.hears(mark, "READY=1", 60)
        self.assertGreater(ended, began)
        self.assertFalse(before & set(self.kids()), "not all workers were replaced when it was over")

    def test_the_watchdog_is_answered_while_a_worker_moves_and_not_while_none_does(self):
        wait_for(lambda: len(self.kids()) == 2, 40, "two workers")
        mark = len(self.supervisor.heard)
        wait_for(lambda: len(self.supervisor.since(mark, "WATCHDOG=1")) >= 8, 20, "it is answered again and again")
        for _ in range(2):  # the second time they are young: they come back after a second or more
            self.settle()
            victims = self.kids()
            for pid in victims:
                os.kill(pid, signal.SIGSEGV)
            wait_for(lambda: not any(alive(pid) for pid in victims), 10, "they are dead")
        died = time.monotonic()
        time.sleep(0.05)
        mark = len(self.supervisor.heard)
        wait_for(lambda: self.supervisor.since(mark, "WATCHDOG=1"), 40, "it is answered again")
        self.assertGreater(self.supervisor.since(mark, "WATCHDOG=1")[0][0] - died, 0.9)
        self.is_quick()

    def test_a_worker_that_is_stuck_in_one_request_is_killed_and_replaced_while_the_other_one_answers(self):
        self.settle()
        before, log = set(self.kids()), len(self.service.log("responder"))
        self.sandbox.latency(20000)
        self.addCleanup(self.sandbox.latency, 0)
        with Connection(self.service.socket, 60) as stuck:
            start = time.monotonic()
            with self.assertRaises((EOFError, ConnectionResetError)):
                stuck.request("POST", f"{API}/validate", b'{"workspaceId":"ws-1","forceRefresh":true}', key=self.admin)
            self.assertGreater(time.monotonic() - start, 1.5)
            self.assertLess(time.monotonic() - start, 15)
        self.is_quick()
        wait_for(lambda: len(self.kids()) == 2 and before != set(self.kids()), 40, "the dead one was noticed, and two workers are there")
        self.assertEqual(len(before - set(self.kids())), 1)
        victim = (before - set(self.kids())).pop()
        self.assertRegex(self.service.log("responder")[log:], rf"a worker is stuck: it is killed and replaced pid={victim} ")

    def test_workers_that_stood_still_together_with_their_parent_are_not_taken_for_stuck(self):
        self.settle()
        before, log = set(self.kids()), len(self.service.log("responder"))
        for pid in (self.parent, *before):
            os.kill(pid, signal.SIGSTOP)
        time.sleep(6)
        for pid in (self.parent, *before):
            os.kill(pid, signal.SIGCONT)
        time.sleep(1.5)
        self.assertNotIn("stuck", self.service.log("responder")[log:])
        self.assertEqual(before, set(self.kids()))


class Recycled(Workers):
    workers = 2
    settings = {"responder": {"max_requests": "40"}}

    def test_workers_are_replaced_after_so_many_requests_each_and_none_is_lost(self):
        answered, seen = 0, set()
        for i in range(400):
            with self.connect() as c:
                answered += c.request(flags=i % 2).status == 200
            seen |= set(children(self.parent))
        self.assertEqual(answered, 400)
        parts = [int(n) for n in re.findall(r"a worker has done its part requests=(\d+)", self.service.log("responder"))]
        self.assertGreater(len(parts), 7)
        self.assertLessEqual(max(parts), 45, parts)
        self.assertGreater(len(set(parts)), 1, "all go after the same number")
        self.assertGreater(len(seen), 8)
        self.assertNotIn("a worker died", self.service.log("responder"))


class Monitor(Notified):
    responder = False

    @classmethod
    def setUpClass(cls):
        super(Workers, cls).setUpClass()

    def setUp(self):
        pass

    def test_it_says_that_it_is_ready_how_it_goes_and_when_it_ends(self):
        monitor = self.service.start_monitor()
        self.hears(0, "READY=1")
        self.assertIn("1 accounts, 0 broken", self.hears(0, "STATUS=last sweep", 60)[1])
        wait_for(lambda: len(self.supervisor.since(0, "WATCHDOG=1")) >= 4, 40, "the watchdog is answered")
        mark = len(self.supervisor.heard)
        monitor.send_signal(signal.SIGHUP)
        began, _ = self.hears(mark, "RELOADING=1\nMONOTONIC_USEC=")
        self.assertGreater(self.hears(mark, "READY=1")[0], began)
        stop_process(monitor, 30)
        self.hears(0, "STOPPING=1")


if __name__ == "__main__":
    unittest.main()
