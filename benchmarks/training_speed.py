"""Training of LoRA and of a soft prompt: promptkit against transformers' Trainer with PEFT, in CPU seconds.

A llama of about 29 million random weights with a vocabulary of 32,000, in float32 on one thread. Prompts have 60 to 250
tokens, half of them under 100 (lengths of texts are skewed), and answers 4 to 12, as in classification, extraction and
short questions. With long answers the advantage fades, since most of it comes from computing logits at answers only.
Trainer runs twice: with dynamic padding, and with every batch padded to 512 tokens as in many tutorials.

All sides learn the same numbers from the same start, by the same optimiser, from the same batches in the same order:
promptkit's, whose grouping by length spares Trainer padding that it would have by itself. So the losses of every step
must be equal, and what is compared is time alone. Sides take turns; the median of the ratios counts. Exits with 1 if
losses differ, or the advantage is below 2.0 times (dynamic padding) or 7 times (padded to 512).
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import peft as untyped_peft
import torch
import transformers as untyped
from tokenizers import Tokenizer, models, pre_tokenizers

from promptkit.backends.local.backend import LocalBackend
from promptkit.training import LoraSpec, Pair, SoftSpec, TrainingConfig, train
from promptkit.training.dataset import Item, encode, order
from promptkit.training.soft_prompt import build_soft
from promptkit.training.trainer import draw_seed
from promptkit.types import Prompt

transformers: Any = untyped  # their own annotations are partial
peft: Any = untyped_peft
RATE, SOFT_RATE = 1e-3, 0.05
TARGETS = {"dynamic": 2.0, "512": 7.0}
VOCABULARY, CONTEXT, BATCH, TOKENS, SEED = 32_000, 512, 8, 20, 0
SPEC = TrainingConfig(epochs=1, batch_size=BATCH, precision="float32", schedule="constant", warmup=0.0, clip=1e3)


def build(folder: Path) -> None:
    """Saves a random model and a tokenizer of 32,000 words."""
    vocabulary = {"<pad>": 0, **{f"w{number}": number for number in range(1, VOCABULARY)}}
    rust = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    rust.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=rust, pad_token="<pad>", unk_token="<pad>")
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=512,
        intermediate_size=1376,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=None,
    )
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_pairs(count: int) -> list[Pair]:
    """Writes prompts of random words, each with one of four answers."""
    draw = random.Random(1)
    answers = [" ".join(f"w{draw.randrange(1, 2000)}" for _ in range(size)) for size in (4, 6, 9, 12)]
    pairs = []
    for _ in range(count):
        kind = draw.randrange(4)
        size = min(max(int(draw.lognormvariate(math.log(100), 0.4)), 60), 250)
        words = [f"w{draw.randrange(1, VOCABULARY)}" for _ in range(size - 1)]
        pairs.append(Pair(Prompt(text=" ".join([f"w{kind + 1}", *words])), " " + answers[kind]))
    return pairs


class Padded:
    """Collates rows for Trainer, padded on the right.

    Args:
        width: The width of every batch, or ``None`` for that of its longest row.
    """

    def __init__(self, width: int | None) -> None:
        self._width = width

    def __call__(self, rows: Sequence[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        """Returns a batch."""
        width = self._width or max(len(row["input_ids"]) for row in rows)

        def pad(name: str, value: int) -> torch.Tensor:
            return torch.tensor([row[name] + [value] * (width - len(row[name])) for row in rows])

        real = torch.tensor([[1] * len(row["input_ids"]) + [0] * (width - len(row["input_ids"])) for row in rows])
        return {"input_ids": pad("input_ids", 0), "labels": pad("labels", -100), "attention_mask": real}


def wrapped(folder: Path, start: np.ndarray[Any, Any] | None) -> Any:
    """The model with what PEFT trains on it: a soft prompt if a start is given, else LoRA as ours starts it."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    if start is None:
        torch.manual_seed(draw_seed(SEED, "start"))
        names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        config = peft.LoraConfig(r=8, lora_alpha=16, target_modules=names, task_type="CAUSAL_LM")
        return peft.get_peft_model(model, config)
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=TOKENS, prompt_tuning_init="RANDOM")
    soft = peft.get_peft_model(model, config)
    soft.prompt_encoder["default"].embedding.weight.data = torch.from_numpy(start.copy())
    return soft


def trainer_of(model: Any, items: Sequence[Item], width: int | None, spread: float | None, folder: Path) -> Any:
    """A Trainer that takes the items in their order; ``spread`` is that of the embeddings for a soft prompt."""
    rate = RATE if spread is None else SOFT_RATE * spread
    rows = [
        {"input_ids": [*item.prompt, *item.answer], "labels": [-100] * len(item.prompt) + [*item.answer]}
        for item in items
    ]
    arguments = transformers.TrainingArguments(
        output_dir=str(folder / "trainer"),
        per_device_train_batch_size=BATCH,
        num_train_epochs=1,
        learning_rate=rate,
        lr_scheduler_type="constant",
        weight_decay=SPEC.weight_decay if spread is None else 0.0,
        adam_epsilon=1e-8 if spread is None else 1e-12 / spread,  # gradients of vectors are so small that it counts
        max_grad_norm=SPEC.clip,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        train_sampling_strategy="sequential",
    )
    trainer = transformers.Trainer(model=model, args=arguments, train_dataset=rows, data_collator=Padded(width))
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Returns the CPU seconds of all threads, and the result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


class Comparison:
    """One kind of training on all sides.

    Args:
        name: "LoRA" or "soft prompt".
        folder: The model's folder.
        pairs: What is learned from.
    """

    def __init__(self, name: str, folder: Path, pairs: Sequence[Pair]) -> None:
        self.name = name
        self._folder = folder
        self._pairs = pairs
        self._backend = LocalBackend(folder, device="cpu")
        self._backend.fingerprint()  # hashes the model's file, once for all that a backend ever does
        items = encode(self._backend, pairs, of="pairs", before=0)
        self._items = [items[number] for step in order(items, BATCH, SEED, 0) for number in step]
        self.tokens = sum(item.length for item in items)
        self._start = self._spread = None
        if name == "soft prompt":
            soft = build_soft(SoftSpec(tokens=TOKENS), self._backend.model, seq2seq=False)
            self._start, self._spread = soft().detach().numpy().copy(), float(soft.spread)

    def ours(self) -> tuple[float, list[float]]:
        """Trains with promptkit; returns CPU seconds and the loss of every step."""
        lora = LoraSpec(rank=8, alpha=16, learning_rate=RATE) if self._start is None else None
        soft = None if self._start is None else SoftSpec(tokens=TOKENS, start=self._start, learning_rate=SOFT_RATE)
        seconds, done = timed(lambda: train(self._backend, self._pairs, (), SPEC, lora=lora, soft=soft, seed=SEED))
        return seconds, [loss for _, loss in done.log.loss]

    def theirs(self, width: int | None) -> tuple[float, list[float]]:
        """Trains with Trainer; building it and the model is not counted."""
        model = wrapped(self._folder, self._start)
        trainer = trainer_of(model, self._items, width, self._spread, self._folder)
        seconds, _ = timed(trainer.train)
        return seconds, [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]

    def run(self, padding: str, repeats: int) -> bool:
        """Lets both sides take turns, prints the comparison, and tells whether it is as it should be."""
        width = CONTEXT - (TOKENS if self._start is not None else 0) if padding == "512" else None
        ratios, mine, other = [], [], []
        apart, losses, their_losses = 0.0, [0.0], [0.0]
        for turn in range(repeats):
            if turn % 2:
                (our_time, losses), (their_time, their_losses) = self.ours(), self.theirs(width)
            else:
                (their_time, their_losses), (our_time, losses) = self.theirs(width), self.ours()
            ratios.append(their_time / our_time)
            mine.append(self.tokens / our_time)
            other.append(self.tokens / their_time)
            apart = max(apart, *(abs(a - b) for a, b in zip(losses, their_losses, strict=True)))
        ratio = statistics.median(ratios)
        speeds = f"{statistics.median(other):8.0f} {statistics.median(mine):8.0f}"
        print(
            f"{self.name:<12} {padding:<8} {speeds} {ratio:7.2f}x "
            f"({min(ratios):.2f} to {max(ratios):.2f})  last loss {their_losses[-1]:.4f} and {losses[-1]:.4f}, largest "
            f"difference of a step {apart:.1e}",
            flush=True,
        )
        return ratio >= TARGETS[padding] and apart < 1e-4


def main() -> int:
    """Runs the comparisons.

    Returns:
        0 if losses were equal and the targets were met, else 1.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="turns of each side; the median counts")
    parser.add_argument("--repeats-512", type=int, default=3, help="the same for batches padded to 512")
    parser.add_argument("--kinds", nargs="+", default=["LoRA", "soft prompt"], help="what is trained")
    parser.add_argument("--pairs", type=int, default=48, help="pairs of a run; 8 make a step")
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    print(f"{'one thread':<12} {'padding':<8} {'Trainer':>8} {'ours':>8}   tokens per CPU second")
    good = True
    with tempfile.TemporaryDirectory() as name:
        build(Path(name))
        for kind in options.kinds:
            Comparison(kind, Path(name), make_pairs(BATCH)).ours()  # imports and first allocations
            comparison = Comparison(kind, Path(name), make_pairs(options.pairs))
            good = comparison.run("dynamic", options.repeats) and good
            good = comparison.run("512", options.repeats_512) and good
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
