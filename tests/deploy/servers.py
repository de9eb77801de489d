"""The real web servers with the shipped configurations: only paths, ports and keys are put in their place. Each listens on 127.0.0.1, is a
child of this process and is stopped by its id. Beside each there is a small application at /accounts/ID/…, which says what it was given."""
import http.server
import json
import os
import shutil
import socket
import subprocess
import threading

from harness import ROOT, free_port, wait_for

PATHS = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
DEBIAN_PARSEOPTS = '''server.http-parseopts = ( "header-strict" => "enable", "host-strict" => "enable", "host-normalize" => "enable",
    "url-normalize-unreserved" => "enable", "url-normalize-required" => "enable", "url-ctrls-reject" => "enable",
    "url-path-2f-decode" => "disable", "url-path-dotseg-remove" => "enable" )'''


def program(name):
    path = shutil.which(name, path=PATHS)
    if not path:
        raise AssertionError(f"{name} is not installed: tests/install-tools deploy")
    return path


def give_away(directory, service):
    """Apache does not work as root, and mod_fcgid's responder is Apache's child: what root made below directory becomes www-data's."""
    if os.geteuid() != 0:
        return
    os.chmod(directory, 0o755)
    for folder, _, names in os.walk(service.dir):
        for path in [folder] + [os.path.join(folder, name) for name in names]:
            shutil.chown(path, "www-data", "www-data")
    shutil.chown("/dev/shm" + service.shm, "www-data", "www-data")


class Application:
    """Answers JSON of what it was asked; `health` is the X-Token-Health that the web server passed on."""

    def __init__(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                told = [v for k, v in self.headers.items() if k.lower().replace("_", "-") == "x-token-health"]  # as CGI and its like read names
                answer = json.dumps({"app": True, "method": self.command, "health": ", ".join(told) or None,
                                     "body": body.decode(), "authorization": self.headers.get("Authorization")}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_POST = do_GET

            def log_message(self, *_args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


CGI_APPLICATION = '''#!/usr/bin/python3
import json, os, sys
body = sys.stdin.read(int(os.environ.get("CONTENT_LENGTH") or 0))
print("Content-Type: application/json\\n")
print(json.dumps({"app": True, "method": os.environ["REQUEST_METHOD"], "health": os.environ.get("TOKEN_HEALTH"), "body": body,
                  "authorization": os.environ.get("HTTP_AUTHORIZATION")}))
'''


class Server:
    """One web server in front of `service` (harness.Service) and `application`. `kept`: connections to the responder are kept. `away`: it
    looks for the responder where none is."""
    name = "?"
    process = None  # not started

    def __init__(self, service, application, key, kept=False, tcp=None, away=False):
        self.service, self.application, self.key, self.kept = service, application, key, kept
        self.socket = service.socket + ".away" if away else service.socket
        self.tcp = f"127.0.0.1:{free_port()}" if away else tcp
        self.port = free_port()
        self.dir = os.path.join(service.dir, f"{self.name}-{self.port}")
        os.makedirs(self.dir)

    def shipped(self, *paths, **replace):
        """A shipped file with this test's places in it, written into the server's directory; its path there."""
        with open(os.path.join(ROOT, "deploy", *paths)) as f:
            text = f.read()
        places = {"/run/token-health/fcgi.sock": self.socket, "127.0.0.1:3000": f"127.0.0.1:{self.application.port}",
                  "127.0.0.1:9001": self.tcp, **replace}
        for old, new in places.items():
            text = text.replace(old, new)
        return self.write(paths[-1], text)

    def write(self, name, text, mode=0o644):
        path = os.path.join(self.dir, name)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def command(self):
        raise NotImplementedError

    def environment(self):
        return dict(os.environ)

    def start(self):
        with open(f"{self.dir}/out", "wb") as out:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.dir, env=self.environment())

        def up():
            if self.process.poll() is not None:
                raise AssertionError(f"{self.name} ended at start:\n{self.log()}")
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", self.port)) == 0
        wait_for(up, 30, f"{self.name} listens")
        return self

    def log(self):
        text = ""
        for name in ("out", "error.log"):
            if os.path.exists(f"{self.dir}/{name}"):
                with open(f"{self.dir}/{name}", errors="replace") as f:
                    text += f.read()
        return text

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.name} did not stop on SIGTERM")


class Nginx(Server):
    name = "nginx"

    def command(self):
        shutil.copy("/etc/nginx/fastcgi_params", self.dir)
        key = self.write("key.conf", f'fastcgi_param HTTP_AUTHORIZATION "Bearer {self.key}";\n', 0o600)
        api = self.shipped("nginx", "token-health.conf")
        check = self.shipped("nginx", "token-health-check.conf", **{"/etc/nginx/token-health-key.conf": key})
        upstream = ""
        if self.kept:
            upstream = f"upstream token_health {{ server unix:{self.socket}; keepalive 4; }}\n    fastcgi_keep_conn on;\n    fastcgi_next_upstream error timeout non_idempotent;"
            for path in (api, check):
                with open(path) as f:
                    text = f.read()
                self.write(os.path.basename(path), text.replace(f"unix:{self.socket}", "token_health"))
        conf = self.write("nginx.conf", f"""daemon off;
{'user root;' if os.geteuid() == 0 else ''} worker_processes 1; pid {self.dir}/pid; error_log {self.dir}/error.log warn;
events {{ worker_connections 2000; }}
http {{
    access_log off;
    client_body_temp_path {self.dir}/t1; proxy_temp_path {self.dir}/t2; fastcgi_temp_path {self.dir}/t3; uwsgi_temp_path {self.dir}/t4; scgi_temp_path {self.dir}/t5;
    {upstream}
    server {{
        listen 127.0.0.1:{self.port} backlog=2000;
        include {api};
        include {check};
        location ~ ^/accounts/(?<token_health_account>[^/]+)/ {{
            auth_request     /_token_health;
            auth_request_set $token_health $upstream_http_x_token_health;
            proxy_set_header X-Token-Health $token_health;
            proxy_pass       http://127.0.0.1:{self.application.port};
        }}
    }}
}}
""")
        return [program("nginx"), "-p", self.dir, "-c", conf, "-e", f"{self.dir}/error.log"]


class Apache(Server):
    """By mod_proxy_fcgi, and mod_authnz_fcgi for the authorizer."""
    name = "apache"
    modules = "proxy proxy_http proxy_fcgi authnz_fcgi"

    def includes(self):
        api = self.shipped("apache", "token-health.conf", **({"ProxySet timeout=120\n": "ProxySet timeout=120 enablereuse=on\n"} if self.kept else {}))
        return [api, self.shipped("apache", "token-health-check.conf", **{"/etc/apache2/token-health-key.conf": self.key_file()})]

    def main_settings(self):
        return "Include " + self.shipped("apache", "token-health-provider.conf")

    def key_file(self):
        return self.write("key.conf", f'SetEnvIf Request_URI "^" TOKEN_HEALTH_KEY={self.key}\n', 0o600)

    def command(self):
        modules = "mpm_event authn_core authz_core authz_user alias env setenvif headers " + self.modules
        loads = "\n".join(f"LoadModule {m}_module /usr/lib/apache2/modules/mod_{m}.so" for m in modules.split())
        user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
        includes = "\n    ".join("Include " + path for path in self.includes())
        conf = self.write("apache.conf", f"""ServerRoot {self.dir}
{loads}
Listen 127.0.0.1:{self.port}
ListenBacklog 2000
ServerName localhost
PidFile {self.dir}/pid
ErrorLog {self.dir}/error.log
{user}
{self.main_settings()}
<Directory />
    Require all denied
</Directory>
<Directory {self.dir}/www>
    Require all granted
</Directory>
<VirtualHost *:{self.port}>
    DocumentRoot {self.dir}/www
    {includes}
    ProxyPass "/accounts/" "http://127.0.0.1:{self.application.port}/accounts/" nocanon
</VirtualHost>
""")
        os.makedirs(f"{self.dir}/www")
        return [program("apache2"), "-f", conf, "-DFOREGROUND"]


class ApacheFcgid(Apache):
    """By mod_fcgid, which starts the responder itself; authorizer too."""
    name = "fcgid"
    modules = "proxy proxy_http fcgid"

    def includes(self):
        os.makedirs(f"{self.dir}/lib")
        wrapper = self.shipped("apache", "fcgid", **{
            "/usr/sbin/token-health-fcgi": f"{self.service.program('token-health-fcgi')} --config {self.service.conf}"})
        os.rename(wrapper, f"{self.dir}/lib/fcgid")
        os.chmod(f"{self.dir}/lib/fcgid", 0o755)
        places = {"/usr/lib/token-health": f"{self.dir}/lib"}
        api = self.shipped("apache", "token-health-fcgid.conf", **places)
        check = self.shipped("apache", "token-health-fcgid-check.conf", **places, **{"/etc/apache2/token-health-key.conf": self.key_file()})
        return [api, check]

    def command(self):
        os.makedirs(f"{self.dir}/ipc")
        if os.geteuid() == 0:
            shutil.chown(f"{self.dir}/ipc", "www-data")
        return super().command()

    def main_settings(self):
        return f"FcgidIPCDir {self.dir}/ipc\nFcgidProcessTableFile {self.dir}/table"


class Lighttpd(Server):
    name = "lighttpd"

    def command(self):
        os.makedirs(f"{self.dir}/www")
        os.makedirs(f"{self.dir}/up")
        cgi = self.write("application", CGI_APPLICATION, 0o755)
        key = self.write("key.conf", f'var.token_health_key = "{self.key}"\n', 0o600)
        api = self.shipped("lighttpd", "token-health.conf")
        check = self.shipped("lighttpd", "token-health-check.conf", **{"/etc/lighttpd/token-health-key.conf": key})
        conf = self.write("lighttpd.conf", f"""server.modules = ( "mod_alias", "mod_cgi" )
server.document-root = "{self.dir}/www"
server.bind = "127.0.0.1"
server.port = {self.port}
server.max-fds = 4096
server.listen-backlog = 2000
server.errorlog = "{self.dir}/error.log"
server.upload-dirs = ( "{self.dir}/up" )
{DEBIAN_PARSEOPTS}
include "{api}"
include "{check}"
$HTTP["url"] =~ "^/accounts/" {{
    alias.url = ( "/accounts/" => "{cgi}/" )
    cgi.assign = ( "" => "" )
}}
""")
        return [program("lighttpd"), "-D", "-f", conf]


class Caddy(Server):
    name = "caddy"

    def environment(self):
        return dict(os.environ, HOME=self.dir, XDG_DATA_HOME=self.dir, XDG_CONFIG_HOME=self.dir, TOKEN_HEALTH_KEY=self.key)

    def command(self):
        api = self.shipped("caddy", "token-health.caddy")
        check = self.shipped("caddy", "token-health-check.caddy")
        conf = self.write("Caddyfile", f"""{{
	admin off
	auto_https off
}}
import {api}
import {check}
http://:{self.port} {{
	bind 127.0.0.1
	import token_health
	@accounts path_regexp token_health ^/accounts/([^/]+)/
	route @accounts {{
		import token_health_check
		reverse_proxy 127.0.0.1:{self.application.port}
	}}
}}
""")
        return [program("caddy"), "run", "--config", conf, "--adapter", "caddyfile"]
