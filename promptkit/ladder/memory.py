"""The highest memory of this process, as far as the system tells."""

from __future__ import annotations

import contextlib
import re
import sys
from pathlib import Path

__all__ = ["peak_memory", "start_measuring"]


def start_measuring() -> None:
    """Sets the mark back, where the system can (Linux); elsewhere it is the highest since the process began."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory() -> int:
    """Returns the highest resident memory in bytes, or 0 where nobody knows.

    Example:
        >>> peak_memory() >= 0
        True
    """
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
        if found:
            return 1024 * int(found[1])
    try:
        import resource
    except ImportError:  # Windows
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most) * (1 if sys.platform == "darwin" else 1024)
