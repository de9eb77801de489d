"""What the tests of token-healthctl share."""
import json
import os
import re

from case import ServiceCase
from harness import ROOT

DONE, FAILED, USAGE, FINDINGS = 0, 1, 2, 3
COMMANDS = re.findall(r'^COMMAND\("([a-z-]+)"', open(os.path.join(ROOT, "ctl/command.def"), encoding="utf-8").read(), re.M)


class CtlCase(ServiceCase):
    responder = False

    def run_ctl(self, *args, stdin="", status=DONE):
        done = self.service.ctl(*args, stdin=stdin, check=False)
        self.assertEqual(done.returncode, status, f"{args}: {done.stdout}{done.stderr}")
        return done

    def json_of(self, *args, stdin="", status=DONE):
        """The same whether --json stands before or after the command."""
        done = self.run_ctl(*args, "--json", stdin=stdin, status=status)
        return json.loads(done.stdout)

    def complaint(self, *args, stdin="", status=FAILED):
        done = self.run_ctl(*args, stdin=stdin, status=status)
        self.assertTrue(done.stderr.startswith(("token-healthctl: ", "Usage: ")) or "option" in done.stderr, done.stderr)
        self.assertNotIn("{", done.stdout)
        return done.stderr
