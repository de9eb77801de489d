"""The responder's processes: how they come, go and are replaced."""
import json
import os
import re
import signal
import threading
import time
import unittest

from case import API, account_id
from fastcgi import Connection
from harness import Service, alive, children, stop_process, wait_for
from workers import Workers


class Lives(Workers):
    """Workers come, go and are replaced."""
    workers = 2
    settings = {"responder": {"request_timeout": "40s"}, "provider": {"timeout": "30s"}}

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

    def test_a_reload_waits_for_a_request_that_takes_longer_than_a_stop_would_wait(self):
        thread, results = self.begin_slow_validation(18000)
        before = self.kids()
        self.reload()
        thread.join(60)
        self.assertEqual([json.loads(r.body)["validAccounts"] for r in results], [1])
        wait_for(lambda: len(self.kids()) == 2 and not set(before) & set(self.kids()), 40, "new workers")

    def test_workers_that_die_while_a_new_configuration_is_tried_come_back(self):
        directory = f"{self.service.dir}/never-read"
        os.mkdir(directory)
        os.mkfifo(f"{directory}/instagram.json")  # whoever opens it waits
        was = self.service.settings["provider"]["override_directory"]
        self.service.settings["provider"]["override_directory"] = directory
        self.service.write_conf()
        try:
            wait_for(lambda: len(self.kids()) == 2, 40, "two workers")
            before = self.kids()
            mark = self.reload()
            wait_for(lambda: set(self.kids()) - set(before), 10, "the configuration is tried")
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            self.is_quick(10)
            self.assertNotIn("is not used", self.log_since(mark), "it was no longer tried: the test shows nothing")
        finally:
            self.service.settings["provider"]["override_directory"] = was
            self.service.write_conf()
            with open(f"{directory}/instagram.json", "w"):
                pass
        wait_for(lambda: "the new configuration is not used" in self.log_since(mark), 40, "the refusal is logged")

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


if __name__ == "__main__":
    unittest.main()
