"""Hosts whose clocks are wrong, and are set while the monitors run: no lease for two, no sweep too many, no refresh before its time."""
import time
import unittest

from harness import BUILD, wait_for
from hosts import CHEAP, Clock, Host, HostsCase, hours_told
from rotating import APPS, Person, RefreshCase

STEPS = ("-10m", "+50m", "-10m", "-70m", "-10m")  # ten minutes behind; an hour forth and back, an hour back and forth


@unittest.skipIf(BUILD.endswith(("asan", "tsan")), "a sanitizer and libfaketime do not go together")
class Sweeps(HostsCase):
    """Host a has the right time. One slice: they compete for it."""
    accounts = 500
    settings = {"monitor": {"check_interval": "2s", "lease": "4s", "batch_size": "16", "max_retries": "0"}, **CHEAP}

    @classmethod
    def setUpClass(cls):
        cls.clock = Clock(cls, STEPS[0])
        cls.hosts = {"a": {}, "b": cls.clock.env}
        super().setUpClass()

    def test_skew_and_steps_of_a_clock_give_no_lease_to_two_and_no_sweep_too_many(self):
        a, b = self.start("a"), self.start("b")
        began = time.monotonic()
        for offset in STEPS:
            self.clock.set(offset)
            time.sleep(6)
        a.end()
        b.end()
        took_s = time.monotonic() - began
        asked = self.asked_in_all()
        apart_s = self.least_apart_s()
        most, fewest = max(asked.values()), min(asked.values())
        (lease,) = self.leases().values()
        print(f"FIGURE: skew of 10 min and four steps of 1 h in {took_s:.0f} s: each account was asked about {fewest} to {most} times, at "
              f"least {apart_s:.1f} s apart on two hosts (interval 2 s); leases lost: {a.log().count('is left to others')}")
        self.assertGreater(len(hours_told(b.log())), 1, "the clock of b was not set")
        self.assertGreater(min(len(a.asked()), len(b.asked())), 0, "one did all the work")
        self.assertEqual(len(asked), self.accounts)
        self.assertLessEqual(most, took_s / 2 + 2, "more sweeps than the interval allows")
        self.assertGreaterEqual(fewest, 4)
        begun = lease["passes"] + (1 if lease["begunAt"] else 0)
        self.assertTrue(lease["passes"] <= fewest and most <= begun, f"asked {fewest} to {most} times in {lease['passes']} passes of {begun} begun")


@unittest.skipIf(BUILD.endswith(("asan", "tsan")), "a sanitizer and libfaketime do not go together")
class Refreshes(RefreshCase):
    """X's tokens live two hours, and are due from 90 to 40 minutes before their end. Those with 95 to 145 minutes left are not; by a clock that
    is 50 minutes ahead they would be. At each step some get in that are past their time; by a clock that is 70 minutes behind they would not be."""
    settings = dict(APPS, **CHEAP, monitor={"check_interval": "2s", "lease": "4s", "max_retries": "0", "platforms": "twitter"},
                    health={"confirm_interval": "0"})
    people = {f"early-{n}": Person(n, expires_in_s=95 * 60 + 30 * n) for n in range(1, 101)}
    due_at_each_step = 10

    @classmethod
    def setUpClass(cls):
        cls.clock = Clock(cls, STEPS[0])
        super().setUpClass()

    def start(self, name, env=None):
        host = Host(type(self), name, env, sandbox=self.sandbox).start()
        self.addCleanup(host.end)
        return host

    def add_due(self, step):
        first = 1000 + step * self.due_at_each_step
        due = [Person(n, expires_in_s=(10 + n % 25) * 60) for n in range(first, first + self.due_at_each_step)]
        self.sandbox.register([p.registration() for p in due])
        self.service.import_accounts([p.document() for p in due])
        return due

    def test_no_token_is_refreshed_early_or_twice_and_none_too_late(self):
        hosts, due = [self.start("a"), self.start("b", self.clock.env)], []
        for step, offset in enumerate(STEPS):
            self.clock.set(offset)
            due += self.add_due(step)
            sweeps = [host.sweeps() for host in hosts]
            # Two more begun and ended on each host, or by either for both: what is due now was seen under this clock.
            wait_for(lambda: sum(h.sweeps() for h in hosts) >= sum(sweeps) + 4 and all(self.refreshes(p) for p in due), 60,
                     f"refreshes with {offset}")
        for host in hosts:
            host.end()
        early = [p.number for p in self.people.values() if self.refreshes(p)]
        calls = [self.refreshes(p) for p in due]
        print(f"FIGURE: skew of 10 min and four steps of 1 h, two hosts: {len(early)} of {len(self.people)} tokens refreshed early; "
              f"{len(calls)} that were due refreshed by {sum(calls)} calls")
        self.assertGreater(len(hours_told(hosts[1].log())), 1, "the clock of b was not set")
        self.assertEqual(early, [])
        self.assertEqual(set(calls), {1}, calls)
        self.assert_newest(*due)


if __name__ == "__main__":
    unittest.main()
