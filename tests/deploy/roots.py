"""Fresh Debian roots to install the package in, and to boot: commands run in them with namespaces of their own."""
import glob
import os
import shutil
import subprocess
import sys
import unittest

from harness import ROOT, children, die_with_parent, stop_process, wait_for


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
        done = run("debootstrap", "--variant=minbase", release, self.path, check=False)
        if "Failed getting release file" in done.stdout:
            raise unittest.SkipTest(f"no Debian archive can be reached: the package is not installed in a fresh {release}")
        if done.returncode != 0:
            raise AssertionError("debootstrap: " + done.stdout[-3000:])
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


class Booted:
    """A root whose own systemd runs as process 1 of a container. The network is this host's, so that it reaches what listens on 127.0.0.1 here."""

    def __init__(self, root):
        self.log_path = f"{root.path}.boot.log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot", "-D", root.path],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent)
        wait_for(self.is_up, 90, "systemd has started")

    def is_up(self):
        if self.process.poll() is not None:
            with open(self.log_path, errors="replace") as f:
                said = f.read()[-3000:]
            if "Operation not permitted" in said:
                raise unittest.SkipTest(f"no container can be booted here, the units run under no systemd: {said.strip()}")
            raise AssertionError("the container ended: " + said)
        return bool(children(self.process.pid)) and self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded")

    def leader(self):
        (pid,) = children(self.process.pid)
        return pid

    def run(self, *command, check=True):
        return run("nsenter", "-t", str(self.leader()), "-m", "-u", "-i", "-p", "-C", "--", *command, check=check,
                   env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": "/root"}, timeout=120)

    def show(self, unit, *properties):
        """The values of a unit's properties."""
        said = self.run("systemctl", "show", "-p", ",".join(properties), unit).stdout
        found = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
        return [found[p] for p in properties] if len(properties) > 1 else found[properties[0]]

    def path(self, path):
        """A path of the container's, as this process can open it."""
        return f"/proc/{self.leader()}/root{path}"

    def stop(self):
        stop_process(self.process, 60)


if __name__ == "__main__":
    sys.exit("roots.py is a library")
