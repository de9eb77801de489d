"""How much the responder's processes take, and what they have open."""
import json
import os
import re
import unittest

from case import API, account, account_id, registration, sealed
from harness import children, wait_for
from workers import Workers

PSS_LIMIT_KB = 12 * 1024


class Memory(Workers):
    workers = 2

    def read(self, pid, name):
        with open(f"/proc/{pid}/{name}") as f:
            return f.read()

    def test_the_parent_opens_nothing_that_a_worker_works_with(self):
        self.assertTrue(self.service.dir)
        maps = self.read(self.parent, "maps") if os.geteuid() == 0 else ""
        if not maps:
            self.skipTest("only root may look into a process that is not dumpable")
        self.assertNotIn("/dev/shm/token-health", maps)
        def open_files(pid):
            return [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        self.assertFalse([f for f in open_files(self.parent) if "accounts.db" in f or "eventpoll" in f], open_files(self.parent))
        worker = children(self.parent)[0]
        wait_for(lambda: any("accounts.db" in f for f in open_files(worker)), 30, "the worker opens the store")

    def test_neither_parent_nor_workers_can_leave_a_core_file(self):
        for pid in [self.parent] + children(self.parent):
            self.assertRegex(self.read(pid, "limits"), r"Max core file size +0 +0 ")
            if os.geteuid() == 0 and "asan" not in os.environ.get("TOKEN_HEALTH_BUILD", ""):
                secret = [m for m in self.read(pid, "smaps").split("VmFlags:") if " dd" in m.split("\n")[0]]
                self.assertTrue(secret, "no memory is left out of core files")

    def assert_small(self, when):
        if "release" not in os.environ.get("TOKEN_HEALTH_BUILD", "release"):
            self.skipTest("sanitizers take memory of their own")
        for pid in children(self.parent):
            if os.geteuid() == 0:
                pss = int(re.search(r"^Pss: +(\d+) kB", self.read(pid, "smaps_rollup"), re.M)[1])
            else:  # the process is not dumpable: its maps are root's; what is its own alone is not
                pss = int(re.search(r"^RssAnon:\s+(\d+) kB", self.read(pid, "status"), re.M)[1])
            print(f"FIGURE: a responder worker {when}: {pss} KiB PSS (limit {PSS_LIMIT_KB})")
            self.assertLess(pss, PSS_LIMIT_KB)

    def test_a_worker_stays_small(self):
        with self.connect() as c:
            for i in range(1000):
                if i % 20:
                    c.request("GET", f"{API}/check?accountId={account_id(1)}", key=self.admin)
                else:
                    c.request("POST", f"{API}/validate", b'{"workspaceId":"ws-1","forceRefresh":true}', key=self.admin)
        self.assert_small("after 1,000 requests")


class LargeWorkspace(Workers):
    """The shared cache, which a large workspace fills, is no worker's own: what counts is memory that is gone when the worker goes."""
    settings = {"encryption": {"kdf_iterations": "1000"}, "responder": {"request_timeout": "0"}}
    COUNT = 2000

    @classmethod
    def seed(cls):
        numbers = range(1, cls.COUNT + 1)
        cls.sandbox.register([registration(n, n) for n in numbers])
        cls.service.import_accounts([account(n, encryptedAccessToken=sealed(n)) for n in numbers])

    def own_kb(self):
        pid = children(self.parent)[0]
        name, file = ("Pss_Anon", "smaps_rollup") if os.geteuid() == 0 else ("RssAnon", "status")  # maps are root's: it is not dumpable
        with open(f"/proc/{pid}/{file}") as f:
            return int(re.search(rf"^{name}:\s+(\d+) kB", f.read(), re.M)[1])

    def test_a_worker_gives_back_what_it_took(self):
        if "release" not in os.environ.get("TOKEN_HEALTH_BUILD", "release"):
            self.skipTest("sanitizers take memory of their own")
        requests = {"validate": ("POST", f"{API}/validate", b'{"workspaceId":"ws-1","forceRefresh":true}'),
                    "status": ("GET", f"{API}/status/ws-1", b""), "check": ("GET", f"{API}/check?workspaceId=ws-1", b"")}
        for name, (method, path, body) in requests.items():
            with self.subTest(name=name), self.connect(timeout=300) as c:
                answer = c.request(method, path, body, key=self.admin)
                if name == "check":
                    self.assertEqual(answer.headers.get("X-Token-Health"), "healthy; ok")
                else:
                    self.assertEqual((answer.status, json.loads(answer.body)["totalAccounts"]), (200, self.COUNT))
                self.assertEqual(c.request().status, 200)  # by the only worker: it is done with the one before
                own_kb = self.own_kb()
                print(f"FIGURE: a responder worker after a {name} of {self.COUNT} accounts: {own_kb} KiB of its own (limit {PSS_LIMIT_KB})")
                self.assertLess(own_kb, PSS_LIMIT_KB)


if __name__ == "__main__":
    unittest.main()
