"""Loads two addresses with wrk, ours and a baseline's, which take turns in short rounds: whatever else the machine does hits both."""
import re
import statistics
import subprocess

SECONDS = 1
TARGET = 0.9
UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


def wrk(url, key, connections):
    """Requests a second and the 99th percentile in ms; every answer has to be a success."""
    done = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--latency", "-H", f"Authorization: Bearer {key}", url],
                          capture_output=True, text=True, timeout=60)
    rate = re.search(r"^Requests/sec: +([0-9.]+)$", done.stdout, re.M)
    p99 = re.search(r"^ +99% +([0-9.]+)(us|ms|s) *$", done.stdout, re.M)
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout or not rate or not p99:
        raise AssertionError(f"wrk on {url}:\n{done.stdout}{done.stderr}")
    return float(rate[1]), float(p99[1]) * UNITS[p99[2]]


class Turns:
    """ours, baseline: for each round what wrk measured."""

    def __init__(self, urls, key, connections, rounds):
        self.rounds, measured = rounds, {"ours": [], "baseline": []}
        for number in range(rounds):
            for who in ("ours", "baseline") if number % 2 else ("baseline", "ours"):
                measured[who].append(wrk(urls[who], key, connections))
        self.ours, self.baseline = measured["ours"], measured["baseline"]

    def tell_rate(self, figure, title):
        """Ours over the baseline's."""
        ours, baseline = ([rate for rate, _ in side] for side in (self.ours, self.baseline))
        ratios = sorted(a / b for a, b in zip(ours, baseline))
        figure(title, statistics.median(ratios), " x", TARGET, at_least=True,
               more=f"median of {self.rounds} rounds, {ratios[0]:.2f} to {ratios[-1]:.2f}; {statistics.median(ours):.0f} against "
                    f"{statistics.median(baseline):.0f} requests a second")

    def tell_p99(self, figure, title):
        """The baseline's over ours. Other work on the machine only ever adds to it, so the quieter rounds count: each side's lower quartile."""
        ours, baseline = ([p99 for _, p99 in side] for side in (self.ours, self.baseline))
        quartiles = [statistics.quantiles(side, n=4)[0] for side in (ours, baseline)]
        figure(title, quartiles[1] / quartiles[0], " x", TARGET, at_least=True,
               more=f"{quartiles[0]:.2f} ms against {quartiles[1]:.2f} ms, lower quartiles of {self.rounds} rounds, "
                    f"{min(ours):.2f} to {max(ours):.2f} ms and {min(baseline):.2f} to {max(baseline):.2f} ms")
