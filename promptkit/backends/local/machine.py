"""How many CPUs this process may use: those it can see, those it is bound to, and those its containers pay for.

A container with a quota of two CPUs on a machine with 64 sees all 64; threads beyond the quota are stopped for most of
the time, and the others wait for them. Needs neither torch nor network.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

__all__ = ["Cpus", "count_cpus", "read_quota"]


@dataclass(frozen=True, slots=True)
class Cpus:
    """The CPUs of a process.

    Attributes:
        visible: Logical CPUs of the machine.
        affinity: Those on which the process may run (``sched_setaffinity``, ``taskset``, cpusets).
        quota: CPU seconds per second that control groups allow, or ``None`` for no limit.
    """

    visible: int
    affinity: int
    quota: float | None

    @property
    def usable(self) -> int:
        """Threads that can run at the same time, at least 1.

        Example:
            >>> Cpus(visible=64, affinity=8, quota=2.5).usable
            2
        """
        whole = self.affinity if self.quota is None else min(self.affinity, math.floor(self.quota))
        return max(1, whole)


def count_cpus() -> Cpus:
    """Counts the CPUs of this process."""
    visible = os.cpu_count() or 1
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else visible
    return Cpus(visible, bound, read_quota())


def read_quota(root: Path = Path("/")) -> float | None:
    """Reads how many CPUs the control groups of this process allow; the narrowest group counts.

    Version 2 of control groups keeps the limit in ``cpu.max`` (``150000 100000`` for 1.5 CPUs, ``max 100000`` for no
    limit), version 1 in ``cpu.cfs_quota_us`` (-1 for no limit) and ``cpu.cfs_period_us``. A group is limited by all
    groups around it. What cannot be read is no limit.

    Args:
        root: Where ``proc`` and ``sys`` are.

    Returns:
        CPUs, or ``None`` for no limit.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return None
    base = root / "sys/fs/cgroup"
    found = []
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if number == "0" and not controllers:
            found += [_read_max(folder / "cpu.max") for top in (base, base / "unified") for folder in _up(top, group)]
        elif "cpu" in controllers.split(","):
            found += [_read_v1(folder) for top in (base / controllers, base / "cpu") for folder in _up(top, group)]
    return min((limit for limit in found if limit is not None), default=None)


def _up(top: Path, group: str) -> Iterator[Path]:
    """Yields the folder of a group and of all groups around it. A container may see them from its own on."""
    parts = [part for part in PurePosixPath(group).parts if part not in ("/", "..")]
    for count in range(len(parts), -1, -1):
        yield top.joinpath(*parts[:count])


def _read_max(path: Path) -> float | None:
    try:
        quota, period = path.read_text("utf-8").split()
    except (OSError, ValueError):
        return None
    return _ratio(quota, period)


def _read_v1(folder: Path) -> float | None:
    try:
        return _ratio(
            (folder / "cpu.cfs_quota_us").read_text("utf-8"), (folder / "cpu.cfs_period_us").read_text("utf-8")
        )
    except (OSError, ValueError):
        return None


def _ratio(quota: str, period: str) -> float | None:
    if not (quota.strip().isdecimal() and period.strip().isdecimal()):  # "max", or -1
        return None
    return int(quota) / int(period) if int(quota) > 0 and int(period) > 0 else None
