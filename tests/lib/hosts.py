"""Hosts that share nothing but the store: each has its own shared memory, spool and, unless it is told to share one, provider (a sandbox, whose ledger
says whom it asked for, and when). Their clocks may be wrong."""
import contextlib
import glob
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

from case import ServiceCase, account, registration, sealed
from harness import BUILD, die_with_parent, stop_process
from sandbox import Sandbox

CHEAP = {"encryption": {"kdf_iterations": "1"}, "cache": {"ttl": "1s", "entries": "1024"}}


class Host:
    """A monitor with all that a host has."""

    def __init__(self, case, name, env=None, sandbox=None):
        self.case, self.name, self.process, self.env = case, name, None, env or {}
        self.sandbox = sandbox or Sandbox(BUILD, log=os.path.join(case.dir, f"sandbox-{name}.log"))
        if not sandbox:
            self.sandbox.start()
            case.addClassCleanup(self.sandbox.stop)
        self.conf = os.path.join(case.dir, f"{name}.conf")
        shm = f"{case.service.shm}-{name}"
        case.addClassCleanup(lambda: os.path.exists("/dev/shm" + shm) and os.unlink("/dev/shm" + shm))
        with open(case.service.conf) as f:
            text = f.read().replace(case.service.shm, shm).replace(case.sandbox.url, self.sandbox.url)
        case.service.write_private(self.conf, text.replace(f"{case.service.dir}/spool/", f"{case.dir}/spool-{name}/"))
        self.log_path = os.path.join(case.dir, f"{name}.log")

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([self.case.service.program("token-health-monitor"), "--config", self.conf], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, env=dict(self.case.service.environment(), **self.env),
                                            preexec_fn=die_with_parent)
        return self

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def sweeps(self):
        return self.log().count("sweep done")

    def asked(self):
        """SHA-256 of each token → how often."""
        return {t: c["calls"] for t, c in self.sandbox.ledger()["by_token"].items() if c["calls"]}

    def moments(self):
        """SHA-256 of each token → when it was asked about, ms."""
        found = {}
        for call in self.sandbox.ledger(details=100000)["details"]:
            found.setdefault(call["token_sha256"], []).append(call["at_ms"])
        return found

    def pause(self):
        """But not inside a transaction of SQLite: that would hold up all who write, whatever they do."""
        for _ in range(200):
            self.process.send_signal(signal.SIGSTOP)
            with contextlib.closing(sqlite3.connect(f"{self.case.service.dir}/accounts.db", timeout=5, isolation_level=None)) as db:
                try:
                    db.execute("BEGIN IMMEDIATE")
                    return
                except sqlite3.OperationalError:
                    self.process.send_signal(signal.SIGCONT)
        raise AssertionError("it is in a transaction whenever it is stopped")

    def set(self, **settings):
        with open(self.conf) as f:
            conf = f.read()
        for name, value in settings.items():
            conf = re.sub(rf"(?m)^{name} = .*$", f"{name} = {value}", conf)
        self.case.service.write_private(self.conf, conf)

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
        stop_process(self.process, 30)


class HostsCase(ServiceCase):
    responder = False
    accounts = 100
    hosts = {"a": {}, "b": {}}

    @classmethod
    def seed(cls):
        numbers = range(1, cls.accounts + 1)
        cls.at = {name: Host(cls, name, env) for name, env in cls.hosts.items()}
        for host in cls.at.values():
            host.sandbox.register([registration(n, n) for n in numbers])
        cls.service.import_accounts([account(n, f"ws-{n % 500}", encryptedAccessToken=sealed(n)) for n in numbers])

    def start(self, name):
        host = self.at[name].start()
        self.addCleanup(host.end)
        return host

    def leases(self):
        with contextlib.closing(sqlite3.connect(f"file:{self.service.dir}/accounts.db?mode=ro", uri=True, timeout=10)) as db:
            rows = db.execute("SELECT name, owner, state FROM leases WHERE name LIKE 'slice/instagram/%'").fetchall()
        return {name: dict(json.loads(state), owner=owner) for name, owner, state in rows}

    def owned(self, host):
        return [name for name, lease in self.leases().items() if f":{host.process.pid}:" in lease["owner"]]

    def asked_in_all(self):
        total = {}
        for host in self.at.values():
            for name, calls in host.asked().items():
                total[name] = total.get(name, 0) + calls
        return total

    def least_apart_s(self):
        """Between a question of one host and one of another about the same account."""
        ours, theirs = (host.moments() for host in self.at.values())
        apart = [abs(x - y) for name, moments in ours.items() for x in moments for y in theirs.get(name, ())]
        return min(apart) / 1000 if apart else float("inf")

    def clear_ledgers(self):
        for host in self.at.values():
            host.sandbox.clear_ledger()


def faketime():
    found = glob.glob("/usr/lib/*/faketime/libfaketime.so.1") + glob.glob("/usr/lib/faketime/libfaketime.so.1")
    if not found:
        raise AssertionError("libfaketime is not installed (package faketime)")
    return found[0]


class Clock:
    """What processes with this environment take for the time: the true one and an offset that can be set at any moment."""

    def __init__(self, case, offset):
        self.file = tempfile.NamedTemporaryFile("w", prefix="token-health-clock-", suffix=".rc")
        case.addClassCleanup(self.file.close)
        self.set(offset)
        self.env = {"LD_PRELOAD": faketime(), "FAKETIME_TIMESTAMP_FILE": self.file.name, "FAKETIME_NO_CACHE": "1",
                    "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def set(self, offset):
        self.file.seek(0)
        self.file.truncate()
        self.file.write(offset + "\n")
        self.file.flush()


def hours_told(log):
    """The hours by the clock of whoever wrote the log."""
    return {stamp[:13] for stamp in re.findall(r"^(\S+) ", log, re.M)}


if __name__ == "__main__":
    sys.exit("hosts.py is a library")
