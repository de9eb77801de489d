"""The monitor as a process: its sweeps, its memory, its statistics, how it stops."""
import os
import re
import signal
import subprocess
import time
import unittest

from case import API, ServiceCase, account, account_id, registration, sealed, token
from harness import BUILD, stop_process, wait_for


CHEAP = {"encryption": {"kdf_iterations": "1"}}  # these tests are not about key derivation


class MonitorCase(ServiceCase):
    def start_monitor(self, *args):
        process = self.service.start_monitor(*args)
        self.addCleanup(stop_process, process)
        return process

    def once(self, *args):
        return subprocess.run([self.service.program("token-health-monitor"), "--config", self.service.conf, "--once", *args],
                              text=True, capture_output=True, env=self.service.environment(), timeout=120)

    def wait_for_sweeps(self, monitor, number, seconds=120):
        def done():
            told = self.statistics() or {}
            return told.get("pid") == monitor.pid and told["sweeps"] >= number
        wait_for(done, seconds, f"{number} sweeps are done")

    def last_sweep(self):
        return self.statistics()["lastSweep"]


class Sweeping(MonitorCase):
    settings = {"monitor": {"batch_size": "8", "check_interval": "2s", "max_retries": "0"}, **CHEAP}

    @classmethod
    def seed(cls):
        cls.sandbox.register([registration(n, n) for n in range(1, 61)])
        cls.service.import_accounts([account(n, f"ws-{n % 3}", encryptedAccessToken=sealed(n)) for n in range(1, 61)]
                                    + [account(61, "ws-1", encryptedAccessToken=sealed(61), isActive=False)])
        cls.sandbox.latency(30)

    def setUp(self):
        self.sandbox.clear_ledger()

    def test_a_every_active_account_is_checked_once_in_a_sweep_and_batch_size_at_a_time(self):
        self.service.sweep()
        ledger = self.sandbox.ledger()
        self.assertEqual({n: self.sandbox.calls(token(n)) for n in range(1, 61)}, {n: 1 for n in range(1, 61)})
        self.assertEqual(ledger["max_concurrency"], 8, "the batch is not kept full, or is too large")
        self.assertEqual(ledger["calls"], 60, "a disconnected account was checked")
        self.assertEqual((self.last_sweep()["accounts"], self.last_sweep()["healthy"]), (60, 60))

    def test_b_its_verdicts_are_in_the_cache_of_the_responder(self):
        calls = self.sandbox.calls()
        for number in (1, 30, 60):
            answer = self.get(f"{API}/check?accountId={account_id(number)}")
            self.assertEqual((answer.status, answer.headers.get("x-token-health")), (204, "healthy; ok"))
        answer = self.post(f"{API}/validate", {"workspaceId": "ws-1"}).json()
        self.assertEqual(answer["validAccounts"], 20)
        self.assertEqual(self.sandbox.calls(), calls)

    def test_c_an_account_that_somebody_else_checked_during_the_sweep_is_not_asked_for_again(self):
        self.sandbox.latency(300)  # 60 accounts, 8 at a time: over two seconds
        self.addCleanup(self.sandbox.latency, 30)
        monitor = self.start_monitor("--once")
        wait_for(lambda: self.sandbox.calls() > 0, 10, "the sweep has begun")
        answer = self.post(f"{API}/fix/{account_id(60)}")
        self.assertEqual((answer.status, self.sandbox.calls(token(60))), (200, 1))
        self.assertEqual(monitor.wait(60), 0)
        self.assertEqual(self.sandbox.calls(token(60)), 1)
        self.assertEqual(self.last_sweep()["accounts"], 60)

    def test_d_sweeps_follow_each_other_at_the_interval_and_are_told_in_stats(self):
        monitor = self.start_monitor()
        self.wait_for_sweeps(monitor, 1)
        first = self.statistics()
        self.wait_for_sweeps(monitor, 3)
        third = self.statistics()
        apart_s = parse(third["lastSweep"]["startedAt"]) - parse(first["lastSweep"]["startedAt"])
        self.assertGreater(apart_s, 3.7)  # two intervals of 2 s
        self.assertLess(apart_s, 20)
        self.assertEqual((third["running"], third["pid"], third["lastSweep"]["complete"]), (True, monitor.pid, True))
        self.assertEqual(third["settings"]["batchSize"], 8)
        self.assertEqual(self.sandbox.calls(token(7)), third["sweeps"])
        stop_process(monitor)
        self.assertEqual(monitor.returncode, 0)
        self.assertIs(self.statistics()["running"], False)

    def test_e_one_sweep_beside_a_monitor_leaves_what_that_one_tells(self):
        monitor = self.start_monitor()
        self.wait_for_sweeps(monitor, 1)
        stop_process(monitor)
        told = self.statistics()
        self.service.sweep()
        after = self.statistics()
        self.assertEqual((after["pid"], after["sweeps"]), (told["pid"], told["sweeps"]))
        self.assertGreater(parse(after["lastSweep"]["startedAt"]), parse(told["lastSweep"]["startedAt"]))

    def test_f_the_log_names_the_platform(self):
        done = self.service.sweep()
        self.assertRegex(done.stderr, r"info \[INSTAGRAM MONITOR\] swept accounts=60 healthy=60")
        self.assertNotIn("FACEBOOK", done.stderr)


def parse(text):
    whole = time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")
    return time.mktime(whole) + float(text[19:].rstrip("Z"))


class Platforms(MonitorCase):
    settings = {"monitor": {"platforms": "facebook"}}

    @classmethod
    def seed(cls):
        cls.register(1, "one")
        cls.sandbox.register({"token": "EAA" + token("two"), "account_id": "1002", "username": "two"})
        cls.service.import_accounts([account(1, encryptedAccessToken=sealed("one")),
                                     account(2, platform="facebook", accountId="1002", encryptedAccessToken={"$seal": "EAA" + token("two")}),
                                     account(3, platform="nobody-knows-it", encryptedAccessToken=sealed("three"))])

    def test_only_the_platforms_of_the_configuration_are_swept(self):
        self.service.sweep()
        self.assertEqual(self.last_sweep()["accounts"], 1)
        self.assertEqual(self.sandbox.calls(token("one")), 0)
        self.assertEqual(self.stored(2)["tokenHealth"]["state"], "healthy")


class Stopping(MonitorCase):
    """The provider hangs, and the monitor is told to stop in the middle of a sweep."""
    settings = {"monitor": {"batch_size": "8", "check_interval": "1s", "max_retries": "5", "retry_delay": "30s"}, "provider": {"timeout": "6s"}, **CHEAP}

    @classmethod
    def seed(cls):
        cls.sandbox.register([registration(n, n) for n in range(1, 101)])
        cls.service.import_accounts([account(n, encryptedAccessToken=sealed(n)) for n in range(1, 101)])

    def setUp(self):
        self.service.forget()  # the breaker that the hanging calls before have opened
        self.sandbox.clear_ledger()

    def stop_in_the_middle(self, *args):
        monitor = self.start_monitor(*args)
        wait_for(lambda: self.sandbox.ledger()["concurrency"] == 8 or self.sandbox.calls() >= 8, 20, "a batch is under way")
        began = time.monotonic()
        monitor.send_signal(signal.SIGTERM)
        monitor.wait(60)
        return monitor, time.monotonic() - began

    def test_a_accounts_under_way_are_finished_and_no_more_are_begun(self):
        self.sandbox.latency(700)
        self.addCleanup(self.sandbox.latency, 0)
        monitor, took_s = self.stop_in_the_middle()
        self.assertEqual(monitor.returncode, 0)
        calls = self.sandbox.calls()
        done = [n for n, doc in self.stored_all().items() if doc.get("tokenHealth", {}).get("state") == "healthy"]
        self.assertEqual(len(done), calls, "an account that was asked for was not saved")
        self.assertLess(calls, 30)
        self.assertLess(took_s, 6)
        self.assertIs(self.statistics()["running"], False)
        self.assertIsNone(self.last_sweep(), "a sweep that was not ended is told as the last one")

    def test_b_a_provider_that_hangs_does_not_hold_it_up(self):
        self.sandbox.fail("hang")
        self.addCleanup(self.sandbox.fail, None)
        monitor, took_s = self.stop_in_the_middle()
        self.assertEqual(monitor.returncode, 0)
        self.assertLess(took_s, 6 + 3, "longer than the provider's time-out and a little")
        self.assertLessEqual(self.sandbox.calls(), 8, "it went on asking")

    def test_c_a_retry_that_is_due_later_does_not_hold_it_up(self):
        self.sandbox.fail("502_html")
        self.addCleanup(self.sandbox.fail, None)
        monitor, took_s = self.stop_in_the_middle()
        self.assertEqual(monitor.returncode, 0)
        self.assertLess(took_s, 6, "it waited for the retry, 30 s later")
        attempts = [doc["tokenHealth"].get("lastAttempt") for doc in self.stored_all().values() if "tokenHealth" in doc]
        self.assertGreaterEqual(sum(a is not None for a in attempts), 1, "what was learnt before the stop is not saved")

    def test_d_sigint_stops_it_too_and_a_single_sweep_that_was_stopped_fails(self):
        self.sandbox.latency(500)
        self.addCleanup(self.sandbox.latency, 0)
        monitor, _ = self.stop_in_the_middle("--once")
        self.assertEqual(monitor.returncode, 1)
        self.assertIn("stopped by a signal after", self.service.log("monitor"))

    def test_e_asleep_it_stops_at_once(self):
        monitor = self.start_monitor()
        self.wait_for_sweeps(monitor, 1)
        began = time.monotonic()
        monitor.send_signal(signal.SIGINT)
        self.assertEqual(monitor.wait(10), 0)
        self.assertLess(time.monotonic() - began, 5)

    def test_f_killed_in_the_middle_it_leaves_a_store_that_the_next_one_finishes(self):
        self.sandbox.latency(200)
        self.addCleanup(self.sandbox.latency, 0)
        monitor = self.start_monitor()
        wait_for(lambda: self.sandbox.calls() >= 20, 20, "a few accounts are under way")
        monitor.kill()
        monitor.wait()
        self.sandbox.latency(0)
        self.service.sweep()
        self.assertEqual({doc["tokenHealth"]["state"] for doc in self.stored_all().values()}, {"healthy"})


class ExitStatus(MonitorCase):
    responder = False

    def test_good_configuration_and_empty_store(self):
        self.assertEqual(self.once().returncode, 0)
        self.assertEqual(self.once("--check-config").returncode, 0)

    def test_wrong_usage(self):
        for args in (["--nothing"], ["extra"]):
            with self.subTest(args=args):
                self.assertEqual(self.once(*args).returncode, 2)

    def test_configuration_that_cannot_be_used(self):
        conf = os.path.join(self.dir, "bad.conf")
        for text, reason in (("[monitor]\nbatch_size = 0\n", "bad.conf:2"), ("[monitor]\nnothing = 1\n", "bad.conf:2"),
                             ("[store]\nuri = mongodb://h\n", "names no database"), ("[responder]\nlisten = 127.0.0.1:70000\n", "65535")):
            with self.subTest(text=text):
                self.service.write_private(conf, text)
                done = self.once("--config", conf)
                self.assertEqual(done.returncode, 1)
                self.assertIn(reason, done.stderr)

    def test_a_platform_without_a_provider_file_is_refused_and_never_swept_as_no_accounts(self):
        conf = os.path.join(self.dir, "platform.conf")
        with open(self.service.conf) as f:
            text = f.read() + "\n[monitor]\nplatforms = instagram  myspace\n"
        self.service.write_private(conf, text)
        for args in ((), ("--check-config",)):
            done = self.once("--config", conf, *args)
            self.assertEqual(done.returncode, 1, done)
            self.assertIn('[monitor] platforms: there is no provider file for the platform "myspace"', done.stderr)
        self.service.write_private(conf, text.replace("  myspace", " facebook"))
        self.assertEqual(self.once("--config", conf, "--check-config").returncode, 0)

    def test_store_that_is_away(self):
        conf = os.path.join(self.dir, "away.conf")
        with open(self.service.conf) as f:
            text = f.read().replace(self.service.store, f"sqlite:{self.dir}/no-such-folder/accounts.db")
        self.service.write_private(conf, text)
        began = time.monotonic()
        done = self.once("--config", conf)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no-such-folder", done.stderr)
        self.assertLess(time.monotonic() - began, 10)


class Memory(MonitorCase):
    responder = False
    # A small cache: its pages count as soon as they are touched.
    settings = {"monitor": {"batch_size": "64", "max_retries": "0", "check_interval": "1s"}, "cache": {"entries": "1024"}, **CHEAP}
    sanitized = BUILD.endswith(("asan", "tsan"))  # slow, and freed memory is kept on purpose
    few, many = (200, 2000) if sanitized else (5000, 50000)  # the former fill SQLite's page cache
    have = 0

    def grown(self, count, sweeps):
        """Peak RSS in KiB and the seconds of so many sweeps over so many accounts, each healthy."""
        while self.have < count:
            numbers = range(self.have + 1, min(self.have + 5000, count) + 1)
            type(self).have = numbers[-1]
            self.sandbox.register([registration(n, n) for n in numbers])
            self.service.import_accounts([account(n, f"ws-{n % 500}", encryptedAccessToken=sealed(n)) for n in numbers])
        self.sandbox.clear_ledger()
        began, monitor = time.monotonic(), self.start_monitor()
        done = self.service.log("monitor").count("sweep done") + sweeps
        wait_for(lambda: monitor.poll() is not None or (self.sandbox.calls() >= count * sweeps and
                                                        self.service.log("monitor").count("sweep done") >= done), 600,
                 f"{sweeps} sweeps over {count} accounts")
        took_s = time.monotonic() - began
        with open(f"/proc/{monitor.pid}/status") as f:
            peak_kib = int(re.search(r"^VmHWM:\s+(\d+) kB", f.read(), re.M)[1])
        stop_process(monitor)
        self.assertGreaterEqual(self.sandbox.calls(), count)
        return peak_kib, took_s

    def test_memory_does_not_grow_with_the_number_of_accounts(self):
        few_kib, _ = self.grown(self.few, 3)  # as much as it gets by going on for some time
        many_kib, many_s = self.grown(self.many, 1)
        print(f"FIGURE: monitor's peak RSS: {few_kib / 1024:.1f} MiB with {self.few} accounts, {many_kib / 1024:.1f} MiB with "
              f"{self.many} ({self.many / many_s:.0f} accounts a second)")
        if not self.sanitized:
            self.assertLess(many_kib, few_kib * 1.1)


if __name__ == "__main__":
    unittest.main()
