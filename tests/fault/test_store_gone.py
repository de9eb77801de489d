"""The account store goes away and comes back, in each way it can: the API says so at once and is back by itself, `check` goes on
answering from the cache, the monitor survives and goes on, nothing is lost."""
import os
import shutil
import sqlite3
import time

from case import API, ServiceCase, account, account_id, registration, sealed, token
from harness import stop_process, wait_for
from mongo import Mongo

ACCOUNTS = 40
CACHED, NEVER_ASKED = 1, 40  # 1 has a verdict in the cache; 40 is switched off for the monitor's sake and never asked for
TTL_S = 2.0


class StoreGone:
    """The tests; a class for each store says how it goes away and returns, and reads what is stored."""
    workers = 2
    settings = {"cache": {"ttl": f"{int(TTL_S * 1000)}ms"}, "monitor": {"check_interval": "1s", "max_retries": "0", "batch_size": "8"},
                "encryption": {"kdf_iterations": "1000"}}
    slowest_s = {}
    damaged = False

    @classmethod
    def seed(cls):
        cls.sandbox.register([registration(n, n) for n in range(1, ACCOUNTS + 1)])
        cls.service.import_accounts([account(n, "ws-1" if n < 30 else "ws-2", encryptedAccessToken=sealed(n)) for n in range(1, ACCOUNTS)]
                                    + [account(NEVER_ASKED, "ws-3", encryptedAccessToken=sealed(NEVER_ASKED), isActive=False)])

    @classmethod
    def tearDownClass(cls):
        for what, seconds in cls.slowest_s.items():
            print(f"FIGURE: {cls.__name__}, {what}: told within {seconds:.2f} s at the most, target 2 s")
        super().tearDownClass()

    def check(self, number=CACHED, **kw):
        return self.get(f"{API}/check?accountId={account_id(number)}", **kw)

    def assert_unavailable(self, answer, took_s, what):
        if self.damaged:  # waiting would not mend it
            self.assertIn((answer.status, answer.json()["code"]), ((500, "io_error"), (503, "service_unavailable")), (what, answer))
        else:
            self.assertEqual((answer.status, answer.json()["code"]), (503, "service_unavailable"), (what, answer))
            self.assertGreater(int(answer.headers["retry-after"]), 0, what)
        self.assertIs(answer.json()["success"], False, what)
        self.assertLess(took_s, 3, what)  # the promise is 2 s; the rest is for a busy machine
        self.slowest_s[self.label] = max(self.slowest_s.get(self.label, 0), took_s)

    def everything_is_unavailable(self):
        requests = [("POST", f"{API}/validate", {"workspaceId": "ws-1", "forceRefresh": True}), ("GET", f"{API}/status/ws-1", None),
                    ("POST", f"{API}/fix/{account_id(2)}", None), ("GET", f"{API}/stats", None), ("GET", "/readyz", None),
                    ("GET", f"{API}/check?accountId={account_id(NEVER_ASKED)}", None), ("GET", f"{API}/check?workspaceId=ws-3", None)]
        for method, path, body in requests:
            began = time.monotonic()
            answer = self.service.request(method, path, body, key=self.admin)
            self.assert_unavailable(answer, time.monotonic() - began, path)

    def stays_away(self, label, go, back, writes_only=False):
        """The whole story of one outage."""
        self.label = label
        before = self.documents()
        monitor = self.service.start_monitor()
        self.addCleanup(stop_process, monitor)
        wait_for(lambda: (self.statistics() or {}).get("pid") == monitor.pid and self.statistics()["sweeps"] >= 1, 30, "a first sweep")
        self.assertEqual(self.check().headers["x-token-health"], "healthy; ok")
        go()
        gone = True
        try:
            if writes_only:
                began = time.monotonic()
                answer = self.post(f"{API}/fix/{account_id(2)}")
                self.assert_unavailable(answer, time.monotonic() - began, "fix")
                self.assertEqual(self.get(f"{API}/status/ws-1").status, 200)
                began = time.monotonic()  # 29 accounts, none of which can be written
                answer = self.post(f"{API}/validate", {"workspaceId": "ws-1", "forceRefresh": True})
                self.assertEqual((answer.status, answer.json()["validAccounts"]), (200, 29))
                self.assertLess(time.monotonic() - began, 5, "each account waits for the lock anew")
            else:
                self.everything_is_unavailable()
            self.assertEqual(self.service.request("GET", "/livez").status, 200)
            calls = self.sandbox.calls(token(CACHED))
            for moment in ("fresh or just stale", "stale"):
                with self.subTest(moment=moment):
                    began = time.monotonic()
                    answer = self.check()
                    self.assertEqual((answer.status, answer.headers.get("x-token-health")), (204, "healthy; ok"))
                    self.assertLess(time.monotonic() - began, 3)
                    time.sleep(TTL_S)
            if not writes_only:
                self.assertEqual(self.sandbox.calls(token(CACHED)), calls, "an answer that should have come from the cache")
            self.assertIsNone(monitor.poll(), "the monitor ended:\n" + self.service.log("monitor"))
            back()
            gone = False
            returned = time.monotonic()
            wait_for(lambda: self.get(f"{API}/status/ws-1").status == 200, 10, "the API is back")
            back_s = time.monotonic() - returned
            self.assertLess(back_s, 3, "the API was slow to come back")
        finally:
            if gone:
                back()
        self.assertEqual(self.service.request("GET", "/readyz").status, 200)
        sweeps = self.statistics()["sweeps"]
        wait_for(lambda: self.statistics()["sweeps"] >= sweeps + 2 and self.statistics()["lastSweep"]["complete"], 60, "the monitor goes on")
        self.assertEqual(self.statistics()["pid"], monitor.pid)
        self.assertEqual(self.statistics()["lastSweep"]["healthy"], ACCOUNTS - 1)
        self.nothing_is_lost(before)

    def nothing_is_lost(self, before):
        after = self.documents()
        self.assertEqual(set(after), set(before))
        for number, document in after.items():
            self.assertEqual({k: document[k] for k in before[number] if k not in ("tokenHealth", "lastTokenValidation", "updatedAt")},
                             {k: v for k, v in before[number].items() if k not in ("tokenHealth", "lastTokenValidation", "updatedAt")})
        answer = self.post(f"{API}/validate", {"workspaceId": "ws-1", "forceRefresh": True}).json()
        self.assertEqual((answer["totalAccounts"], answer["validAccounts"]), (29, 29))


class OnSqlite(StoreGone, ServiceCase):
    slowest_s = {}

    def setUp(self):
        self.path = f"{self.service.dir}/accounts.db"
        self.service.sweep()  # every account has its companions, so that nothing but our own fields changes from here on

    def documents(self):
        return self.stored_all()

    def parts(self, directory):
        return [os.path.join(directory, "accounts.db" + end) for end in ("", "-wal", "-shm")]

    def test_file_moved_away(self):
        aside = os.path.join(self.dir, "aside")

        def move(from_dir, to_dir):
            os.makedirs(to_dir, exist_ok=True)
            for path in self.parts(from_dir):
                if os.path.exists(path):
                    os.rename(path, os.path.join(to_dir, os.path.basename(path)))
        self.stays_away("file moved away", lambda: move(self.service.dir, aside), lambda: move(aside, self.service.dir))

    def test_a_folder_in_place_of_the_file(self):
        aside = os.path.join(self.dir, "aside-2")

        def go():
            os.makedirs(aside)
            for path in self.parts(self.service.dir):
                if os.path.exists(path):
                    os.rename(path, os.path.join(aside, os.path.basename(path)))
            os.mkdir(self.path)

        def back():
            os.rmdir(self.path)
            for path in self.parts(aside):
                if os.path.exists(path):
                    os.rename(path, os.path.join(self.service.dir, os.path.basename(path)))
        self.stays_away("a folder in place of the file", go, back)

    def test_file_that_is_no_database_any_more(self):
        copy = os.path.join(self.dir, "copy.db")

        def go():
            with sqlite3.connect(self.path, timeout=10) as source, sqlite3.connect(copy) as target:
                source.backup(target)
            fresh = self.path + ".damaged"
            with open(fresh, "wb") as f:
                f.write(os.urandom(65536))
            os.rename(fresh, self.path)

        def back():
            shutil.copy(copy, self.path + ".restored")
            for path in self.parts(self.service.dir)[1:]:
                if os.path.exists(path):
                    os.unlink(path)
            os.rename(self.path + ".restored", self.path)
        self.damaged = True
        self.stays_away("random bytes in place of the database", go, back)

    def test_file_locked_by_somebody_who_writes(self):
        holder = []

        def go():
            db = sqlite3.connect(self.path, timeout=10, isolation_level=None, check_same_thread=False)
            db.execute("BEGIN IMMEDIATE")
            holder.append(db)

        def back():
            holder[0].execute("ROLLBACK")
            holder[0].close()
        self.stays_away("write lock held by another", go, back, writes_only=True)


class OnMongo(StoreGone, ServiceCase):
    slowest_s = {}

    @classmethod
    def setUpClass(cls):
        cls.mongo = None
        super().setUpClass()

    @classmethod
    def store_uri(cls):
        cls.mongo = Mongo(os.path.join(cls.dir, "mongo"))
        cls.addClassCleanup(cls.mongo.stop)
        cls.mongo.start()
        return cls.mongo.uri

    def setUp(self):
        self.service.sweep()

    def documents(self):
        return {int(d["_id"], 16): d for d in self.mongo.documents()}

    def test_server_killed_and_started_again(self):
        self.stays_away("server killed", self.mongo.kill, self.mongo.start)

    def test_server_stopped_and_started_again(self):
        self.stays_away("server stopped", self.mongo.stop, self.mongo.start)

    def test_server_that_hangs(self):
        self.stays_away("server hangs (SIGSTOP)", self.mongo.pause, self.mongo.resume)

    def test_server_restarted_in_a_moment(self):
        before = self.documents()
        self.mongo.kill()
        self.mongo.start()
        wait_for(lambda: self.get(f"{API}/status/ws-1").status == 200, 5, "the API is back")
        self.nothing_is_lost(before)


if __name__ == "__main__":
    import unittest
    unittest.main()
