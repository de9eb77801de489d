"""Runs one file of unittest tests for tests/run: runner.py FILE [WORD]. One line a test, at the end one line of JSON.

Each test counts once, whatever its subtests do; a fixture that fails counts as one failure, a class that is skipped as one skip.
SIGABRT (sent by tests/run at the time limit) prints where every thread stands."""
import faulthandler
import importlib.util
import json
import os
import sys
import time
import unittest


class Result(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.verdicts = {}
        self.reasons = []
        self.start = time.monotonic()

    def startTest(self, test):
        super().startTest(test)
        self.start = time.monotonic()
        print(f"     {test.id()} ...", flush=True)

    def say(self, test, verdict, detail=""):
        before = self.verdicts.get(test.id(), "passed")
        self.verdicts[test.id()] = max(before, verdict, key=("passed", "skipped", "failed").index)
        print(f"{verdict:7} {test.id()} ({time.monotonic() - self.start:.2f} s){detail}", flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.say(test, "passed")

    def addExpectedFailure(self, test, error):
        super().addExpectedFailure(test, error)
        self.say(test, "passed")

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.say(test, "failed", "\nexpected to fail, but passed")

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.say(test, "failed", "\n" + self.failures[-1][1])

    def addError(self, test, error):
        super().addError(test, error)
        self.say(test, "failed", "\n" + self.errors[-1][1])

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error:
            self.say(test, "failed", f" {subtest._subDescription()}\n" + self._exc_info_to_string(error, test))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.reasons.append(f"{test.id()}: {reason}")
        self.say(test, "skipped", f": {reason}")

    def count(self, verdict):
        return sum(v == verdict for v in self.verdicts.values())


def load(path):
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def main():
    faulthandler.enable()
    loader = unittest.TestLoader()
    if len(sys.argv) > 2:
        loader.testNamePatterns = [f"*{sys.argv[2]}*"]
    try:
        suite = loader.loadTestsFromModule(load(sys.argv[1]))
    except unittest.SkipTest as e:
        print("RESULT " + json.dumps({"passed": 0, "failed": 0, "skipped": [f"{sys.argv[1]}: {e}"]}), flush=True)
        return 0
    result = Result()
    suite.run(result)
    print("RESULT " + json.dumps({"passed": result.count("passed"), "failed": result.count("failed"), "skipped": result.reasons}), flush=True)
    return 0 if result.count("failed") == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
