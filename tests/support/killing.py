"""A program that kills its own children while they save or train, and reports what it found as JSON.

Children are forked, as starting Python and torch anew for every kill would take hours. The program itself never
computes a gradient, which no child could do after it.

Example:
    python -m tests.support.killing saving FOLDER 200
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from promptkit.training.checkpoints import Checkpoints, State

RUN = {"base model": "b", "data": "d", "settings": "s"}


class Child:
    """A forked process that writes lines."""

    def __init__(self, work: Callable[[Callable[[str], None]], None]) -> None:
        read, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.close(read)
                work(lambda line: os.write(write, f"{line}\n".encode()) and None)
                code = 0
            finally:
                os._exit(code)
        os.close(write)
        self.lines = os.fdopen(read)

    def first(self) -> str:
        return self.lines.readline().strip()

    def kill(self) -> list[str]:
        os.kill(self.pid, signal.SIGKILL)
        return self.end()[0]

    def end(self) -> tuple[list[str], int]:
        text = self.lines.read()
        whole = text[: text.rfind("\n") + 1].splitlines()
        self.lines.close()
        return whole, os.waitpid(self.pid, 0)[1]


def saving(folder: Path, kills: int) -> dict[str, object]:
    """Kills a process that saves one checkpoint after the other."""
    draw, late, cut_off = random.Random(4), 0, 0
    store = Checkpoints(folder, RUN)

    def work(tell: Callable[[str], None]) -> None:
        state = store.newest()
        step = 0 if state is None else int(state.numbers["step"])
        tell("ready")
        while True:
            step += 1
            store.save(
                step, State({"step": step}, {"a": torch.full((20_000,), float(step)), "b": torch.tensor([step])})
            )
            tell(str(step))

    began = time.monotonic()
    for step in (1, 2, 3):
        store.save(step, State({"step": step}, {"a": torch.full((20_000,), float(step)), "b": torch.tensor([step])}))
    acknowledged, usual = 3, (time.monotonic() - began) / 3
    for _ in range(kills):
        child = Child(work)
        assert child.first() == "ready"
        time.sleep(draw.random() * 4 * usual)
        acknowledged = max([acknowledged, *map(int, child.kill())])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            state = store.newest()
        cut_off += bool(caught)
        found = 0 if state is None else int(state.numbers["step"])
        assert found in (acknowledged, acknowledged + 1), (found, acknowledged)
        if state is not None:
            assert set(state.tensors["a"].tolist()) == {float(found)} == {float(state.tensors["b"])}
        late += found == acknowledged + 1
        acknowledged = found
    return {"saved": acknowledged, "cut off": cut_off, "saved but not told": late}


def training(model: str, folder: Path, kills: int) -> dict[str, object]:
    """Kills a process that trains, until that many kills are done and a run has come to its end after them."""
    import peft  # noqa: F401  # before the fork, so that children need not import it

    from promptkit.backends.local.backend import LocalBackend
    from promptkit.training import LoraSpec, Pair, SoftSpec, TrainingConfig, train
    from promptkit.types import Prompt

    torch.set_num_threads(1)
    backend = LocalBackend(model, device="cpu")
    pairs = [Pair(Prompt(text=f"Number {n}" + " and so on" * (n % 7)), f" is {n % 3}") for n in range(26)]
    spec = TrainingConfig(epochs=8, batch_size=4, checkpoint_every=3, patience=None, precision="float32")

    def work(where: Path | None) -> Callable[[Callable[[str], None]], None]:
        def run(tell: Callable[[str], None]) -> None:
            warnings.simplefilter("ignore")
            tell("ready")
            done = train(
                backend,
                pairs[:20],
                pairs[20:],
                spec,
                lora=LoraSpec(rank=2, dropout=0.2, learning_rate=5e-3),
                soft=SoftSpec(tokens=3),
                seed=0,
                checkpoint=where,
                progress=lambda step, *_: tell(str(step)),
            )
            assert done.lora is not None and done.soft_prompt is not None
            prints = [done.lora.fingerprint, done.soft_prompt.fingerprint]
            tell(json.dumps([done.log.loss[-1][1], done.log.dev[-1][1], *prints]))

        return run

    began = time.monotonic()
    wanted = json.loads(Child(work(None)).end()[0][-1])
    usual = time.monotonic() - began
    draw, done, steps, ends = random.Random(9), 0, 0, []
    while done < kills or not ends:
        child = Child(work(folder / f"run-{len(ends)}"))
        told: list[str] = []
        if done < kills:
            # Lives are long enough for some steps and a save or two, and much shorter than a run.
            select.select([child.lines], [], [], 60)
            time.sleep(draw.random() * usual / 2)
            told = child.kill()
            done += not (told and told[-1].startswith("["))
        else:
            told = child.end()[0]
        steps += sum(line.isdigit() for line in told)
        if told and told[-1].startswith("["):
            ends.append(json.loads(told[-1]))
    return {"kills": done, "steps": steps, "wanted": wanted, "found": ends}


if __name__ == "__main__":
    if sys.argv[1] == "saving":
        print(json.dumps(saving(Path(sys.argv[2]), int(sys.argv[3]))))
    else:
        print(json.dumps(training(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))))
