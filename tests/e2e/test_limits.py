"""Who asks too often: with one key, from one address, without a valid key. Everybody else is answered as ever."""
import statistics
import threading
import time
import unittest

import fastcgi
from case import API, account_id
from harness import children, wait_for
from workers import Workers

CHECK = f"{API}/check?accountId={account_id(1)}"


class Limited(Workers):
    """Each test has addresses of its own (RFC 5737, RFC 3849): what one has used up is gone for the others."""
    workers = 2

    @classmethod
    def seed(cls):
        super().seed()
        cls.other = cls.service.create_key("other", "read")

    def ask(self, address, key=None, path=CHECK, role=fastcgi.RESPONDER, **more):
        with self.connect() as c:
            return c.request("GET", path, key=key or self.admin, role=role, flags=0, more={"REMOTE_ADDR": address, **more})

    def statuses(self, count, *args, **more):
        return [self.ask(*args, **more).status for _ in range(count)]


class ByAddress(Limited):
    settings = {"responder": {"rate_per_address": "20"}}

    def test_more_than_the_rate_gets_429_and_the_time_to_wait(self):
        statuses = self.statuses(20, "192.0.2.1")
        self.assertEqual(set(statuses), {204})
        answers = [self.ask("192.0.2.1") for _ in range(200)]
        refused = [a for a in answers if a.status == 429]
        self.assertGreater(len(refused), 20)
        self.assertEqual({a.headers["Retry-After"] for a in refused}, {"1"})
        self.assertIn(b'"too_many_requests"', refused[0].body)
        time.sleep(1)
        self.assertEqual(self.ask("192.0.2.1").status, 204)

    def test_another_address_is_not_held_up(self):
        self.assertIn(429, self.statuses(200, "192.0.2.2"))
        self.assertEqual(set(self.statuses(10, "192.0.2.3")), {204})

    def test_an_ipv6_network_of_64_bits_is_one_address(self):
        self.assertIn(429, [self.ask(f"2001:db8:0:1::{i:x}").status for i in range(1, 200)])
        self.assertEqual(self.ask("2001:db8:0:2::1").status, 204)

    def test_probes_are_not_limited(self):
        self.assertEqual(set(self.statuses(100, "192.0.2.4", path="/livez")), {200})

    def test_an_authorizer_s_questions_are_not_limited(self):
        statuses = self.statuses(100, "192.0.2.5", role=fastcgi.AUTHORIZER, TOKEN_HEALTH_KEY=self.admin, TOKEN_HEALTH_ACCOUNT=account_id(1))
        self.assertEqual(set(statuses), {200})
        answer = self.ask("192.0.2.5", role=fastcgi.AUTHORIZER, TOKEN_HEALTH_KEY=self.admin, TOKEN_HEALTH_ACCOUNT=account_id(1))
        self.assertEqual(answer.headers["Variable-TOKEN_HEALTH"], "healthy; ok")


class ByKey(Limited):
    settings = {"responder": {"rate_per_key": "20"}}

    def test_a_key_is_limited_wherever_it_comes_from_and_others_are_not(self):
        self.assertIn(429, [self.ask(f"192.0.2.{i}", self.other).status for i in range(200)])
        self.assertEqual(set(self.statuses(10, "192.0.2.1", self.admin)), {204})


class WrongKeys(Limited):
    settings = {"responder": {"failures_per_address": "60"}}

    def test_too_many_are_refused_without_a_line_in_the_log_and_the_right_key_is_good_from_the_same_address(self):
        statuses = self.statuses(200, "198.51.100.1", "thk_wrong")
        self.assertEqual(set(statuses[:60]), {401})
        self.assertGreater(statuses.count(429), 100)
        self.assertLess(self.service.log("responder").count("status=401"), 100)
        self.assertEqual(set(self.statuses(50, "198.51.100.1")), {204})
        self.assertEqual(self.ask("198.51.100.2", "thk_wrong").status, 401)

    def test_it_holds_after_a_worker_was_replaced(self):
        self.statuses(80, "198.51.100.3", "thk_wrong")
        before = children(self.parent)
        self.service.processes["responder"].send_signal(1)
        wait_for(lambda: len(children(self.parent)) == 2 and not set(before) & set(children(self.parent)), 40, "new workers")
        # It takes seconds to replace them, and a try a second comes back; of a new start there would be 60.
        self.assertIn(429, [self.ask("198.51.100.3", "thk_wrong").status for _ in range(30)])

    def times(self, count):
        taken = []
        for _ in range(count):
            start = time.monotonic()
            self.assertEqual(self.ask("198.51.100.9").status, 204)
            taken.append((time.monotonic() - start) * 1000)
            time.sleep(0.005)
        return statistics.median(taken), statistics.quantiles(taken, n=100)[98]

    def test_a_hundred_wrong_keys_a_second_do_not_slow_the_right_ones(self):
        stop, wrong = threading.Event(), []

        def attack():
            begin = time.monotonic()
            while not stop.is_set():
                wrong.append(self.ask("198.51.100.8", f"thk_{len(wrong):043d}").status)
                time.sleep(max(0, begin + len(wrong) / 110 - time.monotonic()))
        self.times(50)
        alone = self.times(400)
        thread = threading.Thread(target=attack)
        start = time.monotonic()
        thread.start()
        try:
            attacked = self.times(400)
        finally:
            stop.set()
            thread.join(30)
        rate = len(wrong) / (time.monotonic() - start)
        print(f"FIGURE: a check takes {alone[0]:.2f} ms (p99 {alone[1]:.1f}), with {rate:.0f} wrong keys a second beside it {attacked[0]:.2f} ms "
              f"(p99 {attacked[1]:.1f})")
        self.assertGreaterEqual(rate, 80)
        self.assertFalse({200, 204} & set(wrong))
        self.assertLess(attacked[0], 2 * alone[0] + 2, "the right key's checks are slower")


if __name__ == "__main__":
    unittest.main()
