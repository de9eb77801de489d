"""A dry run of the monitor: it asks the providers, decides, and tells what it would have changed; no field of any account is written, no token is
refreshed, no verdict is in the cache, and the other monitors' work goes on as if it were not there."""
import contextlib
import re
import sqlite3
import subprocess
import unittest

from harness import stop_process, wait_for
from rotating import APPS, QUICK, Person, RefreshCase

FIX, REFRESH, BROKEN = ("plain", "misplaced"), ("due", "refused"), ("revoked",)


class DryRun(RefreshCase):
    responder = True
    settings = dict(APPS, **dict(QUICK, monitor={"check_interval": "1s", "max_retries": "0"}, log={"level": "debug"}))
    people = {name: Person(n, platform, expires_in_s=expires) for n, (name, platform, expires) in enumerate(
        [("healthy", "instagram", 50 * 86400), ("plain", "instagram", 50 * 86400), ("misplaced", "instagram", 50 * 86400),
         ("revoked", "instagram", 50 * 86400), ("due", "twitter", None), ("refused", "twitter", -60), ("extend", "instagram", None)], 1)}

    @classmethod
    def registrations(cls, person):
        condition = {cls.people["revoked"].number: "revoked", cls.people["refused"].number: "expired"}.get(person.number, "healthy")
        return [person.registration(condition=condition)]

    @classmethod
    def document(cls, person):
        companions = {"needsReconnection": False, "lastTokenValidation": {"$date": "2026-01-01T00:00:00.000Z"}}
        if person is cls.people["plain"]:
            return person.document(encryptedAccessToken=None, accessToken=person.access, **companions)
        if person is cls.people["misplaced"]:
            return person.document(encryptedAccessToken=None, accessToken={"$sealText": person.access}, **companions)
        return person.document(**companions)

    def rows(self):
        """All that the store holds of accounts, and its leases, byte for byte."""
        with contextlib.closing(sqlite3.connect(f"file:{self.service.dir}/accounts.db?mode=ro", uri=True, timeout=10)) as db:
            return db.execute("SELECT * FROM accounts ORDER BY id").fetchall(), db.execute("SELECT * FROM leases ORDER BY name").fetchall()

    def once(self):
        return subprocess.run([self.service.program("token-health-monitor"), "--config", self.service.conf, "--once", "--dry-run"], text=True,
                              capture_output=True, env=self.service.environment(), timeout=120)

    def last_dry_run(self):
        return (self.statistics() or {}).get("lastDryRun")

    def test_a_it_tells_what_it_would_change_and_changes_nothing(self):
        before, rows = self.documents(), self.rows()
        self.sandbox.clear_ledger()
        done = self.once()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.rows(), rows)
        self.assertEqual(self.documents(), before)
        self.assertEqual(set(self.sandbox.summary()["by_kind"]), {"validate"}, "calls to the providers")
        self.assertEqual(self.sandbox.calls(), len(self.people))
        self.assert_spool_empty()
        told = self.last_dry_run()
        expected = {"accounts": 7, "healthy": 5, "fixed": 2, "refreshed": 3, "complete": True, "storeErrors": 0}
        self.assertEqual({k: told[k] for k in expected}, expected)
        self.assertRegex(done.stderr, r"this would have changed accounts=7 states=\d+ fixed=2 refreshed=3")
        lines = re.findall(r"would change account=(\S+) .*", done.stderr)
        self.assertLessEqual({f"{self.people[n].number:024x}" for n in FIX + REFRESH + BROKEN + ("extend",)}, set(lines))
        for person in self.people.values():
            for secret in filter(None, (person.access, person.refresh)):
                self.assertNotIn(secret, done.stderr)
        self.assertNotIn("lastSweep", {k for k, v in self.statistics().items() if v})

    def test_b_the_cache_knows_nothing_of_it(self):
        self.once()
        calls = self.sandbox.calls(self.people["healthy"].access)
        answer = self.get(f"/api/instagram/token-health/check?accountId={self.people['healthy'].number:024x}")
        self.assertEqual((answer.status, answer.headers["x-token-health"]), (204, "healthy; ok"))
        self.assertEqual(self.sandbox.calls(self.people["healthy"].access), calls + 1, "the responder asks by itself")

    def test_c_by_configuration_it_goes_on_and_leaves_the_other_monitors_alone(self):
        path = f"{self.service.dir}/dry.conf"
        with open(self.service.conf) as f:
            self.service.write_private(path, f.read().replace("[monitor]", "[monitor]\ndry_run = true"))
        self.sandbox.clear_ledger()
        before = self.rows()
        dry = self.service.spawn("dry", [self.service.program("token-health-monitor"), "--config", path])
        self.service.processes.pop("dry")
        self.addCleanup(stop_process, dry)
        wait_for(lambda: self.sandbox.calls(self.people["extend"].access) >= 3, 60, "three dry sweeps are done")
        self.assertEqual(self.rows(), before)
        self.assertEqual(set(self.sandbox.summary()["by_kind"]), {"validate"})
        self.assertFalse((self.statistics() or {}).get("running"))
        real = self.service.start_monitor()
        self.addCleanup(stop_process, real)
        wait_for(lambda: (self.statistics() or {}).get("sweeps", 0) >= 2, 60, "the other monitor sweeps")
        for name in ("due", "refused", "extend"):
            wait_for(lambda: self.refreshes(self.people[name]) == 1, 30, f"{name} is refreshed by the other monitor")
        self.assertNotIn("accessToken", self.stored(self.people["plain"]))
        self.assertIsNone(dry.poll())


if __name__ == "__main__":
    unittest.main()
