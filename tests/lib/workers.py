"""What the tests of the responder's processes share: a responder without a web server, asked over FastCGI itself."""
import time

from case import ServiceCase, account, sealed
from fastcgi import Connection
from harness import wait_for


class Workers(ServiceCase):
    """Without nginx: the tests speak FastCGI themselves. One worker, so that whoever pins it is found out."""
    workers = 1
    responder = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.service.start_responder()

    @classmethod
    def seed(cls):
        cls.register(1, "one")
        cls.service.import_accounts([account(1, encryptedAccessToken=sealed("one"))])

    def setUp(self):
        wait_for(self.answers, 30, "the responder answers")

    @property
    def parent(self):
        return self.service.processes["responder"].pid

    def answers(self):
        try:
            with self.connect(timeout=20) as c:
                return c.request().status == 200
        except (OSError, EOFError):
            return False

    def connect(self, timeout=20):
        return Connection(self.service.socket, timeout)

    def is_quick(self, seconds=5):
        start = time.monotonic()
        with self.connect() as c:
            self.assertEqual(c.request().status, 200)
        self.assertLess(time.monotonic() - start, seconds)
