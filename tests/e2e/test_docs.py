"""README.md, the man pages, the sample configuration and nginx's file say what the programs do: checked against the tables in the
sources, against the programs' own help, and by running every example of the README against the demo's accounts."""
import difflib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

import docs
from case import API, ServiceCase
from docs import read, rows
from harness import BUILD, NGINX_PATHS, ROOT, Service, free_port, wait_for

PAGES = {"token-health-fcgi": "deploy/man/token-health-fcgi.8", "token-health-monitor": "deploy/man/token-health-monitor.8",
         "token-healthctl": "deploy/man/token-healthctl.1"}
DATE = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
MORE = "…"


def demo():
    spec = importlib.util.spec_from_file_location("demo", os.path.join(ROOT, "deploy/demo/demo.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def differences(shown, real, loose, path=""):
    """What an answer in the README says otherwise than the real one. Dates are like any date, ids of requests and who asked like any text; `loose`:
    numbers, yes or no, and the host's name vary too. A last element MORE stands for the rest of a list."""
    if isinstance(shown, dict) and isinstance(real, dict):
        found = [f"{path}: {key} is in only one of them" for key in set(shown) ^ set(real)]
        return found + [d for key in shown if key in real for d in differences(shown[key], real[key], loose, f"{path}.{key}")]
    if isinstance(shown, list) and isinstance(real, list):
        more = shown[-1:] == [MORE]
        shown = shown[:-1] if more else shown
        found = [] if len(shown) == len(real) or (more and len(shown) < len(real)) else [f"{path}: {len(real)} elements"]
        return found + [d for i, (a, b) in enumerate(zip(shown, real)) for d in differences(a, b, loose, f"{path}[{i}]")]
    if type(shown) is not type(real):
        return [f"{path}: the README has {shown!r}, the answer {real!r}"]
    same = shown == real or (isinstance(shown, str) and (DATE.match(shown) and DATE.match(real) or path == ".requestId"))
    varies = path.endswith(".by") or loose and (isinstance(shown, int) or path.endswith(".host"))
    return [] if same or varies else [f"{path}: the README has {shown!r}, the answer {real!r}"]


def examples():
    """The README's API section as [(shell text, kind of answer, answer)]; what has no answer is a preamble to all that follows."""
    section = re.search(r"^## The API\n(.*?)^## ", read("README.md"), re.M | re.S)[1]
    return re.findall(r"^```sh\n(.*?)^```\n(?:```(json|http)\n(.*?)^```\n)?", section, re.M | re.S)


def constants():
    """limits.h as name → value."""
    found = re.findall(r"^\s*(LIMIT_\w+) = (\d+)(?: << (\d+))?", read("shared/base/limits.h"), re.M)
    return {name: int(value) << int(shift or 0) for name, value, shift in found}


def amount(text):
    number, unit = re.match(r"(\d+)(?: (KiB|MiB|bytes))?$", text).groups()
    return int(number) * {"KiB": 1024, "MiB": 1 << 20}.get(unit, 1)


def options_of_help(text):
    return set(re.findall(r"(?<![\w-])(--?[A-Za-z][a-z-]*)", text))


def options_of_page(text):
    """Fl c , Fl -config  →  -c, --config"""
    return {"-" + name for line in re.findall(r"^\.It (Fl .*)$", text, re.M) for name in re.findall(r"\bFl (-?\w[\w-]*)", line)}


class Texts(unittest.TestCase):
    maxDiff = None

    def test_tables_and_the_sample_file_are_those_of_the_sources(self):
        for path, text in docs.wanted().items():
            with self.subTest(path=path):
                late = "\n".join(difflib.unified_diff(read(path).split("\n"), text.split("\n"), "it is", "it should be", lineterm="", n=0))
                self.assertEqual(late, "", f"{path} is out of date: make docs")

    def test_the_sample_file_is_a_good_configuration_and_so_is_each_key_in_it(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "token-health.conf")
            for text in (docs.sample(), re.sub(r"(?m)^#(\w+ = .+)$", r"\1", docs.sample().split("# Your registration")[0])):
                with open(path, "w") as f:
                    f.write(text)
                done = subprocess.run([os.path.join(BUILD, "token-health-monitor"), "--config", path, "--check-config"], text=True,
                                      capture_output=True, timeout=60, env={"PATH": os.environ["PATH"], "TOKEN_ENCRYPTION_KEY": "k" * 32})
                self.assertEqual(done.returncode, 0, f"{text}\n{done.stderr}")

    def test_every_key_is_in_the_man_page_with_its_default(self):
        page = read("deploy/man/token-health.conf.5")
        for key in docs.config_keys():
            section = re.search(rf"^\.Ss \[{key.section}\]$(.*?)(?=^\.S[sh] )", page, re.M | re.S)
            self.assertTrue(section, f"[{key.section}] is not in token-health.conf(5)")
            item = re.search(rf"^\.It Ic {key.name} (.*?)(?=^\.It |^\.El$)", section[1], re.M | re.S)
            self.assertTrue(item, f"[{key.section}] {key.name} is not in token-health.conf(5)")
            self.assertIn(key.default, item[1])

    def test_options_of_the_programs_are_those_of_their_man_pages(self):
        for program, page in PAGES.items():
            with self.subTest(program=program):
                text = subprocess.run([os.path.join(BUILD, program), "--help"], check=True, stdout=subprocess.PIPE, text=True).stdout
                general = text.split("\n\n")[0] if program == "token-healthctl" else text
                before_commands = read(page).split("The commands are:")[0]
                self.assertLessEqual(options_of_help(general), options_of_page(before_commands), f"{page} lacks options of --help")
                accepted = options_of_page(before_commands)
                for option in sorted(o for o in accepted if o.startswith("--")):
                    value = ["x"] if re.search(rf"^\.It .*Fl -{option[2:]} Ar", before_commands, re.M) else []
                    done = subprocess.run([os.path.join(BUILD, program), option, *value, "--help"], capture_output=True, text=True, timeout=30)
                    self.assertNotIn("unrecognized option", done.stderr, f"{page} has {option}, which {program} does not know")

    def test_commands_of_token_healthctl_are_those_of_its_man_page(self):
        page = read(PAGES["token-healthctl"])
        items = re.findall(r"^\.It Cm (\S+)(.*)$", page, re.M)
        commands = rows("ctl/command.def", "COMMAND")
        self.assertEqual({name for name, _ in items}, {c[0] for c in commands}, "token-healthctl(1) and command.def")
        for name, _, _, arguments, _ in commands:
            with self.subTest(command=name):
                wanted = set(re.findall(r"--([a-z-]+)", arguments))
                told = set(re.findall(r"Fl -([a-z-]+)", " ".join(rest for item, rest in items if item == name)))
                self.assertEqual(told, wanted, f"options of {name}")
                verbs = {re.match(r"[\s\[]*([a-z-]*)", part)[1] for part in re.split(r" \| ", re.sub(r"--.*?(?= \| |$)", "", arguments))} - {""}
                shown = {match[1] for item, rest in items if item == name for match in [re.match(r" ([a-z-]+)", rest)] if match}
                self.assertEqual(shown, verbs, f"words after {name}")

    def test_man_pages_are_clean_for_mandoc(self):
        for page in sorted(os.listdir(os.path.join(ROOT, "deploy/man"))):
            done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", os.path.join(ROOT, "deploy/man", page)], text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            self.assertEqual(done.stdout, "", page)

    def test_limits_in_the_readme_are_those_of_the_sources(self):
        table = dict((name, text) for text, name in re.findall(r"^\|[^|]*\| ([^|]*) \| `(LIMIT_\w+)` \|$", read("README.md"), re.M))
        self.assertGreater(len(table), 15, "rows of the README's table")
        self.assertLessEqual(set(table), set(constants()), "limits of the README that limits.h does not have")
        for name, value in sorted((n, v) for n, v in constants().items() if n in table):
            told = amount(table[name])
            inside = 1 if name in ("LIMIT_ID_BYTES", "LIMIT_NAME_BYTES", "LIMIT_PLATFORM_BYTES") else 0  # one byte of them is the end
            self.assertEqual(told, value - inside, f"{name}: the README says {table[name]}")

    def test_error_codes_in_the_readme_are_those_of_the_sources(self):
        real = {(int(status), word) for _, word, status, _, _ in rows("shared/base/err.def", "ERR")}
        told = {(int(status), word) for status, word in re.findall(r"^\| (\d{3}) \| `(\w+)` \|", read("README.md"), re.M)}
        self.assertTrue(told)
        self.assertLessEqual(told, real, "codes of the README that err.def does not have")
        for status in (400, 401, 403, 404, 405, 409, 413, 415, 429, 503):
            self.assertIn(status, {s for s, _ in told}, "a documented status without a line in the README")

    def test_reasons_in_the_readme_have_the_state_action_and_token_status_of_the_sources(self):
        found = re.findall(r"\[REASON_(\w+)\] = \{STATE_(\w+), ACTION_(\w+), (?:NULL|\"(\w+)\")\}", read("shared/health/verdict.c"))
        real = {reason: [state.lower(), action.lower(), status] for reason, state, action, status in found}
        table = re.search(r"^\| reason \| state \|.*\n\|[-|]+\n((?:\|.*\n)+)", read("README.md"), re.M)
        told = {cells[0]: cells[1:] for cells in ([c.strip(" `") for c in line.split("|")[1:6]] for line in table[1].splitlines())}
        words = {name: word for name, word, _ in rows("shared/provider/reason.def", "REASON")}
        self.assertEqual(set(words), set(real), "reason.def and verdict.c")
        self.assertEqual(set(told), set(words.values()), "reasons of the README and of reason.def")
        for name, word in words.items():
            self.assertEqual(told[word][:3], real[name], f"{word}: state, action and tokenStatus in the README")
            self.assertTrue(told[word][3], f"{word} has no meaning in the README")

    def test_every_route_has_an_example_in_the_readme(self):
        shown = "\n".join(text for text, kind, _ in examples() if kind)
        for method, path, _, _, _ in rows("fcgi/routes.def", "ROUTE"):
            name = path.replace("/api/:platform/token-health", "$API")
            pattern = re.escape(name).replace(":argument", r"[^\s\"?]+")
            lines = [line for line in shown.split("\n") if re.search(rf"{pattern}(?=[\s\"?]|$)", line)]
            verb = "-X " + method if method != "GET" else "curl"
            lines = [line for line in lines if verb in line or (method == "POST" and " -d " in line)]
            self.assertTrue(lines, f"{method} {path} has no example with an answer in the README")

    def test_files_that_the_readme_names_exist(self):
        for name in set(re.findall(r"`((?:deploy|shared|tests|fcgi|monitor|ctl)/[\w./-]*)`", read("README.md"))):
            self.assertTrue(os.path.exists(os.path.join(ROOT, name)), f"README.md names {name}")


NGINX = """daemon off;
{user}worker_processes 1;
pid {dir}/shipped.pid;
error_log {dir}/shipped-error.log warn;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
    server {{
        listen 127.0.0.1:{port};
        location /api/ {{ return 200 "the application"; }}
        include {dir}/token-health.conf;
    }}
}}
"""


class Demo(ServiceCase):
    """The demo's accounts behind an nginx with the shipped file; only the socket's path is another."""
    responder = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.service.start_responder()
        cls.start_nginx()
        cls.service.start_monitor()
        wait_for(cls.swept, 120, "the monitor's first sweep")

    @classmethod
    def seed(cls):
        accounts = demo()
        cls.sandbox.register([accounts.registration(n) for n in range(1, 25)])
        cls.service.import_accounts([accounts.document(n) for n in range(1, 25)])
        os.makedirs(f"{cls.dir}/run")
        Service.write_private(f"{cls.dir}/run/api-key", cls.admin + "\n")

    @classmethod
    def swept(cls):
        monitor = cls.service.request("GET", "/api/instagram/token-health/stats", key=cls.admin).json()["monitor"]
        return monitor and monitor["sweeps"] == 1 and not monitor["sweeping"]

    @classmethod
    def start_nginx(cls):
        s, cls.web = cls.service, os.path.join(cls.dir, "web")
        os.makedirs(cls.web)
        shutil.copy("/etc/nginx/fastcgi_params", cls.web)
        with open(f"{cls.web}/token-health.conf", "w") as f:
            f.write(read("deploy/nginx/token-health.conf").replace("unix:/run/token-health/fcgi.sock", "unix:" + s.socket))
        with open(f"{cls.web}/shipped.conf", "w") as f:
            f.write(NGINX.format(dir=cls.web, port=s.port, user="user root;\n" if os.geteuid() == 0 else ""))
        cls.syntax = subprocess.run([*nginx_in(cls.web), "-t"], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        s.spawn("nginx", nginx_in(cls.web))
        wait_for(lambda: status_of(s, "/livez") == 200, 60, "nginx with the shipped file answers /livez")

    def run_example(self, preamble, text):
        text = (preamble + text).replace("127.0.0.1:8080", f"127.0.0.1:{self.service.port}")
        return subprocess.run(["bash", "-ec", text], cwd=self.dir, text=True, capture_output=True, timeout=120)

    def compare(self, text, kind, answer, done):
        self.assertEqual(done.returncode, 0, f"{text}\n{done.stderr}")
        if kind == "json":
            real = json.loads(done.stdout)
            is_loose = "/stats" in text or "/monitor" in text or text.endswith("$API/guard\n")
            found = differences(json.loads(answer), real, is_loose)
            self.assertEqual(found, [], f"{text}\nthe real answer:\n{json.dumps(real, indent=1, ensure_ascii=False)}")
        else:
            head = done.stdout.replace("\r", "").split("\n\n")[0].split("\n")
            for line in answer.strip().split("\n"):
                self.assertIn(line, head, text)

    def test_every_example_of_the_readme_gives_the_answer_shown(self):
        preamble, ran = "", 0
        for text, kind, answer in examples():
            if not kind:
                preamble += text
                continue
            with self.subTest(example=text):
                ran += 1
                self.compare(text, kind, answer, self.run_example(preamble, text))
        self.assertGreaterEqual(ran, 8)

    def test_nginx_takes_the_shipped_file_without_a_warning(self):
        self.assertEqual(self.syntax.returncode, 0, self.syntax.stdout)
        self.assertNotIn("[warn]", self.syntax.stdout)

    def test_the_rest_of_the_api_stays_the_applications(self):
        for path in ("/api/instagram/accounts", "/api/token-health", "/api/instagram/token-health"):
            self.assertEqual(self.service.request("GET", path).body, b"the application", path)

    def test_bodies_of_any_size_are_refused_in_json(self):
        for size in (65537, 100000, 300000, 3000000):
            answer = self.post(f"{API}/validate", "x" * size, headers={"Content-Type": "application/json"})
            self.assertEqual((answer.status, answer.json()["code"]), (413, "payload_too_large"), f"{size} bytes: {answer}")

    def test_a_responder_that_is_away_is_a_503_in_json(self):
        port, away = free_port(), f"{self.dir}/away"
        shutil.copytree(self.web, away)
        for name in ("token-health.conf", "shipped.conf"):
            text = read(f"{self.web}/{name}")
            with open(f"{away}/{name}", "w") as f:
                f.write(text.replace(self.web, away).replace(self.service.socket, f"{away}/no.sock").replace(f":{self.service.port};", f":{port};"))
        nginx = self.service.spawn("away-nginx", nginx_in(away))
        usual, self.service.port = self.service.port, port
        try:
            wait_for(lambda: status_of(self.service, "/"), 20, "the second nginx listens")
            for path in ("/livez", "/readyz", "/api/instagram/token-health/stats"):
                answer = self.service.request("GET", path)
                self.assertEqual((answer.status, answer.json()["code"], answer.headers.get("retry-after")), (503, "service_unavailable", "2"),
                                 f"{path}: {answer}")
        finally:
            self.service.port = usual
            nginx.terminate()
            nginx.wait(20)


def nginx_in(directory):
    return [shutil.which("nginx", path=NGINX_PATHS), "-p", directory, "-c", f"{directory}/shipped.conf", "-e", f"{directory}/shipped-error.log"]


def status_of(service, path):
    """None while nobody listens."""
    try:
        return service.request("GET", path).status
    except OSError:
        return None


if __name__ == "__main__":
    unittest.main()
