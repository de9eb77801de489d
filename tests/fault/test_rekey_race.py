"""rekey while the application writes as fast as it can, under the old key, into the same accounts: no newer token is ever replaced by an older
one, and none is lost. Then the provider's rotating tokens: refreshed by a monitor while rekey runs, each once."""
import contextlib
import json
import random
import sqlite3
import threading
import time
import unittest

from case import account, token
from harness import stop_process, wait_for
from rekeying import RekeyCase, seed
from rotating import APPS, QUICK, Person, RefreshCase

ACCOUNTS, WRITERS, ROUNDS = 60, 4, 12


class Writers(RekeyCase):
    count = 0
    settings = {"encryption": {"kdf_iterations": "20000", "kid": "k1"}}

    @classmethod
    def seed(cls):
        sealed = seed(cls.service, [], [account(n, encryptedAccessToken={"$seal": token(f"{n}-{r}")}, encryptedRefreshToken={"$seal": token(f"r{n}-{r}")})
                                        for n in range(1, ACCOUNTS + 1) for r in range(ROUNDS)])
        cls.rounds = {n: sealed[(n - 1) * ROUNDS:n * ROUNDS] for n in range(1, ACCOUNTS + 1)}
        cls.import_sealed([versions[0] for versions in cls.rounds.values()])

    def write(self, numbers, stop):
        """The application's own update: two fields of a document, whatever else is in it."""
        random.seed(numbers[0])
        with contextlib.closing(sqlite3.connect(f"{self.service.dir}/accounts.db", timeout=30, isolation_level=None)) as db:
            while not stop.is_set() and any(self.written[n] < ROUNDS - 1 for n in numbers):
                number = random.choice([n for n in numbers if self.written[n] < ROUNDS - 1])
                new = self.rounds[number][self.written[number] + 1]
                db.execute("BEGIN IMMEDIATE")
                (text,) = db.execute("SELECT doc FROM accounts WHERE id=?", (f"o:{number:024x}",)).fetchone()
                doc = json.loads(text)
                doc.update(encryptedAccessToken=new["encryptedAccessToken"], encryptedRefreshToken=new["encryptedRefreshToken"])
                db.execute("UPDATE accounts SET doc=? WHERE id=?", (json.dumps(doc), f"o:{number:024x}"))
                db.execute("COMMIT")
                self.written[number] += 1
                time.sleep(0.03)

    def test_the_newest_token_of_each_account_stays(self):
        self.written, stop = dict.fromkeys(self.rounds, 0), threading.Event()
        self.use_key("k1")
        wanted = {n: seed(self.service, ["--tokens"], versions) for n, versions in self.rounds.items()}
        self.use_key("k2", old=["k1"])
        numbers = list(self.rounds)
        writers = [threading.Thread(target=self.write, args=(numbers[i::WRITERS], stop), daemon=True) for i in range(WRITERS)]
        for writer in writers:
            writer.start()
        runs, resealed = 0, 0
        while any(w.is_alive() for w in writers):
            told, _ = self.rekey()
            runs, resealed = runs + 1, resealed + told["resealed"]
        for writer in writers:
            writer.join()
        told, _ = self.rekey()
        self.assertIs(told["keys"]["k1"]["unused"], True)
        self.assertGreater(resealed + told["resealed"], 2 * ACCOUNTS, "no account was written between two looks: no race")
        self.use_key("k2")
        after = self.tokens()
        newest = {n: sorted(wanted[n][self.written[n]].values()) for n in numbers}
        self.assertEqual({n: t for n, t in after.items() if t != newest[n]}, {}, "accounts whose newest token is gone")
        print(f"FIGURE: {sum(self.written.values())} writes of {WRITERS} writers beside {runs + 1} runs of rekey, {resealed + told['resealed']} envelopes "
              f"sealed again: 0 newer tokens lost")


class Refreshing(RefreshCase):
    settings = dict(APPS, **dict(QUICK, encryption={"kdf_iterations": "20000", "kid": "k1"},
                                 monitor={"check_interval": "1s", "max_retries": "0", "batch_size": "8"}))
    people = {n: Person(n, "twitter") for n in range(1, 61)}

    def test_tokens_that_are_refreshed_meanwhile_are_the_newest_and_used_once(self):
        settings = self.service.settings["encryption"]
        self.service.write_private(f"{self.service.dir}/key-k2", "k2" * 20)
        settings.update(kid="k2", old_keys=f"k1:{settings['key_file']}", key_file=f"{self.service.dir}/key-k2")
        self.service.write_conf()
        self.sandbox.latency(100)
        monitor = self.service.start_monitor()
        self.addCleanup(stop_process, monitor)

        def refreshed():
            return sum("refreshedAt" in d.get("tokenHealth", {}).get("refresh", {}) for d in self.documents().values())
        wait_for(lambda: refreshed() >= 4, 60, "refreshes are under way")
        self.service.ctl("rekey")
        wait_for(lambda: refreshed() == len(self.people), 120, "all are refreshed")
        stop_process(monitor)
        told = json.loads(self.service.ctl("--json", "rekey").stdout)
        self.assertEqual((told["undecryptable"], told["keys"]["k1"]["unused"], told["waitingInSpool"]), (0, True, 0))
        del settings["old_keys"]
        self.service.write_conf()
        self.assert_newest(*self.people.values())
        self.assertEqual({p.number: self.refreshes(p) for p in self.people.values()}, dict.fromkeys(self.people, 1))
        self.assert_spool_empty()


if __name__ == "__main__":
    unittest.main()
