"""Changes of the rules, one after the other while frames pass: each is in force when `sluice ipvsadm` comes back."""

import random
import threading

from rig import audit_plan
from rig.errors import RigError

# A service that nobody uses, which comes and goes.
STRANGER = ["-t", "10.0.0.200:80"]


class Changes:
    """A thread that changes rules until it is stopped. `ipvsadm(words, text)` runs a command and returns its output."""

    def __init__(self, ipvsadm, services, kind, seed=5):
        self._ipvsadm, self._services, self._random = ipvsadm, services, random.Random(seed)
        self._kinds = {"edits": [self._edit_weight, self._pass_a_server, self._pass_a_service], "reloads": [self._reload]}[kind]
        self._stop, self._error = threading.Event(), None
        self.made = 0
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        if self._error:
            raise self._error

    def _run(self):
        place = 0
        try:
            while not self._stop.is_set():
                self._kinds[place % len(self._kinds)](self._services[self._random.randrange(len(self._services))])
                place += 1
        except RigError as error:
            self._error = error

    def _do(self, *words, text=None):
        self.made += 1
        return self._ipvsadm([*map(str, words)], text)

    def _edit_weight(self, service):
        """Of all servers but the first, which keeps the service from refusing clients."""
        number = self._random.randrange(1, audit_plan.SERVER_COUNT)
        weight = self._random.choice([0, 1, 3, 100])
        self._do("-e", *service.selector(), *service.server_words(number), "-w", weight)

    def _pass_a_server(self, service):
        server = [*service.selector(), *service.server_words(audit_plan.SERVER_COUNT)]
        self._do("-a", *server)
        self._do("-d", *server[:4])

    def _pass_a_service(self, _service):
        self._do("-A", *STRANGER, "-s", "mh")
        self._do("-a", *STRANGER, "-r", "192.168.100.2:80", "-m")
        self._do("-D", *STRANGER)

    def _reload(self, _service):
        """All rules away and back."""
        saved = self._do("-S", "-n")
        self._do("-C")
        self._do("-R", text=saved)
        # A while in which all is as it was.
        self._stop.wait(0.3)
