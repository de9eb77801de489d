"""Many monitors over the same accounts, each as a host of its own (lib/hosts.py). One is killed, one is paused past its lease; and a million accounts."""
import contextlib
import json
import re
import signal
import sqlite3
import time
import unittest

from case import ServiceCase, account
from harness import BUILD, stop_process, wait_for
from hosts import CHEAP, HostsCase

SANITIZED = BUILD.endswith(("asan", "tsan"))
LEASE_S = 6


class TwoMonitors(HostsCase):
    accounts = 10000 if SANITIZED else 20000
    settings = {"monitor": {"check_interval": "40s", "lease": f"{LEASE_S}s", "batch_size": "32", "max_retries": "0"}, **CHEAP}

    def passes(self):
        return min((lease["passes"] for lease in self.leases().values()), default=0)

    def setUp(self):
        is_alone = self._testMethodName.startswith("test_a")  # one sweep, in which nobody dies, however slow the machine is
        for host in self.at.values():
            host.set(check_interval="20m" if is_alone else "40s", lease="20s" if is_alone else f"{LEASE_S}s")

    def from_here_on(self):
        """Forgets who was asked about so far; name of each slice → how many passes it has once one that begins now is over."""
        self.clear_ledgers()
        return {name: lease["passes"] + (2 if lease["begunAt"] else 1) for name, lease in self.leases().items()}

    def wait_for_passes(self, wanted):
        def over():
            leases = self.leases()
            return all(leases[name]["passes"] >= number for name, number in wanted.items())
        wait_for(over, 600, f"every slice was gone through once more: {wanted}")

    def all_asked(self, what):
        asked = self.asked_in_all()
        self.assertEqual(len(asked), self.accounts, f"{what}: accounts that were asked about")
        return asked

    def wait_for_pass(self, number):
        wait_for(lambda: self.passes() >= number, 300, f"every slice was gone through {number} times")

    def test_a_two_monitors_share_a_sweep_and_no_account_is_asked_about_twice(self):
        a, b = self.start("a"), self.start("b")
        began = time.monotonic()
        self.wait_for_pass(1)
        took_s = time.monotonic() - began
        asked = self.all_asked("first sweep")
        said = [line for host in (a, b) for line in host.log().splitlines() if " warn " in line or " error " in line]
        twice = sum(calls > 1 for calls in asked.values())
        self.assertEqual(twice, 0, "accounts that were asked about twice; the monitors say:\n" + "\n".join(said[:20]))
        self.assertEqual(said, [], "what went wrong")
        wait_for(lambda: a.sweeps() and b.sweeps(), 20, "both tell of the end of the sweep")
        self.assertEqual(sum(lease["last"]["accounts"] for lease in self.leases().values()), self.accounts)
        print(f"FIGURE: two monitors, {self.accounts} accounts in {len(self.leases())} slices: one sweep in {took_s:.0f} s, "
              f"{len(a.asked())} and {len(b.asked())} accounts each")
        self.assertGreater(min(len(a.asked()), len(b.asked())), 0, "one did all the work")
        self.assertGreater(self.least_apart_s(), 1)

    def test_b_what_a_killed_monitor_held_is_taken_over_and_no_account_is_left_out(self):
        a, b = self.start("a"), self.start("b")
        wanted = self.from_here_on()
        wait_for(lambda: self.owned(b) and len(b.asked()) > 300, 120, "b is in the middle of a slice")
        held = self.owned(b)
        b.process.kill()
        b.process.wait()
        began = time.monotonic()
        dead = f":{b.process.pid}:"
        wait_for(lambda: not any(dead in self.leases()[name]["owner"] for name in held), LEASE_S * 4 + 60, "a takes over")
        took_s = time.monotonic() - began
        self.wait_for_passes(wanted)
        self.all_asked("sweep with a kill")
        print(f"FIGURE: a killed monitor's slices were another's after {took_s:.1f} s (lease {LEASE_S} s); "
              f"least time between two monitors' questions about one account: {self.least_apart_s():.1f} s")
        self.assertGreater(self.least_apart_s(), 1)

    def test_c_a_paused_monitor_writes_nothing_and_asks_nothing_after_its_lease_is_over(self):
        a, b = self.start("a"), self.start("b")
        b.sandbox.latency(400)  # so that many of its questions are under way
        self.addCleanup(b.sandbox.latency, 0)
        wanted = self.from_here_on()
        wait_for(lambda: self.owned(b) and len(b.asked()) > 100, 120, "b is in the middle of a slice")
        b.pause()
        held = self.owned(b)
        time.sleep(1)  # what it had sent arrives
        calls = b.sandbox.summary()["calls"]
        self.wait_for_passes(wanted)
        self.all_asked("sweep with a pause")
        a.end()
        before = self.stored_all()
        b.process.send_signal(signal.SIGTERM)  # it wakes up, ends what is under way, and takes nothing new
        b.process.send_signal(signal.SIGCONT)
        self.assertEqual(b.process.wait(60), 0)
        after = self.stored_all()
        changed = [n for n in before if before[n] != after[n]]
        print(f"FIGURE: a monitor paused past its lease, with {len(held)} slices and answers under way: {len(changed)} writes, "
              f"{b.sandbox.summary()['calls'] - calls} questions afterwards; least time between two monitors' questions about one "
              f"account: {self.least_apart_s():.1f} s")
        self.assertEqual(changed, [], "it wrote after its lease was over")
        self.assertEqual(b.sandbox.summary()["calls"], calls, "it asked after its lease was over")
        self.assertIn("a slice is left to others", b.log())
        self.assertGreater(self.least_apart_s(), 1)

    def test_d_a_stopped_monitor_gives_back_its_slices_and_another_goes_on_at_once(self):
        b = self.start("b")
        wanted = self.from_here_on()
        wait_for(lambda: self.owned(b) and len(b.asked()) > 1500, 120, "b is in the middle of a slice")
        a = self.start("a")
        b.end()
        began = time.monotonic()
        left = self.leases()
        self.assertEqual({lease["owner"] for lease in left.values()} - {lease["owner"] for lease in left.values() if f":{a.process.pid}:" in lease["owner"]},
                         {""}, "it kept a slice")
        wait_for(lambda: a.asked(), 20, "a goes on")
        went_on_s = time.monotonic() - began
        self.wait_for_passes(wanted)
        asked = self.all_asked("sweep with a stop")
        twice = sum(calls > 1 for calls in asked.values())
        print(f"FIGURE: after a stop the other monitor went on within {went_on_s:.1f} s (lease {LEASE_S} s); {twice} of {self.accounts} "
              "accounts were asked about again")
        self.assertLess(went_on_s, LEASE_S)


class Million(ServiceCase):
    """Accounts without a token, already known as broken: no provider is asked, but each is read, judged and written. Of the million only some
    slices are due, as in a sweep that others have begun. What could grow with the million is the list of
    its slices, which is all there, and what the store holds of a larger file; the accounts themselves stream, whatever their number."""
    responder = False
    settings = {"monitor": {"check_interval": "1h", "platforms": "instagram"}, **CHEAP}
    few, many = (1000, 20000) if SANITIZED else (10000, 1000000)
    slice_accounts, due_slices = 5000, 2 if SANITIZED else 10

    def grow(self, db, start, count):
        """Nobody has the file open: no journal, and the indexes are made at the end."""
        (text,) = db.execute("SELECT doc FROM accounts WHERE id='o:" + "0" * 23 + "1'").fetchone()
        template = json.dumps(dict(json.loads(text), _id={"$oid": "@oid"}, workspaceId="ws-@w", username="user@n"), separators=(",", ":"))
        indexes = db.execute("SELECT name, sql FROM sqlite_master WHERE type='index' AND sql IS NOT NULL").fetchall()
        db.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-100000; "
                         + "".join(f"DROP INDEX {name};" for name, _ in indexes))
        db.execute("WITH RECURSIVE n(i) AS (SELECT ?1 UNION ALL SELECT i+1 FROM n WHERE i<?2) INSERT INTO accounts "
                   "SELECT printf('o:%024x',i), 'instagram', 's:ws-'||(i%5000), 1, 0, 'broken', 'missing', "
                   "replace(replace(replace(?3,'@oid',printf('%024x',i)),'@w',i%5000),'@n',i) FROM n", (start, count, template))
        db.execute("DELETE FROM leases")
        db.commit()
        db.executescript("".join(f"{sql};" for _, sql in indexes) + "PRAGMA journal_mode=WAL;")

    def cut(self, db, count, now_ms):
        """As the monitors cut it: all slices but a few were gone through just now."""
        for number, lo in enumerate(range(0, count, self.slice_accounts)):
            state = {"dueAt": now_ms + (0 if number % (count // self.slice_accounts // self.due_slices) == 0 else 1800000), "passes": 1}
            name = "slice/instagram/" + (f"o:{lo:024x}" if lo else "")
            db.execute("INSERT INTO leases VALUES(?,'',0,0,0,?)", (name, json.dumps(state)))
        db.commit()

    def sweep(self, db, count):
        """Peak RSS in KiB, seconds, once all that is due was gone through."""
        (slices,) = db.execute("SELECT count(*) FROM leases").fetchone()
        done = slices + self.due_slices if slices else self.few // self.slice_accounts or 1
        began = time.monotonic()
        monitor = self.service.start_monitor()
        self.addCleanup(stop_process, monitor)
        wait_for(lambda: monitor.poll() is not None or (db.execute("SELECT sum(json_extract(state,'$.passes')) FROM leases WHERE name LIKE 'slice/%'")
                                                        .fetchone()[0] or 0) >= done, 600, f"what is due of {count}")
        took_s = time.monotonic() - began
        with open(f"/proc/{monitor.pid}/status") as f:
            peak_kib = int(re.search(r"^VmHWM:\s+(\d+) kB", f.read(), re.M)[1])
        stop_process(monitor)
        return peak_kib, took_s

    def test_memory_is_the_same_with_a_million_accounts(self):
        path = f"{self.service.dir}/accounts.db"
        self.service.import_accounts([account(1)])
        self.service.sweep()
        began, peak_kib, took_s, seeded_s = time.monotonic(), {}, {}, 0
        with contextlib.closing(sqlite3.connect(path, timeout=60)) as db:
            for start, count in ((2, self.few), (self.few + 1, self.many)):
                grown = time.monotonic()
                self.grow(db, start, count)
                seeded_s += time.monotonic() - grown
                if count == self.many:
                    self.cut(db, count, int(time.time() * 1000))
                peak_kib[count], took_s[count] = self.sweep(db, count)
            (slices,) = db.execute("SELECT count(*) FROM leases WHERE name LIKE 'slice/%'").fetchone()
            done, errors = db.execute("SELECT sum(json_extract(state,'$.last.accounts')), sum(json_extract(state,'$.last.storeErrors')) "
                                      "FROM leases WHERE name LIKE 'slice/%'").fetchone()
        self.assertEqual((done, errors), (self.due_slices * self.slice_accounts, 0))
        print(f"FIGURE: monitor's peak RSS: {peak_kib[self.few] / 1024:.1f} MiB with {self.few} accounts, {peak_kib[self.many] / 1024:.1f} MiB "
              f"with {self.many} (limit 64 MiB and 10 % more), in {slices} slices of which {self.due_slices}, {done} accounts, were due and gone through; {done / took_s[self.many]:.0f} accounts a "
              f"second without a provider; {time.monotonic() - began:.0f} s in all, {seeded_s:.0f} s of it to make the accounts")
        if not SANITIZED:
            self.assertLess(peak_kib[self.many], 64 * 1024)
            self.assertLess(peak_kib[self.many], peak_kib[self.few] * 1.1)


if __name__ == "__main__":
    unittest.main()
