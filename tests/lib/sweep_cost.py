"""What sweeps cost: accounts a second, CPU, cores. Used by the bench and, in small, by a fault test."""
import os
import re
import statistics
import subprocess

from case import account, registration, sealed
from harness import die_with_parent

DONE = re.compile(r'"?sweep done"? .*?accounts=(\d+).* ms=(\d+)')


def seed(service, sandbox, numbers):
    """Accounts with these numbers, healthy at the provider, whose envelopes have the iterations that the service is set to."""
    sandbox.register([registration(n, n) for n in numbers])
    service.import_accounts([account(n, encryptedAccessToken=sealed(n)) for n in numbers])


class Cost:
    def __init__(self, accounts, wall_s, cpu_s):
        self.accounts, self.wall_s, self.cpu_s = accounts, wall_s, cpu_s


def sweep(service, *args):
    """One whole sweep in a monitor of its own; the time is the sweep's, the CPU the process's."""
    log = os.path.join(service.dir, "sweep-cost.log")
    with open(log, "wb") as out:
        process = subprocess.Popen([service.program("token-health-monitor"), "--config", service.conf, "--once", *args],
                                   stdin=subprocess.DEVNULL, stderr=out, env=service.environment(), preexec_fn=die_with_parent)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    with open(log, errors="replace") as f:
        text = f.read()
    done = DONE.search(text)
    if process.returncode or not done:
        raise AssertionError(f"sweep: exit {process.returncode}\n{text[-3000:]}")
    return Cost(int(done[1]), max(1, int(done[2])) / 1000, usage.ru_utime + usage.ru_stime)


def start_cpu_s(service, rounds):
    """The CPU of starting and finding nothing to do."""
    settings = service.settings["monitor"]
    before = settings.get("platforms")
    service.settings["monitor"]["platforms"] = "threads"
    service.write_conf()
    try:
        return statistics.median(sweep(service).cpu_s for _ in range(rounds))
    finally:
        if before is None:
            del settings["platforms"]
        else:
            settings["platforms"] = before
        service.write_conf()


def with_fast_envelopes(service, sandbox, accounts, latency_ms, rounds):
    """Sweeps of accounts that have been swept before: (accounts a second in each round, CPU µs an account in the median)."""
    seed(service, sandbox, range(1, accounts + 1))
    sweep(service)
    start_s = start_cpu_s(service, rounds)
    sandbox.latency(latency_ms)
    try:
        costs = [sweep(service) for _ in range(rounds)]
    finally:
        sandbox.latency(0)
    if {c.accounts for c in costs} != {accounts}:
        raise AssertionError(f"{[c.accounts for c in costs]} accounts swept, {accounts} expected")
    cpu_s = statistics.median(c.cpu_s for c in costs) - start_s
    return sorted(c.accounts / c.wall_s for c in costs), cpu_s / accounts * 1e6


def with_slow_envelopes(service, sandbox, accounts, rounds):
    """The first sweep of accounts whose tokens cost a key derivation each, and those after it: CPU s of either, and how many cores the
    first one kept busy."""
    seed(service, sandbox, range(1, accounts + 1))
    first = sweep(service)
    later_s = statistics.median(sweep(service).cpu_s for _ in range(rounds))
    start_s = start_cpu_s(service, rounds)
    first_s = first.cpu_s - start_s
    return first_s, max(later_s - start_s, 1e-6), first_s / first.wall_s
