"""The store is away for 30 seconds in the middle of 200 refreshes with single-use refresh tokens: none is lost, none is used twice. And a
spool that cannot be written: such tokens are not refreshed, everything else goes on, and the operator is told once."""
import os
import re
import subprocess
import time
import unittest

from harness import stop_process, wait_for
from mongo import Mongo
from rotating import APPS, QUICK, Person, RefreshCase, spool_slots

PEOPLE, AWAY_S = 200, 30


class StoreAway:
    """A class for each store says how it goes away and returns."""
    settings = dict(APPS, **dict(QUICK, monitor={"check_interval": "3s", "max_retries": "0", "batch_size": "24"}, store={"timeout": "500ms"}))
    people = {n: Person(n, "twitter" if n % 2 else "tiktok") for n in range(1, PEOPLE + 1)}

    def families(self):
        return [self.sandbox.family(p.refresh) for p in self.people.values()]

    def used(self):
        """How many refresh tokens have been used: one call of the sandbox, not one a family."""
        return self.sandbox.summary()["by_kind"].get("refresh", 0)

    def all_stored(self):
        """No account has its first token any more; cheap, the whole is compared afterwards."""
        return all("refreshedAt" in d["tokenHealth"].get("refresh", {}) for d in self.documents().values() if "tokenHealth" in d)

    def test_no_token_is_lost_and_none_used_twice(self):
        self.sandbox.latency(700)
        monitor = self.service.start_monitor()
        self.addCleanup(stop_process, monitor)
        wait_for(lambda: self.used() >= len(self.people) // 8, 60, "some refreshes are done")
        before = self.used()
        began = time.monotonic()
        self.go()
        try:
            time.sleep(AWAY_S)
            away_s, at_return = time.monotonic() - began, self.used()
            waiting = len(self.in_spool())
        finally:
            self.back()
        self.sandbox.latency(50)
        self.assertIsNone(monitor.poll(), self.service.log("monitor")[-3000:])
        self.assertGreater(waiting, 0, "no refresh was under way when the store went away")
        self.assertLess(at_return, len(self.people), "all was over before the store went away")
        wait_for(lambda: self.used() >= len(self.people) and not self.in_spool() and self.all_stored(), 120, "all are refreshed and stored")
        stop_process(monitor)
        for person, family in zip(self.people.values(), self.families()):
            self.assertEqual((family["refreshes"], family["reuses"]), (1, 0), f"account {person.number}")
        self.assert_newest(*self.people.values())
        self.assert_spool_empty()
        print(f"FIGURE: {type(self).__name__}: the store away for {away_s:.0f} s during {len(self.people)} refreshes ({before} asked for before, "
              f"{waiting} waited in the spool): 0 lost, 0 used twice")

    def in_spool(self):
        return spool_slots(self.service)


class OnSqlite(StoreAway, RefreshCase):
    def parts(self, directory):
        return [os.path.join(directory, "accounts.db" + end) for end in ("", "-wal", "-shm")]

    def move(self, from_dir, to_dir):
        os.makedirs(to_dir, exist_ok=True)
        for path in self.parts(from_dir):
            if os.path.exists(path):
                os.rename(path, os.path.join(to_dir, os.path.basename(path)))

    def go(self):
        self.move(self.service.dir, os.path.join(self.dir, "aside"))

    def back(self):
        self.move(os.path.join(self.dir, "aside"), self.service.dir)


class OnMongo(StoreAway, RefreshCase):
    people = {n: p for n, p in StoreAway.people.items() if n <= 80}  # the test server is slow

    @classmethod
    def store_uri(cls):
        cls.mongo = Mongo(os.path.join(cls.dir, "mongo"))
        cls.addClassCleanup(cls.mongo.stop)
        cls.mongo.start()
        return cls.mongo.uri

    def documents(self):
        return {int(d["_id"], 16): d for d in self.mongo.documents()}

    def go(self):
        self.mongo.kill()

    def back(self):
        self.mongo.start()


class SpoolCase(RefreshCase):
    people = {"x": Person(1, "twitter"), "tiktok": Person(2, "tiktok"), "x too": Person(3, "twitter"), "instagram": Person(4, "instagram"),
              "not due": Person(5, "twitter", expires_in_s=7000)}
    rotating = ("x", "tiktok", "x too")

    def assert_only_single_use_tokens_wait(self):
        monitor = self.start()
        self.addCleanup(stop_process, monitor)
        wait_for(lambda: self.service.log("monitor").count("sweep done") >= 3, 60, "three sweeps")
        for name in self.rotating:
            self.assertEqual(self.refreshes(self.people[name]), 0, name)
            self.assertEqual(self.health(self.people[name])["state"], "expiring")
        self.assert_newest(self.people["instagram"])
        self.assertEqual(self.health(self.people["not due"])["state"], "healthy")
        log = self.service.log("monitor")
        self.assertEqual(len(re.findall(r"error \[TOKEN HEALTH\] the spool cannot be written", log)), 1, log)
        return monitor

    def assert_goes_on(self):
        wait_for(lambda: all(self.refreshes(self.people[n]) for n in self.rotating), 60, "they are refreshed")
        wait_for(lambda: all("refreshedAt" in self.health(self.people[n]).get("refresh", {}) for n in self.rotating), 60, "and stored")
        for name in self.rotating:
            family = self.sandbox.family(self.people[name].refresh)
            self.assertEqual((family["refreshes"], family["reuses"]), (1, 0), name)
        self.assertIn("the spool can be written again", self.service.log("monitor"))


class SpoolUnwritable(SpoolCase):
    settings = dict(APPS, **dict(QUICK, monitor={"check_interval": "1s", "max_retries": "0"}))

    def start(self):
        os.makedirs(os.path.join(self.service.dir, "spool", "tokens.spool"))  # a folder in its place
        return self.service.start_monitor()

    def test_single_use_tokens_wait_until_it_can_be_written_again(self):
        self.assert_only_single_use_tokens_wait()
        os.rmdir(os.path.join(self.service.dir, "spool", "tokens.spool"))
        self.assert_goes_on()


class DiskFull(SpoolCase):
    """The spool on a disk of its own, which only the monitor sees, and which somebody else has filled."""
    settings = dict(APPS, **dict(QUICK, monitor={"check_interval": "1s", "max_retries": "0"}))

    @classmethod
    def setUpClass(cls):
        if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
            if os.environ.get("CI"):
                raise AssertionError("a small disk cannot be made: unshare -m is not permitted")
            raise unittest.SkipTest("a small disk cannot be made: unshare -m is not permitted")
        super().setUpClass()

    def start(self):
        self.spool = os.path.join(self.service.dir, "spool")
        os.makedirs(self.spool, 0o700)
        monitor = [self.service.program("token-health-monitor"), "--config", self.service.conf]
        full = 'mount -t tmpfs -o size=64k,mode=0700 none "$0" && head -c 49152 /dev/zero > "$0/filler" && exec "$@"'
        return self.service.spawn("monitor", ["unshare", "-m", "sh", "-c", full, self.spool, *monitor])

    def test_single_use_tokens_wait_until_there_is_room_again(self):
        monitor = self.assert_only_single_use_tokens_wait()
        self.assertRegex(self.service.log("monitor"), "the spool cannot be written.*(space|full)")
        os.unlink(f"/proc/{monitor.pid}/root{self.spool}/filler")
        self.assert_goes_on()


if __name__ == "__main__":
    unittest.main()
