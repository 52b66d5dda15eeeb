from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptkit.backends.local import machine
from promptkit.backends.local.machine import Cpus, count_cpus, read_quota


def plant(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


V1 = "4:memory:/x\n3:cpuset:/\n2:cpu,cpuacct:{group}\n0::/\n"
SYS = "sys/fs/cgroup"


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/\n"}, None),
        ({"proc/self/cgroup": "0::/\n", f"{SYS}/cpu.max": "150000 100000\n"}, 1.5),
        ({"proc/self/cgroup": "0::/\n", f"{SYS}/cpu.max": "max 100000\n"}, None),
        # The narrowest of the groups around a process counts.
        (
            {
                "proc/self/cgroup": "0::/pod/box\n",
                f"{SYS}/pod/box/cpu.max": "max 100000\n",
                f"{SYS}/pod/cpu.max": "200000 50000\n",
                f"{SYS}/cpu.max": "800000 100000\n",
            },
            4.0,
        ),
        # A container that sees its own group as the root, though the kernel names it from outside.
        ({"proc/self/cgroup": "0::/docker/1f\n", f"{SYS}/cpu.max": "50000 100000\n"}, 0.5),
        ({"proc/self/cgroup": "0::/../../box\n", f"{SYS}/box/cpu.max": "300000 100000\n"}, 3.0),
        ({"proc/self/cgroup": "0::/\n", f"{SYS}/unified/cpu.max": "200000 100000\n"}, 2.0),
        (
            {
                "proc/self/cgroup": V1.format(group="/box"),
                f"{SYS}/cpu,cpuacct/box/cpu.cfs_quota_us": "250000\n",
                f"{SYS}/cpu,cpuacct/box/cpu.cfs_period_us": "100000\n",
            },
            2.5,
        ),
        (
            {
                "proc/self/cgroup": V1.format(group="/"),
                f"{SYS}/cpu/cpu.cfs_quota_us": "-1\n",
                f"{SYS}/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
        ({"proc/self/cgroup": "0::/\n", f"{SYS}/cpu.max": "nonsense"}, None),
        ({"proc/self/cgroup": "0::/\n", f"{SYS}/cpu.max": "100000 0"}, None),
        # A group of memory alone says nothing of CPUs.
        ({"proc/self/cgroup": "4:memory:/x\n", f"{SYS}/cpu/cpu.cfs_quota_us": "100000\n"}, None),
    ],
)
def test_the_quota_is_that_of_the_narrowest_group(tmp_path: Path, files: dict[str, str], quota: float | None) -> None:
    assert read_quota(plant(tmp_path, files)) == quota


@given(
    st.integers(1, 256), st.integers(1, 256), st.none() | st.floats(0.01, 300, allow_nan=False, allow_infinity=False)
)
def test_usable_cpus_are_never_more_than_any_limit(visible: int, affinity: int, quota: float | None) -> None:
    usable = Cpus(visible, affinity, quota).usable
    assert 1 <= usable <= affinity
    assert quota is None or usable == 1 or usable <= quota


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system binds no process to CPUs")
def test_affinity_is_that_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "read_quota", lambda: None)
    before = os.sched_getaffinity(0)
    assert count_cpus().affinity == len(before)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert (count_cpus().affinity, count_cpus().usable) == (1, 1)
    finally:
        os.sched_setaffinity(0, before)
