"""tests/run itself: nothing that goes wrong is counted as passed, and the last line is the sum."""
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import unittest

from harness import ROOT


class Runner(unittest.TestCase):
    def setUp(self):
        self.tree = tempfile.mkdtemp(prefix="token-health-runner-")
        self.addCleanup(shutil.rmtree, self.tree)
        for path in ("tests/run", "tests/lib/runner.py"):
            os.makedirs(os.path.dirname(os.path.join(self.tree, path)), exist_ok=True)
            shutil.copy(os.path.join(ROOT, path), os.path.join(self.tree, path))

    def write(self, path, text, mode=0o644):
        path = os.path.join(self.tree, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(textwrap.dedent(text))
        os.chmod(path, mode)

    def python(self, body, name="it"):
        self.write(f"tests/e2e/test_{name}.py", "import os, signal, subprocess, sys, time, unittest\n\n\nclass T(unittest.TestCase):\n"
                   + textwrap.indent(textwrap.dedent(body), "    "))

    def cmocka(self, text, status):
        """A program that says what a cmocka program would, and ends with that status."""
        self.write("tests/unit/test_it.c", "")
        self.write("build/release/tests/unit/test_it", f"#!{sys.executable}\nimport os, sys\nprint({text!r})\nsys.stdout.flush()\n"
                   + (f"os.kill(os.getpid(), {-status})\n" if status < 0 else f"sys.exit({status})\n"), 0o755)

    def run_tests(self, *args):
        done = subprocess.run([sys.executable, "tests/run", *args], cwd=self.tree, text=True, capture_output=True, timeout=120,
                              stdin=subprocess.DEVNULL)
        return done.stdout.splitlines()[-1] if done.stdout else "", done

    def expect(self, last_line, status, *args):
        line, done = self.run_tests(*args)
        self.assertEqual((line, done.returncode), (last_line, status), done.stdout + done.stderr)
        return done.stdout

    def test_passed_and_failed_tests(self):
        self.python("""
            def test_a(self): pass
            def test_b(self): self.assertEqual(1, 2)
            def test_c(self): raise OSError("what went wrong")
        """)
        said = self.expect("1 passed, 2 failed", 1, "e2e")
        self.assertIn("1 != 2", said)
        self.assertIn("what went wrong", said)
        self.assertIn("!!!! FAILED tests/e2e/test_it.py: 2 of 3\n1 passed", said)

    def test_all_passed(self):
        self.python("def test_a(self): print('FIGURE: it is 5 long')\n")
        self.assertIn("it is 5 long", self.expect("1 passed, 0 failed", 0, "e2e"))

    def test_skipped_tests_are_named_and_the_last_line_is_plain(self):
        self.python("def test_a(self): pass\ndef test_b(self): self.skipTest('there is no moon')\n")
        said = self.expect("1 passed, 0 failed", 0, "e2e")
        self.assertIn("!!!! SKIPPED test_it.T.test_b: there is no moon\n1 skipped\n", said)

    def test_a_failing_subtest_fails_its_test_once(self):
        self.python("""
            def test_a(self):
                for n in range(4):
                    with self.subTest(n=n): self.assertGreater(n, 1)
        """)
        self.expect("0 passed, 1 failed", 1, "e2e")

    def test_a_fixture_that_fails(self):
        self.python("""
            @classmethod
            def setUpClass(cls): raise OSError("no server")
            def test_a(self): pass
        """)
        self.assertIn("no server", self.expect("0 passed, 1 failed", 1, "e2e"))

    def test_a_program_that_dies_in_the_middle(self):
        self.python("""
            def test_a(self): pass
            def test_b(self): os.kill(os.getpid(), signal.SIGKILL)
            def test_c(self): pass
        """)
        self.expect("1 passed, 1 failed", 1, "e2e")

    def test_a_file_that_is_no_python(self):
        self.write("tests/e2e/test_it.py", "def broken(:\n")
        self.expect("0 passed, 1 failed", 1, "e2e")

    def test_a_file_without_a_test(self):
        self.write("tests/e2e/test_it.py", "x = 1\n")
        self.assertIn("no test was run", self.expect("0 passed, 1 failed", 1, "e2e"))

    def test_no_test_at_all_is_no_success(self):
        self.expect("0 passed, 0 failed", 1, "e2e")

    def test_what_a_test_prints_cannot_be_taken_for_the_sum(self):
        self.python("def test_a(self):\n    print('7 passed, 0 failed')\n    self.fail()\n")
        said = self.expect("0 passed, 1 failed", 1, "e2e")
        self.assertNotIn("\n7 passed, 0 failed\n", said)

    def test_processes_left_behind_are_ended(self):
        self.python("""
            def test_a(self):
                with open("left", "w") as f: f.write(str(subprocess.Popen(["sleep", "600"]).pid))
        """)
        self.expect("1 passed, 0 failed", 0, "e2e")
        with open(os.path.join(self.tree, "left")) as f:
            pid = int(f.read())
        try:
            with open(f"/proc/{pid}/stat") as f:
                state = f.read().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            state = "gone"
        self.assertIn(state, ("gone", "Z", "X"))

    def test_cmocka_programs(self):
        start = "[==========] Running 2 test(s).\n"
        ok, failed = "[ RUN      ] a\n[       OK ] a\n", "[ RUN      ] b\n[  FAILED  ] b\n"
        listed = "[==========] 2 test(s) run.\n[  FAILED  ] 1 test(s), listed below:\n[  FAILED  ] b\n"
        for name, text, status, last_line in (("good", start + ok + ok, 0, "2 passed, 0 failed"),
                                              ("bad", start + ok + failed + listed, 1, "1 passed, 1 failed"),
                                              ("died", start + ok + "[ RUN      ] b\n", -11, "1 passed, 1 failed"),
                                              ("died after the last", start + ok, -6, "1 passed, 1 failed"),
                                              ("nothing", "", 0, "0 passed, 1 failed")):
            with self.subTest(name):
                self.cmocka(text, status)
                self.expect(last_line, 0 if last_line.endswith(" 0 failed") else 1, "unit")

    def test_a_program_that_is_not_there(self):
        self.write("tests/unit/test_it.c", "")
        self.assertIn("cannot be run", self.expect("0 passed, 1 failed", 1, "unit"))

    def test_kinds_that_do_not_exist(self):
        _, done = self.run_tests("nonsense")
        self.assertEqual(done.returncode, 2)


if __name__ == "__main__":
    unittest.main()
