"""What scenarios may hold. A feature that is on by default is built; turn the others on here when they are."""

import argparse

FEATURES = {
    # name: (on by default, what it is)
    "udp": (True, "UDP services"),
    "gatewaying": (True, "real servers reached by their MAC address (-g)"),
    "ipip": (True, "real servers reached through a tunnel (-i)"),
    "mapping": (True, "masq to another port than the virtual one"),
    "fwmark": (True, "services of a firewall mark, and rules that give marks"),
    "counted": (True, "schedulers that count conns"),
    "flags": (True, "flags of schedulers (-b)"),
    "thresholds": (True, "upper and lower thresholds (-x, -y) of servers that are new"),
    "limits": (False, "thresholds that change, and those of lblc and lblcr: ours hold at once, the kernel's do not"),
    "persistence": (True, "persistent services (-p, -M), among them those of all ports"),
    "single": (True, "one-packet scheduling (-o)"),
    "gre": (True, "gre tunnels, with and without checksums"),
    "gue": (True, "gue tunnels, without checksums, with those of the outer packet, and remote ones"),
    "sctp": (True, "SCTP services, and packets of every kind of chunk"),
    "edits": (True, "rules that change while packets come"),
    "idle": (False, "edits of a server that change nothing, at which the kernel's wrr begins anew"),
    "sysctls": (True, "conn_reuse_mode, sloppy_tcp, pmtu_disc"),
    "timeouts": (True, "--set, and waiting for conns to end"),
    "icmp": (True, "ICMP errors about packets, from both sides; echo"),
    "schedule": (False, "schedule_icmp: errors that begin conns, whose few seconds a slow machine's recording outlasts"),
    "pmtu": (False, "errors that say how much fits a tunnel, which ours answers at once and the kernel with the next packet"),
    "sizes": (True, "packets about as large as the MTU, with and without DF"),
    "headers": (True, "TTL and TOS that are rare"),
    "ecn": (True, "congestion that a packet into a tunnel has experienced"),
    "options": (False, "IP options"),
    "malformed": (True, "lengths, versions and checksums that are wrong"),
    "transport": (True, "transport headers that are cut short or lie about their length"),
    "shared": (True, "conns of one client's port with several virtual addresses, which may share a reply tuple"),
    "reuse": (True, "conns that replace others where schedulers or thresholds count them"),
    "nodest": (True, "expire_nodest_conn: conns that end at once with their server"),
    "direct": (True, "replies of servers behind -g and -i, which should not pass the director"),
    "stats": (True, "counters in listings"),
    "errors": (False, "counters where servers behind -g or -i send ICMP errors"),
    "darkness": (False, "UDP conns of removed servers, which ours schedules anew and the kernel leaves in the dark"),
    "parting": (False, "counters of packets, and errors about those in tunnels, after a server was removed"),
}


def chosen(text):
    """The names that `text` stands for: `all`, a list of names, or what is on with `+name` and `-name`."""
    on = {name for name, (default, _) in FEATURES.items() if default}
    words = [word for word in (text or "").split(",") if word]
    if words == ["all"]:
        return set(FEATURES)
    unknown = [word for word in words if word.lstrip("+-") not in FEATURES]
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no feature {unknown[0]}: there are {', '.join(FEATURES)}")
    if words and all(word[0] not in "+-" for word in words):
        return set(words)
    for word in words:
        (on.discard if word[0] == "-" else on.add)(word.lstrip("+-"))
    return on
