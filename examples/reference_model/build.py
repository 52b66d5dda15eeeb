"""Rebuilds the reference model from nothing: text, tokenizer, two phases of training, export, evaluation.

Run ``python examples/reference_model/build.py``; a run that was cut off continues where it stopped. Phase one trains
on windows of 512 tokens, phase two on windows of 1,024 while the learning rate decays, because short windows are a
quarter faster and the long ones need only be learnt at the end.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODEL = HERE.parents[1] / "promptkit" / "models" / "reference"


def run(script: str, *arguments: object) -> None:
    """Runs a script of this folder; its failure ends the build."""
    subprocess.run([sys.executable, str(HERE / script), *map(str, arguments)], check=True)


def train(work: Path, phase: int, context: int, batch: int, minutes: float) -> None:
    """Trains until ``minutes`` of training time have been spent in all phases so far."""
    done = work / f"phase-{phase}.done"
    if done.exists():
        return
    run(
        "train.py", "--tokens", work / "tokens.bin", "--mask", work / "mask.bin", "--tokenizer", work / "tokenizer",
        "--out", work / "run", "--layers", 6, "--context", context, "--batch", batch, "--micro-batch", batch // 2,
        "--minutes", minutes, "--decay", 0.4 if phase == 2 else 1e-6, "--resume",
    )  # fmt: skip
    done.touch()


def install(work: Path, target: Path) -> None:
    """Copies the trained model and its tokenizer to where ``LocalBackend("reference")`` finds them."""
    target.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        shutil.copy(work / "run" / "export" / name, target / name)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (work / "tokenizer" / name).exists():
            shutil.copy(work / "tokenizer" / name, target / name)
    # The model knows the chat form, but most of its training text was plain.
    (target / "promptkit.json").write_text(json.dumps({"form": "completion"}) + "\n", encoding="utf-8")


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=HERE.parents[1] / "runs" / "reference")
    parser.add_argument("--minutes", type=float, default=110.0, help="training time in all")
    parser.add_argument("--tokens", type=float, default=90e6, help="tokens of training text")
    parser.add_argument("--out", type=Path, default=MODEL)
    args = parser.parse_args()
    if not (args.work / "text.done").exists():
        run("build_text.py", "--out", args.work, "--tokens", args.tokens)
        (args.work / "text.done").touch()
    train(args.work, 1, 512, 16, 0.65 * args.minutes)
    train(args.work, 2, 1024, 8, args.minutes)
    install(args.work, args.out)
    run("evaluate.py", args.out, "--json", args.out / "abilities.json")


if __name__ == "__main__":
    main()
