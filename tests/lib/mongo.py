"""The MongoDB-compatible server of tests/mongo as a child of this process: started, killed, paused. Its port and its data stay.

Where it cannot be had (no Go, no module) the tests that want it are skipped, and say so; with CI set they fail."""
import contextlib
import json
import os
import select
import signal
import sqlite3
import subprocess
import unittest

from harness import ROOT, die_with_parent, free_port


def program():
    built = subprocess.run([os.path.join(ROOT, "tests/mongo/build")], text=True, capture_output=True, stdin=subprocess.DEVNULL)
    if built.returncode == 0:
        return built.stdout.strip()
    why = built.stderr.strip().splitlines()[-1:] or ["tests/mongo/build gives no reason"]
    if built.returncode == 3 and not os.environ.get("CI"):
        raise unittest.SkipTest(f"on MongoDB: {why[0]}")
    raise AssertionError(f"the test MongoDB cannot be had: {why[0]}")


class Mongo:
    database = "token_health"

    def __init__(self, directory):
        self.program, self.dir, self.port, self.process = program(), directory, free_port(), None
        self.uri = f"mongodb://127.0.0.1:{self.port}/{self.database}"

    def start(self, seconds=30):
        self.process = subprocess.Popen([self.program, "-listen", f"127.0.0.1:{self.port}", "-dir", self.dir], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, preexec_fn=die_with_parent)
        if not select.select([self.process.stdout], [], [], seconds)[0] or not self.process.stdout.readline():
            self.kill()
            raise AssertionError(f"the test MongoDB does not listen after {seconds} s")
        return self

    def kill(self):
        self.end(signal.SIGKILL)

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGCONT)
            self.end(signal.SIGTERM)

    def end(self, number):
        if not self.process:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(15)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process = None

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def documents(self, collection="socialaccounts"):
        """What is stored, read behind the server's back: its own format, without the types."""
        path = os.path.join(self.dir, self.database + ".sqlite")
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as db:
            (table,) = db.execute("SELECT table_name FROM _ferretdb_collections WHERE name=?", (collection,)).fetchone()
            rows = [json.loads(text) for (text,) in db.execute(f'SELECT _ferretdb_sjson FROM "{table}"')]
        return [{k: v for k, v in row.items() if k != "$s"} for row in rows]
