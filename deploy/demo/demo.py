"""The demo behind `make run`: a pretend provider, token-health and nginx over a store with 24 accounts of 3 workspaces.

State is in run/ and stays there: keys, the embedded store, logs of the last run; the 24 accounts begin anew each time. PORT chooses
nginx's port (8080), STORE another store than the embedded one, where nothing but these accounts is replaced."""
import fcntl
import hashlib
import os
import signal
import socket
import sys
import time
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))
os.environ.setdefault("TOKEN_HEALTH_BUILD", "build/release")
from harness import BUILD, Service  # noqa: E402
from sandbox import Sandbox  # noqa: E402

RUN = os.path.join(ROOT, "run")


def token(number):
    return "IGAA" + hashlib.sha256(f"demo-{number}".encode()).hexdigest()


def date(days):
    return {"$date": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() + days * 86400))}


# Condition at the provider and what the document holds besides, by account number.
SPECIAL = {4: ("expiring", {"expiresAt": date(2)}), 7: ("revoked", {}), 12: ("password_changed", {}), 13: ("checkpoint", {}),
           15: ("wrong_permissions", {}), 18: ("expired", {}), 20: ("rate_limited_user", {}), 22: ("500", {})}


def document(number):
    workspace = f"workspace-{(number - 1) // 8 + 1}"
    doc = {"_id": {"$oid": f"64b0c0ffee00000000{number:06x}"}, "workspaceId": workspace, "platform": "instagram",
           "username": f"demo_user_{number}", "accountId": str(17841400000000000 + number), "isActive": True,
           "lastSyncAt": date(-0.1), "followersCount": 1000 + number}
    companions = {"tokenStatus": "valid", "needsReconnection": False, "lastTokenValidation": date(-1), "expiresAt": date(40)}
    if number == 1:    # an encrypted token and nothing else
        doc["encryptedAccessToken"] = {"$seal": token(number)}
    elif number == 2:  # the envelope in the wrong field
        doc.update(companions, accessToken={"$sealText": token(number)})
    elif number == 3:  # a plain token
        doc.update(companions, accessToken=token(number))
    elif number == 9:  # no token at all
        doc.update(companions)
    elif number == 24:  # switched off by its user
        doc.update(companions, encryptedAccessToken={"$seal": token(number)}, isActive=False)
    else:
        doc.update(companions, encryptedAccessToken={"$seal": token(number)})
        doc.update(SPECIAL.get(number, ("", {}))[1])
    return doc


def registration(number):
    return {"token": token(number), "condition": SPECIAL.get(number, ("healthy", {}))[0],
            "account_id": str(17841400000000000 + number), "username": f"demo_user_{number}",
            "expires_in": 2 * 86400 if number == 4 else 40 * 86400}


def fail(text):
    """One line, whatever the reason brought along: what a program said last is what matters."""
    lines = [line for line in str(text).splitlines() if line.strip()] or ["no reason is given"]
    sys.exit(f"make run: {lines[-1].strip()}")


def port_of(text):
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        fail(f"PORT={text}: a port from 1 to 65535 is expected")
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", int(text)))
        except OSError as e:
            fail(f"127.0.0.1:{text} cannot be used ({e.strerror}); choose another: make run PORT=8081")
    return int(text)


def store_of(text):
    """None: the embedded one. A MongoDB URI without a database gets one of its own."""
    if not text:
        return None
    parts = urllib.parse.urlsplit(text)
    if parts.scheme in ("mongodb", "mongodb+srv") and parts.netloc:
        return urllib.parse.urlunsplit(parts._replace(path="/token_health_demo")) if parts.path in ("", "/") else text
    if parts.scheme == "sqlite" and parts.path:
        return text
    return fail("STORE: mongodb://HOST/DATABASE or sqlite:/PATH is expected")


def lock():
    """Two demos would share one folder."""
    os.makedirs(RUN, mode=0o700, exist_ok=True)
    held = open(os.path.join(RUN, "lock"), "w")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fail("a demo runs already from this folder; end it first, with Ctrl-C where it was started")
    return held


def read(name):
    try:
        with open(os.path.join(RUN, name)) as f:
            return f.read().strip()
    except FileNotFoundError:
        return ""


def make_service(sandbox, port, store):
    shm = f"/token-health-demo-{os.getuid()}-{hashlib.sha256(RUN.encode()).hexdigest()[:12]}"
    for name in ("sandbox", "responder", "monitor", "nginx", "nginx-error"):
        open(os.path.join(RUN, f"{name}.log"), "w").close()
    sandbox.start()
    sandbox.register([registration(n) for n in range(1, 25)])
    service = Service(RUN, sandbox.url, store=store, port=port, key=read("master-key") or None, settings={"cache": {"name": shm}})
    service.shm = shm
    return service


def fill(service):
    """The 24 accounts as they are at the beginning. Keys and whatever else the store holds stay from the last time."""
    if not (read("api-key") and read("api-keys.json")):
        Service.write_private(os.path.join(RUN, "api-key"), service.create_key("demo", "admin") + "\n")
    service.import_accounts([document(n) for n in range(1, 25)], replace=True)


def greet(service):
    base = f"http://127.0.0.1:{service.port}/api/instagram/token-health"
    auth = "-H \"Authorization: Bearer $(cat run/api-key)\""
    print(f"\ntoken-health runs on http://127.0.0.1:{service.port} (store: {service.store.split('@')[-1]}; state and logs: run/)\n"
          "Try, from this folder:\n\n"
          f"  curl -s {auth} {base}/status/workspace-1\n\n"
          f"  curl -s {auth} -H 'Content-Type: application/json' -d '{{\"workspaceId\":\"workspace-2\"}}' {base}/validate\n\n"
          f"  curl -si {auth} '{base}/check?workspaceId=workspace-3'\n\n"
          "Ctrl-C stops everything.", flush=True)


def watch(service, sandbox):
    while True:
        for name, process in {**service.processes, "sandbox": sandbox.process}.items():
            if process.poll() is not None:
                raise AssertionError(f"{name} has ended; see run/{name}.log")
        time.sleep(0.5)


asked_to_stop = False


def on_stop(_number, _frame):
    """Once: the terminal's signal and the one that make passes on come together, and must not leave half of it behind."""
    global asked_to_stop
    if not asked_to_stop:
        asked_to_stop = True
        raise KeyboardInterrupt


def stop_all(service, sandbox):
    global asked_to_stop
    asked_to_stop = True
    try:
        if service:
            service.stop()
    finally:
        sandbox.stop()


def main():
    port, store = port_of(os.environ.get("PORT") or "8080"), store_of(os.environ.get("STORE"))
    if sys.argv[1:] == ["--check"]:  # before anything is built
        return
    held = lock()
    sandbox, service = Sandbox(BUILD, log=os.path.join(RUN, "sandbox.log")), None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_stop)
    try:
        service = make_service(sandbox, port, store)
        fill(service)
        service.start()
        service.start_monitor()
        greet(service)
        watch(service, sandbox)
    except KeyboardInterrupt:
        print("\nstopping", flush=True)
    except (AssertionError, OSError) as e:
        fail(e)
    finally:
        stop_all(service, sandbox)
        held.close()


if __name__ == "__main__":
    main()
