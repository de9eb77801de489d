"""How fast and how dear sweeps are, in small; the promises themselves are measured by tests/bench/run, on a machine that does nothing
else. The limits here are those that only a sweep that is broken misses."""
import unittest

import sweep_cost
from case import ServiceCase

BATCH, LATENCY_MS, ACCOUNTS = 64, 50, 1920
IDEAL = BATCH * 1000 / LATENCY_MS


class Throughput(ServiceCase):
    responder = False
    settings = {"encryption": {"kdf_iterations": "1"}, "monitor": {"batch_size": BATCH, "max_retries": "0"}}

    def test_a_slow_provider_is_asked_about_a_whole_batch_at_the_same_time(self):
        rates, cpu_us = sweep_cost.with_fast_envelopes(self.service, self.sandbox, ACCOUNTS, LATENCY_MS, 3)
        print(f"\nFIGURE: sweep: {rates[1]:.0f} accounts a second at {LATENCY_MS} ms latency, {rates[1] / IDEAL:.2f} x of the ideal "
              f"{IDEAL:.0f}; {cpu_us:.0f} µs CPU an account with a fast envelope")
        one_at_a_time = 1000 / LATENCY_MS
        self.assertGreater(rates[-1], 4 * one_at_a_time, f"accounts a second: {rates}")
        self.assertLess(cpu_us, 2000)
        self.assertIn(self.sandbox.summary()["max_concurrency"], range(BATCH // 2, BATCH + 1))


class SlowEnvelopes(ServiceCase):
    responder = False
    settings = {"encryption": {"kdf_iterations": "100000"}, "monitor": {"batch_size": BATCH, "max_retries": "0"}}

    def test_a_key_derivation_is_paid_once_an_account(self):
        first_s, later_s, cores = sweep_cost.with_slow_envelopes(self.service, self.sandbox, 120, 3)
        print(f"\nFIGURE: slow envelopes: {first_s:.2f} s CPU in the first sweep of 120 accounts, {later_s:.3f} s in the next, "
              f"{first_s / later_s:.0f} x; {cores:.2f} cores busy")
        self.assertGreater(first_s / later_s, 10)
        fast = [d["tokenHealth"].get("fast", {}).get("access") for d in self.stored_all().values()]
        self.assertEqual((len(fast), fast.count(None)), (120, 0))


if __name__ == "__main__":
    unittest.main()
