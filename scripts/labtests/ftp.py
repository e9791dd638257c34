"""FTP through NAT: vsftpd on the real servers, curl as the client, active and passive, both ways."""

import hashlib
import os
import shutil
import time
from contextlib import contextmanager

from labkit import client, lab, nodes, rules, topology
from labkit.setup import Setup
from labkit.shell import LabError
from labtests.suite import counters, expect, test

URL = f"ftp://{topology.VIP}"
VSFTPD = """\
listen=YES
background=NO
anonymous_enable=YES
no_anon_password=YES
anon_root={home}
write_enable=YES
anon_upload_enable=YES
anon_umask=022
connect_from_port_20=YES
secure_chroot_dir={home}/empty
seccomp_sandbox=NO
isolate=NO
isolate_network=NO
"""
# curl's words for each way to a data connection. It believes the address in a 227 only if told to.
WAYS = {
    "PASV": ("--disable-epsv", "--no-ftp-skip-pasv-ip"),
    "EPSV": (),
    "PORT": ("--ftp-port", "-", "--disable-eprt"),
    "EPRT": ("--ftp-port", "-"),
}
SIZE = 1_000_003
ROUNDS = 5


@contextmanager
def _servers(payload):
    """vsftpd on every real server, with `payload` to be fetched and a folder to take uploads; gives their homes."""
    homes = {node: lab.RUN / node / "ftp" for node in nodes.SERVERS}
    running = []
    try:
        for node, home in homes.items():
            (home / "empty").mkdir(parents=True)
            (home / "incoming").mkdir()
            shutil.chown(home / "incoming", "ftp")
            (home / "payload").write_bytes(payload)
            (home.parent / "vsftpd.conf").write_text(VSFTPD.format(home=home))
            running.append(nodes.spawn(node, "vsftpd", home.parent / "vsftpd.conf", log=home.parent / "vsftpd.log"))
        for node in homes:
            _await(node)
        yield homes
    finally:
        for process in running:
            process.terminate()
            process.wait(timeout=5)
        for home in homes.values():
            shutil.rmtree(home, ignore_errors=True)


def _await(node, seconds=10.0):
    limit = time.monotonic() + seconds
    while client.curl("-o", "/dev/null", "ftp://127.0.0.1/", node=node)[0]:
        if time.monotonic() > limit:
            raise LabError(f"vsftpd on {node} does not answer")
        time.sleep(0.1)


def _digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _transfers(way, place, homes, digest):
    """A download and an upload by one way to a data connection."""
    fetched = lab.RUN / "fetched"
    status, _ = client.curl(*WAYS[way], "-o", fetched, f"{URL}/payload", seconds=15)
    expect(status == 0, f"a download by {way} failed, curl's exit status is {status}")
    expect(_digest(fetched) == digest, f"a download by {way} arrived damaged")
    name = f"{way}-{place}"
    status, _ = client.curl(*WAYS[way], "-T", fetched, f"{URL}/incoming/{name}", seconds=15)
    expect(status == 0, f"an upload by {way} failed, curl's exit status is {status}")
    arrived = [home / "incoming" / name for home in homes.values() if (home / "incoming" / name).exists()]
    expect(len(arrived) == 1, f"an upload by {way} is on {len(arrived)} servers")
    expect(_digest(arrived[0]) == digest, f"an upload by {way} arrived damaged")


@test(Setup(workers=3))
def whole_files():
    """3 workers pass FTP by masq, active and passive, files whole both ways"""
    payload = os.urandom(SIZE)
    digest = hashlib.sha256(payload).hexdigest()
    with _servers(payload) as homes:
        for words in rules.commands("masq", service=f"{topology.VIP}:21", port=21):
            rules.ipvsadm(*words)
        for place in range(ROUNDS):
            for way in WAYS:
                _transfers(way, place, homes, digest)
        # Data connections are listed under the ports that they were announced with.
        data = [line for line in rules.connections() if f" {topology.VIP}:20 " in line]
        expect(len(data) == 4 * ROUNDS, f"{len(data)} active data connections are listed, {4 * ROUNDS} were made")
    dropped = counters()
    names = ("expect_busy", "expect_full", "bad_tcp_checksum", "strayed")
    expect(not any(dropped[name] for name in names), f"packets were dropped: {[dropped[name] for name in names]}")
