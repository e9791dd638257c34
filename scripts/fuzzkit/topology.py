"""The network of the recordings in dataplane/tests/golden, which the director's replay has built in."""

DIRECTOR = {"c": "10.0.0.1", "s": "192.168.1.1"}
DIRECTOR_MAC = {"c": "02:00:00:00:0d:01", "s": "02:00:00:00:0d:02"}
CLIENT_ROUTER, CLIENT_ROUTER_MAC = "10.0.0.2", "02:00:00:00:0c:01"
VIP = "10.0.0.100"
# Behind the client side's router.
CLIENTS = "172.16.0.0/12"
SERVERS = range(1, 10)


def real_server(number):
    """Address of a real server, 1 to 9."""
    return f"192.168.1.{10 + number}"


def real_server_mac(number):
    """Its MAC address."""
    return f"02:00:00:00:0e:{10 + number}"


def number_of(address):
    """The real server of this address, or None."""
    return next((number for number in SERVERS if real_server(number) == address), None)
