"""Peers that mean harm, or do not know the protocol: a corpus of broken streams, seeded mutations of good ones, peers that dawdle. No crash, no
worker lost for long, memory that stays what it was; under the sanitizers, too."""
import random
import re
import select
import socket
import struct
import threading
import time
import unittest

import fastcgi
from case import API, account_id
from fastcgi import ABORT, BEGIN, GET_VALUES, PARAMS, STDIN, begin, pair, record
from harness import children
from workers import Workers

FUZZ_S, SEED = 8, 20260719
GOOD = fastcgi.params(fastcgi.values_of("GET", "/livez", b""))


def head(kind, content_length, request_id=1, version=1, padding=0):
    return struct.pack("!BBHHBx", version, kind, request_id, content_length, padding)


CORPUS = {
    "nothing": b"", "one byte": b"\1", "half a head": head(BEGIN, 8)[:4], "a head alone": head(BEGIN, 8), "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "tls": bytes.fromhex("1603010200010001fc0303"), "zeros": bytes(4096), "ones": b"\xff" * 70000, "version 0": b"\0" + begin()[1:], "version 2": b"\2" + begin()[1:],
    "unknown record": begin() + record(77, b"x" * 50), "unknown record of the application": record(77, b"x" * 50, 0), "stdin first": record(STDIN, b"x"),
    "params first": GOOD, "begin twice": begin() + begin() + GOOD + record(STDIN), "short begin": record(BEGIN, b"\0\1") + GOOD, "long begin": record(BEGIN, b"\0\1" + bytes(200)),
    "begin of nobody": record(BEGIN, struct.pack("!HB5x", 1, 0), 0), "role 0": begin(0) + GOOD + record(STDIN), "filter": begin(3) + GOOD + record(STDIN) + record(8),
    "role 65535": begin(65535) + GOOD + record(STDIN), "abort at once": begin() + record(ABORT), "abort in params": begin() + GOOD[:-8] + record(ABORT),
    "abort after params": begin() + GOOD + record(ABORT), "abort of nobody": record(ABORT), "abort of another": begin() + GOOD + record(ABORT, b"", 9),
    "params of another": begin() + GOOD.replace(b"\1\4\0\1", b"\1\4\0\2"), "stdin of another": begin() + GOOD + record(STDIN, b"x", 2),
    "end before params": begin() + record(STDIN), "values": record(GET_VALUES, pair("FCGI_MAX_CONNS", ""), 0), "values that lie": record(GET_VALUES, b"\xff" * 40, 0),
    "values without end": head(GET_VALUES, 65535, 0) + b"x" * 1000, "name of 2 GiB": begin() + record(PARAMS, b"\xff\xff\xff\xff\0N") + record(PARAMS),
    "value of 2 GiB": begin() + record(PARAMS, b"\1\xff\xff\xff\xffN") + record(PARAMS), "sum that overflows": begin() + record(PARAMS, b"\xff\xff\xff\xff\xff\xff\xff\xff") + record(PARAMS),
    "sum that overflows by two": begin() + record(PARAMS, b"\xff\xff\xff\xff\x80\0\0\1N") + record(PARAMS), "length broken off": begin() + record(PARAMS, b"\x80\1") + record(PARAMS),
    "name broken off": begin() + record(PARAMS, b"\x05\0AB") + record(PARAMS), "no padding": begin() + struct.pack("!BBHHBx", 1, PARAMS, 1, 2, 255) + b"\0\0",
    "record longer than sent": begin() + head(PARAMS, 65535) + b"x", "parameters of 1 MiB": begin() + fastcgi.params({"X" * 1000 + str(i): "y" * 1000 for i in range(500)}),
    "many small parameters": begin() + fastcgi.params({str(i): "" for i in range(30000)}), "one byte a record": begin() + b"".join(record(PARAMS, bytes([b])) for b in b"\1\1AB") + record(PARAMS) + record(STDIN),
    "no parameters": begin() + record(PARAMS) + record(STDIN), "nul in a name": begin() + fastcgi.params({"REQUEST_\0METHOD": "GET"}) + record(STDIN), "no stdin": begin() + GOOD,
    "content length that lies": begin() + fastcgi.params(fastcgi.values_of("POST", f"{API}/validate", b"x", more={"CONTENT_LENGTH": "18446744073709551615"})) + record(STDIN, b"{") + record(STDIN),
    "stdin of 4 MiB": begin() + GOOD + fastcgi.stream(STDIN, b"x" * (4 << 20)),
}


class Hostile(Workers):
    workers = 2
    settings = {"responder": {"max_requests": "0", "stuck_timeout": "2m"}}

    def talk(self, data, end=True):
        """Sends it, as far as it is taken, and hears the peer out."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(15)
            s.connect(self.service.socket)
            try:
                s.sendall(data)
                if end:
                    s.shutdown(socket.SHUT_WR)
                while s.recv(65536):
                    pass
            except (BrokenPipeError, ConnectionResetError):
                pass

    def setUp(self):
        super().setUp()
        self.before, self.mark = children(self.parent), len(self.service.log("responder"))

    def assert_unharmed(self, what):
        self.is_quick()
        self.assertEqual(children(self.parent), self.before, f"{what}: a worker was lost: {self.service.log('responder')[self.mark:][-2000:]}")

    def memory_kb(self):
        def own(pid):
            with open(f"/proc/{pid}/status") as f:
                return int(re.search(r"^RssAnon:\s+(\d+) kB", f.read(), re.M)[1])
        return sum(own(pid) for pid in children(self.parent))

    def test_every_broken_stream_is_survived(self):
        for name, data in CORPUS.items():
            with self.subTest(name=name):
                start = time.monotonic()
                self.talk(data)
                self.assertLess(time.monotonic() - start, 5, "the connection was not closed")
                self.assert_unharmed(name)

    def test_mutated_streams_are_survived_and_cost_no_memory(self):
        dice, count = random.Random(SEED), 0
        good = [fastcgi.whole(), fastcgi.whole("GET", f"{API}/check?accountId={account_id(1)}", key=self.admin),
                fastcgi.whole("POST", f"{API}/validate", b'{"workspaceId":"ws-1"}', key=self.admin),
                fastcgi.whole(role=fastcgi.AUTHORIZER, more={"TOKEN_HEALTH_KEY": self.admin, "TOKEN_HEALTH_ACCOUNT": account_id(1)})]
        for data in good * 20:
            self.talk(data)
        memory_kb, end, last = self.memory_kb(), time.monotonic() + FUZZ_S, b""
        while time.monotonic() < end:
            last = bytearray(dice.choice(good))
            for _ in range(dice.randint(1, 6)):
                at, kind = dice.randrange(len(last)), dice.randrange(5)
                if kind == 0:
                    last[at] = dice.choice((0, 1, 127, 128, 255, dice.randrange(256)))
                elif kind == 1:
                    del last[at:at + dice.randint(1, 16)]
                elif kind == 2:
                    last[at:at] = last[:dice.randint(1, 64)]
                elif kind == 3:
                    last = last[:at + 1]
                else:
                    last[at:at] = bytes(dice.randrange(256) for _ in range(dice.randint(1, 16)))
                if not last:
                    last = bytearray(b"\1")
            self.talk(bytes(last))
            count += 1
            if count % 50 == 0:
                self.assert_unharmed(f"seed {SEED}, stream {count}, the last one {bytes(last).hex()}")
        self.assert_unharmed(f"seed {SEED}, the last stream {bytes(last).hex()}")
        grown_kb = self.memory_kb() - memory_kb
        print(f"FIGURE: {count} mutated streams, the workers' memory grew by {grown_kb} KiB")
        self.assertGreater(count, 100)
        if "release" in self.service.program(""):
            self.assertLess(grown_kb, 2048)

    def test_peers_that_dawdle_take_nobody_s_time(self):
        """Half requests, byte by byte: as many as would hold every worker many times."""
        slow = [socket.socket(socket.AF_UNIX) for _ in range(20)]
        try:
            for s in slow:
                s.connect(self.service.socket)
            data = fastcgi.whole("GET", f"{API}/check?accountId={account_id(1)}", key=self.admin)
            worst = 0
            for byte in data[:40]:
                for s in slow:
                    s.send(bytes([byte]))
                start = time.monotonic()
                with self.connect() as c:
                    self.assertEqual(c.request(flags=0).status, 200)
                worst = max(worst, time.monotonic() - start)
            print(f"FIGURE: beside 20 half requests the slowest answer of 40 took {worst * 1000:.0f} ms")
            self.assertLess(worst, 1.5)
            for number, s in enumerate(slow):  # and the slow ones get their answers
                s.settimeout(20)
                began = time.monotonic()
                s.sendall(data[40:])
                self.assertIn(b"Status: 204", s.recv(65536))
                self.assertLess(time.monotonic() - began, 5, f"the one with the number {number} had to wait")
        finally:
            for s in slow:
                s.close()
        self.assert_unharmed("dawdling peers")

    def test_bodies_of_strangers_that_drip_hold_nobody_up(self):
        """As slow clients send them through a web server that does not collect bodies first."""
        for method, path in (("POST", f"{API}/validate"), ("GET", "/livez")):
            for first in (0, 40000):
                with self.subTest(method=method, first=first):
                    stop = threading.Event()

                    def drip():
                        while not stop.is_set():
                            with socket.socket(socket.AF_UNIX) as s:
                                s.connect(self.service.socket)
                                try:
                                    s.sendall(begin(flags=fastcgi.KEEP) + fastcgi.params(fastcgi.values_of(method, path, b"")) + fastcgi.stream(STDIN, b"x" * first))
                                    while not stop.is_set() and not select.select([s], [], [], 0.2)[0]:
                                        s.sendall(record(STDIN, b"x"))
                                except OSError:
                                    pass
                    threads = [threading.Thread(target=drip) for _ in range(6)]
                    for thread in threads:
                        thread.start()
                    worst, end = 0, time.monotonic() + 4
                    try:
                        while time.monotonic() < end:
                            start = time.monotonic()
                            with self.connect() as c:
                                self.assertEqual(c.request(flags=0).status, 200)
                            worst = max(worst, time.monotonic() - start)
                            time.sleep(0.05)
                    finally:
                        stop.set()
                        for thread in threads:
                            thread.join(30)
                    print(f"FIGURE: beside 6 bodies that drip ({method}, {first} bytes at once) the slowest answer took {worst * 1000:.0f} ms")
                    self.assertLess(worst, 3)
        self.assert_unharmed("dripping strangers")

    def test_a_body_that_drips_does_not_hold_a_worker_for_long(self):
        stop, sent = threading.Event(), []

        def drip(s):
            s.sendall(begin(flags=fastcgi.KEEP) + fastcgi.params(fastcgi.values_of("POST", f"{API}/validate", b"", self.admin)) + fastcgi.stream(STDIN, b"x" * 40000))
            while not stop.is_set() and not select.select([s], [], [], 1)[0]:
                try:
                    s.sendall(record(STDIN, b"x"))
                    sent.append(1)
                except OSError:
                    return
        slow = [socket.socket(socket.AF_UNIX) for _ in range(1)]
        for s in slow:
            s.connect(self.service.socket)
        threads = [threading.Thread(target=drip, args=(s,)) for s in slow]
        start = time.monotonic()
        for thread in threads:
            thread.start()
        try:
            time.sleep(1)
            for thread in threads:
                thread.join(60)
            self.assertLess(time.monotonic() - start, 30)
            self.assertGreater(len(sent), 11, "it was given up for silence: the test shows nothing")
        finally:
            stop.set()
            for s in slow:
                s.close()
        self.assert_unharmed("a dripping body")


if __name__ == "__main__":
    unittest.main()
