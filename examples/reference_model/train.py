"""Trains a small llama-architecture model from scratch on packed tokens.

Example:
    python examples/reference_model/train.py --tokens tokens.bin --out run --minutes 90
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch
from model import Llama, ModelConfig
from model_io import export, load_exported, read_special_tokens
from muon import Muon
from windows import Windows

CONTROL_EVERY = 20


class Trainer:
    """Holds the state of one run: model, optimisers, position and clock."""

    def __init__(self, args: argparse.Namespace) -> None:
        """Builds everything that the arguments describe."""
        self.args = args
        torch.manual_seed(args.seed)
        self.data = Windows(args.tokens, args.mask, args.context, args.seed)
        vocab, self.special = read_special_tokens(args.tokenizer)
        config = ModelConfig(
            vocab_size=args.vocab or vocab or int(self.data.tokens.max()) + 1,
            hidden_size=args.width,
            intermediate_size=args.intermediate,
            num_hidden_layers=args.layers,
            num_attention_heads=args.heads,
            max_position_embeddings=args.context,
            rope_theta=args.rope_theta,
        )
        self.model = Llama(config)
        if args.init:
            load_exported(self.model, args.init)
        if args.compile:
            self.model.compile_parts()
        self.optimizers = self._build_optimizers()
        self.step = self.position = 0
        self.elapsed_before, self.started = 0.0, time.monotonic()
        self.minutes: float | None = args.minutes
        self.stopping = False

    def _build_optimizers(self) -> list[torch.optim.Optimizer]:
        model, args = self.model, self.args
        hidden = [model.attn, model.mlp]
        rest = [model.embed, model.norms, model.final_norm]
        adam: dict[str, Any] = {"lr": args.adam_lr, "betas": (0.9, 0.95), "fused": True}
        plain = torch.optim.AdamW(rest, weight_decay=0.0, **adam)
        if args.optimizer == "adamw":
            return [torch.optim.AdamW(hidden, weight_decay=args.weight_decay, **adam), plain]
        return [Muon(hidden, lr=args.muon_lr, weight_decay=args.weight_decay), plain]

    @property
    def elapsed(self) -> float:
        """Seconds of training, earlier parts of a resumed run included."""
        return self.elapsed_before + time.monotonic() - self.started

    def progress(self) -> float:
        """Fraction of the run that is done: the larger of the clock's and the steps'."""
        by_steps = self.step / self.args.steps if self.args.steps else 0.0
        by_clock = self.elapsed / (60 * self.minutes) if self.minutes else 0.0
        return max(by_steps, by_clock)

    def read_control(self) -> None:
        """Takes a changed deadline from ``control.json``; a broken file is ignored."""
        try:
            minutes = float(json.loads((self.args.out / "control.json").read_text())["minutes"])
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError) as error:
            print(f"control.json ignored: {error!r}", flush=True)
            return
        if minutes > 0 and minutes != self.minutes:
            print(f"deadline: {self.minutes} -> {minutes} minutes", flush=True)
            self.minutes = minutes

    def rate(self) -> float:
        """Multiplier of the learning rates: warm-up, constant, linear decay to zero."""
        warm = min(1.0, (self.step + 1) / max(1, self.args.warmup))
        left = max(0.0, 1 - self.progress())
        return float(warm * min(1.0, left / max(self.args.decay, 1e-9)))

    def train_step(self) -> float:
        """Does one step and returns its mean loss."""
        args = self.args
        tokens, targets, weights = self.data.batch(self.position, args.batch)
        total = weights.sum().clamp(min=1.0)
        loss = 0.0
        parts = [part.split(args.micro_batch) for part in (tokens, targets, weights)]
        for inputs, wanted, mask in zip(*parts, strict=True):
            objective, plain = self.model.loss(inputs, wanted, mask, args.z_loss)
            (objective / total).backward()
            loss += plain.item()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), args.clip)
        rate = self.rate()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group.setdefault("base_lr", group["lr"]) * rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.position += args.batch
        return float(loss / total.item())

    @torch.no_grad()
    def evaluate(self) -> float:
        """Mean loss over held-out windows."""
        loss = count = 0.0
        for tokens, targets, weights in self.data.validation(self.args.micro_batch):
            loss += self.model.loss(tokens, targets, weights)[1].item()
            count += weights.sum().item()
        return loss / max(count, 1.0)

    def save(self) -> None:
        """Writes a checkpoint beside its final name, then moves it; keeps the last two."""
        state = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "position": self.position,
            "elapsed": self.elapsed,
            "rng": torch.get_rng_state(),
        }
        target = self.args.out / f"checkpoint-{self.step:07d}.pt"
        staged = target.with_suffix(".tmp")
        torch.save(state, staged)
        os.replace(staged, target)
        for old in sorted(self.args.out.glob("checkpoint-*.pt"))[:-2]:
            old.unlink()

    def resume(self) -> None:
        """Continues from the newest checkpoint, if there is one."""
        found = sorted(self.args.out.glob("checkpoint-*.pt"))
        if not found:
            return
        state = torch.load(found[-1], weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            bases = [group["lr"] for group in optimizer.param_groups]
            optimizer.load_state_dict(saved)
            for group, base in zip(optimizer.param_groups, bases, strict=True):
                group["base_lr"] = base
        self.step, self.position = state["step"], state["position"]
        self.elapsed_before = state["elapsed"]
        torch.set_rng_state(state["rng"])
        print(f"resumed {found[-1].name} at {self.elapsed_before:.0f} s", flush=True)

    def log(self, record: dict[str, Any]) -> None:
        """Prints a record and appends it to ``log.jsonl``."""
        record = {key: round(v, 5) if isinstance(v, float) else v for key, v in record.items()}
        print("  ".join(f"{key} {value}" for key, value in record.items()), flush=True)
        with (self.args.out / "log.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")

    def export(self) -> None:
        """Writes the transformers folder."""
        difference = export(self.model, self.args.out / "export", self.special)
        print(f"exported; largest logit difference {difference:.1e}", flush=True)

    def run(self) -> None:
        """Trains until the budget is used up or SIGTERM arrives."""
        args, losses, mark = self.args, [], time.monotonic()
        saved = exported = mark
        self.read_control()
        while self.progress() < 1.0 and not self.stopping:
            losses.append(self.train_step())
            if self.step % CONTROL_EVERY == 0:
                self.read_control()
                now, done = time.monotonic(), max(self.progress(), 1e-9)
                speed = len(losses) * args.batch * args.context / (now - mark)
                self.log(
                    {
                        "step": self.step,
                        "loss": sum(losses) / len(losses),
                        "lr": self.optimizers[0].param_groups[0]["lr"],
                        "tokens_per_s": round(speed),
                        "elapsed_s": round(self.elapsed),
                        "eta_s": round(self.elapsed * (1 - done) / done),
                    }
                )
                losses, mark = [], now
            if args.eval_every and self.step % args.eval_every == 0:
                self.log({"step": self.step, "validation_loss": self.evaluate()})
            if time.monotonic() - saved >= 60 * args.checkpoint_minutes:
                self.save()
                saved = time.monotonic()
            if args.export_every and time.monotonic() - exported >= 60 * args.export_every:
                self.export()
                exported = time.monotonic()
        self.save()
        if not self.stopping:
            self.log({"step": self.step, "validation_loss": self.evaluate()})
            self.export()


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--tokens", type=Path, required=True, help="uint16 token file")
    add("--mask", type=Path, help="uint8 loss weights, one per token")
    add("--tokenizer", type=Path, help="tokenizer folder: vocabulary size, special ids")
    add("--vocab", type=int, help="vocabulary size, if not the tokenizer's")
    add("--out", type=Path, required=True, help="folder for checkpoints, log and export")
    add("--steps", type=int, help="stop after this many steps")
    add("--minutes", type=float, help="stop after this much time; control.json may change it")
    add("--init", type=Path, help="start from the weights of this exported folder, with fresh optimisers")
    add("--resume", action="store_true", help="continue from the newest checkpoint in --out")
    add("--width", type=int, default=256)
    add("--layers", type=int, default=8)
    add("--heads", type=int, default=4)
    add("--intermediate", type=int, default=704)
    add("--context", type=int, default=1024)
    add("--rope-theta", type=float, default=10000.0)
    add("--batch", type=int, default=16, help="windows per step")
    add("--micro-batch", type=int, default=4, help="windows per forward pass")
    add("--optimizer", choices=("muon", "adamw"), default="muon")
    add("--muon-lr", type=float, default=5e-3)
    add("--adam-lr", type=float, default=3e-3)
    add("--weight-decay", type=float, default=0.1)
    add("--clip", type=float, default=1.0)
    add("--z-loss", type=float, default=0.0)
    add("--warmup", type=int, default=100, help="warm-up steps")
    add("--decay", type=float, default=0.4, help="final fraction of the run that decays")
    add("--eval-every", type=int, default=200, help="steps; 0 turns it off")
    add("--checkpoint-minutes", type=float, default=5.0)
    add("--export-every", type=float, help="minutes between exports during the run")
    add("--threads", type=int, default=2)
    add("--seed", type=int, default=0)
    add("--no-compile", dest="compile", action="store_false")
    args = parser.parse_args()
    if not args.steps and not args.minutes:
        parser.error("give --steps or --minutes")
    if args.batch % args.micro_batch:
        parser.error("--batch must be a multiple of --micro-batch")
    return args


def keep_freed_memory() -> None:
    """Makes glibc reuse large blocks: returning them to the system costs page faults."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, top_pad, mmap_max = -1, -2, -4
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 2**28)


def main() -> None:
    """Runs the training."""
    args = parse_args()
    keep_freed_memory()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(args)
    if args.resume:
        trainer.resume()

    def stop(*_: object) -> None:
        trainer.stopping = True

    signal.signal(signal.SIGTERM, stop)
    trainer.run()


if __name__ == "__main__":
    main()
