"""A user-mode Linux with the kernel's own IPVS, which records scenarios: jobs in and traces out through a shared folder."""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODULES = Path("/usr/lib/uml/modules")
NEEDED = {"linux.uml": "user-mode-linux", "ipvsadm": "ipvsadm", "iptables-legacy": "iptables", "ip": "iproute2"}
MEMORY = "512M"
BOOT_SECONDS, STEP_SECONDS, POLL = 60, 60, 0.01
PR_SET_PDEATHSIG = 1


class CannotRun(Exception):
    """One sentence on what is missing or broken, which is no difference."""


class Kernel:
    """The running guest. `processes` of it record at a time, of which one computes and the others wait."""

    def __init__(self, processes=4):
        _check_programs()
        self.folder = Path(tempfile.mkdtemp(prefix="sluice-fuzz-"))
        self.guest = None
        try:
            self._prepare(processes)
            self._boot()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def record(self, scenarios, progress=lambda _: None):
        """The traces of scenarios by name, each name once; `progress` hears how many are done."""
        for scenario in scenarios:
            part = self.folder / "claimed" / f"{scenario['name']}.job"
            part.write_text(json.dumps(scenario), encoding="utf-8")
            part.rename(self.folder / "jobs" / f"{scenario['name']}.json")
        traces = {}
        limit = time.monotonic() + BOOT_SECONDS + STEP_SECONDS
        while len(traces) < len(scenarios):
            for path in list((self.folder / "done").glob("*.json")):
                trace = json.loads(path.read_text(encoding="utf-8"))
                path.unlink()
                if "failed" in trace:
                    raise CannotRun(f"{trace['name']} could not be recorded:\n{trace['failed']}")
                traces[trace["name"]] = trace
                limit = time.monotonic() + STEP_SECONDS
                progress(len(traces))
            if self.guest.poll() is not None or time.monotonic() > limit:
                raise CannotRun(f"the user-mode Linux does not record; its last words:\n{self._last_words()}")
            time.sleep(POLL)
        return traces

    def close(self):
        """Ends the guest and removes the folder."""
        if self.guest is not None:
            # Its processes are a session of their own, and of no use without the first.
            os.killpg(self.guest.pid, signal.SIGKILL)
            self.guest.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _prepare(self, processes):
        for name in ("jobs", "claimed", "done"):
            (self.folder / name).mkdir()
        (self.folder / "processes").write_text(str(processes), encoding="ascii")
        version = _output("linux.uml", "--version")
        modules = self.folder / "root/lib/modules"
        modules.mkdir(parents=True)
        (modules / version).symlink_to(MODULES / version)
        modprobe = self.folder / "modprobe"
        modprobe.write_text(f'#!/bin/sh\nexec /sbin/modprobe -d {self.folder}/root "$@"\n', encoding="ascii")
        modprobe.chmod(0o755)

    def _boot(self):
        arguments = [
            f"mem={MEMORY}", f"umid={self.folder.name}", f"uml_dir={self.folder}", "quiet",
            "rootfstype=hostfs", "rootflags=/", "ro", f"init={HERE / 'guest-init'}",
            f"fuzz_here={HERE}", f"fuzz_work={self.folder}", "con=null", "con0=null,fd:1",
        ]  # fmt: skip
        with open(self.folder / "console", "wb") as console:
            self.guest = subprocess.Popen(
                ["linux.uml", *arguments], stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                start_new_session=True, preexec_fn=_die_with_parent,
            )  # fmt: skip

    def _last_words(self):
        texts = [self.folder / "console", self.folder / "guest.log"]
        return "\n".join(path.read_text(errors="replace")[-2000:] for path in texts if path.exists())


def _die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _check_programs():
    if os.geteuid():
        raise CannotRun("the guest reads the whole file system: run it as root")
    for program, package in NEEDED.items():
        if shutil.which(program) is None:
            raise CannotRun(f"{program} is not installed: run scripts/install --test, or install {package}")


def _output(*argv):
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
