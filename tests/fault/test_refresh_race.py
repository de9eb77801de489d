"""Two monitors and eight responder workers are asked to refresh the same accounts at once: the provider is asked once for each account. On one
host, where they share memory, and as three hosts that share nothing but the store."""
import os
import threading
import time
import unittest

from harness import stop_process, wait_for
from rotating import APPS, QUICK, Person, RefreshCase

PLATFORMS = ("twitter", "tiktok", "instagram")
CLIENTS_EACH = 6


class RaceCase(RefreshCase):
    responder = True
    workers = 8
    hosts = 1
    settings = dict(APPS, **dict(QUICK, monitor={"check_interval": "1s", "max_retries": "0", "batch_size": "32"}))
    people = {n: Person(n, PLATFORMS[n % 3]) for n in range(1, 61)}

    @classmethod
    def registrations(cls, person):
        """Every third account has an access token that is refused already."""
        if person.refresh and person.number % 4 == 0:
            return [person.registration(condition="expired")]
        return [person.registration()]

    def conf_of_host(self, number):
        """The configuration of another host: its own memory, its own spool."""
        if self.hosts == 1:
            return self.service.conf
        path = os.path.join(self.dir, f"host-{number}.conf")
        shm = f"{self.service.shm}-{number}"
        with open(self.service.conf) as f:
            text = f.read().replace(self.service.shm, shm)
        self.service.write_private(path, text.replace(f"{self.service.dir}/spool/", f"{self.dir}/spool-{number}/"))
        self.addCleanup(lambda: os.path.exists("/dev/shm" + shm) and os.unlink("/dev/shm" + shm))
        return path

    def monitors(self):
        started = []
        for number in (1, 2):
            program = self.service.program("token-health-monitor")
            started.append(self.service.spawn(f"monitor-{number}", [program, "--config", self.conf_of_host(number)]))
            self.addCleanup(stop_process, self.service.processes.pop(f"monitor-{number}"))
        return started

    def ask(self, platform, stop):
        while not stop.is_set():
            answer = self.post(f"/api/{platform}/token-health/validate", {"workspaceId": "ws-1", "forceRefresh": True}, timeout=120)
            self.answers.append((answer.status, answer.json().get("totalAccounts")))

    def is_over(self):
        return all("refreshedAt" in d.get("tokenHealth", {}).get("refresh", {}) for d in self.documents().values())

    def race(self):
        self.answers, stop = [], threading.Event()
        self.sandbox.latency(150)
        clients = [threading.Thread(target=self.ask, args=(p, stop), daemon=True) for p in PLATFORMS for _ in range(CLIENTS_EACH)]
        began = time.monotonic()
        monitors = self.monitors()
        for client in clients:
            client.start()
        wait_for(self.is_over, 120, "all are refreshed")
        time.sleep(3)  # for who comes too late
        stop.set()
        for client in clients:
            client.join(120)
        self.sandbox.latency(0)
        for monitor in monitors:
            self.assertIsNone(monitor.poll())
            stop_process(monitor)
        took_s = time.monotonic() - began
        self.assertEqual({a for a in self.answers if a != (200, len(self.people) // 3)}, set(), "answers of the responder")
        calls = {p.number: self.refreshes(p) for p in self.people.values()}
        self.assertEqual({n: c for n, c in calls.items() if c != 1}, {}, "calls for a refresh, by account")
        self.assert_newest(*self.people.values())
        self.assert_spool_empty()
        print(f"FIGURE: {type(self).__name__}: two monitors, 8 workers and {len(clients)} clients ({len(self.answers)} requests, "
              f"{took_s:.0f} s): {sum(calls.values())} calls to refresh {len(calls)} accounts")


class OneHost(RaceCase):
    def test_the_provider_is_asked_once_for_each_account(self):
        self.race()


class ThreeHosts(RaceCase):
    hosts = 3

    def test_the_provider_is_asked_once_for_each_account(self):
        self.race()


if __name__ == "__main__":
    unittest.main()
