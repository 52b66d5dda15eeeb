"""A climb in a process of its own that may be killed; every call leaves a byte in a file before it is answered."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import promptkit as pk
from tests.support.simulation import answer, climb, make_data


class Counting(pk.ScriptedBackend):
    """Counts requests in the file ``calls``, and notes in ``started`` how many there were before the running call."""

    def __init__(self, folder: Path, pause: float) -> None:
        super().__init__(self._script, name="sums")
        self.folder, self.pause = folder, pause
        self.counter = os.open(folder / "calls", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def _script(self, request: pk.Request, index: int) -> str:
        os.write(self.counter, b".")
        time.sleep(self.pause)
        return answer(request, index)

    def generate(self, requests, *, progress=None):  # type: ignore[no-untyped-def]
        """Notes where the call begins."""
        (self.folder / "started.new").write_text(str(os.fstat(self.counter).st_size))
        os.replace(self.folder / "started.new", self.folder / "started")
        return super().generate(requests, progress=progress)


if __name__ == "__main__":
    run, backend = Path(sys.argv[1]), Counting(Path(sys.argv[1]), float(sys.argv[2]))
    climb(0.3, 0.4, 0.8, data=make_data(train=20, dev=100, test=60), backend=backend, folder=run / "run", block=10)
