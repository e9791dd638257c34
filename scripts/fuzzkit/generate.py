"""A scenario from a seed: rules, then packets with changes, listings and waiting between them."""

import random

from fuzzkit.rules import NETWORK, Rules
from fuzzkit.traffic import Traffic

MARK = "iptables-legacy -t mangle -A PREROUTING"
SYSCTLS = {"conn_reuse_mode": (0, 1, 2, 3), "sloppy_tcp": (0, 1), "pmtu_disc": (0, 1)}
# By feature.
MORE_SYSCTLS = {
    "nodest": ("expire_nodest_conn", (0, 1)),
    "sctp": ("sloppy_sctp", (0, 1)),
    "schedule": ("schedule_icmp", (0, 1, 1)),
}
# No conn is as near to its end at a listing as a slow machine is late.
TIMEOUT, TIMEOUT_WAIT = 3, 4.5


def scenario(seed, features):
    """The scenario of a seed with these features."""
    rng = random.Random(seed)
    small = "sizes" in features and rng.random() < 0.15
    made = Scenario(rng, features, 1400 if small else 1500)
    name = f"seed_{seed}" + ("_mtu1400" if small else "")
    return {"name": name, "desc": f"scripts/diff-fuzz, seed {seed}", "server_mtu": made.server_mtu, "steps": list(made.steps())}


class Scenario:
    """What is being made of a seed."""

    def __init__(self, rng, features, server_mtu):
        self.rng, self.features, self.server_mtu = rng, features, server_mtu
        self.has_short_timeouts = "timeouts" in features and rng.random() < 0.03
        # Either conns are replaced, or what counts them decides: the kernel counts the replaced one for a tick longer.
        self.replaces = "reuse" in features or rng.random() < 0.5
        counts = "reuse" in features or not self.replaces
        self.rules = Rules(rng, features if counts else features - {"counted", "thresholds"})
        self.traffic = Traffic(rng, features, self.rules, server_mtu)

    def steps(self):
        """All steps in order."""
        yield from (_ipvsadm(line) for line in self.rules.begin())
        yield from self._environment()
        for _ in range(self.rng.randrange(6, 22)):
            if "edits" in self.features and self.rng.random() < 0.15:
                yield from (_ipvsadm(line) for line in self.rules.change())
            elif "sysctls" in self.features and self.rng.random() < 0.03:
                yield self._sysctl()
            elif self.rng.random() < 0.05:
                yield _ipvsadm(self.rng.choice(("-Lnc", "-Ln")))
            else:
                yield from self.traffic.next()
        yield from self._end()

    def _environment(self):
        if any(service.mark or service.address.startswith("10.1.") for service in self.rules.services):
            yield {"op": "cmd", "cmd": f"ip route add local {NETWORK} dev lo"}
        for service in self.rules.services:
            if service.mark:
                yield {"op": "cmd", "cmd": f"{MARK} -i dc -d {NETWORK} -j MARK --set-mark {service.mark}"}
                break
        if not self.replaces:
            yield {"op": "sysctl", "key": "net/ipv4/vs/conn_reuse_mode", "value": 0}
        while "sysctls" in self.features and self.rng.random() < 0.3:
            yield self._sysctl()
        if "schedule" in self.features and self.rng.random() < 0.15:
            yield {"op": "sysctl", "key": "net/ipv4/vs/schedule_icmp", "value": 1}
        if self.has_short_timeouts:
            yield _ipvsadm(f"--set {TIMEOUT} {TIMEOUT} {TIMEOUT}")

    def _sysctl(self):
        values = SYSCTLS | dict(MORE_SYSCTLS[feature] for feature in sorted(MORE_SYSCTLS.keys() & self.features))
        name = self.rng.choice(sorted(values.keys() - (set() if self.replaces else {"conn_reuse_mode"})))
        return {"op": "sysctl", "key": f"net/ipv4/vs/{name}", "value": self.rng.choice(values[name])}

    def _end(self):
        yield _ipvsadm("-Lnc")
        if self.has_short_timeouts:
            yield {"op": "wait", "s": TIMEOUT_WAIT}
            yield _ipvsadm("-Lnc")
            yield from self.traffic.next()
            yield _ipvsadm("-Lnc")
        elif self._counts_alike() and self.rng.random() < 0.1:
            yield _ipvsadm("-Ln --stats")
        yield _ipvsadm("-Ln")
        if any(any(service.limits.values()) for service in self.rules.services):
            yield _ipvsadm("-Ln --thresholds")

    def _counts_alike(self):
        """Whether the counters of both may be compared."""
        parted = self.rules.removed and "parting" not in self.features
        erred = self.rules.used != {"masq"} and "icmp" in self.features and "errors" not in self.features
        return "stats" in self.features and not parted and not erred


def _ipvsadm(args):
    return {"op": "ipvsadm", "args": args}
