"""LocalBackend computes what the model alone computes, for every architecture and in any company."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from promptkit.backends.local import decoding as local_decode
from promptkit.backends.local import forward as local_runs
from promptkit.backends.local import sampling as local_sampling
from promptkit.backends.local.backend import LocalBackend
from promptkit.backends.local.prefix import common_length
from promptkit.types import Prompt, Request, Sampling, ScoreRequest

SHARED = (
    "Question: Jane has 2 apples. She bought 3 more. How many apples does Jane have now?\nAnswer: The answer is 5.\n\n"
)
MIXED = [
    SHARED + "Question: Jack has 8 pears.\nAnswer:",
    SHARED + "Question: Ask for the terms before you sign anything, and for the fee. How much?\nAnswer:",
    SHARED + "Q:",
    "Review: dull.\nLabel:",
    "什么是苹果?",
]
KINDS = ["gpt2", "llama", "qwen2", "mistral", "gpt_neox", "bloom", "opt", "falcon", "t5"]


@cache
def loaded(folder: Path) -> LocalBackend:
    return LocalBackend(folder, batch_size=4)


@cache
def plain(folder: Path) -> tuple[Any, Any]:
    """Model and tokenizer as transformers alone loads them."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder)
    kind = transformers.AutoModelForSeq2SeqLM if config.is_encoder_decoder else transformers.AutoModelForCausalLM
    return kind.from_pretrained(folder, dtype=torch.float32).eval(), transformers.AutoTokenizer.from_pretrained(folder)


def plain_generate(folder: Path, text: str, new: int) -> list[int]:
    model, tokenizer = plain(folder)
    inputs = tokenizer(text, return_tensors="pt")
    inputs.pop("token_type_ids", None)
    with torch.no_grad():
        out = model.generate(**inputs, do_sample=False, max_new_tokens=new, num_beams=1)[0].tolist()
    return out[1:] if model.config.is_encoder_decoder else out[inputs["input_ids"].shape[1] :]


def ask(text: str, samples: tuple[int, ...] = (0,), seed: int = 0, **sampling: Any) -> Request:
    return Request(Prompt(text=text), Sampling(**({"max_new_tokens": 12} | sampling)), seed, samples)


@pytest.fixture
def tokens_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[LocalBackend, list[Request]], list[list[int]]]:
    """A function that runs requests and returns the tokens of each first sample: text could hide a difference."""
    original = local_decode._completed

    def run(backend: LocalBackend, requests: list[Request]) -> list[list[int]]:
        seen: dict[tuple[Any, ...], list[int]] = {}

        def spy(item: Any, codec: Any, eos: Any) -> Any:
            done = original(item, codec, eos)
            if done is not None:
                seen[(item.row.prompt, item.row.seed, item.row.index)] = list(item.tokens)
            return done

        monkeypatch.setattr(local_decode, "_completed", spy)
        backend.generate(requests)
        monkeypatch.setattr(local_decode, "_completed", original)
        greedy = requests[0].sampling.temperature == 0
        return [
            seen[(tuple(backend._codec.prompt_ids(r.prompt)), *((0, 0) if greedy else (r.seed, r.samples[0])))]
            for r in requests
        ]

    return run


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_equals_plain_generate(tiny: Callable[..., Path], kind: str, tokens_of: Any) -> None:
    folder = tiny(kind)
    got = tokens_of(loaded(folder), [ask(text) for text in MIXED])
    assert got == [plain_generate(folder, text, 12) for text in MIXED]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("t5", "mistral")])
def test_greedy_with_a_shared_prefix_equals_plain_generate(
    tiny: Callable[..., Path], kind: str, tokens_of: Any
) -> None:
    folder, backend = tiny(kind), loaded(tiny(kind))
    requests = [ask(text, max_new_tokens=new) for text, new in zip(MIXED[:3], (12, 5, 9), strict=True)]
    want = [plain_generate(folder, r.prompt.text or "", r.sampling.max_new_tokens) for r in requests]
    assert tokens_of(backend, requests) == want
    ids = [backend._codec.prompt_ids(request.prompt) for request in requests]
    shared = min(common_length(ids[0], ids[1]), common_length(ids[0], ids[2]))
    cached = [reply.usage.cached_tokens for reply in backend.generate(requests)]
    assert sorted(cached) == [0, shared, shared]


def test_the_test_above_would_see_a_wrong_position(
    tiny: Callable[..., Path], tokens_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = local_runs.CausalRun.start

    def restart(self: Any, prompts: Any) -> Any:
        logits = begin(self, prompts)
        self._length = self._length - 1
        return logits

    monkeypatch.setattr(local_runs.CausalRun, "start", restart)
    folder = tiny("llama")
    got = tokens_of(loaded(folder), [ask(text) for text in MIXED[:3]])
    assert got != [plain_generate(folder, text, 12) for text in MIXED[:3]]


@pytest.mark.parametrize("kind", ["llama", "bloom", "t5", "mistral"])
def test_a_sample_does_not_depend_on_its_batch(tiny: Callable[..., Path], kind: str) -> None:
    backend = loaded(tiny(kind))
    heat: dict[str, Any] = {"temperature": 0.8, "top_p": 0.95}
    requests = [ask(text, samples=(0, 1, 2), seed=5, **heat) for text in MIXED]
    requests += [ask(MIXED[0], max_new_tokens=3), ask(MIXED[1], samples=(1,), seed=6, **heat)]
    together = backend.generate(requests)
    for request, reply in zip(requests, together, strict=True):
        for index, completion in zip(request.samples, reply.completions, strict=True):
            alone = backend.generate([Request(request.prompt, request.sampling, request.seed, (index,))])
            (single,) = alone[0].completions
            assert (single.text, single.tokens, single.index) == (completion.text, completion.tokens, index)
            assert single.logprob == pytest.approx(completion.logprob, abs=1e-3)
    assert len({c.text for reply in together[:5] for c in reply.completions}) > 10
    assert together[1].completions[1].text != together[6].completions[0].text


def test_more_samples_extend_the_same_sequence(tiny: Callable[..., Path]) -> None:
    backend = loaded(tiny("llama"))
    five = backend.generate([ask(SHARED, samples=(0, 1, 2, 3, 4), temperature=1.0)])[0].completions
    more = backend.generate([ask(SHARED, samples=(5, 3, 6), temperature=1.0)])[0].completions
    assert more[1].text == five[3].text
    assert [completion.index for completion in more] == [5, 3, 6]
    assert len({completion.text for completion in (*five, *more)}) == 7


def test_a_sample_would_depend_on_its_batch_with_one_generator_for_all(
    tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    shared = np.random.default_rng(0)
    monkeypatch.setattr(local_sampling, "gumbel", lambda key, step, size: shared.gumbel(size=size))
    backend = loaded(tiny("llama"))
    together = backend.generate([ask(text, temperature=1.0) for text in MIXED])
    alone = [backend.generate([ask(text, temperature=1.0)])[0] for text in MIXED]
    assert [r.completions[0].text for r in together] != [r.completions[0].text for r in alone]


def test_log_probabilities_are_the_models_own(tiny: Callable[..., Path], tokens_of: Any) -> None:
    folder = tiny("llama")
    backend, (model, _) = loaded(folder), plain(folder)
    requests = [ask(text, temperature=1.3, top_p=0.8, seed=2) for text in MIXED]
    for request, reply, new in zip(requests, backend.generate(requests), tokens_of(backend, requests), strict=True):
        ids = backend._codec.prompt_ids(request.prompt)
        with torch.no_grad():
            logprobs = model(torch.tensor([ids + new])).logits[0].log_softmax(-1)
        want = sum(float(logprobs[len(ids) - 1 + at, token]) for at, token in enumerate(new))
        assert reply.completions[0].logprob == pytest.approx(want, abs=1e-3)
        assert reply.completions[0].tokens == len(new) == reply.usage.generated_tokens


@pytest.mark.parametrize("kind", ["llama", "gpt2", "bloom", "mistral"])
def test_scores_are_the_models_log_likelihoods(tiny: Callable[..., Path], kind: str) -> None:
    folder = tiny(kind)
    backend, (model, _) = loaded(folder), plain(folder)
    labels = (" positive", " negative", " a fine film, warm", "\n")
    requests = [ScoreRequest(Prompt(text=text), labels[: at + 1]) for at, text in enumerate(MIXED[:4])]
    for request, scores in zip(requests, backend.score(requests), strict=True):
        ids = backend._codec.prompt_ids(request.prompt)
        assert len(scores) == len(request.continuations)
        for label, (value, count) in zip(request.continuations, scores, strict=True):
            new = backend._codec.continuation_ids(request.prompt, label)
            with torch.no_grad():
                logprobs = model(torch.tensor([ids + new])).logits[0].log_softmax(-1)
            want = sum(float(logprobs[len(ids) - 1 + at, token]) for at, token in enumerate(new))
            assert (value, count) == (pytest.approx(want, abs=1e-3), len(new))


def test_scores_of_an_encoder_decoder(tiny: Callable[..., Path]) -> None:
    folder = tiny("t5")
    backend, (model, tokenizer) = loaded(folder), plain(folder)
    ((one, two),) = backend.score([ScoreRequest(Prompt(text=MIXED[0]), (" positive", " a fine film"))])
    for text, (value, count) in ((" positive", one), (" a fine film", two)):
        labels = torch.tensor([backend._codec.content(text)])
        with torch.no_grad():
            loss = model(**tokenizer(MIXED[0], return_tensors="pt"), labels=labels).loss
        assert value == pytest.approx(-float(loss) * count, abs=1e-3)


def test_any_division_into_batches_gives_the_same(tiny: Callable[..., Path], tokens_of: Any) -> None:
    folder = tiny("qwen2")
    requests = [ask(text) for text in MIXED]
    want = tokens_of(loaded(folder), requests)
    for size, tokens in ((1, 16_384), (2, 16_384), (32, 60)):
        assert tokens_of(LocalBackend(folder, batch_size=size, batch_tokens=tokens), requests) == want
