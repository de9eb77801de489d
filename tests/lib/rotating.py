"""What the tests of refreshes share: accounts of platforms with refresh tokens (TikTok, X) and without (Instagram), by number, as
documents and as the sandbox's tokens; and what is stored, compared with what the provider knows."""
import calendar
import contextlib
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import time

from case import ServiceCase
from harness import BUILD

APPS = {"app.tiktok": {"id": "tiktok-key", "secret": "tiktok-app-secret-for-tests"},
        "app.twitter": {"id": "x-client", "secret": "x-app-secret-for-tests"}}
QUICK = {"encryption": {"kdf_iterations": "1000"}, "health": {"confirm_interval": "0"}, "monitor": {"max_retries": "0"},
         "provider": {"timeout": "2s"}}
HOSTS = {"tiktok": "open.tiktokapis.com", "twitter": "api.x.com", "instagram": "graph.instagram.com", "threads": "graph.threads.net",
         "facebook": "graph.facebook.com"}
PREFIXES = {"tiktok": ("act.", "rft."), "twitter": ("x-", "xr-"), "instagram": ("IGAA", None), "threads": ("TH", None), "facebook": ("EAA", None)}
# From when on a refresh is due whatever the account's place in the window, and how long a token lives then still.
DUE_IN_S = {"tiktok": 90 * 60, "twitter": 30 * 60, "instagram": 2 * 86400, "threads": 2 * 86400, "facebook": 20 * 86400}
FRESH_IN_S = {"tiktok": 86400, "twitter": 7200, "instagram": 60 * 86400, "threads": 60 * 86400}


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def date(in_s):
    ms = int((time.time() + in_s) * 1000)
    return {"$date": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1000)) + f".{ms % 1000:03d}Z"}


def in_s(stored):
    """Seconds from now to a stored date: Extended JSON, or milliseconds as the test MongoDB keeps them."""
    text = stored["$date"] if isinstance(stored, dict) else stored
    if isinstance(text, int):
        return text / 1000 - time.time()
    return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) - time.time()


class Person:
    """One account: its tokens before any refresh, its document, its registration."""

    def __init__(self, number, platform="twitter", expires_in_s=None, workspace="ws-1"):
        self.number, self.platform, self.workspace = number, platform, workspace
        self.expires_in_s = DUE_IN_S[platform] if expires_in_s is None else expires_in_s
        access, refresh = PREFIXES[platform]
        self.access = access + digest(f"access-{platform}-{number}")
        self.refresh = None if refresh is None else refresh + digest(f"refresh-{platform}-{number}")

    def document(self, **fields):
        document = {"_id": {"$oid": f"{self.number:024x}"}, "workspaceId": self.workspace, "platform": self.platform,
                    "username": f"user{self.number}", "accountId": f"owner{self.number}", "tokenStatus": "valid",
                    "encryptedAccessToken": {"$seal": self.access}, "expiresAt": date(self.expires_in_s)}
        if self.refresh:
            document["encryptedRefreshToken"] = {"$seal": self.refresh}
        document.update(fields)
        return {k: v for k, v in document.items() if v is not None}

    def registration(self, **more):
        """expires_in is of the access token; all else that a call says of a token is of both."""
        access = {"token": self.access, "host": HOSTS[self.platform], "account_id": f"owner{self.number}",
                  "username": f"user{self.number}", "expires_in": self.expires_in_s, "age": 30 * 86400}
        if self.refresh:
            access["refresh_token"] = self.refresh
        access.update(more)
        return access


def documents(directory):
    """The SQLite store's documents by number, read as another process may at any time."""
    with contextlib.closing(sqlite3.connect(f"file:{directory}/accounts.db?mode=ro", uri=True, timeout=10)) as db:
        found = [json.loads(doc) for (doc,) in db.execute("SELECT doc FROM accounts")]
    return {int(d["_id"]["$oid"], 16): d for d in found}


def tokens_of(service, stored):
    """[{access, refresh, fastAccess, fastRefresh}] of documents: the SHA-256 of the token in each envelope, or None."""
    text = "".join(json.dumps(d) + "\n" for d in stored)
    done = subprocess.run([os.path.join(BUILD, "tests/seed/seed"), "--config", service.conf, "--open"], input=text, text=True,
                          capture_output=True, env=service.environment(), timeout=300)
    if done.returncode != 0:
        raise AssertionError("seed --open: " + done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


class RefreshCase(ServiceCase):
    """A service and its sandbox with the people of the class; people: name → Person."""
    responder = False
    settings = dict(APPS, **QUICK)
    people = {}

    @classmethod
    def seed(cls):
        cls.sandbox.register([r for p in cls.people.values() for r in cls.registrations(p)])
        cls.service.import_accounts([cls.document(p) for p in cls.people.values()])

    @classmethod
    def registrations(cls, person):
        return [person.registration()]

    @classmethod
    def document(cls, person):
        return person.document()

    def documents(self):
        """Of the store, by number."""
        return documents(self.service.dir)

    def stored(self, person):
        return self.documents()[person.number]

    def health(self, person):
        return self.stored(person)["tokenHealth"]

    def refreshes(self, person):
        """Calls that asked for a new token."""
        if not person.refresh:
            return self.sandbox.refreshes(person.access)
        return sum(t["calls"] for t in self.sandbox.family(person.refresh)["refresh_tokens"])

    def newest(self, person):
        """What the provider gave last: SHA-256 of access and refresh token."""
        if not person.refresh:
            return self.sandbox.newest(person.access), None
        family = self.sandbox.family(person.refresh)
        return family["newest_access"], family["newest_refresh"]

    def assert_newest(self, *people, states=("healthy",)):
        """What is stored is what the provider gave last, in both forms, with all that goes with it."""
        stored = self.documents()
        for person, tokens in zip(people, tokens_of(self.service, [stored[p.number] for p in people])):
            access, refresh = self.newest(person)
            document = stored[person.number]
            self.assertEqual(tokens, {"access": access, "refresh": refresh, "fastAccess": access, "fastRefresh": refresh}, document)
            self.assertNotEqual(access, digest(person.access), f"{person.number} was not refreshed")
            self.assertEqual(document["tokenStatus"], "valid", document)
            self.assertIn(document["tokenHealth"]["state"], states, document)
            self.assertAlmostEqual(in_s(document["expiresAt"]), FRESH_IN_S[person.platform], delta=900)
            self.assertNotIn("lease", document["tokenHealth"].get("refresh", {}))
            self.assertNotIn("accessToken", document)
            self.assertNotIn("refreshToken", document)

    def assert_spool_empty(self):
        self.assertEqual(spool_slots(self.service), [], "slots in use")

    def let_wait(self, people):
        """As if a long time had gone by since their last failure."""
        stored = [self.stored(person) for person in people]
        for document in stored:
            document["tokenHealth"]["refresh"].update(failedAt={"$date": "2026-01-01T00:00:00.000Z"}, failedClock="00000000000000ff:1")
        self.service.ctl("import", "--replace", stdin="".join(json.dumps(d) + "\n" for d in stored))


def spool_slots(service):
    """The first lines of the slots of the spool that are in use."""
    path = service.settings["spool"]["path"]
    if not os.path.exists(path):
        return []
    with open(path, "rb") as f:
        slots = f.read()
    return [line for line in (slots[at:at + 4096].strip(b" \n\0") for at in range(0, len(slots), 7 * 4096)) if line]


if __name__ == "__main__":
    sys.exit("rotating.py is a library")
