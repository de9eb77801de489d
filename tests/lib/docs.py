"""What the documents say twice: read from the tables in the sources, written into README.md, the man pages and the sample file.

    python3 tests/lib/docs.py           says what is out of date; exit status 1 if something is
    python3 tests/lib/docs.py --write   puts it right (make docs)

A block that is written stands between a line with `docs:NAME` and the next line with `docs:end`; all else in those files is
written by hand. Standard library only."""
import ast
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("TOKEN_HEALTH_BUILD", "build/release"))
KINDS = {"INT": "number", "BOOL": "boolean", "DURATION": "time", "CHOICE": "word", "SECRET": "secret", "FILE": "file", "PATH": "path",
         "URI": "uri", "URL": "url", "MODE": "mode"}
SAMPLE = "deploy/conf/token-health.conf"
STRING = r'"(?:[^"\\]|\\.)*"'


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def rows(path, macro):
    """The arguments of every MACRO(…) line of a .def file as Python values; names stay text, strings in sequence are joined."""
    text = re.sub(r"/\*.*?\*/", "", read(path), flags=re.S)
    found = []
    for match in re.finditer(rf"^(?:{macro})\(((?:{STRING}|[^\"()])*)\)", text, re.M):
        cells = re.findall(rf"(?:{STRING}\s*)+|[^,\"\s][^,\"]*", match[1])
        found.append(["".join(ast.literal_eval(s) for s in re.findall(STRING, c)) if c.startswith('"') else c.strip() for c in cells])
    if not found or len(found) != len(re.findall(rf"^(?:{macro})\(", text, re.M)):
        raise ValueError(f"{path}: a {macro} line cannot be read")
    return found


class Key:
    """A configuration key: a line of config.def."""

    def __init__(self, cells):
        self.section, self.name, self.type, _, self.default, low, high, self.help = cells
        self.low, self.high = int(low), int(high)

    def duration(self, ms):
        for unit, size in (("d", 86400000), ("h", 3600000), ("m", 60000), ("s", 1000)):
            if ms and ms % size == 0:
                return f"{ms // size}{unit}"
        return f"{ms}ms"

    def range(self):
        if self.type == "INT":
            return f"{self.low} to {self.high}"
        if self.type == "DURATION":
            return f"{self.duration(self.low)} to {self.duration(self.high)}"
        if self.type == "CHOICE":
            return ", ".join(self.choices())
        return "true, false" if self.type == "BOOL" else ""

    def choices(self):
        return self.help.partition(": ")[0].split("|")

    def sentence(self):
        if self.type != "CHOICE":
            return self.help
        told = self.help.partition(": ")[2]
        return "One of " + ", ".join(self.choices()) + (": " + told if told else ".")


def config_keys():
    return [Key(cells) for cells in rows("shared/base/config.def", "CONFIG|CONFIG_LIVE")]


def cell(text):
    return text.replace("|", "\\|")


def readme_config():
    lines = ["| section | key | default | range | what it does |", "|---|---|---|---|---|"]
    for k in config_keys():
        default = f"`{k.default}`" if k.default else ""
        values = "" if k.type in ("CHOICE", "BOOL") else k.range()
        lines.append(f"| `{k.section}` | `{k.name}` | {default} | {values} | {cell(k.sentence())} |")
    return lines


def readme_routes():
    lines = ["| method | path | scope of the key | what it does |", "|---|---|---|---|"]
    for method, path, scope, _, summary in rows("fcgi/routes.def", "ROUTE"):
        word = "open to all" if scope == "0" else "`" + scope.replace("SCOPE_", "").lower() + "`"
        lines.append(f"| {method} | `{route_path(path)}` | {word} | {cell(summary)} |")
    return lines


def route_path(path):
    """The path's last part by the name that the API's users know."""
    last = "workspaceId" if "/status/" in path else "accountId"
    return path.replace(":argument", ":" + last)


def readme_commands():
    lines = ["| command | what it does |", "|---|---|"]
    for name, _, _, arguments, text in rows("ctl/command.def", "COMMAND"):
        lines.append(f"| `token-healthctl {cell((name + ' ' + arguments).strip())}` | {cell(text)} |")
    return lines


def roff(text):
    """Plain text for mdoc: no macro call by accident, one sentence a line."""
    return re.sub(r"(?m)^([.'])", r"\\&\1", re.sub(r"(?<=\w\.) (?=[A-Z\"])", "\n", text.replace("\\", "\\e")))


def man_config():
    """For token-health.conf(5): one list a section."""
    lines, section = [], None
    for k in config_keys():
        if k.section != section:
            lines += [".El"] if section else []
            lines += [f".Ss [{k.section}]", ".Bl -tag -width Ds"]
        section = k.section
        lines.append(f".It Ic {k.name} No = Ar {KINDS.get(k.type, 'text')}")
        lines += roff(k.sentence()).split("\n")
        lines += [f"Range: {k.range()}."] if k.type in ("INT", "DURATION") else []
        lines += ["Default:", f".Ql {k.default} ."] if k.default else ["Default: none."]
    return lines + [".El"]


def man_exit():
    return [line for _, number, meaning in rows("ctl/exit.def", "EXIT") for line in (f".It {number}", roff(meaning))]


BLOCKS = {("README.md", "configuration"): readme_config, ("README.md", "routes"): readme_routes, ("README.md", "commands"): readme_commands,
          ("deploy/man/token-health.conf.5", "configuration"): man_config, ("deploy/man/token-healthctl.1", "exit"): man_exit}


def sample():
    """What `token-healthctl config` prints: the shipped configuration file."""
    return subprocess.run([os.path.join(BUILD, "token-healthctl"), "config"], check=True, stdout=subprocess.PIPE, text=True).stdout


def with_block(text, name, lines):
    """text with the block's content replaced. ValueError if it does not stand there once."""
    pattern = re.compile(rf"^([^\n]*\bdocs:{name}\b[^\n]*\n).*?(^[^\n]*\bdocs:end\b)", re.M | re.S)
    fresh, count = pattern.subn(lambda m: m[1] + "".join(line + "\n" for line in lines) + m[2], text)
    if count != 1:
        raise ValueError(f"docs:{name} … docs:end stands there {count} times")
    return fresh


def wanted():
    """Path → the content that the file should have."""
    files = {SAMPLE: sample()}
    for (path, name), make in BLOCKS.items():
        files[path] = with_block(files.get(path) or read(path), name, make())
    return files


def main():
    late = {path: text for path, text in wanted().items() if not os.path.exists(os.path.join(ROOT, path)) or read(path) != text}
    for path, text in late.items():
        if sys.argv[1:] == ["--write"]:
            with open(os.path.join(ROOT, path), "w", encoding="utf-8") as f:
                f.write(text)
            print(f"written: {path}")
        else:
            print(f"out of date: {path}; make docs writes it")
    return 1 if late and sys.argv[1:] != ["--write"] else 0


if __name__ == "__main__":
    sys.exit(main())
