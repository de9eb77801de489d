"""What a cached `check` and `status` cost through each web server in its shipped configuration, beside a minimal libfcgi program that sends
answers of the same length through the same server: requests a second and the 99th percentile of the time an answer takes."""
import http.client
import os
import subprocess
import sys

from harness import BUILD, ROOT, Answer, Service, die_with_parent, stop_process, wait_for
from sandbox import Sandbox
from turns import Turns
sys.path.insert(0, os.path.join(ROOT, "tests/deploy"))
from servers import Apache, ApacheFcgid, Application, Caddy, Lighttpd, Nginx, give_away  # noqa: E402

WORKERS, ROUNDS, CONNECTIONS = 4, 7, 16
FCGID_PROCESSES = 8  # FcgidMaxProcessesPerClass: whoever comes when all are busy sleeps for a second inside mod_fcgid
TOKEN = "IGAA" + "fedcba9876543210" * 4
ACCOUNT = "64b0c0ffee00000000000002"
API = "/api/instagram/token-health"
ROUTES = {"check from the cache": f"{API}/check?accountId={ACCOUNT}", "status": f"{API}/status/ws-1"}
BASELINE = os.path.join(BUILD, "tests/bench/bench_fcgi_baseline")


def status_answer(service):
    """The file with what the minimal program says to `status`."""
    return f"{service.dir}/status-answer"


def get(server, path, key=""):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


class SteadyFcgid(ApacheFcgid):
    """mod_fcgid replaces a process after so many requests, and those who wait for the new one sleep for a second: not while we measure."""

    def shipped(self, *paths, **replace):
        return super().shipped(*paths, **{"FcgidMaxRequestsPerProcess 10000": "FcgidMaxRequestsPerProcess 0", **replace})

    def start(self):
        """With all its processes, each of which has a socket: it starts them when requests find the others busy, and refuses some till then."""
        super().start()
        hurry = ["wrk", "-t1", f"-c{2 * FCGID_PROCESSES}", "-d1s", f"http://127.0.0.1:{self.port}/livez"]
        wait_for(lambda: subprocess.run(hurry, stdout=subprocess.DEVNULL, timeout=60).returncode == 0 and
                 len(os.listdir(f"{self.dir}/ipc")) == FCGID_PROCESSES, 60, "mod_fcgid has all its processes")
        wait_for(lambda: get(self, "/livez").status < 300, 30, "mod_fcgid answers")
        return self


class MinimalFcgid(SteadyFcgid):
    """Starts the minimal program in the responder's place, with as many processes."""

    def includes(self):
        paths = super().includes()
        self.write("lib/fcgid", f'#!/bin/sh\nexec "{BASELINE}" - 1 "{status_answer(self.service)}"\n', 0o755)
        return paths


class Stage:
    """The responder and the minimal program, for all servers."""

    def __init__(self, directory):
        self.dir = directory
        self.baseline = self.service = self.application = None
        self.sandbox = Sandbox(BUILD, log=f"{directory}/sandbox-servers.log").start()

    def start(self):
        self.sandbox.register({"token": TOKEN, "account_id": "17841400000000002", "username": "bench"})
        self.service = Service(f"{self.dir}/servers", self.sandbox.url, workers=WORKERS, settings={"cache": {"ttl": "1h"}})
        self.key = self.service.create_key("bench", "read")
        self.service.import_accounts([{"_id": {"$oid": ACCOUNT}, "workspaceId": "ws-1", "platform": "instagram", "username": "bench",
                                       "accountId": "17841400000000002", "encryptedAccessToken": {"$seal": TOKEN}}])
        self.service.start_responder()
        give_away(self.dir, self.service)
        self.application = Application()  # the servers' configurations name one; nobody asks it here
        self.socket = f"{self.service.dir}/baseline.sock"

    def server(self, kind):
        return kind(self.service, self.application, self.key, tcp="127.0.0.1:1")

    def start_baseline(self, ours):
        """ours: a server before the responder, whose `status` the minimal program is to repeat."""
        get(ours, ROUTES["check from the cache"], self.key)  # from then on the status says what was found
        answer = get(ours, ROUTES["status"], self.key)
        names = ("x-request-id", "cache-control", "content-type", "content-length")
        with open(status_answer(self.service), "wb") as f:
            f.write(("Status: 200 OK\r\n" + "".join(f"{name}: {answer.headers[name]}\r\n" for name in names) + "\r\n").encode() + answer.body)
        self.baseline = subprocess.Popen([BASELINE, self.socket, str(WORKERS), status_answer(self.service)], stdin=subprocess.DEVNULL,
                                         cwd=self.service.dir, preexec_fn=die_with_parent)
        wait_for(lambda: os.path.exists(self.socket), 10, "the minimal program listens")
        os.chmod(self.socket, 0o666)  # Apache does not work as root

    def stop(self):
        for stop in (lambda: stop_process(self.baseline), self.service and self.service.stop, self.application and self.application.stop,
                     self.sandbox.stop):
            if stop:
                stop()


def same_answers(stage, route, ours, baseline):
    """Compared can be only what says as much."""
    answers = [get(server, ROUTES[route], stage.key) for server in (ours, baseline)]
    if len({(answer.status, len(answer.body), answer.headers.get("x-token-health")) for answer in answers}) != 1:
        raise AssertionError(f"{route}: {answers[0]} against {answers[1]}")


def compare(stage, figure, name, ours, baseline, connections):
    for route, path in ROUTES.items():
        urls = {"ours": f"http://127.0.0.1:{ours.port}{path}", "baseline": f"http://127.0.0.1:{baseline.port}{path}"}
        same_answers(stage, route, ours, baseline)
        calls = stage.sandbox.calls()
        turns = Turns(urls, stage.key, connections, ROUNDS)
        if stage.sandbox.calls() != calls:
            raise AssertionError("the provider was asked: that was not the cache")
        turns.tell_rate(figure, f"{route} through {name} against a minimal libfcgi program, requests a second")
        turns.tell_p99(figure, f"{route} through {name}, p99 of a minimal libfcgi program against ours")


def through(stage, figure, name, kind, minimal, connections):
    ours, baseline = stage.server(kind), stage.server(minimal)
    baseline.socket = stage.socket
    try:
        ours.start()
        if not stage.baseline:
            stage.start_baseline(ours)
        baseline.start()
        compare(stage, figure, name, ours, baseline, connections)
    except AssertionError as e:
        raise AssertionError(f"{name}: {e}\n{ours.log()[-1500:]}") from None
    finally:
        for server in (ours, baseline):
            if server.process:
                server.stop()


SERVERS = [("nginx", Nginx, Nginx, CONNECTIONS), ("Apache's mod_proxy_fcgi", Apache, Apache, CONNECTIONS),
           ("Apache's mod_fcgid", SteadyFcgid, MinimalFcgid, FCGID_PROCESSES), ("lighttpd", Lighttpd, Lighttpd, CONNECTIONS),
           ("Caddy", Caddy, Caddy, CONNECTIONS)]


def measure(directory, figure):
    stage = Stage(directory)
    try:
        stage.start()
        for name, kind, minimal, connections in SERVERS:
            through(stage, figure, name, kind, minimal, connections)
    finally:
        stage.stop()
