#!/usr/bin/env python3
"""What one sweep costs: tests/bench/sweep_cost.py [sqlite|mongodb] [ACCOUNTS]. Healthy accounts with a token each, a provider (the sandbox) that
answers at once; printed are store calls, provider calls, time, CPU and memory of a second sweep, when every account is known and has its
fast envelope. Seeding a million takes many minutes. The MongoDB-compatible server of the tests uses an index only where a filter is an _id and no
more: it reads its whole collection for each page and each guarded write, so that its time grows with the square of the accounts."""
import os
import re
import shutil
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/lib"))

from case import account, registration, sealed  # noqa: E402
from harness import BUILD, Service, stop_process, wait_for  # noqa: E402
from mongo import Mongo  # noqa: E402
from sandbox import Sandbox  # noqa: E402

SETTINGS = {"monitor": {"max_retries": "0", "platforms": "instagram"}, "cache": {"entries": "1024", "ttl": "1s"},
            "encryption": {"kdf_iterations": "1"}, "store": {"timeout": "60s"}}
BATCH = 10000


def seed(service, sandbox, count):
    for start in range(1, count + 1, BATCH):
        numbers = range(start, min(start + BATCH, count + 1))
        sandbox.register([registration(n, n) for n in numbers])
        service.import_accounts([account(n, f"ws-{n % 5000}", encryptedAccessToken=sealed(n)) for n in numbers])


def one_sweep(service, sandbox):
    """Starts a monitor, and stops it once a sweep has ended: (seconds, CPU seconds, peak KiB, store reads, store writes, calls)."""
    sandbox.clear_ledger()
    before, began = service.log("monitor").count("sweep done"), time.monotonic()
    monitor = service.start_monitor()
    wait_for(lambda: monitor.poll() is not None or service.log("monitor").count("sweep done") > before, 24 * 3600, "a sweep")
    took_s = time.monotonic() - began
    with open(f"/proc/{monitor.pid}/stat") as f:
        cpu_s = sum(int(x) for x in f.read().rsplit(")", 1)[1].split()[11:13]) / os.sysconf("SC_CLK_TCK")
    with open(f"/proc/{monitor.pid}/status") as f:
        peak_kib = int(re.search(r"^VmHWM:\s+(\d+) kB", f.read(), re.M)[1])
    calls = sandbox.summary()["calls"]
    stop_process(monitor, 60)
    reads, writes = re.findall(r"store_reads=(\d+) store_writes=(\d+)", service.log("monitor"))[-1]
    return took_s, cpu_s, peak_kib, int(reads), int(writes), calls


def main():
    kind, count = (sys.argv[1:] + ["sqlite", "10000"][len(sys.argv) - 1:])[:2]
    count = int(count)
    directory = tempfile.mkdtemp(prefix="token-health-sweep-")
    sandbox = Sandbox(BUILD, log=os.path.join(directory, "sandbox.log"))
    mongo = Mongo(os.path.join(directory, "mongo")).start() if kind == "mongodb" else None
    service = None
    try:
        sandbox.start()
        service = Service(os.path.join(directory, "service"), sandbox.url, store=mongo.uri if mongo else None, settings=SETTINGS)
        began = time.monotonic()
        seed(service, sandbox, count)
        print(f"{kind}: {count} accounts seeded in {time.monotonic() - began:.0f} s", flush=True)
        for label, interval in (("first sweep", "4h"), ("second sweep", "2h")):  # shorter than what is left: due at once
            service.settings["monitor"]["check_interval"] = interval
            service.write_conf()
            took_s, cpu_s, peak_kib, reads, writes, calls = one_sweep(service, sandbox)
            print(f"{kind}, {count} accounts, {label}: {took_s:.1f} s, {cpu_s / count * 1e6:.0f} us of CPU an account, peak RSS {peak_kib / 1024:.1f} MiB, "
                  f"{reads} store reads and {writes} store writes ({(reads + writes) / count:.3f} calls an account), {calls} provider calls", flush=True)
    finally:
        if service:
            service.stop()
        sandbox.stop()
        if mongo:
            mongo.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
