"""What the tests of the whole service share: a sandbox, a service over a directory of their own, and account documents by number."""
import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
import unittest

from harness import BUILD, Service
from sandbox import Sandbox

API = "/api/instagram/token-health"


def token(name):
    return "IGAA" + hashlib.sha256(str(name).encode()).hexdigest()


def account_id(number):
    return f"{number:024x}"


def account(number, workspace="ws-1", **fields):
    """A document of the application's; fields of None are left out. Its token is not due for a refresh."""
    document = {"_id": {"$oid": account_id(number)}, "workspaceId": workspace, "platform": "instagram",
                "username": f"user{number}", "accountId": str(17841400000000000 + number),
                "expiresAt": {"$date": "2099-01-01T00:00:00.000Z"}}
    document.update(fields)
    return {k: v for k, v in document.items() if v is not None}


def sealed(name):
    return {"$seal": token(name)}


def registration(number, name, condition="healthy", **more):
    return dict({"token": token(name), "condition": condition, "account_id": str(17841400000000000 + number),
                 "username": f"user{number}"}, **more)


class ServiceCase(unittest.TestCase):
    """Each class has its own service. What a class wants is in its attributes; seed() fills the store before the start."""
    settings = {}
    workers = 4
    responder = True  # and nginx
    sandbox_tls = False

    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="token-health-")
        cls.addClassCleanup(shutil.rmtree, cls.dir, ignore_errors=True)
        cls.sandbox = Sandbox(BUILD, log=os.path.join(cls.dir, "sandbox.log"))
        cls.addClassCleanup(cls.sandbox.stop)
        cls.sandbox.start()
        cls.service = Service(os.path.join(cls.dir, "service"), cls.sandbox.url, store=cls.store_uri(), settings=cls.settings,
                              workers=cls.workers)
        cls.addClassCleanup(cls.service.stop)
        cls.admin = cls.service.create_key("admin", "admin")
        cls.seed()
        if cls.responder:
            cls.service.start()

    @classmethod
    def store_uri(cls):
        """None: an SQLite file in the service's directory."""
        return None

    @classmethod
    def seed(cls):
        pass

    @classmethod
    def register(cls, number, name, condition="healthy", **more):
        cls.sandbox.register(registration(number, name, condition, **more))

    @classmethod
    def stored_all(cls):
        """The documents of the SQLite store by number, read as another process may at any time."""
        with contextlib.closing(sqlite3.connect(f"file:{cls.service.dir}/accounts.db?mode=ro", uri=True, timeout=10)) as db:
            documents = [json.loads(doc) for (doc,) in db.execute("SELECT doc FROM accounts")]
        return {int(d["_id"]["$oid"], 16): d for d in documents}

    @classmethod
    def stored(cls, number):
        return cls.stored_all()[number]

    def get(self, path, key=None, **kw):
        return self.service.request("GET", path, key=key or self.admin, **kw)

    def post(self, path, body=None, key=None, **kw):
        return self.service.request("POST", path, body=body, key=key or self.admin, **kw)

    def statistics(self):
        """/stats.monitor"""
        answer = self.get(f"{API}/stats")
        self.assertEqual(answer.status, 200, answer)
        return answer.json()["monitor"]
