"""What the tests of refreshes share: accounts of platforms with refresh tokens (TikTok, X) and without (Instagram), by number, as
documents and as the sandbox's tokens; and what is stored, compared with what the provider knows."""
import contextlib
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import time

from harness import BUILD

APPS = {"app.tiktok": {"id": "tiktok-key", "secret": "tiktok-app-secret-for-tests"},
        "app.twitter": {"id": "x-client", "secret": "x-app-secret-for-tests"}}
HOSTS = {"tiktok": "open.tiktokapis.com", "twitter": "api.x.com", "instagram": "graph.instagram.com"}
PREFIXES = {"tiktok": ("act.", "rft."), "twitter": ("", ""), "instagram": ("IGAA", None)}
# From when on a refresh is due whatever the account's place in the window, and how long a token lives then still.
DUE_IN_S = {"tiktok": 90 * 60, "twitter": 30 * 60, "instagram": 2 * 86400}
FRESH_IN_S = {"tiktok": 86400, "twitter": 7200, "instagram": 60 * 86400}


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def date(in_s):
    ms = int((time.time() + in_s) * 1000)
    return {"$date": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1000)) + f".{ms % 1000:03d}Z"}


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


if __name__ == "__main__":
    sys.exit("rotating.py is a library")
