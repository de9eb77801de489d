"""token-healthctl doctor, and whose files are whose."""
import json
import os
import shutil
import socket
import subprocess
import tempfile
import unittest

from case import account, sealed
from ctl_case import DONE, FAILED, FINDINGS, CtlCase
from harness import ROOT, Service, wait_for


class Doctor(CtlCase):
    @classmethod
    def seed(cls):
        cls.service.import_accounts([account(1, encryptedAccessToken=sealed("one")), account(2, encryptedAccessToken=sealed("two"))])

    def examine(self, service=None, status=FINDINGS):
        done = (service or self.service).ctl("--json", "doctor", check=False)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def bad(self, findings):
        return {f["check"]: f["text"] for f in findings if not f["ok"]}

    def other(self, name, **settings):
        folder = f"{self.dir}/{name}"
        service = Service(folder, self.sandbox.url, settings=settings)
        self.addCleanup(lambda: os.path.exists("/dev/shm" + service.shm) and os.unlink("/dev/shm" + service.shm))
        return service

    def test_all_is_well_but_the_sandbox(self):
        findings = self.examine()
        self.assertEqual(set(self.bad(findings)), {"sandbox"})
        self.assertLessEqual({"configuration", "state", "master key", "API keys", "clock", "parts", "store", "indexes", "tokens", "cache",
                              "provider", "app", "monitor", "responder"}, {f["check"] for f in findings})
        for f in findings:
            self.assertEqual(set(f), {"check", "ok", "level", "text", "advice"})
            self.assertEqual(f["advice"] is None, f["level"] == "ok", f)
        self.assertIn("2 of 2", next(f["text"] for f in findings if f["check"] == "tokens"))

    def test_for_people_each_problem_comes_with_what_to_do(self):
        done = self.run_ctl("doctor", status=FINDINGS)
        self.assertRegex(done.stdout, r"(?m)^BAD  sandbox .*\n +→ \w.*$")
        self.assertRegex(done.stdout, r"(?m)^ok   store .*answers in \d+ ms$")

    def test_a_configuration_with_a_mistake(self):
        service = self.other("mistake")
        service.settings["responder"]["nonsense"] = 1
        service.write_conf()
        self.assertRegex(self.bad(self.examine(service))["configuration"], r"token-health\.conf:\d+: ")

    def test_no_master_key(self):
        service = self.other("nokey")
        del service.settings["encryption"]["key_file"]
        service.write_conf()
        self.assertLessEqual({"master key", "parts"}, set(self.bad(self.examine(service))))

    def test_a_master_key_that_is_not_the_applications(self):
        service = self.other("wrongkey", store={"uri": self.service.store})
        findings = self.examine(service)
        self.assertIn("0 of 2", self.bad(findings)["tokens"])
        self.assertIn("global_salt", next(f["advice"] for f in findings if f["check"] == "tokens"))

    def test_a_master_key_in_a_file_that_others_may_read(self):
        service = self.other("openfile")
        service.settings["encryption"] = {"key": "k" * 32}
        service.write_conf()
        os.chmod(service.conf, 0o644)
        self.assertIn("other users may read", self.bad(self.examine(service))["configuration"])

    def test_key_file_that_is_missing_or_open_to_others(self):
        service = self.other("keys")
        self.assertIn("No such file", self.bad(self.examine(service))["API keys"])
        service.create_key()
        os.chmod(f"{service.dir}/api-keys.json", 0o644)
        self.assertIn("other users may read", self.bad(self.examine(service))["API keys"])

    def test_a_store_that_is_away(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            service = self.other("away", store={"uri": f"mongodb://someone:hunter2secret@127.0.0.1:{s.getsockname()[1]}/app", "timeout": "500ms"})
            service.create_key()
            done = service.ctl("--json", "doctor", check=False)
        self.assertIn("store", self.bad(json.loads(done.stdout)))
        self.assertNotIn("hunter2secret", done.stdout + done.stderr)

    def test_a_provider_that_cannot_be_reached(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            service = self.other("unreachable", provider={"sandbox_url": f"http://127.0.0.1:{s.getsockname()[1]}"})
            service.create_key()
            findings = self.examine(service)
        self.assertIn("connection refused", self.bad(findings)["provider"])

    def test_responder_and_monitor_are_looked_for(self):
        def found(check):
            return next(f for f in self.examine() if f["check"] == check)
        self.assertEqual((found("responder")["level"], found("monitor")["level"]), ("warn", "warn"))
        self.service.sweep()
        self.assertEqual(found("monitor")["level"], "warn")
        self.assertIn("none runs", found("monitor")["text"])
        self.service.start_responder()
        self.service.start_monitor()
        try:
            wait_for(lambda: found("monitor")["level"] == "ok", 20, "the monitor has told that it runs")
            self.assertEqual((found("responder")["level"], found("monitor")["level"]), ("ok", "ok"))
        finally:
            self.service.stop()

    def test_names_that_nothing_belongs_to(self):
        service = self.other("names", monitor={"platforms": "instagram myspace"})
        service.settings["app.instagarm"] = {"id": "1"}
        service.write_conf()
        service.create_key()
        done = subprocess.run([service.program("token-healthctl"), "--config", service.conf, "--json", "doctor"], text=True, capture_output=True,
                              env=dict(service.environment(), TOKEN_HEALTH_CACHE_TTLL="5m"), timeout=60)
        self.assertEqual(done.returncode, FINDINGS, done)
        findings = json.loads(done.stdout)
        self.assertIn('"myspace"', self.bad(findings)["platforms"])
        warned = [f["text"] for f in findings if f["level"] == "warn"]
        self.assertTrue(any("[app.instagarm]" in text for text in warned), warned)
        self.assertIn("TOKEN_HEALTH_CACHE_TTLL names no key", warned)

    def test_a_configuration_that_is_missing(self):
        done = subprocess.run([self.service.program("token-healthctl"), "--config", "/nonexistent", "doctor"], text=True, capture_output=True,
                              timeout=30)
        self.assertEqual(done.returncode, FINDINGS)
        self.assertRegex(done.stdout, r"→ .*--config FILE.*make install.*token-healthctl config")

    def test_the_sample_configuration_is_printed(self):
        text = self.run_ctl("config").stdout
        self.assertIn("[store]", text)
        self.assertIn("#workers = 4", text)


@unittest.skipUnless(os.geteuid() == 0, "only root has other users' folders to spoil")
class Foreign(CtlCase):
    """A state directory of another user: what root makes in it, and in the shared memory, the service could not open."""
    NOBODY = 65534

    def setUp(self):
        self.other = Service(tempfile.mkdtemp(dir=self.dir), self.sandbox.url)
        os.chown(self.other.dir, self.NOBODY, self.NOBODY)
        self.before = sorted(os.listdir(self.other.dir))

    def test_root_is_refused_and_makes_nothing(self):
        for args in (("key", "create", "--name", "n", "--scopes", "read"), ("key", "list"), ("key", "revoke", "x"), ("import",), ("stats",),
                     ("status", "--workspace", "w"), ("validate", "--workspace", "w"), ("fix", "--account", "a"), ("clear-cache",)):
            with self.subTest(args=args):
                done = self.other.ctl(*args, stdin="", check=False)
                self.assertEqual(done.returncode, FAILED, done)
                self.assertRegex(done.stderr, r"belongs to (\S+): run sudo -u \1 token-healthctl …")
        done = self.other.ctl("--json", "doctor", check=False)
        self.assertIn("sudo -u", next(f["advice"] for f in json.loads(done.stdout) if f["check"] == "parts"))
        self.assertEqual(sorted(os.listdir(self.other.dir)), self.before)
        self.assertFalse(os.path.exists("/dev/shm" + self.other.shm))

    def test_what_touches_no_state_works(self):
        done = self.other.ctl("explain", "--platform", "instagram", "--status", "500", stdin="", check=False)
        self.assertEqual(done.returncode, DONE, done)
        self.assertEqual(self.other.ctl("config", check=False).returncode, DONE)

    def test_doctor_says_whose_files_are_that_may_not_be_read(self):
        folder = tempfile.mkdtemp(dir="/tmp")
        self.addCleanup(shutil.rmtree, folder)
        program = shutil.copy(self.service.program("token-healthctl"), folder)
        conf = f"{folder}/c.conf"
        shm = f"{self.other.shm}-root"
        keys = f"{folder}/api-keys.json"
        with open(conf, "w") as f:
            f.write(f"[store]\nuri = sqlite:{folder}/a.db\n[responder]\nkeys_file = {keys}\n[cache]\nname = {shm}\n"
                    f"[provider]\ndirectory = {folder}/providers\n")
        shutil.copytree(os.path.join(ROOT, "shared/providers"), f"{folder}/providers")
        self.addCleanup(os.unlink, "/dev/shm" + shm)
        for path in (keys, "/dev/shm" + shm):
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        for path in (folder, program, conf):
            os.chown(path, self.NOBODY, self.NOBODY)
        done = subprocess.run([program, "-c", conf, "--json", "doctor"], text=True, capture_output=True, timeout=60, user=self.NOBODY,
                              group=self.NOBODY, extra_groups=[], cwd="/", env={"TOKEN_ENCRYPTION_KEY": "k" * 32})
        advice = {f["check"]: f["advice"] for f in json.loads(done.stdout)}
        for check, path in (("API keys", keys), ("parts", "/dev/shm" + shm)):
            self.assertIn(f"{path} belongs to root", advice[check] or "", done.stdout)


if __name__ == "__main__":
    unittest.main()
