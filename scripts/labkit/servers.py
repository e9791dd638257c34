"""What runs on the real servers and on the client: nginx with a page that names the server, the decapsulator, and when
asked for dnsmasq with a record that names the server.
"""

import os
import time
from contextlib import contextmanager
from pathlib import Path

from labkit.nodes import SERVERS, execute, spawn
from labkit.shell import LabError

# Port 8080 is there for port mapping, 8081 for headers of the PROXY protocol, whose client /told tells; /who tells the peer the server saw; /big and /upload carry full-sized frames, /huge
# many of them inside `huge_page`; what is PUT under /kept stays there.
NGINX = """\
user root;
daemon off;
worker_processes 1;
pid {home}/nginx.pid;
error_log {home}/error.log;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_requests 1000000;
    client_max_body_size 100m;
    client_body_temp_path {home}/tmp; proxy_temp_path {home}/tmp; fastcgi_temp_path {home}/tmp;
    uwsgi_temp_path {home}/tmp; scgi_temp_path {home}/tmp;
    server {{
        listen 80 backlog=4096;
        listen 8080 backlog=4096;
        listen [::]:80 backlog=4096;
        listen 8081 proxy_protocol;
        listen [::]:8081 proxy_protocol;
        root {home}/pages;
        location = /who {{ return 200 "{node} $remote_addr $remote_port $server_addr $server_port\\n"; }}
        location = /told {{ return 200 "$proxy_protocol_addr $proxy_protocol_port $remote_addr\\n"; }}
        location = /upload {{ return 200 "$content_length\\n"; }}
        location = /huge {{ alias {huge}; }}
        location /kept/ {{ dav_methods PUT; create_full_put_path on; }}
    }}
}}
"""
BIG = 2_000_000
HUGE, HUGE_PAGE = 100_000_000, "huge-page"
# What dnsmasq knows: one name, whose text is the server's.
NAMES = ("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root", "--pid-file=")
WHO = "who.lab"


def page(node):
    """The body of a node's front page."""
    return f"hello from {node}\n"


def start(run_dir):
    """Starts every node's servers and returns when each answers on its own address."""
    decapsulator = Path(__file__).resolve().parent.parent / "lab-decap"
    for node in ("client", *SERVERS):
        _start_nginx(node, run_dir / node, run_dir / HUGE_PAGE)
    for node in SERVERS:
        spawn(node, decapsulator, log=run_dir / node / "decap.log")
    for node in ("client", *SERVERS):
        _await(f"nginx on {node} does not answer", "curl", "-sf", "-m", "2", "-o", "/dev/null", "http://127.0.0.1/", node=node)
    for node in SERVERS:
        _await(f"the decapsulator on {node} made no tunl0", "ip", "link", "show", "dev", "tunl0", node=node)


@contextmanager
def huge_page(run_dir):
    """The page /huge of every server, as a file."""
    page_file = run_dir / HUGE_PAGE
    page_file.write_bytes(os.urandom(HUGE))
    try:
        yield page_file
    finally:
        page_file.unlink()


@contextmanager
def names(run_dir):
    """A DNS server on every real server, on all its addresses."""
    asked = [spawn(node, *NAMES, f"--txt-record={WHO},{node}", log=run_dir / node / "names.log") for node in SERVERS]
    try:
        for node in SERVERS:
            _await(f"dnsmasq on {node} does not answer", "dig", "@127.0.0.1", "+tries=1", "+time=1", "TXT", WHO, node=node)
        yield
    finally:
        for server in asked:
            server.kill()
            server.wait()


def _start_nginx(node, home, huge):
    (home / "pages").mkdir(parents=True)
    (home / "pages/index.html").write_text(page(node))
    (home / "pages/big").write_bytes(bytes(range(250)) * (BIG // 250))
    (home / "nginx.conf").write_text(NGINX.format(home=home, node=node, huge=huge))
    spawn(node, "nginx", "-e", home / "error.log", "-c", home / "nginx.conf", log=home / "nginx.log")


def _await(failure, *argv, node, seconds=10.0):
    limit = time.monotonic() + seconds
    while execute(node, *argv, check=False).returncode:
        if time.monotonic() > limit:
            raise LabError(failure)
        time.sleep(0.05)
