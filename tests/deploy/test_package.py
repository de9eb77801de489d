"""The Debian package, built, installed, upgraded, removed and purged in fresh roots of Debian 12 and 13, and run by the systemd of one that is
booted; what lintian and systemd say of it."""
import functools
import glob
import os
import re
import shutil
import tempfile
import threading
import time
import unittest

from case import API, ServiceCase, account, account_id, registration, sealed, token
from fastcgi import Connection
from harness import ROOT, wait_for
from roots import Booted, Root, build_in, run

CHECK = f"{API}/check?accountId={account_id(1)}"
KEPT = "/var/lib/token-health/accounts.db"


def next_version(package, directory):
    """The same package under a higher version."""
    tree = os.path.join(directory, "tree")
    run("dpkg-deb", "-R", package, tree)
    with open(f"{tree}/DEBIAN/control") as f:
        control = re.sub(r"(?m)^Version: .*$", "Version: 99.0", f.read())
    with open(f"{tree}/DEBIAN/control", "w") as f:
        f.write(control)
    run("dpkg-deb", "-b", "--root-owner-group", tree, f"{directory}/token-health_99.0.deb")
    return f"{directory}/token-health_99.0.deb"


@functools.cache
def built(release):
    """A root of that release with nothing in it, the package built there, and what lintian says of it."""
    if os.geteuid() != 0:
        if os.environ.get("CI"):
            raise AssertionError("the package's tests need root")
        raise unittest.SkipTest("not root: the package is not built and installed in a fresh Debian")
    namespaces = run("unshare", "--mount", "--pid", "--fork", "true", check=False)
    if namespaces.returncode:
        raise unittest.SkipTest(f"no namespaces here: the package is not built and installed in a fresh Debian: {namespaces.stdout.strip()}")
    directory = tempfile.mkdtemp(prefix="token-health-package-")
    unittest.addModuleCleanup(shutil.rmtree, directory, ignore_errors=True)
    base = Root(f"{directory}/base")
    base.make(release)
    package, changes = build_in(base.copy(f"{directory}/builder"))
    return base, package, run("lintian", "--allow-root", "--fail-on", "error,warning", "--profile", "debian", changes, check=False)


class Package:
    release = ""

    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="token-health-package-")
        cls.addClassCleanup(shutil.rmtree, cls.dir, ignore_errors=True)
        base, cls.package, cls.lintian = built(cls.release)
        cls.root = base.copy(f"{cls.dir}/root")

    def test_a_lintian_has_nothing_to_say(self):
        self.assertEqual((self.lintian.returncode, re.findall(r"(?m)^[EW]: .*$", self.lintian.stdout)), (0, []), self.lintian.stdout)

    def test_b_install(self):
        self.root.install(self.package)
        for path, wanted in [("/etc/token-health", "750 root token-health"), ("/var/lib/token-health", "750 token-health token-health"),
                             ("/run/token-health", "755 token-health token-health"), ("/etc/token-health/token-health.conf", "644 root root")]:
            self.assertEqual(self.root.stat(path), wanted, path)
        self.assertIn("token-health:/usr/sbin/nologin", self.root.run("getent passwd token-health").stdout.replace("/var/lib/", ""))
        self.assertFalse(self.root.exists("/etc/systemd/system/multi-user.target.wants/token-health-fcgi.service"), "enabled without being asked")

    def test_c_it_works_as_its_user(self):
        self.root.run("umask 027; echo 0123456789abcdef0123456789abcdef >/etc/token-health/master-key; chgrp token-health /etc/token-health/master-key; "
                      "sed -i 's|^#key_file.*|key_file = /etc/token-health/master-key|' /etc/token-health/token-health.conf")
        as_user = "setpriv --reuid token-health --regid token-health --init-groups "
        self.assertIn("good", self.root.run(as_user + "token-health-fcgi --check-config").stdout)
        self.assertIn("thk_", self.root.run(as_user + "token-healthctl key create --name test --scopes read").stdout)
        document = '{"_id":"1","platform":"instagram","workspaceId":"w","username":"one"}'
        self.assertIn("1 created", self.root.run(f"echo '{document}' | {as_user} token-healthctl import").stdout)
        doctor = self.root.run(as_user + "token-healthctl doctor", check=False)
        self.assertIn(doctor.returncode, (0, 3), doctor.stdout)
        self.assertTrue(self.root.exists(KEPT), doctor.stdout)

    def test_d_upgrade_keeps_configuration_and_data(self):
        before = self.root.run(f"md5sum /etc/token-health/* {KEPT} /var/lib/token-health/api-keys.json 2>/dev/null", check=False).stdout
        self.root.install(next_version(self.package, self.dir))
        self.assertIn("99.0", self.root.run("dpkg-query -W -f '${Version}' token-health").stdout)
        after = self.root.run(f"md5sum /etc/token-health/* {KEPT} /var/lib/token-health/api-keys.json 2>/dev/null", check=False).stdout
        self.assertEqual(after, before)
        self.assertIn("key_file = /etc", self.root.run("cat /etc/token-health/token-health.conf").stdout)

    def test_e_remove_takes_the_programs_and_nothing_else(self):
        self.root.run("apt-get remove -y -qq token-health")
        for path in ("/usr/sbin/token-health-fcgi", "/usr/sbin/token-health-monitor", "/usr/bin/token-healthctl"):
            self.assertFalse(self.root.exists(path), path)
        for path in ("/etc/token-health/token-health.conf", "/etc/token-health/master-key", KEPT, "/var/lib/token-health/api-keys.json"):
            self.assertTrue(self.root.exists(path), path)

    def test_f_purge_takes_what_can_be_made_again_and_no_token(self):
        said = self.root.run("apt-get purge -y -qq token-health").stdout
        for path in ("/etc/token-health/token-health.conf", "/var/lib/token-health/api-keys.json"):
            self.assertFalse(self.root.exists(path), path)
        for path in (KEPT, "/etc/token-health/master-key"):
            self.assertTrue(self.root.exists(path), path)
        self.assertIn("is kept", said)


class Bookworm(Package, unittest.TestCase):
    release = "bookworm"


class Trixie(Package, unittest.TestCase):
    release = "trixie"


class Requests:
    """Asks for one account over one connection after another, until the end of the with block."""

    def __init__(self, where, key):
        self.where, self.key, self.over = where, key, threading.Event()
        self.good, self.failures = 0, []

    def ask(self):
        with Connection(self.where()) as connection:
            return connection.request(path=CHECK, key=self.key, flags=0).status

    def work(self):
        while not self.over.is_set():
            try:
                status = self.ask()
            except OSError as e:
                status = repr(e)
            if status == 204:
                self.good += 1
            else:
                self.failures.append(status)

    def __enter__(self):
        self.threads = [threading.Thread(target=self.work, daemon=True) for _ in range(4)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join(60)


class UnderSystemd(ServiceCase):
    """The package's units in a Debian that was booted: the socket starts the responder, systemd restarts what dies or stands still."""
    responder = False
    settings = {"encryption": {"kdf_iterations": "1"}}

    @classmethod
    def seed(cls):
        cls.sandbox.register([registration(n, n) for n in range(1, 21)])
        cls.service.import_accounts([account(n, encryptedAccessToken=sealed(n)) for n in range(1, 21)])

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        base, package, _ = built("bookworm")
        root = base.copy(f"{cls.dir}/root")
        root.run("apt-get update -qq; apt-get install -y -qq --no-install-recommends systemd systemd-sysv")
        root.install(package)
        for name, place in (("master-key", "etc"), ("accounts.db", "var/lib"), ("api-keys.json", "var/lib")):
            shutil.copy(f"{cls.service.dir}/{name}", f"{root.path}/{place}/token-health/{name}")
        root.run("chown token-health: /var/lib/token-health/*; chmod 600 /etc/token-health/master-key; "
                 f"sed -i 's|^#sandbox_url.*|sandbox_url = {cls.sandbox.url}|; s|^#check_interval.*|check_interval = 10s|' /etc/token-health/token-health.conf; "
                 "mkdir /etc/systemd/system/token-health-fcgi.service.d; "
                 "printf '[Service]\nWatchdogSec=3s\n' >/etc/systemd/system/token-health-fcgi.service.d/quick.conf; "
                 "systemctl enable token-health-fcgi.socket token-health-monitor.service")
        cls.booted = Booted(root)
        cls.addClassCleanup(cls.booted.stop)

    def ask(self):
        return Requests(lambda: self.booted.path("/run/token-health/fcgi.sock"), self.admin)

    def main_pid(self, unit="token-health-fcgi"):
        return int(self.booted.show(unit, "MainPID"))

    def wait_for_another(self, pid, seconds):
        wait_for(lambda: self.main_pid() not in (0, pid) and self.booted.show("token-health-fcgi", "ActiveState") == "active", seconds,
                 "another responder")

    def test_a_the_first_request_starts_the_responder(self):
        self.assertEqual(self.booted.show("token-health-fcgi.socket", "ActiveState"), "active")
        self.assertEqual(self.booted.show("token-health-fcgi", "ActiveState"), "inactive")
        self.assertEqual(self.ask().ask(), 204)
        wait_for(lambda: self.booted.show("token-health-fcgi", "ActiveState") == "active", 30, "all its workers are up")
        self.assertEqual(self.booted.show("token-health-fcgi", "Type", "NRestarts"), ["notify", "0"])

    def test_b_the_monitor_is_a_unit_of_its_own_and_says_how_it_goes(self):
        wait_for(lambda: "20" in self.booted.show("token-health-monitor", "StatusText"), 30, "its status counts the accounts")
        self.booted.run("systemctl", "stop", "token-health-monitor")
        self.assertEqual(self.ask().ask(), 204)
        self.booted.run("systemctl", "start", "token-health-monitor")
        self.assertEqual(self.booted.show("token-health-monitor", "ActiveState", "NRestarts"), ["active", "0"])

    def test_c_they_have_no_rights_but_to_their_own(self):
        uid = self.booted.run("id", "-u", "token-health").stdout.strip()
        for unit in ("token-health-fcgi", "token-health-monitor"):
            pid = self.main_pid(unit)
            status = self.booted.run("cat", f"/proc/{pid}/status").stdout
            for line in (f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}", "NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000"):
                self.assertIn(line, status, unit)
            self.assertIn("Max core file size        0  ", self.booted.run("cat", f"/proc/{pid}/limits").stdout)
            self.assertEqual(self.booted.run("setpriv", "--reuid", "token-health", "--regid", "token-health", "--init-groups", "cat",
                                             "/etc/token-health/master-key", check=False).returncode, 1, "the key is root's alone")

    def test_d_reloads_and_restarts_lose_no_request(self):
        pid = self.main_pid()
        with self.ask() as requests:
            for _ in range(5):
                self.booted.run("systemctl", "reload", "token-health-fcgi")
            self.assertEqual(self.main_pid(), pid)
            for _ in range(5):
                self.booted.run("systemctl", "restart", "token-health-fcgi")
                time.sleep(0.5)
        print(f"FIGURE: 5 reloads and 5 restarts by systemctl: {requests.good} requests answered, {len(requests.failures)} failed")
        self.assertEqual(requests.failures, [])
        self.assertGreater(requests.good, 500)

    def test_e_one_that_is_killed_comes_back(self):
        pid = self.main_pid()
        self.booted.run("systemctl", "kill", "--kill-who=main", "--signal=KILL", "token-health-fcgi")
        self.wait_for_another(pid, 30)
        self.assertEqual(self.ask().ask(), 204)

    def test_f_one_that_stands_still_is_replaced(self):
        pid = self.main_pid()
        self.booted.run("systemctl", "kill", "--signal=STOP", "token-health-fcgi")
        began = time.monotonic()
        self.wait_for_another(pid, 60)
        print(f"FIGURE: a responder that stood still was replaced by the watchdog after {time.monotonic() - began:.1f} s (WatchdogSec 3 s)")
        self.assertEqual(self.ask().ask(), 204)
        self.assertEqual(self.booted.show("token-health-monitor", "NRestarts"), "0")

    def test_g_they_stop_when_told_and_the_journal_has_no_token(self):
        self.booted.run("systemctl", "stop", "token-health-fcgi.socket", "token-health-fcgi", "token-health-monitor")
        for unit in ("token-health-fcgi", "token-health-monitor"):
            self.assertEqual(self.booted.show(unit, "ActiveState", "Result"), ["inactive", "success"], unit)
        journal = self.booted.run("journalctl", "--no-pager", "-u", "token-health-*").stdout
        self.assertIn("sweep done", journal)
        self.assertEqual([n for n in range(1, 21) if token(n) in journal], [])


class Units(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="token-health-units-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        for path in glob.glob(os.path.join(ROOT, "deploy/systemd/token-health-*")):
            with open(path) as f:
                text = f.read()
            with open(os.path.join(self.dir, os.path.basename(path)), "w") as f:  # systemd-analyze wants programs that are there
                f.write(re.sub(r"/usr/sbin/token-health-\w+", "/bin/true", text).replace("Documentation=man:", "#"))

    def test_systemd_takes_them_without_a_word(self):
        done = run("systemd-analyze", "verify", *glob.glob(f"{self.dir}/*"), check=False)
        self.assertEqual([line for line in done.stdout.splitlines() if "token-health" in line], [], done.stdout)

    def test_both_services_are_locked_up(self):
        for name in ("fcgi", "monitor"):
            done = run("systemd-analyze", "security", "--offline=yes", f"{self.dir}/token-health-{name}.service", check=False)
            score = float(re.search(r"exposure level .*: ([\d.]+)", done.stdout)[1])
            self.assertLessEqual(score, 2.0, done.stdout)

    def test_each_line_says_why(self):
        """Each group of settings stands below a comment."""
        for path in glob.glob(os.path.join(ROOT, "deploy/systemd/*.service")) + glob.glob(os.path.join(ROOT, "deploy/systemd/*.socket")):
            with open(path) as f:
                blocks = [b for s in re.split(r"(?m)^\[(?:Service|Socket)\]$", f.read())[1:] for b in re.split(r"(?m)^\[", s)[0].strip().split("\n\n")]
            for block in blocks:
                self.assertTrue(block.startswith("#"), f"{path}: {block[:80]}")


class MakeInstall(unittest.TestCase):
    def test_every_place_that_an_installed_file_names_is_there(self):
        with tempfile.TemporaryDirectory() as dest:
            before = os.umask(0o077)  # some administrators' own
            try:
                run("make", "install", f"DESTDIR={dest}", "PREFIX=/opt/th", f"MODE={os.path.basename(os.environ.get('TOKEN_HEALTH_BUILD', 'release'))}")
            finally:
                os.umask(before)
            for folder, folders, files in os.walk(dest):
                for path in [os.path.join(folder, name) for name in folders + files]:
                    self.assertEqual(os.stat(path).st_mode & 0o022, 0, f"others may write {path}")
                    self.assertTrue(os.stat(path).st_mode & 0o004, f"others may not read {path}")
            for unit in glob.glob(f"{dest}/opt/th/lib/systemd/system/*.service"):
                with open(unit) as f:
                    program = re.search(r"(?m)^ExecStart=(\S+)", f.read())[1]
                self.assertTrue(os.access(dest + program, os.X_OK), f"{unit}: {program}")
            with open(f"{dest}/etc/token-health/token-health.conf") as f:
                directory = re.search(r"(?m)^directory = (\S+)", f.read())[1]
            self.assertIn("instagram.json", os.listdir(dest + directory))
            with open(f"{dest}/opt/th/lib/token-health/fcgid") as f:
                self.assertIn("/opt/th/sbin/token-health-fcgi", f.read())


class Completion(unittest.TestCase):
    def complete(self, *words):
        script = ("source /usr/share/bash-completion/bash_completion; source deploy/completion/token-healthctl; "
                  f"PATH={os.path.join(ROOT, os.environ.get('TOKEN_HEALTH_BUILD', 'build/release'))}:$PATH; "
                  f"COMP_WORDS=({' '.join(repr(w) for w in words)}); COMP_CWORD={len(words) - 1}; COMP_LINE='{' '.join(words)}'; "
                  "COMP_POINT=${#COMP_LINE}; _token_healthctl token-healthctl; printf '%s\\n' \"${COMPREPLY[@]}\"")
        return set(run("bash", "-c", script).stdout.split())

    def test_commands_options_and_words(self):
        self.assertLessEqual({"status", "validate", "key", "doctor", "clear-cache", "--config"}, self.complete("token-healthctl", ""))
        self.assertEqual(self.complete("token-healthctl", "val"), {"validate"})
        self.assertLessEqual({"--workspace", "--platform", "--force", "--json"}, self.complete("token-healthctl", "validate", "--"))
        self.assertEqual(self.complete("token-healthctl", "--json", "key", ""), {"create", "list", "revoke"})
        self.assertEqual(self.complete("token-healthctl", "monitor", ""), {"get", "set", "sweep"})
        self.assertEqual(self.complete("token-healthctl", "guard", ""), {"status", "confirm", "release"})
        self.assertEqual(self.complete("token-healthctl", "envelope", ""), {"check"})
        self.assertIn("README.md", self.complete("token-healthctl", "envelope", "check", ""), "files behind the words")
        self.assertIn("README.md", self.complete("token-healthctl", "import", ""), "files where there are no words")
        self.assertEqual(self.complete("token-healthctl", "key", "create", "--scopes", ""), {"read", "write", "admin"})


if __name__ == "__main__":
    unittest.main()
