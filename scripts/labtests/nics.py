"""What scripts/bind-nic would do to a machine with NICs, on a /sys made for it."""

import os
import subprocess
from pathlib import Path

from labkit import lab

from labtests.suite import expect, test

BIND_NIC = Path(__file__).resolve().parents[1] / "bind-nic"
DEVICES = {"0000:01:00.0": ("0x020000", "0x8086", "ixgbe", "enp1s0"), "0000:02:00.0": ("0x020000", "0x15b3", "mlx5_core", "lo")}


def machine():
    """A /sys with two NICs, the second Mellanox's with an interface of ours, and a disk."""
    sys = lab.RUN / "sys"
    files = {
        "devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages": "0",
        "devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave",
        "bus/pci/devices/0000:03:00.0/class": "0x010802",
    }
    for name, (kind, vendor, driver, interface) in DEVICES.items():
        device = f"bus/pci/devices/{name}"
        files |= {f"{device}/class": kind, f"{device}/vendor": vendor, f"{device}/numa_node": "-1"}
        files[f"bus/pci/drivers/{driver}/module"] = files[f"{device}/net/{interface}/mtu"] = ""
    for name, content in files.items():
        (sys / name).parent.mkdir(parents=True, exist_ok=True)
        (sys / name).write_text(content)
    for name, (_, _, driver, _) in DEVICES.items():
        link = sys / "bus/pci/devices" / name / "driver"
        link.unlink(missing_ok=True)
        link.symlink_to(sys / "bus/pci/drivers" / driver)
    return sys


def bind_nic(sys, *words):
    """Its exit status and all that it says."""
    done = subprocess.run([BIND_NIC, *words], env=os.environ | {"SLUICE_SYS": str(sys)}, capture_output=True, text=True, timeout=20, check=False)
    return done.returncode, done.stdout + done.stderr


@test()
def nics_are_bound_by_name():
    """bind-nic lists NICs alone, says what it would write for one, and names what it cannot do"""
    sys = machine()
    status, said = bind_nic(sys, "--status")
    lines = [line.split() for line in said.splitlines()]
    due = [[name, driver, "node", "0", interface] for name, (_, _, driver, interface) in DEVICES.items()]
    expect(status == 0 and lines == due, f"--status: {said}")

    status, said = bind_nic(sys, "--dry-run", "--pages", "64", "01:00.0")
    written = [(line.split("'")[1], line.rsplit("/", 1)[1]) for line in said.splitlines()]
    name = "0000:01:00.0"
    due = [("64", "nr_hugepages"), ("vfio-pci", "driver_override"), (name, "unbind"), (name, "drivers_probe")]
    expect(status == 0 and written == [*due, ("performance", "scaling_governor")], f"--dry-run: {said}")

    status, said = bind_nic(sys, "--dry-run", "02:00.0")
    expect(status == 0 and "stays with mlx5_core" in said and "vfio-pci" not in said, f"Mellanox: {said}")
    status, said = bind_nic(sys, "--dry-run", "09:00.0")
    expect(status == 1 and "no PCI device 0000:09:00.0" in said, f"an unknown device: {said}")
    status, said = bind_nic(sys)
    expect(status == 1 and "which devices?" in said, f"no device: {said}")
