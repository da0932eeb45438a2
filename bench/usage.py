"""What processes use, by the operating system's own account (proc(5))."""

import os
from collections import defaultdict
from pathlib import Path

PROC = Path("/proc")
TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on (field 3); empty when the process has ended."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text[text.rindex(")") + 2 :].split()  # the name before it may hold anything


def process_tree(root: int) -> list[int]:
    """The process and all that descend from it, itself first."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children[int(fields[1])].append(int(entry.name))
    tree = [root]
    for pid in tree:
        tree += children[pid]
    return tree


def cpu_ms(root: int) -> float:
    """User and system time of the tree since it began, in milliseconds.

    A child that has ended and been waited for is in its parent's cutime and cstime, so that nothing is
    lost when a worker or a database connection goes. The resolution is a clock tick (10 ms).
    """
    return TICK_MS * sum(int(field) for pid in process_tree(root) for field in _stat(pid)[11:15])


def worker_memory_mib(root: int) -> list[float]:
    """The proportional set size (PSS: shared pages divided among their users) of each child, in MiB."""
    found = []
    for pid in process_tree(root)[1:]:
        try:
            lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
            command = (PROC / str(pid) / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        # Python's own process that tidies up after the others serves no request.
        if b"resource_tracker" not in command:
            found += [int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")]
    return [round(size, 1) for size in found]


def machine_ms() -> tuple[float, float]:
    """All cores together since boot, in milliseconds: time that was worked, and time in all."""
    fields = (PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]
    user, nice, system, idle, iowait, irq, softirq, steal = (int(field) * TICK_MS for field in fields)
    worked = user + nice + system + irq + softirq
    return worked, worked + idle + iowait + steal
