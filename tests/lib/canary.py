"""Looks for secrets in places where none may be: as they are and in every usual disguise, whole or in part."""
import base64
import os
import re
import sys
import urllib.parse

ZEROS = re.compile(rb"\0{64,}")
PART = 16  # a secret is told by any of some parts of this many bytes: it may have been cut, or stand inside something longer


def parts(secret):
    """First, last and some from the middle."""
    if len(secret) <= PART:
        return {secret}
    return {secret[i:i + PART] for i in [*range(0, len(secret) - PART, PART // 2), len(secret) - PART]}


def base64_forms(part):
    """What it looks like inside longer base64, at each of the three alignments: the characters that are made of its bits alone."""
    for lead in range(3):
        core = base64.b64encode(b"\0" * lead + part)[-(-lead * 8 // 6):(lead + len(part)) * 8 // 6]
        yield "base64", core
        yield "base64url", core.replace(b"+", b"-").replace(b"/", b"_")


def forms(part):
    """(disguise, bytes)"""
    yield "raw", part
    yield from base64_forms(part)
    yield "hex", part.hex().encode()
    yield "hex", part.hex().upper().encode()
    yield "url-encoded", urllib.parse.quote(part, safe="").encode()
    yield "url-encoded", urllib.parse.quote(part, safe="/").encode()
    yield "url-encoded", urllib.parse.quote_plus(part).encode()
    yield "percent", "".join(f"%{b:02x}" for b in part).encode()
    yield "percent", "".join(f"%{b:02X}" for b in part).encode()
    yield "json-escaped", part.replace(b"/", b"\\/")
    yield "json-escaped", "".join(f"\\u{b:04x}" for b in part).encode()
    yield "reversed", part[::-1]
    yield "utf-16", part.decode("latin-1").encode("utf-16-le")


class Finder:
    """secrets: {label: text or bytes}. mark: a text that most of them hold several times: a search for it alone is quick, and only
    where it, or a part of a secret without it, is found is looked more closely."""

    def __init__(self, secrets, mark=None):
        secrets = {label: s if isinstance(s, bytes) else s.encode() for label, s in secrets.items()}
        needles = {(label, disguise, needle) for label, secret in secrets.items() for part in parts(secret) for disguise, needle in forms(part)}
        owners = {}
        for label, _, needle in needles:
            owners.setdefault(needle, set()).add(label)
        self.needles = [n for n in needles if len(owners[n[2]]) == 1]  # what tells one secret from the others
        marked = [s for s in secrets.values() if mark and mark.encode() in s]
        self.quick = {needle for _, needle in forms(mark.encode())} if mark else set()
        self.quick |= {needle for s in secrets.values() if s not in marked for part in parts(s) for _, needle in forms(part)}

    def find(self, blob):
        """{(label, disguise)} of what is in these bytes."""
        blob = ZEROS.sub(b"\0", blob)
        if not any(needle in blob for needle in self.quick):
            return set()
        return {(label, disguise) for label, disguise, needle in self.needles if needle in blob} or {("the mark", "in a part")}

    def find_in_files(self, paths):
        """{path: findings} of those with any."""
        found = {}
        for path in paths:
            try:
                with open(path, "rb") as f:
                    got = self.find(f.read())
            except FileNotFoundError:
                continue
            if got:
                found[path] = got
        return found


def files_below(directory, without=()):
    for folder, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and os.path.relpath(path, directory) not in without:
                yield path


def dumpable_memory(pid):
    """What a core file of this process would hold: its private, writable memory less what MADV_DONTDUMP leaves out. Root only."""
    with open(f"/proc/{pid}/smaps") as f:
        lines = f.read().split("\n")
    regions, current = [], None
    for line in lines:
        word = line.split(" ")[0]
        if "-" in word and not word.endswith(":"):
            start, end = (int(x, 16) for x in word.split("-"))
            current = (start, end, line.split()[1], line)
        elif line.startswith("VmFlags:") and current:
            if "w" in current[2] and "p" in current[2] and " dd" not in line and "[vvar" not in current[3]:
                regions.append(current[:2])
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for start, end in regions:
            try:
                memory.seek(start)
                yield memory.read(end - start)
            except OSError:
                continue


if __name__ == "__main__":
    sys.exit("canary.py is a library")
