"""Few-shot evaluation: LocalBackend against transformers' own pipeline, in CPU seconds.

Two workloads on a llama of about 31 million random weights, in float32 on one thread:

1. Greedy few-shot evaluation: 8 demonstrations of about 1,000 tokens that all prompts share, 32 questions of about 50
   tokens, 32 new tokens each, against ``pipeline("text-generation", batch_size=8)``. All generated tokens must be equal
   to those of the pipeline.
2. Sampling: 20 samples of one prompt of 450 tokens, against ``generate(num_return_sequences=20)``.

Both sides take turns and the median of the ratios counts. CPU seconds of the process do not suffer from other
processes' share of the cores, though they do from a shared cache. Exits with 1 if tokens differ or the first workload
is less than 1.8 times as fast.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as untyped
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from promptkit.backends.local.backend import LocalBackend
from promptkit.types import Prompt, Request, Sampling

transformers: Any = untyped  # its own annotations are partial
TARGET = 1.8
SHOT_TOKENS, OWN_TOKENS, QUESTIONS, NEW_TOKENS = 1000, 50, 32, 32
SAMPLES, SAMPLE_PROMPT = 20, 450
VOCABULARY = 4096


def words(count: int, seed: int) -> str:
    """Writes made-up words."""
    draw = random.Random(seed)
    syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
    return " ".join("".join(draw.choices(syllables, k=draw.randint(1, 3))) for _ in range(count))


def build(folder: Path) -> None:
    """Saves a random model and a byte-level BPE tokenizer trained on made-up words."""
    rust = Tokenizer(models.BPE())
    rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    rust.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    rust.train_from_iterator([words(60_000, 1)], trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=rust, pad_token="<pad>", padding_side="left")
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=512,
        intermediate_size=1408,
        num_hidden_layers=9,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=2048,
        initializer_range=0.06,  # with smaller weights the best tokens lie so near that rounding decides
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=None,  # every completion has its full length
    )
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def text_of(tokenizer: Any, tokens: int, seed: int) -> str:
    """Writes text of exactly so many tokens."""
    ids = tokenizer(words(tokens, seed))["input_ids"][:tokens]
    text: str = tokenizer.decode(ids)
    return text


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Returns the CPU seconds of all threads, and the result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def compare(name: str, ours: Callable[[], Any], theirs: Callable[[], Any], repeats: int) -> tuple[float, Any, Any]:
    """Lets both sides take turns; prints and returns the median ratio and the last results."""
    ratios, our_times, their_times = [], [], []
    mine: Any = None
    other: Any = None
    for turn in range(repeats):
        if turn % 2:
            our_time, mine = timed(ours)
            their_time, other = timed(theirs)
        else:
            their_time, other = timed(theirs)
            our_time, mine = timed(ours)
        our_times.append(our_time)
        their_times.append(their_time)
        ratios.append(their_time / our_time)
    ratio = statistics.median(ratios)
    print(
        f"{name:<34} {statistics.median(their_times):9.2f} {statistics.median(our_times):9.2f} {ratio:7.2f}x  "
        f"({min(ratios):.2f} to {max(ratios):.2f})",
        flush=True,
    )
    return ratio, mine, other


def evaluation(folder: Path, batch_size: int, repeats: int) -> tuple[float, bool]:
    """Compares greedy few-shot evaluation; returns the ratio and whether all tokens were equal."""
    backend = LocalBackend(folder, device="cpu", batch_size=batch_size)
    tokenizer = backend.tokenizer
    shots = text_of(tokenizer, SHOT_TOKENS, 2)
    prompts = [f"{shots}\n\n{text_of(tokenizer, OWN_TOKENS - 5 + n % 11, 100 + n)}" for n in range(QUESTIONS)]
    pipeline = transformers.pipeline(
        "text-generation", model=str(folder), tokenizer=tokenizer, dtype=torch.float32, device="cpu"
    )
    requests = [Request(Prompt(text=text), Sampling(max_new_tokens=NEW_TOKENS)) for text in prompts]

    def theirs() -> list[str]:
        outputs = pipeline(
            prompts,
            batch_size=8,
            generation_config=transformers.GenerationConfig(
                max_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=0, eos_token_id=None
            ),
            return_tensors=True,
        )
        return [tokenizer.decode(output[0]["generated_token_ids"][-NEW_TOKENS:]) for output in outputs]

    def ours() -> list[str]:
        return [reply.completions[0].text for reply in backend.generate(requests)]

    ratio, mine, other = compare(f"few-shot evaluation, batch {batch_size}", ours, theirs, repeats)
    return ratio, mine == other


def sampling(folder: Path, repeats: int) -> float:
    """Compares many samples of one prompt; returns the ratio."""
    backend = LocalBackend(folder, device="cpu")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    text = text_of(backend.tokenizer, SAMPLE_PROMPT, 3)
    inputs = backend.tokenizer(text, return_tensors="pt")
    inputs.pop("token_type_ids", None)
    request = Request(
        Prompt(text=text), Sampling(max_new_tokens=NEW_TOKENS, temperature=1.0), samples=tuple(range(SAMPLES))
    )

    def theirs() -> Any:
        return model.generate(
            **inputs, do_sample=True, top_k=0, num_return_sequences=SAMPLES, max_new_tokens=NEW_TOKENS, pad_token_id=0
        )

    return compare(f"{SAMPLES} samples of one prompt", lambda: backend.generate([request]), theirs, repeats)[0]


def main() -> int:
    """Runs the comparisons that were asked for.

    Returns:
        0 if the tokens were equal and the target was met, else 1.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="turns of each side; the median counts")
    parser.add_argument("--batch-size", type=int, nargs="+", default=[8], help="batch sizes of LocalBackend")
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    print(f"{'CPU seconds, one thread':<34} {'theirs':>9} {'ours':>9} {'ratio':>8}  (range)")
    good = True
    with tempfile.TemporaryDirectory() as name:
        build(Path(name))
        for batch_size in options.batch_size:
            ratio, equal = evaluation(Path(name), batch_size, options.repeats)
            good = good and equal and ratio >= TARGET
            print(f"  generated tokens {'equal' if equal else 'DIFFER'}, wanted at least {TARGET}x", flush=True)
        sampling(Path(name), options.repeats)
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
