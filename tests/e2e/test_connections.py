"""What web servers may do to a worker: connections, broken streams, bodies, odd parameters."""
import json
import os
import resource
import socket
import threading
import time
import unittest

import fastcgi
from case import API, account, account_id
from harness import children, wait_for
from workers import Workers

STALL_S = 10  # limits.h: LIMIT_REQUEST_STALL_S


class Connections(Workers):
    def test_a_kept_connection_serves_one_request_after_the_other(self):
        with self.connect() as c:
            for i in range(50):
                self.assertEqual(c.request("GET", f"{API}/status/ws-1" if i % 2 else "/livez", key=self.admin).status, 200)

    def test_a_connection_that_is_not_to_be_kept_is_closed(self):
        with self.connect() as c:
            self.assertEqual(c.request(flags=0).status, 200)
            self.assertTrue(c.is_closed())

    def test_many_kept_connections_share_a_worker_with_new_ones(self):
        kept = [self.connect() for _ in range(30)]
        try:
            for _ in range(5):
                for c in kept:
                    self.assertEqual(c.request().status, 200)
                self.is_quick()
        finally:
            for c in kept:
                c.close()

    def test_of_too_many_kept_connections_the_one_silent_longest_is_closed(self):
        kept = []
        try:
            for _ in range(65):
                kept.append(self.connect())
                self.assertEqual(kept[-1].request().status, 200)
            self.assertTrue(kept[0].is_closed())
            self.assertEqual(kept[1].request().status, 200)
            self.assertEqual(kept[64].request().status, 200)
        finally:
            for c in kept:
                c.close()

    def test_kept_and_new_connections_do_not_starve_each_other(self):
        stop, counts = threading.Event(), {"kept": 0, "new": 0}

        def kept():
            with self.connect() as c:
                while not stop.is_set():
                    assert c.request().status == 200
                    counts["kept"] += 1

        def new():
            while not stop.is_set():
                with self.connect() as c:
                    assert c.request(flags=0).status == 200
                counts["new"] += 1
        threads = [threading.Thread(target=f) for f in (kept, kept, new, new)]
        for thread in threads:
            thread.start()
        time.sleep(2)
        stop.set()
        for thread in threads:
            thread.join(30)
        self.assertGreater(min(counts.values()), 0.05 * max(counts.values()), counts)

    def test_a_key_file_that_could_not_be_read_is_tried_again_though_it_is_the_same(self):
        pid, mark = children(self.parent)[0], len(self.service.log("responder"))
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        with self.connect() as c:
            def status():
                time.sleep(0.1)
                return c.request("GET", f"{API}/stats", key=self.admin).status
            self.assertEqual(status(), 200)
            os.utime(self.service.settings["responder"]["keys_file"])
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))  # it can open nothing more
            try:
                time.sleep(1.1)
                self.assertEqual({status() for _ in range(30)}, {401})
            finally:
                resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
            time.sleep(1.1)
            self.assertEqual({status() for _ in range(5)}, {200})
        self.assertEqual(self.service.log("responder")[mark:].count("no API key can be used"), 1)

    def test_silent_connections_take_nobodys_time(self):
        silent = [self.connect() for _ in range(20)]
        try:
            self.is_quick(1.5)
            silent[0].socket.close()
            self.is_quick(1.5)
            self.assertEqual(silent[1].request().status, 200)
        finally:
            for c in silent:
                c.close()

    def test_a_request_that_stops_half_way_is_given_up(self):
        with self.connect(timeout=60) as c:
            c.send(fastcgi.begin(flags=fastcgi.KEEP) + fastcgi.record(fastcgi.PARAMS, fastcgi.pair("REQUEST_METHOD", "GET")))
            start = time.monotonic()
            self.assertTrue(c.is_closed())
            self.assertLess(time.monotonic() - start, STALL_S + 10)
        self.is_quick()

    def test_a_peer_that_reads_no_answer_is_given_up(self):
        self.service.import_accounts([account(n, "ws-big", tokenStatus="missing") for n in range(100, 1600)])
        with self.connect(timeout=60) as c:
            c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            c.send(fastcgi.whole("GET", f"{API}/status/ws-big", key=self.admin))
            time.sleep(0.5)
            start = time.monotonic()
            wait_for(self.answers, STALL_S + 30, "the worker is free again")
            self.assertGreater(time.monotonic() - start, 1, "the answer fitted into the socket: the test shows nothing")

    def test_garbage_closes_the_connection(self):
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 64, b"\xff" * 4096, fastcgi.record(fastcgi.STDIN, b"x" * 100),
                        fastcgi.begin() + fastcgi.record(fastcgi.PARAMS, b"\x80\xff\xff"),
                        fastcgi.begin() + fastcgi.record(fastcgi.PARAMS, b"\xff\xff\xff\xff\xff\xff\xff\xff" * 8),
                        fastcgi.record(fastcgi.BEGIN, b"short")):
            with self.subTest(garbage=garbage[:24]), self.connect() as c:
                c.send(garbage)
                c.socket.shutdown(socket.SHUT_WR)
                self.assertTrue(c.is_closed())
                self.is_quick()

    def test_management_records_are_answered(self):
        with self.connect() as c:
            c.send(fastcgi.record(fastcgi.GET_VALUES, fastcgi.pair("FCGI_MPXS_CONNS", ""), request_id=0) + fastcgi.whole())
            kind, content = c.read_record()
            self.assertEqual(kind, fastcgi.GET_VALUES_RESULT)
            self.assertIn(b"FCGI_MPXS_CONNS0", content)
            self.assertEqual(c.answer().status, 200)

    def test_an_unknown_role_is_refused_and_the_next_request_answered(self):
        with self.connect() as c:
            c.send(fastcgi.whole(role=9))
            self.assertTrue(c.is_closed())
        self.is_quick()

    def test_an_authorizer_request_needs_no_input(self):
        with self.connect() as c:
            more = {"TOKEN_HEALTH_KEY": self.admin, "TOKEN_HEALTH_ACCOUNT": account_id(1)}
            self.assertEqual(c.request("GET", "/app", role=fastcgi.AUTHORIZER, more=more).status, 200)


class Bodies(Workers):
    def validate(self, connection, body, **more):
        return connection.request("POST", f"{API}/validate", body, key=self.admin, **more)

    def test_a_body_without_a_declared_length_is_read(self):
        with self.connect() as c:
            self.assertEqual(self.validate(c, b'{"workspaceId":"ws-1"}', without=("CONTENT_LENGTH",)).status, 200)

    def test_a_body_that_is_not_as_long_as_declared_is_refused(self):
        for declared in (5, 5000, "22x", -22, 10 ** 30):
            with self.subTest(declared=declared), self.connect() as c:
                answer = self.validate(c, b'{"workspaceId":"ws-1"}', more={"CONTENT_LENGTH": declared})
                self.assertEqual((answer.status, json.loads(answer.body)["code"]), (400, "bad_request"))
                self.assertEqual(c.request().status, 200)

    def test_the_largest_body_is_read_and_one_byte_more_is_not(self):
        frame = b'{"workspaceId":"ws-1","x":"%s"}'
        for size, status in ((65536, 200), (65537, 413), (200000, 413)):
            with self.subTest(size=size), self.connect() as c:
                body = frame % (b"y" * (size - len(frame) + 2))
                self.assertEqual(len(body), size)
                self.assertEqual(self.validate(c, body).status, status)
                self.assertEqual(c.request().status, 200, "the rest of the body was taken for a request")

    def test_an_endless_body_is_not_read_to_its_end(self):
        with self.connect() as c:
            c.send(fastcgi.begin(flags=fastcgi.KEEP) + fastcgi.params(fastcgi.values_of(
                "POST", f"{API}/validate", b"x", self.admin, without=("CONTENT_LENGTH",))))
            sent, chunk = 0, fastcgi.record(fastcgi.STDIN, b"z" * 65528)
            try:
                while sent < 64 << 20:
                    c.send(chunk)
                    sent += len(chunk)
            except (BrokenPipeError, ConnectionResetError):
                pass
            self.assertLess(sent, 8 << 20)
            self.assertEqual(c.answer().status, 413)
        self.is_quick()

    def test_a_body_sent_with_get_is_not_the_next_request(self):
        smuggled = fastcgi.whole("POST", f"{API}/clear-cache", key=self.admin)
        with self.connect() as c:
            self.assertEqual(c.request("GET", f"{API}/check?accountId={account_id(1)}", key=self.admin).status, 204)
            calls = self.sandbox.ledger()["calls"]
            for size in (0, 9000):
                answer = c.request("GET", "/livez", b"a" * size + smuggled * 3)
                self.assertEqual((answer.status, json.loads(answer.body)), (200, {"status": "alive"}))
            self.assertEqual(c.request("GET", f"{API}/check?accountId={account_id(1)}", key=self.admin).status, 204)
        with self.connect() as c:  # so much is not waited for
            self.assertEqual(c.request("GET", "/livez", b"a" * 70000 + smuggled * 3).status, 200)
            self.assertTrue(c.is_closed())
        with self.connect() as c:
            self.assertEqual(c.request("GET", f"{API}/check?accountId={account_id(1)}", key=self.admin).status, 204)
        self.assertEqual(self.sandbox.ledger()["calls"], calls, "the cache was cleared")

    def test_a_request_that_is_broken_off_does_nothing(self):
        """The body of clear-cache says what to clear: without it that would be everything."""
        check = f"{API}/check?accountId={account_id(1)}"
        with self.connect() as c:
            self.assertEqual(c.request("GET", check, key=self.admin).status, 204)
        calls = self.sandbox.ledger()["calls"]
        head = fastcgi.begin() + fastcgi.params(fastcgi.values_of("POST", f"{API}/clear-cache", b"", self.admin))
        for end in (b"", fastcgi.record(fastcgi.STDIN, b'{"accountId":"x"}')[:20], fastcgi.record(fastcgi.ABORT)):
            with self.subTest(end=end), self.connect() as c:
                c.send(head + end)
                c.socket.shutdown(socket.SHUT_WR)
                with self.assertRaises((EOFError, ConnectionResetError)):
                    while True:
                        kind, content = c.read_record()
                        self.assertNotIn(b"success", content)
        with self.connect() as c:
            self.assertEqual(c.request("GET", check, key=self.admin).status, 204)
        self.assertEqual(self.sandbox.ledger()["calls"], calls, "the cache was cleared")

    def test_parameters_that_are_too_long_are_refused(self):
        for name in ("REQUEST_METHOD", "REQUEST_URI", "QUERY_STRING", "CONTENT_TYPE", "TOKEN_HEALTH_WORKSPACE", "TOKEN_HEALTH_ACCOUNT"):
            with self.subTest(name=name), self.connect() as c:
                answer = c.request("GET", f"{API}/stats", key=self.admin, more={name: "/" + "a" * 30000})
                self.assertEqual(answer.status, 400, answer)
                self.assertEqual(c.request().status, 200)
        with self.connect() as c:
            self.assertEqual(c.request("GET", f"{API}/stats", key="thk_" + "a" * 30000).status, 401)

    def test_more_parameters_than_a_request_may_have_are_refused_and_the_connection_is_closed(self):
        for more in ({"HTTP_X": "a" * 60000}, {f"HTTP_X{i}": "a" * 50 for i in range(1000)}, {"HTTP_X": "a" * 10000000}):
            with self.subTest(more=len(more)), self.connect() as c:
                try:
                    self.assertEqual(c.request("GET", "/livez", more=more).status, 431)
                except (BrokenPipeError, ConnectionResetError):
                    self.assertGreater(len(more["HTTP_X"]), 1000000, "it was all sent")
                    continue
                self.assertTrue(c.is_closed())
                self.is_quick()

    def test_the_web_server_s_ids_go_before_the_clients(self):
        with self.connect() as c:
            answer = c.request("GET", f"{API}/check?accountId=nobody", key=self.admin, more={"TOKEN_HEALTH_ACCOUNT": f"{account_id(1)}"})
            self.assertEqual((answer.status, answer.headers.get("X-Token-Health")), (204, "healthy; ok"))


if __name__ == "__main__":
    unittest.main()
