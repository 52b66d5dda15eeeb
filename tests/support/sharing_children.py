"""A program for tests of the cache: forked processes ask one model the same questions at once.

``python -m tests.support.sharing_children FOLDER PROCESSES QUESTIONS KILLS``: so many of the processes are killed while they ask.

Prints how often the model was asked for each question as JSON. Killed ones may have asked once each for what they did
not live to store.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

from promptkit import CachedBackend, Prompt, Request, ScriptedBackend


def work(folder: Path, name: int, questions: int, start: float) -> None:
    log = os.open(folder / "calls", os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def answer(request: Request, index: int) -> str:
        time.sleep(0.005)
        os.write(log, f"{request.prompt.text} {name}\n".encode())
        return f" answer of {request.prompt.text}"

    requests = [Request(Prompt(text=f"question-{number}")) for number in range(questions)]
    random.Random(name).shuffle(requests)
    time.sleep(max(0.0, start - time.time()))
    with CachedBackend(ScriptedBackend(answer), folder / "answers.sqlite") as backend:
        replies = backend.generate(requests)
    for request, reply in zip(requests, replies, strict=True):
        assert reply.completions[0].text == f" answer of {request.prompt.text}"
    assert backend.stats.hits + backend.stats.misses == questions


def child(folder: Path, name: int, questions: int, start: float) -> int:
    number = os.fork()
    if number:
        return number
    try:
        warnings.simplefilter("error")
        work(folder, name, questions, start)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def main(folder: Path, processes: int, questions: int, kills: int) -> None:
    start, how = time.time() + 0.2 + 0.02 * processes, random.Random(kills)
    running = {child(folder, name, questions, start): name for name in range(processes)}
    killed: set[int] = set()
    while len(killed) < kills:
        time.sleep(how.uniform(0.05, 0.3))
        lines = (folder / "calls").read_text().splitlines() if (folder / "calls").exists() else []
        if not lines:
            continue
        asking = int(lines[-1].split()[1])  # the one that others wait for
        (victim,) = (pid for pid, name in running.items() if name == asking)
        if victim in killed:
            continue
        os.kill(victim, signal.SIGKILL)
        killed.add(victim)
    codes = {pid: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in running}
    assert all(code == (-signal.SIGKILL if pid in killed else 0) for pid, code in codes.items()), codes
    calls = Counter(line.split()[0] for line in (folder / "calls").read_text().splitlines())
    print(json.dumps({"calls": sum(calls.values()), "questions": len(calls), "killed": len(killed)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
