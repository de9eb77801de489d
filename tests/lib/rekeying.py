"""What the tests of rekey share: accounts whose tokens are stored in every form, the change to another key, and what each stored envelope opens
to, as SHA-256."""
import json
import os
import subprocess
import sys

from case import ServiceCase, account, registration, token
from harness import BUILD

FORMS = 8


def seed(service, option, documents):
    """The lines that the seed program makes of documents."""
    text = "".join(json.dumps(d) + "\n" for d in documents)
    done = subprocess.run([os.path.join(BUILD, "tests/seed/seed"), "--config", service.conf, *option], input=text, text=True,
                          capture_output=True, env=service.environment(), timeout=600)
    if done.returncode != 0:
        raise AssertionError("seed: " + done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def document(number):
    """Account ${number}, stored in form ${number} % 8."""
    form, access, refresh = number % FORMS, token(f"a{number}"), token(f"r{number}")
    fields = {"tokenStatus": "valid", "needsReconnection": False, "theirs": {"n": number}, "encryptedAccessToken": {"$seal": access}}
    if form in (1, 2):
        fields["encryptedAccessToken"] = {"$sealText": access}
    if form == 3:
        fields["encryptedRefreshToken"] = {"$seal": refresh}
    if form == 4:
        fields.update(encryptedAccessToken=None, accessToken={"$sealText": access}, refreshToken={"$seal": refresh})
    if form == 5:
        fields.update(isActive=False, encryptedRefreshToken={"$sealText": refresh})
    if form == 6:
        fields["platform"] = "nobody-knows"
    if form == 7:
        fields["tokenHealth"] = {"setAside": [{"$seal": token(f"x{number}")}, {"$sealText": token(f"y{number}")}],
                                 "setAsideRefresh": {"$seal": token(f"z{number}")}}
    return account(number, **fields)


class RekeyCase(ServiceCase):
    responder = False
    count = 500
    settings = {"encryption": {"kdf_iterations": "4000", "kid": "k1"}, "monitor": {"check_interval": "20s", "max_retries": "0"},
                "health": {"confirm_interval": "0"}}

    @classmethod
    def seed(cls):
        cls.sandbox.register([registration(n, f"a{n}") for n in range(1, cls.count + 1)])
        documents = seed(cls.service, [], [document(n) for n in range(1, cls.count + 1)])
        for d in documents:
            if int(d["_id"]["$oid"], 16) % FORMS == 2:
                d["encryptedAccessToken"] = "aes-256-gcm:" + d["encryptedAccessToken"]
        cls.import_sealed(documents)

    @classmethod
    def import_sealed(cls, documents, *options):
        return cls.service.ctl("import", *options, stdin="".join(json.dumps(d) + "\n" for d in documents))

    @classmethod
    def documents(cls):
        """By number, whatever the store."""
        return cls.stored_all()

    def tokens(self):
        """Number → the sorted SHA-256 of all tokens that the document holds, under the write key alone; "-" for what does not open."""
        stored = self.documents()
        opened = seed(self.service, ["--tokens"], stored.values())
        return {n: sorted(v or "-" for v in one.values()) for n, one in zip(stored, opened)}

    def use_key(self, kid, old=()):
        """${kid} is written with, the others of ${old} are read."""
        self.service.write_private(f"{self.service.dir}/key-{kid}", self.keys.setdefault(kid, kid * 20))
        self.service.settings["encryption"].update(
            kid=kid, key_file=f"{self.service.dir}/key-{kid}", old_keys=" ".join(f"{k}:{self.service.dir}/key-{k}" for k in old))
        self.service.write_conf()

    def setUp(self):
        self.keys = {"k1": self.service.key}
        self.use_key("k1")

    def rekey(self, *options, status=0):
        process = self.start_rekey("--json", *options)
        out, said = process.communicate(timeout=400)
        self.assertEqual(process.returncode, status, out + said)
        return json.loads(out), said

    def start_rekey(self, *options):
        return subprocess.Popen([self.service.program("token-healthctl"), "--config", self.service.conf, "rekey", *options], text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.service.environment())


if __name__ == "__main__":
    sys.exit("rekeying.py is a library")
