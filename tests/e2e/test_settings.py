"""Settings while everything runs: by the API, the command line, and the file with SIGHUP. They are checked like the file's, kept, in force within
two seconds in two monitors and the responder, and in the log with who asked. And a sweep at once, shared by the monitors."""
import contextlib
import json
import os
import pwd
import re
import signal
import sqlite3
import threading
import time
import unittest

from case import API, ServiceCase, account, registration, sealed, token
from harness import stop_process, wait_for

WITHIN_S = 2.0
SLACK_S = 1.0  # for a busy machine: the figure that was measured is printed
PATH = f"{API}/monitor"


class SettingsCase(ServiceCase):
    started = 0
    swept = False  # the accounts were checked, and are not due for an hour
    settings = {"encryption": {"kdf_iterations": "1"}, "monitor": {"check_interval": "1h", "max_retries": "0"}}

    @classmethod
    def seed(cls):
        cls.sandbox.register([registration(n, n) for n in range(1, 31)])
        cls.service.import_accounts([account(n, "ws-1", encryptedAccessToken=sealed(n)) for n in range(1, 31)])
        cls.reader = cls.service.create_key("reader", "read")
        cls.fenced = cls.service.create_key("fenced", "admin", workspaces="ws-1")

    def patch(self, body, key=None):
        return self.service.request("PATCH", PATH, body=body, key=key or self.admin)

    def changed(self, **body):
        answer = self.patch(body)
        self.assertEqual(answer.status, 200, answer)
        return answer.json()["settings"]

    def in_force(self):
        answer = self.get(PATH)
        self.assertEqual(answer.status, 200, answer)
        return answer.json()["settings"]

    def start_monitors(self, count=2):
        """[(process, log)], each with a sweep behind it."""
        monitors = []
        for _ in range(count):
            type(self).started += 1
            name = f"monitor-{self.started}"
            process = self.service.spawn(name, [self.service.program("token-health-monitor"), "--config", self.service.conf])
            self.service.processes.pop(name)
            self.addCleanup(stop_process, process)
            monitors.append((process, lambda name=name: self.service.log(name)))
        wait_for(lambda: all("monitor started" in log() for _, log in monitors), 20, "the monitors have started")
        wait_for(lambda: self.sandbox.calls() >= 30 or self.swept, 60, "a first sweep is done")
        type(self).swept = True
        return monitors

    def measure(self, condition, what):
        began = time.monotonic()
        wait_for(condition, 30, what)
        took = time.monotonic() - began
        self.assertLess(took, WITHIN_S + SLACK_S, what)
        return took

    def tearDown(self):
        self.patch({name: None for name in ("checkInterval", "batchSize", "maxRetries", "retryDelay", "enableAutoFix", "enableAutoRefresh", "logLevel")})


class Checked(SettingsCase):
    def test_what_is_in_force_is_told_with_range_and_source(self):
        told = self.in_force()
        self.assertEqual(set(told), {"checkInterval", "batchSize", "maxRetries", "retryDelay", "enableAutoFix", "enableAutoRefresh", "logLevel"})
        self.assertEqual(told["checkInterval"], {"value": "1h", "default": "30m", "range": "1s to 7d", "source": "configuration"})
        self.assertEqual(told["batchSize"], {"value": 64, "default": "64", "range": "1 to 1024", "source": "default"})
        self.assertEqual(told["enableAutoFix"], {"value": True, "default": "true", "range": "true or false", "source": "default"})
        told = self.changed(batchSize=32)["batchSize"]
        self.assertEqual((told["value"], told["source"]), (32, "stored"))
        self.assertRegex(told["by"], r"^key [0-9a-z]+")
        self.assertRegex(told["at"], r"^\d{4}-\d\d-\d\dT")

    def test_a_bad_value_is_refused_with_its_place_and_range_and_nothing_is_applied(self):
        before = self.in_force()
        for body, place, words in (
                ({"batchSize": 0}, "batchSize", "1 to 1024"), ({"batchSize": 1025}, "batchSize", "1 to 1024"),
                ({"batchSize": "32"}, "batchSize", "1 to 1024"), ({"batchSize": 1.5}, "batchSize", "a whole number"),
                ({"batchSize": True}, "batchSize", "a whole number"), ({"batchSize": {"$ne": None}}, "batchSize", "a whole number"),
                ({"batchSize": [1]}, "batchSize", "a whole number"),
                ({"checkInterval": "8d"}, "checkInterval", "1s to 7d"), ({"checkInterval": "soon"}, "checkInterval", "1s to 7d"),
                ({"checkInterval": 0}, "checkInterval", "1s to 7d"), ({"checkInterval": False}, "checkInterval", "1s to 7d"),
                ({"enableAutoFix": 1}, "enableAutoFix", "a boolean"), ({"enableAutoFix": "true"}, "enableAutoFix", "a boolean"),
                ({"logLevel": "loud"}, "logLevel", "error|warn|info|debug"), ({"logLevel": 3}, "logLevel", "error|warn|info|debug"),
                ({"uri": "sqlite:/x"}, "uri", "no such setting"), ({"dryRun": True}, "dryRun", "no such setting"), ({"": 1}, "", "no such setting"),
                ({"batchSize": 16, "maxRetries": 11}, "maxRetries", "0 to 10"), ({"checkInterval": 1200.5}, "checkInterval", "a whole number of seconds"),
                ({"checkInterval": "2w"}, "checkInterval", "1s to 7d"), ({"maxRetries": 1, "nonsense": 1}, "nonsense", "no such setting"),
                ({}, "", "must name a setting")):
            with self.subTest(body=body):
                answer = self.patch(body)
                self.assertEqual((answer.status, answer.json()["code"]), (400, "bad_request"), answer)
                self.assertIn(words, answer.json()["error"])
                self.assertIn(place, answer.json()["error"])
        self.assertEqual(self.in_force(), before)
        self.assertEqual(self.service.request("PATCH", PATH, body="nonsense", key=self.admin, headers={"Content-Type": "application/json"}).status, 400)
        self.assertEqual(self.service.request("PATCH", PATH, key=self.admin).status, 400)

    def test_who_may_do_what(self):
        self.assertEqual(self.get(PATH, key=self.reader).status, 200)
        self.assertEqual(self.patch({"batchSize": 8}, key=self.reader).status, 403)
        self.assertEqual(self.post(f"{PATH}/sweep", key=self.reader).status, 403)
        for method, path in (("GET", PATH), ("PATCH", PATH), ("POST", f"{PATH}/sweep")):
            answer = self.service.request(method, path, body={"batchSize": 8} if method == "PATCH" else None, key=self.fenced)
            self.assertEqual(answer.status, 403, f"{method}: a key for some workspaces")
            self.assertEqual(self.service.request(method, path).status, 401)
        answer = self.post(PATH, {})
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, HEAD, PATCH"))
        self.assertEqual(self.get(f"{PATH}/sweep").headers["allow"], "POST")

    def test_two_changes_at_once_are_both_kept(self):
        changes = [{"batchSize": 17}, {"maxRetries": 3}, {"retryDelay": "7s"}, {"enableAutoFix": False}, {"checkInterval": "50m"}, {"logLevel": "warn"}]
        answers = []
        threads = [threading.Thread(target=lambda c=c: answers.append(self.patch(c).status)) for c in changes]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(answers, [200] * len(changes))
        told = self.in_force()
        self.assertEqual({k: told[k]["value"] for c in changes for k in c}, {k: v for c in changes for k, v in c.items()})


class Followed(SettingsCase):
    def test_a_both_monitors_and_the_responder_obey_within_two_seconds_and_say_who_asked(self):
        monitors = self.start_monitors()
        key_id = next(k["id"] for k in json.loads(self.service.ctl("--json", "key", "list").stdout) if k["name"] == "admin")
        began = time.monotonic()
        self.changed(batchSize=9, enableAutoFix=False)
        figures = []
        for _, log in monitors:
            self.measure(lambda: re.search(rf"setting in force key=batch_size from=64 to=9 by=\"?key {key_id}", log()), "a monitor obeys")
            figures.append(time.monotonic() - began)
        self.assertIn("key=enable_auto_fix from=true to=false", monitors[0][1]())
        self.assertTrue(re.search(rf'setting changed .*key=batch_size from=64 to=9 stored=1 by="key {key_id}"', self.service.log("responder")), "the log")
        print(f"FIGURE: two monitors obey after {', '.join(f'{f:.1f}' for f in figures)} s")

    def test_b_what_fix_is_off_is_off_in_every_worker_of_the_responder(self):
        """A plain token at rest is put right, unless that is switched off; asked often enough for all four workers."""
        self.changed(enableAutoFix=False)
        time.sleep(WITHIN_S)
        plain = account(99, "ws-plain", accessToken=token(99))
        self.register(99, 99)
        self.service.import_accounts([plain])
        for _ in range(20):
            answer = self.post(f"{API}/validate", {"workspaceId": "ws-plain", "forceRefresh": True})
            self.assertEqual((answer.status, answer.json()["fixedAccounts"]), (200, 0))
        self.assertIn("accessToken", self.stored(99))
        began = time.monotonic()
        self.changed(enableAutoFix=None)
        wait_for(lambda: self.post(f"{API}/validate", {"workspaceId": "ws-plain", "forceRefresh": True}).json()["fixedAccounts"], 10, "it is put right")
        self.assertLess(time.monotonic() - began, WITHIN_S + SLACK_S)
        self.assertNotIn("accessToken", self.stored(99))

    def test_c_the_command_line_says_and_changes_the_same(self):
        monitors = self.start_monitors(1)
        user = pwd.getpwuid(os.getuid()).pw_name
        told = json.loads(self.service.ctl("--json", "monitor", "set", "check_interval=2h", "log_level=debug").stdout)
        self.assertEqual((told["settings"]["checkInterval"]["value"], told["settings"]["checkInterval"]["by"]), ("2h", f"user {user}"))
        self.measure(lambda: f"key=check_interval from=1h to=2h by=\"user {user}\"" in monitors[0][1](), "the monitor obeys")
        wait_for(lambda: self.in_force()["logLevel"]["value"] == "debug", 5, "the responder knows")
        self.measure(lambda: self.get("/livez") and " debug " in self.service.log("responder"), "the responder logs more")
        self.assertIn("checkInterval", self.service.ctl("monitor", "get").stdout)
        for args, status in ((("set", "batch_size=0"), 1), (("set", "nonsense=1"), 1), (("set", "batch_size"), 2), (("set",), 2), (("nonsense",), 2), ((), 2)):
            self.assertEqual(self.service.ctl("monitor", *args, check=False).returncode, status, args)
        self.assertIn("1 to 1024", self.service.ctl("monitor", "set", "batch_size=0", check=False).stderr)
        self.service.ctl("monitor", "set", "check_interval=default", "log_level=default")
        self.assertEqual(self.in_force()["checkInterval"]["value"], "1h")

    def test_d_they_outlive_a_restart(self):
        self.changed(batchSize=11)
        (process, log), = self.start_monitors(1)
        self.assertIn("to=11", log())
        stop_process(self.service.processes.pop("responder"))
        self.service.start_responder()
        self.assertEqual(self.in_force()["batchSize"]["value"], 11)

    def test_e_the_file_is_read_again_on_sighup_and_what_is_stored_stands_over_it(self):
        (process, log), = self.start_monitors(1)
        self.changed(batchSize=13)
        self.measure(lambda: "to=13" in log(), "the monitor obeys")
        with open(self.service.conf) as f:
            text = f.read()
        self.addCleanup(self.service.write_private, self.service.conf, text)
        self.service.write_private(self.service.conf, text.replace("check_interval = 1h", "check_interval = 90m\nbatch_size = 99"))
        process.send_signal(signal.SIGHUP)
        self.measure(lambda: "key=check_interval from=1h to=90m by=configuration" in log(), "the file counts")
        self.assertNotIn("to=99", log())
        self.changed(batchSize=None)
        self.measure(lambda: "key=batch_size from=13 to=99 by=configuration" in log(), "nothing is stored any more: the file counts")
        self.service.write_private(self.service.conf, text + "\n[monitor]\nnonsense = 1\n")
        process.send_signal(signal.SIGHUP)
        self.measure(lambda: "the configuration is not good, and stays as it was" in log(), "a bad file is told of")
        self.assertIsNone(process.poll())

    def test_f_an_interval_that_is_made_shorter_counts_at_once(self):
        self.start_monitors(2)
        self.sandbox.clear_ledger()
        self.changed(checkInterval="1s")
        wait_for(lambda: self.sandbox.calls(token(1)) >= 2, 15, "the accounts are checked again and again")

    def test_g_a_stored_value_that_is_out_of_range_is_passed_over(self):
        with contextlib.closing(sqlite3.connect(f"{self.service.dir}/accounts.db", timeout=10)) as db, db:
            db.execute("INSERT INTO meta(name, value) VALUES('settings', ?) ON CONFLICT DO UPDATE SET value=excluded.value, version=version+1",
                       (json.dumps({"batch_size": {"value": "5000", "by": "somebody", "at": "x"}, "check_interval": 7, "max_retries": {"value": "4"}}),))
        told = self.in_force()
        self.assertEqual((told["batchSize"]["value"], told["checkInterval"]["value"], told["maxRetries"]["value"]), (64, "1h", 4))


class Sweeps(SettingsCase):
    def sweep(self):
        return self.get(PATH).json()["sweep"]

    def test_a_sweep_that_is_asked_for_is_done_by_the_monitors_once_for_each_account(self):
        self.assertIsNone(self.sweep())
        monitors = self.start_monitors()
        self.sandbox.clear_ledger()
        self.sandbox.latency(300)
        self.addCleanup(self.sandbox.latency, 0)
        self.changed(batchSize=4)
        answer = self.post(f"{PATH}/sweep")
        self.assertEqual(answer.status, 202, answer)
        number = answer.json()["id"]
        seen = set()

        def done():
            told = self.sweep()
            self.assertEqual(told["id"], number)
            seen.add(told["state"])
            return told["state"] == "done"
        wait_for(done, 60, "the sweep is done")
        self.assertIn("running", seen)
        told = self.sweep()
        self.assertEqual((told["accounts"], told["healthy"], told["complete"]), (30, 30, True))
        self.assertIsNotNone(told["finishedAt"])
        self.assertEqual({n: self.sandbox.calls(token(n)) for n in range(1, 31)}, dict.fromkeys(range(1, 31), 1))
        self.assertTrue(re.search(rf'a sweep is asked for .*sweep={number} by="key ', self.service.log("responder")), "the log")
        self.assertTrue(any(f"the sweep that was asked for is done sweep={number}" in log() for _, log in monitors))

    def test_b_without_a_monitor_it_waits_for_one(self):
        number = json.loads(self.service.ctl("--json", "monitor", "sweep").stdout)["id"]
        self.assertEqual((self.sweep()["id"], self.sweep()["state"]), (number, "waiting"))
        self.start_monitors(1)
        wait_for(lambda: self.sweep()["state"] == "done", 30, "the sweep is done")
        told, last = self.sweep(), self.get(PATH).json()["monitor"]["lastSweep"]["startedAt"]
        self.changed(checkInterval="1s")
        wait_for(lambda: self.get(PATH).json()["monitor"]["lastSweep"]["startedAt"] > last, 30, "another sweep that nobody asked for")
        self.assertEqual(self.sweep(), told, "what came of the one that was asked for stays")


if __name__ == "__main__":
    unittest.main()
