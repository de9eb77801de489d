"""The demo behind `make run`: a pretend provider, token-health and nginx over a store with 24 accounts of 3 workspaces.

State is in run/. PORT chooses nginx's port (8080), STORE another store than the embedded one."""
import hashlib
import os
import shutil
import signal
import socket
import sys
import time

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
           15: ("wrong_permissions", {}), 18: ("expired", {}), 20: ("rate_limited", {}), 22: ("500", {})}


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
    sys.exit(f"make run: {text}")


def check_port(text):
    if not text.isdigit() or not 0 < int(text) < 65536:
        fail(f"PORT={text}: a port from 1 to 65535 is expected")
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", int(text)))
        except OSError as e:
            fail(f"127.0.0.1:{text} cannot be used ({e.strerror}); choose another: make run PORT=8081")
    return int(text)


def main():
    port = check_port(os.environ.get("PORT") or "8080")
    store = os.environ.get("STORE") or None
    # A fresh demo each time; accounts in a store of your own are replaced, never removed.
    shutil.rmtree(RUN, ignore_errors=True)
    os.makedirs(RUN, mode=0o700)
    sandbox = Sandbox(BUILD, log=os.path.join(RUN, "sandbox.log"))
    service = None

    def stop(signum, frame):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        sandbox.start()
        sandbox.register([registration(n) for n in range(1, 25)])
        service = Service(RUN, sandbox.url, store=store, port=port, settings={"monitor": {"check_interval": "30m"}})
        key = service.create_key("demo", "admin")
        Service.write_private(os.path.join(RUN, "api-key"), key + "\n")
        service.import_accounts([document(n) for n in range(1, 25)], replace=True)
        service.start()
        service.start_monitor()
        base = f"http://127.0.0.1:{port}/api/instagram/token-health"
        auth = "-H \"Authorization: Bearer $(cat run/api-key)\""
        print(f"\ntoken-health runs on http://127.0.0.1:{port} (store: {service.store.split('@')[-1]}; state and logs: run/)\n"
              "Try, from this folder:\n\n"
              f"  curl -s {auth} {base}/status/workspace-1\n\n"
              f"  curl -s {auth} -H 'Content-Type: application/json' -d '{{\"workspaceId\":\"workspace-2\"}}' {base}/validate\n\n"
              f"  curl -si {auth} '{base}/check?workspaceId=workspace-3'\n\n"
              "Ctrl-C stops everything.", flush=True)
        while True:
            for name, process in service.processes.items():
                if process.poll() is not None:
                    fail(f"{name} has ended; see run/{name}.log")
            time.sleep(0.5)
    except KeyboardInterrupt:
        print("\nstopping", flush=True)
    except (AssertionError, OSError) as e:
        fail(str(e))
    finally:
        if service:
            service.stop()
        sandbox.stop()


if __name__ == "__main__":
    main()
