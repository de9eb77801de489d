"""The Debian package, built, installed, upgraded, removed and purged in fresh roots of Debian 12 and 13; what lintian and systemd say of it."""
import glob
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from harness import ROOT

KEPT = "/var/lib/token-health/accounts.db"


def run(*command, cwd=ROOT, check=True, timeout=1500, **more):
    done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", timeout=timeout, **more)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout[-3000:]}")
    return done


class Root:
    """A Debian of its own below a folder. Commands run in it with namespaces of their own: what they mount and start ends with them."""

    def __init__(self, path):
        self.path = path

    def make(self, release):
        run("debootstrap", "--variant=minbase", release, self.path)
        with open(f"{self.path}/usr/sbin/policy-rc.d", "w") as f:
            f.write("#!/bin/sh\nexit 101\n")
        os.chmod(f"{self.path}/usr/sbin/policy-rc.d", 0o755)
        with open(f"{self.path}/etc/dpkg/dpkg.cfg.d/test", "w") as f:
            f.write("force-unsafe-io\n")  # nothing here has to survive a crash

    def copy(self, path):
        run("cp", "-a", "--reflink=auto", self.path, path)
        return Root(path)

    def run(self, script, check=True, **variables):
        inside = f'mount -t proc proc "{self.path}/proc" && mount -t tmpfs -o mode=1777 shm "{self.path}/dev/shm" && exec chroot "{self.path}" /bin/sh -ec "$1"'
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C", "HOME": "/root", **variables}
        return run("unshare", "--mount", "--pid", "--fork", "sh", "-ec", inside, "sh", script, check=check, env=env)

    def exists(self, path):
        return os.path.lexists(self.path + path)

    def stat(self, path):
        """Mode, owner and group, by the names that this root knows."""
        return self.run(f"stat -c '%a %U %G' {path}").stdout.strip()

    def install(self, package):
        shutil.copy(package, f"{self.path}/root/")
        return self.run(f"apt-get update -qq; apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-confold /root/{os.path.basename(package)}")


def build_in(root):
    """The package as that release builds it, with the build dependencies that it declares."""
    run("sh", "-c", "git -c safe.directory='*' ls-files -co --exclude-standard -z | "
                    f"xargs -0 cp --parents -t '{root.path}/root' && cp -r deploy/debian '{root.path}/root/debian'")
    root.run("apt-get update -qq; cd /root; apt-get install -y -qq --no-install-recommends build-essential; "
             "apt-get build-dep -y -qq --no-install-recommends ./; dpkg-buildpackage -b -us -uc >/build.log 2>&1 || { tail -40 /build.log; exit 1; }")
    return glob.glob(f"{root.path}/token-health_*.deb")[0], glob.glob(f"{root.path}/token-health_*.changes")[0]


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


class Package:
    release = ""

    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0:
            if os.environ.get("CI"):
                raise AssertionError("the package's tests need root")
            raise unittest.SkipTest("not root: the package is not built and installed in a fresh Debian")
        cls.dir = tempfile.mkdtemp(prefix="token-health-package-")
        cls.addClassCleanup(shutil.rmtree, cls.dir, ignore_errors=True)
        base = Root(f"{cls.dir}/base")
        base.make(cls.release)
        builder = base.copy(f"{cls.dir}/builder")
        cls.root = base
        cls.package, changes = build_in(builder)
        cls.lintian = run("lintian", "--allow-root", "--fail-on", "error,warning", "--profile", "debian", changes, check=False)

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
            run("make", "install", f"DESTDIR={dest}", "PREFIX=/opt/th", f"MODE={os.path.basename(os.environ.get('TOKEN_HEALTH_BUILD', 'release'))}")
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
