# SPDX-License-Identifier: BSD-3-Clause
"""What a figure was measured on."""

import os
import pathlib
import platform
import re
import subprocess


def _read(path):
    try:
        return pathlib.Path(path).read_text()
    except OSError:
        return ""


def _first_line(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.splitlines()[0].strip() if done.returncode == 0 and done.stdout else ""


def _field(text, name):
    match = re.search(rf"^{re.escape(name)}\s*:\s*(.*)$", text, re.MULTILINE)
    return match.group(1).strip() if match else ""


def _kb(text, name):
    value = _field(text, name).split()
    return int(value[0]) if value else 0


def hugepages():
    info = _read("/proc/meminfo")
    return {"size_kb": _kb(info, "Hugepagesize"), "total": _kb(info, "HugePages_Total"),
            "free": _kb(info, "HugePages_Free")}


def describe(root, compiler="gcc"):
    """The `machine` object of the JSON."""
    cpuinfo = _read("/proc/cpuinfo")
    flags = _field(cpuinfo, "flags").split()
    return {
        "cpu": _field(cpuinfo, "model name") or platform.machine(),
        "cores": os.cpu_count(),
        "simd": [name for name in ("avx2", "avx512f", "vaes", "vpclmulqdq") if name in flags],
        "virtual": "hypervisor" in flags,
        "kernel": platform.release(),
        "os": _os_name(),
        "compiler": _first_line(compiler, "--version"),
        "dpdk": _first_line("pkg-config", "--modversion", "libdpdk"),
        "hugepages": hugepages(),
        "memory_mb": _kb(_read("/proc/meminfo"), "MemTotal") // 1024,
        "commit": _commit(root),
    }


def _os_name():
    match = re.search(r'^PRETTY_NAME="?([^"\n]*)', _read("/etc/os-release"), re.MULTILINE)
    return match.group(1) if match else platform.system()


def _commit(root):
    commit = _first_line("git", "-C", str(root), "rev-parse", "--short=12", "HEAD")
    changed = _first_line("git", "-C", str(root), "status", "--porcelain", "-uno")
    return commit + ("+changes" if commit and changed else "")
