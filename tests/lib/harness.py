"""Starts the real programs for tests and the demo: responder, monitor, nginx, over a directory of their own.

Everything listens on 127.0.0.1 or a unix socket below the directory; every process is a child of this one, ends with it, and is
stopped by its id."""
import ctypes
import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("TOKEN_HEALTH_BUILD", "build/release"))
NGINX_PATHS = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(condition, seconds, what):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


def stop_process(process, seconds=15):
    if process is None or process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise AssertionError(f"process {process.args[0]} did not stop on SIGTERM within {seconds} s")


def children(pid):
    """Process ids of the children of a process, oldest first."""
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [int(x) for x in f.read().split()]


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


NGINX_CONF = """daemon off;
{user}worker_processes 2;
pid {dir}/nginx.pid;
error_log {dir}/nginx-error.log warn;
worker_rlimit_nofile 8192;
events {{ worker_connections 4000; }}
http {{
    access_log off;
    client_body_temp_path {dir}/nginx-body; proxy_temp_path {dir}/nginx-proxy; fastcgi_temp_path {dir}/nginx-fastcgi;
    uwsgi_temp_path {dir}/nginx-uwsgi; scgi_temp_path {dir}/nginx-scgi;
    {upstream}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        client_max_body_size 1m;
        location / {{
            include {dir}/fastcgi_params;
            fastcgi_pass {fastcgi};
            fastcgi_read_timeout 60s;
        }}
    }}
}}
"""
FASTCGI_PARAMS = """fastcgi_param QUERY_STRING $query_string;
fastcgi_param REQUEST_METHOD $request_method;
fastcgi_param CONTENT_TYPE $content_type;
fastcgi_param CONTENT_LENGTH $content_length;
fastcgi_param SCRIPT_NAME $fastcgi_script_name;
fastcgi_param REQUEST_URI $request_uri;
fastcgi_param DOCUMENT_URI $document_uri;
fastcgi_param SERVER_PROTOCOL $server_protocol;
fastcgi_param REMOTE_ADDR $remote_addr;
"""


class Service:
    """token-health with its configuration and state in one directory."""
    crashes_on_purpose = False  # a test sends SIGSEGV and the like: no finding of a sanitizer

    def __init__(self, directory, sandbox_url, store=None, settings=None, key=None, workers=4, port=None):
        self.dir = os.path.abspath(directory)
        os.makedirs(self.dir, exist_ok=True)
        self.conf = os.path.join(self.dir, "token-health.conf")
        self.port = port or free_port()
        self.socket = os.path.join(self.dir, "fcgi.sock")
        self.store = store or f"sqlite:{self.dir}/accounts.db"
        self.shm = "/token-health-" + secrets.token_hex(6)
        self.key = key or secrets.token_hex(32)
        self.processes = {}
        self.settings = {
            "store": {"uri": self.store},
            "encryption": {"key_file": f"{self.dir}/master-key"},
            "provider": {"directory": f"{ROOT}/shared/providers", "override_directory": f"{self.dir}/providers",
                         "sandbox_url": sandbox_url},
            "cache": {"name": self.shm},
            "spool": {"path": f"{self.dir}/spool/tokens.spool"},
            "responder": {"listen": f"unix:{self.socket}", "workers": workers, "keys_file": f"{self.dir}/api-keys.json"},
            "monitor": {"check_interval": "30m"},
            "app.instagram": {"id": "1234567890", "secret": "instagram-app-secret-for-tests"},
            "app.facebook": {"id": "9876543210", "secret": "facebook-app-secret-for-tests"},
        }
        for section, keys in (settings or {}).items():
            self.settings.setdefault(section, {}).update(keys)
        self.write_private(f"{self.dir}/master-key", self.key)
        self.write_conf()

    @staticmethod
    def write_private(path, text):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "w") as f:
            f.write(text)

    def write_conf(self):
        lines = []
        for section, keys in self.settings.items():
            lines.append(f"[{section}]")
            lines += [f"{name} = {value}" for name, value in keys.items()]
            lines.append("")
        self.write_private(self.conf, "\n".join(lines))

    def program(self, name):
        return os.path.join(BUILD, name)

    def environment(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("TOKEN_", "MONGODB_URI")) and "_APP_" not in k}
        # libmongoc makes /dev/shm/mongoc-PID in every process, which stays behind a killed one and makes the next of that pid complain.
        env["MONGOC_DISABLE_SHM"] = "1"
        if self.crashes_on_purpose:
            env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":handle_segv=0:handle_abort=0:handle_sigbus=0"
        return env

    def spawn(self, name, args):
        log = open(os.path.join(self.dir, name + ".log"), "ab")
        self.processes[name] = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir,
                                                env=self.environment(), preexec_fn=die_with_parent)
        log.close()
        return self.processes[name]

    def log(self, name):
        try:
            with open(os.path.join(self.dir, name + ".log"), errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    # ---- command line ----

    def ctl(self, *args, stdin=None, check=True):
        done = subprocess.run([self.program("token-healthctl"), "--config", self.conf, *args], input=stdin, text=True,
                              capture_output=True, env=self.environment(), timeout=120)
        if check and done.returncode not in (0, 3):
            raise AssertionError(f"token-healthctl {' '.join(args)}: exit {done.returncode}\n{done.stderr}")
        return done

    def create_key(self, name="test", scopes="admin", workspaces=None):
        args = ["--json", "key", "create", "--name", name, "--scopes", scopes]
        if workspaces:
            args += ["--workspaces", workspaces]
        return json.loads(self.ctl(*args).stdout)["key"]

    def import_accounts(self, documents, replace=False):
        """documents may hold {"$seal": token} and {"$sealText": token}; real envelopes are put in their place."""
        text = "".join(json.dumps(d) + "\n" for d in documents)
        sealed = subprocess.run([os.path.join(BUILD, "tests/seed/seed"), "--config", self.conf], input=text, text=True,
                                capture_output=True, env=self.environment(), timeout=600)
        if sealed.returncode != 0:
            raise AssertionError("seed: " + sealed.stderr)
        return self.ctl("import", *(["--replace"] if replace else []), stdin=sealed.stdout)

    # ---- processes ----

    def start_responder(self, *args):
        process = self.spawn("responder", [self.program("token-health-fcgi"), "--config", self.conf, *args])
        listen = self.settings["responder"]["listen"]

        def up():
            if process.poll() is not None:
                raise AssertionError("the responder ended at start:\n" + self.log("responder"))
            if listen.startswith("unix:"):
                family, address = socket.AF_UNIX, listen[5:]
            else:
                host, port = listen.rsplit(":", 1)
                family, address = socket.AF_INET, (host, int(port))
            with socket.socket(family) as s:
                return s.connect_ex(address) == 0
        wait_for(up, 20, "the responder listens")
        return process

    def start_nginx(self, keepalive=0):
        """keepalive: connections to the responder that each nginx worker keeps open."""
        with open(f"{self.dir}/fastcgi_params", "w") as f:
            f.write(FASTCGI_PARAMS)
        listen = self.settings["responder"]["listen"]
        with open(f"{self.dir}/nginx.conf", "w") as f:
            f.write(NGINX_CONF.format(dir=self.dir, port=self.port, fastcgi="kept" if keepalive else listen,
                                      upstream=f"fastcgi_keep_conn on; upstream kept {{ server {listen}; keepalive {keepalive}; }}" if keepalive else "",
                                      user="user root;\n" if os.geteuid() == 0 else ""))
        nginx = shutil.which("nginx", path=NGINX_PATHS)
        if not nginx:
            raise AssertionError("nginx is not installed")
        process = self.spawn("nginx", [nginx, "-p", self.dir, "-c", f"{self.dir}/nginx.conf", "-e",
                                       f"{self.dir}/nginx-error.log"])

        def up():
            if process.poll() is not None:
                raise AssertionError("nginx ended at start:\n" + self.log("nginx"))
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", self.port)) == 0
        wait_for(up, 10, "nginx listens")

    def start(self):
        self.start_responder()
        self.start_nginx()
        wait_for(lambda: self.request("GET", "/livez").status == 200, 20, "/livez answers 200")

    def start_monitor(self, *args):
        return self.spawn("monitor", [self.program("token-health-monitor"), "--config", self.conf, *args])

    def sweep(self):
        """One whole sweep, in a monitor of its own."""
        done = subprocess.run([self.program("token-health-monitor"), "--config", self.conf, "--once"], text=True,
                              capture_output=True, env=self.environment(), timeout=300)
        with open(f"{self.dir}/monitor.log", "a") as f:
            f.write(done.stderr)
        if done.returncode != 0:
            raise AssertionError("sweep: " + done.stderr)
        return done

    def stop(self):
        failures = []
        for name in ("nginx", "monitor", "responder"):
            try:
                stop_process(self.processes.pop(name, None))
            except AssertionError as e:
                failures.append(str(e))
        for name in ("monitor", "responder"):
            for words in ("AddressSanitizer", "LeakSanitizer", "runtime error:"):
                if words in self.log(name):
                    failures.append(f"{words} in {name}.log:\n{self.log(name)}")
        self.forget()
        if failures:
            raise AssertionError("; ".join(failures))

    def forget(self):
        """The shared memory begins anew: the cached verdicts are gone, and what was learnt of the providers' budgets."""
        try:
            os.unlink("/dev/shm" + self.shm)
        except FileNotFoundError:
            pass

    # ---- HTTP through nginx ----

    def request(self, method, path, body=None, key=None, headers=None, timeout=30):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        send = dict(headers or {})
        if key:
            send["Authorization"] = "Bearer " + key
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            send.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, body=body, headers=send)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def metrics(self, key):
        return self.request("GET", "/api/instagram/token-health/stats", key=key).json()


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = {k.lower(): v for k, v in headers.items()}
        self.body = body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:300]!r}"


if __name__ == "__main__":
    sys.exit("harness.py is a library")
