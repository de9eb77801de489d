"""Processes that die at any moment, and shared memory that is damaged or taken away, under load: the others go on, nothing hangs,
nothing wrong is said, and what the dead held is free."""
import http.client
import os
import random
import signal
import threading
import time
import unittest

from case import API, ServiceCase, account, account_id, registration, sealed, token
from harness import BUILD, stop_process, wait_for

ACCOUNTS = 60
HEALTHY, BROKEN = range(1, 51), range(51, ACCOUNTS + 1)
SANITIZED = BUILD.endswith(("asan", "tsan"))
SLOW_S = 60 if SANITIZED else 15  # an answer that takes longer is taken for a hang; a busy machine starts workers slowly


class Load:
    """Threads that ask for verdicts of random accounts without a pause, and look at each answer."""

    def __init__(self, case, threads=6):
        self.case, self.stopping = case, threading.Event()
        self.answers, self.failures, self.wrong, self.slowest_s = 0, [], [], 0.0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(n,), daemon=True) for n in range(threads)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)

    def run(self, seed):
        dice = random.Random(seed)
        while not self.stopping.is_set():
            number = dice.randint(1, ACCOUNTS)
            began = time.monotonic()
            try:
                if dice.random() < 0.1:
                    answer = self.case.post(f"{API}/fix/{account_id(number)}", timeout=60)
                    said = answer.json()["account"]["health"]["state"] if answer.status == 200 else None
                else:
                    answer = self.case.get(f"{API}/check?accountId={account_id(number)}", timeout=60)
                    said = answer.headers.get("x-token-health", "").split(";")[0] if answer.status == 204 else None
            except (OSError, http.client.HTTPException) as e:
                answer = said = None
                failure = repr(e)
            took_s = time.monotonic() - began
            with self.lock:
                self.answers += said is not None
                self.slowest_s = max(self.slowest_s, took_s)
                if said is None:
                    self.failures.append(failure if answer is None else repr(answer))
                elif said != ("healthy" if number in HEALTHY else "broken"):
                    self.wrong.append((number, said))


class CrashCase(ServiceCase):
    settings = {"encryption": {"kdf_iterations": "1000"}, "provider": {"timeout": "5s"}, "cache": {"ttl": "1s"},
                "monitor": {"check_interval": "1s", "max_retries": "0", "batch_size": "8"}}

    @classmethod
    def seed(cls):
        cls.sandbox.register([registration(n, n, "healthy" if n in HEALTHY else "revoked") for n in range(1, ACCOUNTS + 1)])
        cls.service.import_accounts([account(n, encryptedAccessToken=sealed(n)) for n in range(1, ACCOUNTS + 1)])

    def workers_now(self):
        parent = self.service.processes["responder"].pid
        with open(f"/proc/{parent}/task/{parent}/children") as f:
            return [int(pid) for pid in f.read().split()]

    def all_is_well(self):
        wait_for(lambda: len(self.workers_now()) == self.workers, 60, "every worker is back")
        answer = self.post(f"{API}/validate", {"workspaceId": "ws-1", "forceRefresh": True})
        self.assertEqual((answer.status, answer.json()["validAccounts"]), (200, len(HEALTHY)))
        self.assertEqual(set(self.stored_all()), set(range(1, ACCOUNTS + 1)))

    def assert_load(self, load, failures):
        self.assertEqual(load.wrong, [], "wrong answers")
        self.assertLess(load.slowest_s, SLOW_S, "an answer hung")
        self.assertGreater(load.answers, 100)
        self.assertLessEqual(len(load.failures), failures, load.failures[:5])


class Killed(CrashCase):
    def test_workers_killed_at_random_moments(self):
        dice, kills = random.Random(20), 0
        with Load(self) as load:
            end = time.monotonic() + 12
            while time.monotonic() < end:
                time.sleep(dice.uniform(0.3, 1.2))
                alive = self.workers_now()
                if len(alive) > 1:
                    os.kill(dice.choice(alive), signal.SIGKILL)
                    kills += 1
        self.assertGreater(kills, 5)
        print(f"FIGURE: {kills} workers killed under load: {load.answers} right answers, {len(load.failures)} failed requests, "
              f"slowest {load.slowest_s:.1f} s")
        self.assert_load(load, kills)
        self.all_is_well()

    def test_monitor_killed_at_random_moments(self):
        dice, kills = random.Random(21), 6
        self.sandbox.latency(40)
        self.addCleanup(self.sandbox.latency, 0)
        with Load(self) as load:
            for _ in range(kills):
                monitor = self.service.start_monitor()
                time.sleep(dice.uniform(0.3, 1.5))
                monitor.kill()
                monitor.wait()
        self.assert_load(load, 0)
        monitor = self.service.start_monitor()
        self.addCleanup(stop_process, monitor)
        wait_for(lambda: (self.statistics() or {}).get("pid") == monitor.pid and self.statistics()["sweeps"] >= 1, 120,
                 "the next one sweeps")
        last = self.statistics()["lastSweep"]
        self.assertEqual((last["complete"], last["healthy"], last["broken"]), (True, len(HEALTHY), len(BROKEN)))
        self.all_is_well()

    def test_single_flight_of_a_killed_monitor_is_free_at_once(self):
        self.sandbox.fail("hang")
        self.addCleanup(self.sandbox.fail, None)
        monitor = self.service.start_monitor()
        wait_for(lambda: self.sandbox.ledger()["concurrency"] == 8, 20, "the monitor waits for the provider")
        monitor.kill()
        monitor.wait()
        self.sandbox.fail(None)
        began = time.monotonic()
        for number in range(1, 9):  # the accounts that the monitor had begun, and whose flights it held
            self.assertEqual(self.post(f"{API}/fix/{account_id(number)}").status, 200)
        self.assertLess(time.monotonic() - began, 3, "the others waited for the dead one's answer")

    def test_single_flight_of_a_killed_worker_is_free_at_once(self):
        self.sandbox.fail("hang")
        self.addCleanup(self.sandbox.fail, None)
        asked = threading.Thread(target=lambda: self.post(f"{API}/fix/{account_id(9)}"), daemon=True)
        asked.start()
        wait_for(lambda: self.sandbox.ledger()["concurrency"] == 1, 20, "a worker waits for the provider")
        before = self.workers_now()
        for pid in before:  # one of them holds the flight
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not set(before) & set(self.workers_now()), 20, "they are gone")
        self.sandbox.fail(None)
        wait_for(lambda: self.service.request("GET", "/livez", timeout=40).status == 200, 40, "a new worker answers")
        began = time.monotonic()
        self.assertEqual(self.post(f"{API}/fix/{account_id(9)}", timeout=40).status, 200)
        self.assertLess(time.monotonic() - began, 3, "it waited for the dead one's answer")
        asked.join(60)
        self.all_is_well()


class SharedMemory(CrashCase):
    """What happens to the segment while responder and monitor use it."""

    def setUp(self):
        self.path = "/dev/shm" + self.service.shm
        self.monitor = self.service.start_monitor()
        self.addCleanup(stop_process, self.monitor)

    def survives(self, harm, times, pause_s):
        """harm() again and again under load: answers stay right, no process dies, a sound segment is in its place."""
        before = set(self.workers_now())
        with Load(self) as load:
            for n in range(times):
                harm(n)
                time.sleep(pause_s)
        self.assert_load(load, 0)
        self.assertEqual(set(self.workers_now()), before, self.service.log("responder")[-2000:])
        self.assertIsNone(self.monitor.poll(), self.service.log("monitor")[-2000:])
        self.all_is_well()
        self.cache_works()
        return load

    def cache_works(self):
        """One segment for all again: what one worker learns the others know."""
        def shared():
            self.post(f"{API}/fix/{account_id(1)}")
            calls = self.sandbox.calls(token(1))
            for _ in range(4 * self.workers):
                self.assertEqual(self.get(f"{API}/check?accountId={account_id(1)}").headers["x-token-health"], "healthy; ok")
            return self.sandbox.calls(token(1)) == calls
        wait_for(shared, 20, "verdicts are shared again")
        mode = os.stat(self.path).st_mode & 0o777
        self.assertEqual(mode, 0o660)

    def overwrite(self, at=0, count=None):
        size = os.stat(self.path).st_size
        with open(self.path, "r+b") as f:
            f.seek(at)
            f.write(os.urandom(size - at if count is None else count))

    def test_filled_with_random_bytes(self):
        load = self.survives(lambda n: self.overwrite(), 8, 1.3)
        print(f"FIGURE: shared memory filled with random bytes 8 times under load: {load.answers} right answers, 0 wrong, 0 crashes")

    def test_random_bytes_in_its_header_only(self):
        self.survives(lambda n: self.overwrite(0, 64), 4, 1.3)

    def test_random_bytes_behind_its_header(self):
        # The header is sound: what follows (generation, claims, entries) is not, and nobody can tell at a look.
        self.survives(lambda n: self.overwrite(128), 8, 0.7)

    def test_removed(self):
        self.survives(lambda n: os.path.exists(self.path) and os.unlink(self.path), 6, 1.3)

    def test_replaced_by_nonsense(self):
        def harm(n):
            with open(self.path + ".new", "wb") as f:
                f.write(os.urandom(4096))
            os.chmod(self.path + ".new", 0o660)
            os.rename(self.path + ".new", self.path)
        self.survives(harm, 5, 1.3)

    def test_cut_to_nothing(self):
        """Whoever touches what is no longer there dies (SIGBUS); the next ones make it anew."""
        for name in ("responder", "monitor"):  # a sanitizer's report of that death is none of a fault
            os.rename(f"{self.service.dir}/{name}.log", f"{self.service.dir}/{name}-before.log")
        os.truncate(self.path, 0)
        wait_for(lambda: self.service.request("GET", "/livez", timeout=40).status == 200, 40, "a worker answers")
        self.all_is_well()
        if self.monitor.poll() is not None:  # as its supervisor would
            self.monitor = self.service.start_monitor()
            self.addCleanup(stop_process, self.monitor)
        self.cache_works()


if __name__ == "__main__":
    unittest.main()
