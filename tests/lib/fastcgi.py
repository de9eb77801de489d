"""A FastCGI web server's side, record by record, for what nginx never does: silence, broken streams, odd roles, many requests on one
connection. Standard library only; the format is that of the FastCGI specification 1.0."""
import socket
import struct
import sys

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT, STDERR, GET_VALUES, GET_VALUES_RESULT = 1, 2, 3, 4, 5, 6, 7, 9, 10
RESPONDER, AUTHORIZER, FILTER = 1, 2, 3
KEEP = 1


def record(kind, content=b"", request_id=1):
    padding = -len(content) % 8
    return struct.pack("!BBHHBx", 1, kind, request_id, len(content), padding) + content + bytes(padding)


def stream(kind, data):
    """A stream's records without the one that ends it."""
    return b"".join(record(kind, data[i:i + 65528]) for i in range(0, len(data), 65528))


def pair(name, value):
    def length(n):
        return struct.pack("!B", n) if n < 128 else struct.pack("!I", n | 0x80000000)
    name, value = name.encode(), value if isinstance(value, bytes) else str(value).encode()
    return length(len(name)) + length(len(value)) + name + value


def begin(role=RESPONDER, flags=0):
    return record(BEGIN, struct.pack("!HB5x", role, flags))


def params(values):
    return stream(PARAMS, b"".join(pair(k, v) for k, v in values.items())) + record(PARAMS)


class Answer:
    def __init__(self, raw, ended):
        head, _, self.body = raw.partition(b"\r\n\r\n")
        self.headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        self.status = int(self.headers["Status"][:3]) if "Status" in self.headers else None
        self.ended = ended  # the END_REQUEST record came

    def __repr__(self):
        return f"{self.status} {self.body[:200]!r}{'' if self.ended else ' (not ended)'}"


class Connection:
    """where: the path of a unix socket or (host, port)."""

    def __init__(self, where, timeout=30):
        self.socket = socket.socket(socket.AF_UNIX if isinstance(where, str) else socket.AF_INET)
        self.socket.settimeout(timeout)
        self.socket.connect(where)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def take(self, count):
        while len(self.buffer) < count:
            chunk = self.socket.recv(65536)
            if not chunk:
                raise EOFError(f"closed after {len(self.buffer)} of {count} bytes")
            self.buffer += chunk
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def read_record(self):
        _, kind, _, length, padding = struct.unpack("!BBHHBx", self.take(8))
        content = self.take(length)
        self.take(padding)
        return kind, content

    def answer(self):
        """The next request's answer; EOFError when the connection ends before its end."""
        out = b""
        while True:
            kind, content = self.read_record()
            if kind == STDOUT:
                out += content
            elif kind == END:
                return Answer(out, True)

    def is_closed(self):
        """Waits for the peer to close."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def request(self, method="GET", path="/livez", body=b"", flags=KEEP, key=None, role=RESPONDER, more=None, without=()):
        """Sends one whole request and reads its answer. more: further parameters; without: parameters left out."""
        self.send(whole(method, path, body, flags, key, role, more, without))
        return self.answer()


def values_of(method, path, body, key=None, more=None, without=()):
    path, _, query = path.partition("?")
    values = {"REQUEST_METHOD": method, "REQUEST_URI": path + ("?" + query if query else ""), "QUERY_STRING": query,
              "CONTENT_TYPE": "application/json" if body else "", "CONTENT_LENGTH": len(body) if body else "",
              "SERVER_PROTOCOL": "HTTP/1.1"}
    if key:
        values["HTTP_AUTHORIZATION"] = "Bearer " + key
    values.update(more or {})
    return {k: v for k, v in values.items() if k not in without}


def whole(method="GET", path="/livez", body=b"", flags=KEEP, key=None, role=RESPONDER, more=None, without=()):
    text = begin(role, flags) + params(values_of(method, path, body, key, more, without))
    if role != AUTHORIZER:  # it has no input
        text += stream(STDIN, body) + record(STDIN)
    return text


if __name__ == "__main__":
    sys.exit("fastcgi.py is a library")
