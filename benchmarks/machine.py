"""What a process takes of the machine, from /proc: CPU by thread, memory, descriptors; and what the machine was."""

import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """One moment of a process. CPU in seconds since its start; RSS in bytes."""

    at_s: float
    cpu_s: float
    threads: dict[str, float] = field(default_factory=dict)  # "name tid" -> CPU seconds
    rss: int = 0
    n_descriptors: int = 0

    @classmethod
    def of(cls, pid: int, at_s: float) -> "Usage":
        """Raises ProcessLookupError or FileNotFoundError if it is gone."""
        folder = Path(f"/proc/{pid}")
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        cpu_s = (int(fields[11]) + int(fields[12])) / _TICKS
        threads: dict[str, float] = {}
        for task in (folder / "task").iterdir():
            try:
                name = (task / "comm").read_text().strip()
                threads[f"{name} {task.name}"] = int((task / "schedstat").read_text().split()[0]) / 1e9
            except (FileNotFoundError, ProcessLookupError):
                continue
        rss = int((folder / "statm").read_text().split()[1]) * _PAGE
        return cls(at_s, cpu_s, threads, rss, len(list((folder / "fd").iterdir())))


def threads_between(before: Usage, after: Usage) -> dict[str, float]:
    """CPU seconds by thread name, largest first; threads of one name together."""
    spent: dict[str, float] = {}
    for key, cpu_s in after.threads.items():
        name = key.rpartition(" ")[0]
        spent[name] = spent.get(name, 0.0) + cpu_s - before.threads.get(key, 0.0)
    return dict(sorted(spent.items(), key=lambda item: -item[1]))


@dataclass(frozen=True, slots=True)
class Cpus:
    """All CPUs together, in seconds since boot. Stolen: what the hypervisor gave to others."""

    total_s: float
    busy_s: float
    stolen_s: float

    @classmethod
    def now(cls) -> "Cpus":
        values = [int(v) / _TICKS for v in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return cls(sum(values), sum(values) - values[3] - values[4] - values[7], values[7])


def full_sockets() -> int:
    """Datagrams that UDP sockets of this network namespace dropped since it came up, their buffers being full."""
    names, values = (line.split() for line in _lines("/proc/net/snmp") if line.startswith("Udp:"))
    return int(values[names.index("RcvbufErrors")])


def describe() -> dict[str, str | int]:
    """The machine and the code that ran."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), ""
    )
    memory = next((line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), "0")
    return {
        "cpu": cpu or platform.machine(),
        "n_cpus": len(os.sched_getaffinity(0)),
        "memory_mb": int(memory) // 1024,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "pjsip": _pjsip(),
        "commit": _commit(),
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _pjsip() -> str:
    """Version and digest of the PJSIP that was built for this environment, empty without one."""
    record = Path(sys.prefix) / "agner-pjsip.json"
    return Path(json.loads(record.read_text())["prefix"]).name if record.is_file() else ""


def _commit() -> str:
    """The checkout's commit, with + if files differ from it; empty outside a checkout."""
    here = Path(__file__).resolve().parent
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=here, capture_output=True, text=True, check=True
        )
        diff = subprocess.run(["git", "diff", "--quiet", "HEAD"], cwd=here, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.stdout.strip() + ("+" if diff.returncode else "")
