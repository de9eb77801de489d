"""SIGKILL at each named point of a refresh (shared/base/fault.def), twenty times each. After a restart and a sweep the store holds the newest
tokens that the provider knows, each refresh token was used once, and the spool is empty. From the lease to the answer on disk a death
leaves nobody knowing whether the refresh token is used up: there the promise is that it is not used again before its last chance, that
nobody is condemned, and that the operator is told."""
import os
import re
import signal
import subprocess
import unittest

import rotating
from docs import rows
from harness import wait_for
from rotating import APPS, QUICK, Person, RefreshCase

KILLS = 20
POINTS = [name for name, _ in rows("shared/base/fault.def", "FAULT")]
UNSURE = ("leased", "called", "answered")
REPLAYS = ("replay_found", "replay_stored")
CERTAIN = [p for p in POINTS if p not in UNSURE + REPLAYS]
ONE_AT_A_TIME = dict(QUICK, monitor={"max_retries": "0", "batch_size": "1"})


class KillCase(RefreshCase):
    settings = dict(APPS, **ONE_AT_A_TIME)
    people = {n: Person(n, "twitter" if n % 2 else "tiktok") for n in range(1, KILLS + 1)}

    def sweep_killed_at(self, point):
        done = subprocess.run([self.service.program("token-health-monitor"), "--config", self.service.conf, "--once"], text=True,
                              capture_output=True, env=dict(self.service.environment(), TH_FAULT_POINT=point), timeout=120)
        with open(f"{self.service.dir}/monitor.log", "a") as f:
            f.write(done.stderr)
        self.assertEqual(done.returncode, -signal.SIGKILL, f"not killed at {point}:\n{done.stderr}")

    def assert_used_once(self, point):
        for person in self.people.values():
            family = self.sandbox.family(person.refresh)
            self.assertEqual((family["refreshes"], family["reuses"]), (1, 0), f"{point}: account {person.number}")

    def assert_all_is_well(self, point):
        self.assert_used_once(point)
        self.assert_newest(*self.people.values())
        self.assert_spool_empty()


def certain(point):
    class AtPoint(KillCase):
        def test_the_newest_token_is_stored_and_each_was_used_once(self):
            for _ in range(KILLS):
                self.sweep_killed_at(point)
            self.service.sweep()
            self.assert_all_is_well(point)
            print(f"FIGURE: killed {KILLS} times at \"{point}\": {len(self.people)} refresh tokens used once, 0 lost")
    return AtPoint


def replay(point):
    class AtPoint(KillCase):
        def test_the_newest_token_is_stored_and_each_was_used_once(self):
            for _ in range(KILLS):
                self.sweep_killed_at("kept")
                self.sweep_killed_at(point)
            self.service.sweep()
            self.assert_all_is_well(point)
            print(f"FIGURE: killed {KILLS} times at \"{point}\": {len(self.people)} refresh tokens used once, 0 lost")
    return AtPoint


def unsure(point):
    class AtPoint(KillCase):
        was_used = int(point == "answered")

        def test_no_refresh_token_is_used_again_and_nobody_condemned(self):
            for _ in range(KILLS):
                self.sweep_killed_at(point)
            self.service.sweep()
            self.let_wait(self.people.values())  # it is not the wait after a failure that keeps it from being used again
            self.service.sweep()
            stored = rotating.documents(self.service.dir)
            for person in self.people.values():
                document, family = stored[person.number], self.sandbox.family(person.refresh)
                self.assertEqual((family["refreshes"], family["reuses"]), (self.was_used, 0), f"{point}: account {person.number}")
                self.assertEqual((document["tokenStatus"], document["tokenHealth"]["state"]), ("valid", "expiring"), document)
                self.assertIsNot(document.get("needsReconnection"), True)
                self.assertEqual(document["tokenHealth"]["refresh"]["standing"], "unsure")
                self.assertNotIn("lease", document["tokenHealth"]["refresh"])
            self.assert_spool_empty()
            told = len(re.findall(r"error \[TOKEN HEALTH\] a refresh was cut off, and its refresh token may be used up",
                                  self.service.log("monitor")))
            self.assertEqual(told, KILLS, "the operator is told of each")
            print(f"FIGURE: killed {KILLS} times at \"{point}\": no refresh token used again, 0 condemned")
            if not self.was_used:
                self.last_chance()

        def last_chance(self):
            """There was no call: once the access token is refused, the refresh token is still good."""
            self.sandbox.register([{"token": p.access, "condition": "expired"} for p in self.people.values()])
            self.let_wait(self.people.values())
            self.service.sweep()
            self.assert_all_is_well(point)
    return AtPoint


for _make, _points in ((certain, CERTAIN), (replay, REPLAYS), (unsure, UNSURE)):
    for _point in _points:
        _case = _make(_point)
        _case.__name__ = _case.__qualname__ = "KilledAt" + "".join(word.capitalize() for word in _point.split("_"))
        globals()[_case.__name__] = _case
del _case  # or it would be run twice


class KilledWhileTheProviderWorks(KillCase):
    """The next monitor takes the dead one's accounts over when its lease has stood still."""
    settings = dict(APPS, **dict(ONE_AT_A_TIME, monitor=dict(ONE_AT_A_TIME["monitor"], lease="2s")))
    people = {n: Person(n, "twitter" if n % 2 else "tiktok") for n in range(1, 5)}

    @classmethod
    def registrations(cls, person):
        return [person.registration(), {"token": person.refresh, "refresh_condition": "slow"}]

    def test_no_refresh_token_is_used_again_and_nobody_condemned(self):
        for n in range(1, len(self.people) + 1):
            monitor = self.service.start_monitor()
            wait_for(lambda: sum(self.refreshes(p) for p in self.people.values()) == n, 30, "a refresh is at the provider")
            monitor.kill()
            monitor.wait()
        for _ in range(2):
            self.service.sweep()
        for person in self.people.values():
            family = self.sandbox.family(person.refresh)
            self.assertEqual((family["refreshes"], family["reuses"]), (1, 0), person.number)
            self.assertEqual(self.health(person)["state"], "expiring")
        self.assert_spool_empty()


class Window(KillCase):
    """How long new tokens are nowhere but in memory."""
    settings = dict(APPS, log={"level": "debug"}, **dict(QUICK, monitor={"batch_size": "8"}))
    people = {n: Person(n, "twitter" if n % 2 else "tiktok") for n in range(1, 101)}

    def test_from_the_answer_in_memory_to_the_answer_on_disk(self):
        self.service.sweep()
        self.assert_used_once("no point")
        took_us = sorted(int(us) for us in re.findall(r"answer kept us=(\d+)", self.service.log("monitor")))
        self.assertEqual(len(took_us), len(self.people))
        print(f"FIGURE: new tokens are in memory only for {took_us[len(took_us) // 2]} us (median of {len(took_us)}), "
              f"{took_us[-1]} us at the most; most of it is the disk's sync")


class Unarmed(KillCase):
    people = {1: Person(1, "twitter")}

    def test_no_point_can_be_armed_where_providers_are_real(self):
        conf = os.path.join(self.dir, "real.conf")
        with open(self.service.conf) as f:
            text = "".join(line for line in f if not line.startswith("sandbox_url"))
        self.service.write_private(conf, text.replace("accounts.db", "none.db"))
        env = dict(self.service.environment(), TH_FAULT_POINT="nonsense")
        command = [self.service.program("token-health-monitor"), "--once", "--config"]
        real = subprocess.run(command + [conf], text=True, capture_output=True, env=env, timeout=60)
        self.assertEqual(real.returncode, 0, "the variable is not even read")
        sandboxed = subprocess.run(command + [self.service.conf], text=True, capture_output=True, env=env, timeout=60)
        self.assertIn('there is no point "nonsense"', sandboxed.stderr)


if __name__ == "__main__":
    unittest.main()
