"""token-healthctl rekey over hundreds of accounts that store their tokens in every form, on both stores: killed in the middle and run again while
monitor, responder and the application go on; afterwards the new key alone opens every token, and says the same as the old one did."""
import contextlib
import json
import shutil
import sqlite3
import tempfile
import threading
import time
import unittest

from case import account, token
from harness import stop_process, wait_for
from mongo import Mongo
from rekeying import FORMS, RekeyCase, document, seed

WRITTEN, ROUNDS = range(1, 25), 6  # accounts that the application writes meanwhile, at most so often


class Rotation:
    def writer(self, documents, stop):
        """The application, which still has the old key: one token after another."""
        for one in documents:
            if stop.is_set():
                return
            self.import_sealed(one, "--replace")
            self.last_round = one
            time.sleep(0.05)

    def test_every_token_is_the_same_under_the_new_key_alone(self):
        before, stored = self.tokens(), self.documents()
        self.assertEqual(sum(t.count("-") for t in before.values()), 0, "they open under the old key")
        envelopes = sum(len(t) for t in before.values())
        newer = seed(self.service, [], [account(n, accountId=None, encryptedAccessToken={"$seal": token(f"new-{r}-{n}")})
                                        for r in range(ROUNDS) for n in WRITTEN])
        rounds = [newer[r * len(WRITTEN):(r + 1) * len(WRITTEN)] for r in range(ROUNDS)]

        self.use_key("k2", old=["k1"])
        dry, said = self.rekey("--dry-run")
        self.assertEqual((dry["accounts"], dry["changed"], dry["resealed"], dry["undecryptable"]), (self.count, self.count, envelopes, 0))
        self.assertEqual(dry["keys"], {"k2": {"found": 0, "left": 0}, "k1": {"found": envelopes, "left": envelopes, "unused": False}})
        self.assertIn(f"k1 is in use by {envelopes} tokens", said)
        self.assertEqual(self.documents(), stored, "a dry run writes nothing")
        self.rekey("--drop", "k1", status=3)

        monitor = self.service.start_monitor()
        self.addCleanup(stop_process, monitor)
        self.last_round, stop = None, threading.Event()
        writer = threading.Thread(target=self.writer, args=(rounds, stop), daemon=True)
        writer.start()
        killed = self.start_rekey()
        wait_for(lambda: self.resealed() > 40, 60, "some are sealed again")
        killed.kill()
        out, _ = killed.communicate(timeout=30)
        self.assertEqual(out, "", "it was over before it was killed")
        self.assertLess(self.resealed(), self.count - 40, "it was killed too late")
        began = time.monotonic()
        second, _ = self.rekey()
        took_s = time.monotonic() - began
        self.assertLess(second["resealed"], envelopes, "what was done is not done again")
        stop.set()
        writer.join(60)
        self.assertIsNotNone(self.last_round)
        third, said = self.rekey()
        self.assertEqual((third["undecryptable"], third["contended"], third["unread"]), (0, 0, 0))
        self.assertIs(third["keys"]["k1"]["unused"], True, third)
        self.assertIn("k1 is used no more", said)
        self.assertIn("k1 is used no more", self.rekey("--drop", "k1")[1])
        self.assertIsNone(monitor.poll())
        stop_process(monitor)

        of_last = seed(self.service, ["--tokens"], self.last_round)
        self.assertEqual({v for one in of_last for v in one.values()}, {None}, "what the application wrote is under the old key")
        self.use_key("k1")
        wanted = before | {n: sorted(one.values()) for n, one in zip(WRITTEN, seed(self.service, ["--tokens"], self.last_round))}
        self.use_key("k2")
        after = self.tokens()
        self.assertEqual({n: t for n, t in after.items() if t != wanted[n]}, {}, "accounts with other tokens than before")
        for number, doc in self.documents().items():
            if number in WRITTEN:
                continue
            self.assertEqual(doc["theirs"], {"n": number})
            if number % FORMS == 1:
                self.assertIsInstance(doc["encryptedAccessToken"], str)
            if number % FORMS == 2:
                self.assertTrue(doc["encryptedAccessToken"].startswith("aes-256-gcm:{"), doc)
            if number % FORMS in (0, 3, 5, 6, 7):
                self.assertIsInstance(doc["encryptedAccessToken"], dict)
        print(f"FIGURE: {type(self).__name__}: {envelopes} envelopes in {self.count} accounts, killed and resumed beside monitor and application: "
              f"all open under the new key alone; {second['resealed']} sealed again in {took_s:.1f} s by the second run")

    def resealed(self):
        time.sleep(0.3)
        return sum("by" in d.get("tokenHealth", {}).get("fast", {}).get("access", {}) for d in self.documents().values())


class OnSqlite(Rotation, RekeyCase):
    pass


class OnMongo(Rotation, RekeyCase):
    count = 200  # each write makes the server of the tests read them all
    settings = dict(RekeyCase.settings, store={"timeout": "10s"})

    @classmethod
    def store_uri(cls):
        directory = tempfile.mkdtemp(prefix="token-health-mongo-")
        cls.addClassCleanup(shutil.rmtree, directory, ignore_errors=True)
        cls.mongo = Mongo(directory).start()
        cls.addClassCleanup(cls.mongo.stop)
        return cls.mongo.uri

    @classmethod
    def documents(cls):
        return {int(d["_id"], 16): d for d in cls.mongo.documents()}


class Refusals(RekeyCase):
    count = 16

    def test_a_key_that_is_no_old_key_is_not_dropped(self):
        self.use_key("k2", old=["k1"])
        for kid, why in (("k2", "written with"), ("k9", "no key of [encryption] old_keys")):
            done = self.service.ctl("rekey", "--drop", kid, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn(why, done.stderr)

    def test_what_no_key_opens_is_counted_and_named_and_stays(self):
        self.use_key("k3")
        before = self.documents()
        told, _ = self.rekey(status=3)
        self.assertEqual(told["undecryptable"], sum(len(t) for t in self.tokens().values()))
        self.assertEqual(len(told["undecryptableFirst"]), 20)
        self.assertEqual(set(told["undecryptableFirst"][0]), {"accountId", "field"})
        self.assertEqual(self.documents(), before)

    def test_a_document_that_cannot_be_read_keeps_the_old_key(self):
        """It may hold a token under it."""
        self.use_key("k2", old=["k1"])
        self.rekey()
        self.rekey("--drop", "k1")
        with contextlib.closing(sqlite3.connect(f"{self.service.dir}/accounts.db", timeout=10)) as db, db:
            (kept,) = db.execute("SELECT doc FROM accounts WHERE id=?", (f"o:{16:024x}",)).fetchone()
            db.execute("UPDATE accounts SET doc='no JSON' WHERE id=?", (f"o:{16:024x}",))
        told, said = self.rekey("--drop", "k1", status=3)
        self.assertEqual(told["unread"], 1)
        self.assertIn("k1 has to stay: not everything could be looked at", said)
        with contextlib.closing(sqlite3.connect(f"{self.service.dir}/accounts.db", timeout=10)) as db, db:
            db.execute("UPDATE accounts SET doc=? WHERE id=?", (kept, f"o:{16:024x}"))

    def test_no_token_is_in_any_output(self):
        self.use_key("k2", old=["k1"])
        told, said = self.rekey()
        text = json.dumps(told) + said
        for n in range(1, self.count + 1):
            for letter in "arxyz":
                self.assertNotIn(token(f"{letter}{n}"), text)


class StoreAway(RekeyCase):
    """Somebody holds SQLite's lock: what is read can be read, nothing can be written."""
    count = 8

    def setUp(self):
        super().setUp()
        self.import_sealed(seed(self.service, [], [document(n) for n in range(1, self.count + 1)]), "--replace")
        self.use_key("k2", old=["k1"])
        self.db = sqlite3.connect(f"{self.service.dir}/accounts.db", isolation_level=None)
        self.addCleanup(self.db.close)
        self.db.execute("BEGIN IMMEDIATE")

    def test_for_a_moment_it_is_waited_for(self):
        process = self.start_rekey("--json")
        time.sleep(6)
        self.assertIsNone(process.poll())
        self.db.execute("ROLLBACK")
        out, said = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, said)
        self.assertIs(json.loads(out)["keys"]["k1"]["unused"], True)

    def test_for_long_it_is_a_failure_that_says_how_to_go_on(self):
        process = self.start_rekey("--json")
        out, said = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 1, said)
        self.assertIn("run it again", said)
        self.assertIs(json.loads(out)["complete"], False)


if __name__ == "__main__":
    unittest.main()
