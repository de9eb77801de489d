"""What end-to-end tests share: accounts with tokens that the sandbox provider knows, and a service with nginx for a class of tests."""
import hashlib
import json
import os
import shutil
import sqlite3
import sys
import tempfile
import unittest

from harness import BUILD, Service
from sandbox import Sandbox

API = "/api/instagram/token-health"


def token(name):
    return "IGAA" + hashlib.sha256(name.encode()).hexdigest()


def account(number, workspace="ws-1", **fields):
    document = {"_id": {"$oid": f"{number:024x}"}, "workspaceId": workspace, "platform": "instagram",
                "username": f"user{number}", "accountId": str(17841400000000000 + number)}
    document.update(fields)
    return {k: v for k, v in document.items() if v is not None}


def sealed(name):
    return {"$seal": token(name)}


class Base(unittest.TestCase):
    """self.dir, self.sandbox, self.service and self.admin, an admin key; for all tests of a class."""
    settings = {"cache": {"ttl": "5m"}}
    workers = 4

    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="token-health-e2e-")
        cls.addClassCleanup(shutil.rmtree, cls.dir, ignore_errors=True)
        cls.sandbox = Sandbox(BUILD, log=os.path.join(cls.dir, "sandbox.log"))
        cls.sandbox.start()
        cls.addClassCleanup(cls.sandbox.stop)
        cls.service = Service(os.path.join(cls.dir, "service"), cls.sandbox.url, settings=cls.settings, workers=cls.workers)
        cls.addClassCleanup(cls.service.stop)
        cls.admin = cls.service.create_key("admin", "admin")
        cls.seed()
        cls.start()

    @classmethod
    def seed(cls):
        """Accounts, keys and tokens, before anything is started."""

    @classmethod
    def start(cls):
        cls.service.start()

    @classmethod
    def register(cls, number, name, condition="healthy", **more):
        cls.sandbox.register([dict({"token": token(name), "condition": condition,
                                    "account_id": str(17841400000000000 + number), "username": f"user{number}"}, **more)])

    def stored(self, number):
        with sqlite3.connect(f"file:{self.service.dir}/accounts.db?mode=ro", uri=True) as db:
            for (doc,) in db.execute("SELECT doc FROM accounts"):
                doc = json.loads(doc)
                if doc["_id"] == {"$oid": f"{number:024x}"}:
                    return doc
        return None

    def get(self, path, key=None, **kw):
        return self.service.request("GET", path, key=self.admin if key is None else key, **kw)

    def post(self, path, body=None, key=None, **kw):
        return self.service.request("POST", path, body=body, key=self.admin if key is None else key, **kw)


if __name__ == "__main__":
    sys.exit("cases.py is a library")
