"""A scenario through the kernel: each step carried out, and what came of it as a trace in the format of the golden ones.

A step's place in the trace, not counting what came out, is its place in the scenario. Which real server the kernel chose is
known only here, so packets of servers and errors about packets are made here, of the step's words.
"""

import os
import socket
import struct
import time

from fuzzkit import packet, topology
from fuzzkit.bench import Bench, run, sysctl

# A conn that a new one of the same flow replaces, or that has lost its server, ends some ticks later, of 10 ms each.
EXPIRY = 0.05
# The kernel sums counters up every two seconds.
ESTIMATION = 2.3
CONNS = "-Lnc"
INIT, ERROR_HEADERS = 1, 28


class Batched(Exception):
    """Commands given in one did not all succeed: which, is found by giving them one by one."""


def record(scenario, wire):
    """The trace of a scenario."""
    try:
        return _record(scenario, wire, batch=True)
    except Batched:
        return _record(scenario, wire, batch=False)


def _record(scenario, wire, batch):
    director = Bench(wire, scenario["server_mtu"])
    try:
        steps = Recording(director).run(scenario["steps"], batch)
    finally:
        director.close()
    release = os.uname()
    kernel = f"{release.release} {release.version}"
    return {"name": scenario["name"], "desc": scenario["desc"], "kernel": kernel, "steps": steps}


class Recording:
    """The steps so far, and what is known of each flow."""

    def __init__(self, director):
        self.director = director
        self.steps = []
        # The last packet of a flow that came out, on either port, and the number of the server it went to.
        self.last = {"c": {}, "s": {}}
        self.server = {}
        self.ends_conns = False

    def run(self, steps, batch):
        """Carries all out; the trace's steps."""
        first = self._together(steps) if batch else 0
        for step in steps[first:]:
            self.CARRY_OUT[step["op"]](self, step)
        return self.steps

    def _together(self, steps):
        """The first commands, which add rules, in one run of ipvsadm: starting programs takes most of the time."""
        adding = [step["op"] == "ipvsadm" and step["args"][:2] in ("-A", "-a") for step in steps]
        count = (adding + [False]).index(False)
        if count < 2:
            return 0
        lines = [step["args"] for step in steps[:count]]
        status, said = run("ipvsadm", "-R", stdin="\n".join(lines) + "\n")
        if status or said:
            raise Batched
        self.steps += [{"op": "ipvsadm", "args": line, "rc": 0} for line in lines]
        return count

    def _ipvsadm(self, step):
        if "--stats" in step["args"]:
            time.sleep(ESTIMATION)
        status, said = _list_conns() if step["args"] == CONNS else run("ipvsadm", *step["args"].split())
        if self.ends_conns and step["args"][:2] in ("-d", "-D", "-C"):
            time.sleep(EXPIRY)
        out = {"out": said.splitlines()} if said else {}
        self.steps.append({"op": "ipvsadm", "args": step["args"], "rc": status} | out)

    def _sysctl(self, step):
        sysctl(step["key"], step["value"])
        if step["key"].endswith("expire_nodest_conn"):
            self.ends_conns = step["value"] == 1
        self.steps.append(step)

    def _cmd(self, step):
        status, said = run(*step["cmd"].split())
        if status:
            raise OSError(f"{step['cmd']}: {said}")
        self.steps.append(step)

    def _wait(self, step):
        time.sleep(step["s"])
        self.steps.append(step)

    def _client(self, step):
        protocol, client, port, virtual, virtual_port = flow = tuple(step["flow"])
        payload = packet.transport(protocol, client, virtual, (port, virtual_port), step["l4"])
        made = packet.ipv4(client, virtual, packet.PROTOCOLS[protocol], payload, **step.get("ip", {}))
        begins = "S" in step["l4"].get("flags", "") or step["l4"].get("chunk") == INIT
        reuses = begins and flow in self.server
        self._send("c", topology.CLIENT_ROUTER_MAC, made, step, flow)
        if reuses:
            time.sleep(EXPIRY)

    def _server(self, step):
        """From the server that the flow went to last, or where it went nowhere from the one that the step names."""
        protocol, client, port, virtual, virtual_port = flow = tuple(step["flow"])
        number, source, source_port = step["server"], topology.real_server(step["server"]), step["port"]
        if flow in self.server:
            number = self.server[flow]
            forwarded = self.last["s"][flow]
            source = socket.inet_ntoa(forwarded[16:20])
            words = 4 * (forwarded[0] & 15)
            source_port = struct.unpack("!H", forwarded[words + 2 : words + 4])[0]
            if socket.inet_ntoa(forwarded[12:16]) == topology.DIRECTOR["s"] or source == virtual:
                source, source_port = virtual, virtual_port
        if source == virtual and not step["direct"]:
            self._note("this server's replies do not pass the director")
            return
        payload = packet.transport(protocol, source, client, (source_port, port), step["l4"])
        made = packet.ipv4(source, client, packet.PROTOCOLS[protocol], payload, **step.get("ip", {}))
        self._send("s", topology.real_server_mac(number), made, step, flow)

    def _error(self, step):
        """About the last packet of the flow that came out on the port, to whom it says it is from."""
        port, flow = step["port"], tuple(step["flow"])
        about = self.last[port].get(flow) or self._never_sent(port, flow, step["server"])
        source = step.get("source") or socket.inet_ntoa(about[16:20])
        # An error of no conn that is too large is Linux's to cut; in process it is left to it whole.
        most = None if flow in self.server else self.director.server_mtu - ERROR_HEADERS
        message = packet.icmp(*step["icmp"], about[: step["quoted"]][:most], bad=step.get("bad", False))
        made = packet.ipv4(source, socket.inet_ntoa(about[12:16]), packet.ICMP, message, **step.get("ip", {}))
        number = self.server.get(flow, step["server"])
        mac = topology.CLIENT_ROUTER_MAC if port == "c" else topology.real_server_mac(number)
        self._send(port, mac, made, step)

    def _never_sent(self, port, flow, server):
        protocol, client, client_port, virtual, virtual_port = flow
        ends = (virtual, client, (virtual_port, client_port))
        if port == "s":
            ends = (client, topology.real_server(server), (client_port, virtual_port))
        words = {"size": 16} | {"tcp": {"flags": "A"}, "sctp": {"chunk": 0}}.get(protocol, {})
        payload = packet.transport(protocol, *ends, words)
        return packet.ipv4(*ends[:2], packet.PROTOCOLS[protocol], payload, ttl=63)

    def _packet(self, step):
        """A packet of no flow, in hex."""
        port = step["port"]
        mac = topology.CLIENT_ROUTER_MAC if port == "c" else topology.real_server_mac(step["server"])
        self._send(port, mac, bytes.fromhex(step["hex"]), step)

    def _note(self, text):
        self.steps.append({"op": "note", "text": text})

    def _send(self, port, mac, made, step, flow=None):
        frame = packet.ethernet(topology.DIRECTOR_MAC[port], mac, _mangled(made, step.get("mangle")))
        try:
            got = self.director.exchange(port, frame)
        except OSError as fault:
            self._note(f"could not be sent: {fault}")
            return
        self.steps.append({"op": "send", "port": port, "frame": frame.hex(), "desc": packet.describe(frame)})
        for where, out in got:
            self.steps.append({"op": "recv", "port": where, "frame": out.hex(), "desc": packet.describe(out)})
            if flow:
                self._remember(where, flow, out)
        if not got:
            self.steps.append({"op": "recv_none"})

    def _remember(self, port, flow, frame):
        # Of the pieces of a packet the first is what an error quotes.
        if frame[12:14] != b"\x08\x00" or struct.unpack("!H", frame[20:22])[0] & 0x1FFF:
            return
        sent = frame[packet.ETHERNET :]
        if port == "s":
            self.server[flow] = int(f"{frame[5]:02x}") - 10
        elif sent[9] == packet.ICMP:
            return
        self.last[port][flow] = sent


def _list_conns():
    """A listing that the conns of other namespaces, which come and go meanwhile, have not disturbed.

    It is read in pieces by place, and what shifts between two is missed or seen twice (kernel: `ip_vs_conn_array`).
    """
    while True:
        before = _conns()
        status, said = run("ipvsadm", *CONNS.split())
        lines = [line for line in said.splitlines() if line.split()[1].count(":") == 1]
        if before == _conns() and len(lines) == len(before) == len(set(lines)):
            return status, said


def _conns():
    with open("/proc/net/ip_vs_conn", encoding="ascii") as file:
        return sorted(line.rsplit(None, 1)[0] for line in file.readlines()[1:])


Recording.CARRY_OUT = {
    op: getattr(Recording, f"_{op}") for op in ("ipvsadm", "sysctl", "cmd", "wait", "client", "server", "error", "packet")
}


def _mangled(made, how):
    """A packet with bytes cut off, appended or changed."""
    kind, *numbers = how or ["as it is"]
    if kind == "cut":
        return made[: numbers[0]]
    if kind == "pad":
        return made + bytes(numbers[0])
    if kind == "poke":
        place, value, is_good = numbers
        changed = bytearray(made)
        changed[place] = value
        if is_good:
            changed[10:12] = bytes(2)
            changed[10:12] = struct.pack("!H", packet.checksum(bytes(changed[: 4 * max(changed[0] & 15, 5)])))
        return bytes(changed)
    return made
