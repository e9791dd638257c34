"""Random virtual services, real servers and changes of them, as command lines of ipvsadm."""

from dataclasses import dataclass, field

from fuzzkit import topology

SCHEDULERS = ("rr", "wrr", "dh", "sh", "fo", "mh")
COUNTING = ("lc", "wlc", "lblc", "lblcr", "sed", "nq", "ovf")
FLAGS = {"sh": ("sh-fallback", "sh-port"), "mh": ("mh-fallback", "mh-port")}
WEIGHTS = (0, 1, 1, 1, 2, 2, 3, 4, 5, 6, 10, 100, 65535)
PORTS = {"tcp": (80, 443, 8080), "udp": (53, 80, 5000), "sctp": (80, 5000)}
WORDS = {"tcp": "-t", "udp": "-u", "sctp": "--sctp-service"}
GUE = "-i --tun-type gue --tun-port 6080"
# What ipvsadm calls them; up to a colon the names are those of features.
METHODS = {
    "masq": "-m",
    "gatewaying": "-g",
    "ipip": "-i",
    "gre": "-i --tun-type gre",
    "gre:csum": "-i --tun-type gre --tun-csum",
    "gue": GUE,
    "gue:csum": f"{GUE} --tun-csum",
    "gue:remcsum": f"{GUE} --tun-remcsum",
}
TUNNELS = METHODS.keys() - {"masq", "gatewaying"}
MASKS = ("", "", " -M 255.255.255.0", " -M 255.255.0.0")
# A network of the director's own, of which every address is virtual.
NETWORK = "10.1.0.0/16"


@dataclass
class Service:
    """A virtual service as the scenario has it at some moment."""

    protocol: str
    address: str
    port: int
    mark: int = 0
    scheduler: str = ""
    kept: str = ""  # words of its persistence
    servers: dict = field(default_factory=dict)  # number: (port, method)
    limits: dict = field(default_factory=dict)  # number: words of its thresholds, of all that ever were
    weights: dict = field(default_factory=dict)  # number: its last weight

    @property
    def words(self):
        """How ipvsadm names it."""
        return f"-f {self.mark}" if self.mark else f"{WORDS[self.protocol]} {self.address}:{self.port}"

    def target(self, rng):
        """Protocol, address and port that a client may ask for."""
        if not self.mark:
            return self.protocol, self.address, self.port or rng.choice(PORTS[self.protocol])
        address = f"10.1.{rng.randrange(3)}.{rng.randrange(1, 6)}"
        return self.protocol, address, rng.choice((self.port, self.port, 81))


class Rules:
    """All services of a scenario, and commands about them from `rng`."""

    def __init__(self, rng, features):
        self.rng, self.features = rng, features
        self.services, self.removed = [], []
        self.used = set()  # methods
        self.routed = set()  # (service's words, number) of servers that ever had another method than gatewaying
        often = ("masq", "masq", "masq", "gatewaying", "gatewaying", "ipip")
        self.methods = [name for name in (*often, *METHODS) if name == "masq" or name.split(":")[0] in features]
        # Most scenarios keep to one method: conns in all its states say more than many methods.
        self.favourite = rng.choice(self.methods)

    def begin(self):
        """Commands for the first services."""
        while len(self.services) < self.rng.choice((1, 1, 2, 3)):
            service = self._service()
            if all(service.words != other.words for other in self.services):
                yield from self.add(service)

    def add(self, service):
        """Commands that add a service with servers."""
        self.services.append(service)
        yield f"-A {service.words} {self._scheduler(service)}"
        for number in self.rng.sample(topology.SERVERS, self.rng.choice((1, 2, 2, 3, 3, 4, 6))):
            yield self._add_server(service, number)

    def change(self):
        """Commands for one change of any kind."""
        kinds = [self._edit_server] * 6 + [self._remove_server] * 3 + [self._new_server] * 3
        kinds += [self._edit_service, self._edit_service, self._remove_service, self._return_service, self._mistake]
        return self.rng.choice(kinds)()

    def _service(self):
        rng, features = self.rng, self.features
        protocol = rng.choice(("tcp", "tcp", "udp")) if "udp" in features else "tcp"
        if "sctp" in features and rng.random() < 0.2:
            protocol = "sctp"
        port = rng.choice(PORTS[protocol])
        kept = ""
        if "persistence" in features and rng.random() < 0.4:
            kept = f" -p {rng.choice((60, 300))}{rng.choice(MASKS)}"
        elif "single" in features and protocol == "udp" and rng.random() < 0.4:
            kept = " -o"
        if "fwmark" in features and rng.random() < 0.15:
            return Service(protocol, "", port, mark=rng.randrange(1, 4), kept=kept)
        address = rng.choice((topology.VIP, topology.VIP, "10.1.0.1", "10.1.2.3"))
        if kept.startswith(" -p") and rng.random() < 0.3:
            port = 0
        return Service(protocol, address, port, kept=kept)

    def _scheduler(self, service):
        name = service.scheduler = self.rng.choice(SCHEDULERS + (COUNTING if "counted" in self.features else ()))
        flags = [flag for flag in FLAGS.get(name, ()) if self.rng.random() < 0.5 and "flags" in self.features]
        return f"-s {name}" + (f" -b {','.join(flags)}" if flags else "") + service.kept

    def _add_server(self, service, number):
        method = self._method(service, number, self.favourite if self.rng.random() < 0.8 else None)
        port = service.port
        if service.mark or not service.port:
            port = 0
        elif method == "masq" and "mapping" in self.features and self.rng.random() < 0.3:
            port = self.rng.choice((80, 8000, 8001))
        service.servers[number] = (port, method)
        self.used.add(method)
        return f"-a {self._server_words(service, number)}"

    def _method(self, service, number, favourite=None):
        """Not gatewaying after another method: the kernel then sends by a route it has kept, and asks for the VIP's MAC."""
        method = favourite or self.rng.choice(self.methods)
        place = (service.words, number)
        if method == "gatewaying" and place in self.routed:
            method = "masq"
        if method != "gatewaying":
            self.routed.add(place)
        return method

    def _server_words(self, service, number):
        port, method = service.servers[number]
        place = topology.real_server(number) + (f":{port}" if port else "")
        last = None if "idle" in self.features else service.weights.get(number)
        service.weights[number] = weight = self.rng.choice([weight for weight in WEIGHTS if weight != last])
        words = f"{service.words} -r {place} {METHODS[method]} -w {weight}"
        if "limits" in self.features or number not in service.limits:
            service.limits[number] = self._limits(service)
        return words + service.limits[number]

    def _limits(self, service):
        remembers = service.scheduler.startswith("lblc") and "limits" not in self.features
        if "thresholds" not in self.features or remembers or self.rng.random() > 0.15:
            return ""
        upper = self.rng.randrange(1, 6)
        return f" -x {upper}" + (f" -y {self.rng.randrange(upper + 1)}" if self.rng.random() < 0.5 else "")

    def _any(self):
        service = self.rng.choice(self.services) if self.services else None
        number = self.rng.choice(sorted(service.servers)) if service and service.servers else None
        return service, number

    def _edit_server(self):
        service, number = self._any()
        if number is not None:
            port, method = service.servers[number]
            if self.rng.random() < 0.1:
                method = self._method(service, number)
                service.servers[number] = (port, method)
                self.used.add(method)
            yield f"-e {self._server_words(service, number)}"

    def _remove_server(self):
        service, number = self._any()
        if number is not None:
            port, _ = service.servers.pop(number)
            self.removed.append((service, number, port))
            yield f"-d {service.words} -r {topology.real_server(number)}" + (f":{port}" if port else "")

    def _new_server(self):
        """One that was removed before, if there is."""
        parked = [(s, n) for s, n, _ in self.removed if s in self.services and n not in s.servers]
        if parked and self.rng.random() < 0.7:
            yield self._add_server(*self.rng.choice(parked))
            return
        service, _ = self._any()
        free = [number for number in topology.SERVERS if service and number not in service.servers]
        if free:
            yield self._add_server(service, self.rng.choice(free))

    def _edit_service(self):
        service, _ = self._any()
        if service:
            yield f"-E {service.words} {self._scheduler(service)}"

    def _remove_service(self):
        service, _ = self._any()
        if service:
            self.services.remove(service)
            self.removed.append((service, None, 0))
            yield f"-D {service.words}"

    def _return_service(self):
        """A removed one, with some of the servers it had."""
        gone = [service for service, number, _ in self.removed if number is None and service not in self.services]
        if not gone:
            return
        service = self.rng.choice(gone)
        had, service.servers = sorted(service.servers), {}
        self.services.append(service)
        yield f"-A {service.words} {self._scheduler(service)}"
        for number in had[: self.rng.randrange(len(had) + 1)]:
            yield self._add_server(service, number)

    def _mistake(self):
        """What ipvsadm or the kernel refuses."""
        service, number = self._any()
        if number is not None:
            words = self._server_words(service, number)
            gone = f"-d {service.words} -r 192.168.1.99"
            yield self.rng.choice((f"-a {words}", gone, f"-A {service.words} -s rr", "-D -t 10.0.0.77:80"))
