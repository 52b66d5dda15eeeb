"""LocalBackend computes with every row's own weights what the model alone computes with them, in any company."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from promptkit.backends.local import batch_adapters as local_mixture
from promptkit.backends.local import batched_lora as local_lora
from promptkit.backends.local import decoding as local_decode
from promptkit.backends.local import forward as local_runs
from promptkit.backends.local import keys as local_keys
from promptkit.backends.local.backend import LocalBackend
from promptkit.errors import ArtifactError, ContextLengthError, UnsupportedError
from promptkit.types import Prompt, Request, Sampling, ScoreRequest, Weights
from tests.support import learned

KINDS = "gpt2 bloom falcon falcon_rw gpt_neox llama mistral qwen2 qwen3 gemma phi opt t5".split()
SHARED = "Question: Jane has 2 apples. She bought 3 more. How many apples does Jane have now?\nAnswer:"
TEXTS = [SHARED, SHARED + " The answer is 5.\nQ:", SHARED + " fine film", "Review: dull.\nLabel:", "什么是苹果?"]
NEW = 6


@dataclass(frozen=True)
class Learned:
    """A backend and weights for it."""

    folder: Path
    backend: LocalBackend
    softs: tuple[Weights, ...]
    loras: tuple[Weights, ...]

    def pairs(self) -> list[tuple[Weights | None, Weights | None]]:
        """Base, each soft prompt, each LoRA, and both together."""
        none: list[tuple[Weights | None, Weights | None]] = [(None, None)]
        return (
            none + [(s, None) for s in self.softs] + [(None, w) for w in self.loras] + [(self.softs[0], self.loras[1])]
        )

    def requests(self, **sampling: Any) -> list[Request]:
        """Every text with every pair of weights, so that neighbours differ in all of them."""
        chosen = Sampling(**({"max_new_tokens": NEW} | sampling))
        return [Request(Prompt(text=text), chosen, 3, (0,), soft, low) for text in TEXTS for soft, low in self.pairs()]


@cache
def _built(folder: Path, name: str) -> Learned:
    backend = LocalBackend(folder, batch_size=64)
    softs = [learned.soft_prompt(backend, 1), learned.soft_prompt(backend, 2, tokens=3)]
    if name != "t5":
        softs.append(learned.prefix(backend, 3, tokens=4))
    return Learned(folder, backend, tuple(softs), tuple(learned.lora(backend, seed) for seed in (4, 5)))


@pytest.fixture
def build(tiny: Callable[..., Path]) -> Callable[[str], Learned]:
    return lambda name: _built(tiny(name), name)


@pytest.fixture
def tokens_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[LocalBackend, list[Request]], list[list[int]]]:
    """A function that runs greedy requests and returns their tokens in order: text could hide a difference."""
    complete = local_decode._completed

    def run(backend: LocalBackend, requests: list[Request]) -> list[list[int]]:
        seen: dict[tuple[int, ...], list[int]] = {}

        def note(item: Any, *rest: Any, **more: Any) -> Any:
            done = complete(item, *rest, **more)
            if done is not None:
                seen[item.row.prompt] = list(item.tokens)
            return done

        monkeypatch.setattr(local_decode, "_completed", note)
        replies = backend.generate(requests)
        monkeypatch.setattr(local_decode, "_completed", complete)
        # The numbers of weights are given out in the order of the requests, so the keys can be made again.
        adapters = local_mixture.BatchAdapters(backend._adapter_cache.ready)
        keys = [adapters.key(backend._codec.prompt_ids(r.prompt), r.soft_prompt, r.lora) for r in requests]
        assert [len(seen[key]) for key in keys] == [reply.completions[0].tokens for reply in replies]
        return [seen[key] for key in keys]

    return run


def wanted(case: Learned, requests: list[Request]) -> list[list[int]]:
    return [
        learned.oracle(case.folder, case.backend._codec.prompt_ids(r.prompt), NEW, r.soft_prompt, r.lora)[0]
        for r in requests
    ]


@pytest.mark.parametrize("name", KINDS)
def test_one_mixed_batch_equals_each_row_in_plain_transformers(
    build: Callable[[str], Learned], name: str, tokens_of: Any
) -> None:
    case = build(name)
    requests = case.requests()
    want = wanted(case, requests)
    assert tokens_of(case.backend, requests) == want
    pairs = len(case.pairs())
    differ = [len({tuple(want[text * pairs + at]) for at in range(pairs)}) for text in range(len(TEXTS))]
    assert min(differ) > 1, "weights that change nothing would prove nothing"


@pytest.mark.parametrize("name", KINDS)
def test_scores_are_those_of_plain_transformers(build: Callable[[str], Learned], name: str) -> None:
    case = build(name)
    asked = [(text, pair) for text in TEXTS[1:4] for pair in case.pairs()]
    requests = [ScoreRequest(Prompt(text=text), (" a", " fine film"), *pair) for text, pair in asked]
    alone = [case.backend.score([request])[0] for request in requests]
    firsts = []
    for request, own, single in zip(requests, case.backend.score(requests), alone, strict=True):
        ids = case.backend._codec.prompt_ids(request.prompt)
        _, logits = learned.oracle(case.folder, ids, 1, request.soft_prompt, request.lora)
        firsts.append(logits)
        (first,) = case.backend._codec.continuation_ids(request.prompt, " a")
        assert own[0] == (pytest.approx(float(logits.log_softmax(-1)[first]), abs=2e-3), 1)
        assert [value for value, _ in own] == pytest.approx([value for value, _ in single], abs=2e-3)
    some = torch.stack(firsts[: len(case.pairs())])
    apart = (some[:, None] - some).abs().amax(-1) + torch.eye(len(some))
    assert float(apart.min()) > 0.04, "weights that change nothing would prove nothing"


class _Broken:
    """Ways to get it wrong, each of which the equality with plain transformers must notice."""

    @staticmethod
    def ignores_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
        """One LoRA for the whole batch, as a global ``set_adapter`` would have it."""
        segments = local_lora._segments
        monkeypatch.setattr(
            local_lora,
            "_segments",
            lambda rows: [(0, len(rows), found[-1][2])] if (found := segments(rows)) else [],
        )

    @staticmethod
    def forgets_to_keep(monkeypatch: pytest.MonkeyPatch) -> None:
        """Rows that finish leave the batch, and their changes stay."""
        keep = local_lora.BatchedLora.keep
        monkeypatch.setattr(local_lora.BatchedLora, "keep", lambda self, rows: keep(self, range(len(rows))))

    @staticmethod
    def shares_across_loras(monkeypatch: pytest.MonkeyPatch) -> None:
        """A prefix computed under one LoRA is read under another."""
        monkeypatch.setattr(local_runs.BatchAdapters, "changes", _changes_of_none)

    @staticmethod
    def pads_between(monkeypatch: pytest.MonkeyPatch) -> None:
        """[soft][padding][text], as PEFT builds it."""
        inputs = local_mixture.BatchAdapters.inputs

        def moved(self: Any, model: Any, keys: Any, *, left: bool) -> Any:
            found, real = inputs(self, model, keys, left=left)
            vectors = found.get("inputs_embeds")
            if vectors is not None and left:
                for row, key in enumerate(keys):
                    count, start = local_keys.virtual_of(key)[2], vectors.shape[1] - len(key)
                    vectors[row, :count], real[row, :count] = vectors[row, start : start + count].clone(), True
                    real[row, count : start + count] = False
            return found, real

        monkeypatch.setattr(local_mixture.BatchAdapters, "inputs", moved)

    @staticmethod
    def restarts_positions(monkeypatch: pytest.MonkeyPatch) -> None:
        """Positions of the text start at 0 after a prefix."""
        take = local_runs.CausalRun._take_given

        def restarted(self: Any, keys: Any) -> Any:
            length = self._length
            left = take(self, keys)
            self._length = length
            return left

        monkeypatch.setattr(local_runs.CausalRun, "_take_given", restarted)


def _changes_of_none(self: Any, keys: Any) -> Any:
    numbers = [local_keys.lora_number(key) if len(keys) > 1 else 0 for key in keys]
    return local_lora.BatchedLora([self._all[number - 1].changes if number else None for number in numbers])


@pytest.mark.parametrize("way", [name for name in vars(_Broken) if not name.startswith("_")])
def test_the_equality_sees_what_goes_wrong(
    build: Callable[[str], Learned], tokens_of: Any, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    case = build("llama")
    requests = case.requests()
    if way == "forgets_to_keep":
        requests = [replace(r, sampling=Sampling(max_new_tokens=1 + at % NEW)) for at, r in enumerate(requests)]
    if way == "shares_across_loras":  # two prompts of one LoRA, so that its prefix is computed alone
        requests = [r for r in requests if r.lora is case.loras[0] and SHARED in (r.prompt.text or "")]
    want = [tokens[: r.sampling.max_new_tokens] for r, tokens in zip(requests, wanted(case, requests), strict=True)]
    assert tokens_of(case.backend, requests) == want
    getattr(_Broken, way)(monkeypatch)
    if way == "pads_between":  # harmless as long as positions are right, which PEFT drops too
        accepts = case.backend._loaded.accepts - {"position_ids"}
        monkeypatch.setattr(case.backend, "_loaded", replace(case.backend._loaded, accepts=accepts))
    assert tokens_of(case.backend, requests) != want


@pytest.mark.parametrize("name", ["llama", "bloom"])
def test_prompts_share_within_a_lora_and_never_across(
    build: Callable[[str], Learned], name: str, tokens_of: Any
) -> None:
    case = build(name)
    pairs = [(case.softs[2], None), (case.softs[0], None), (None, case.loras[0]), (case.softs[2], case.loras[1])]
    texts = [f"{SHARED * 6} {word}" for word in ("fine", "dull film", "warm", "Jane", "apples", "terms", "fund")]
    requests = [
        Request(Prompt(text=text), Sampling(max_new_tokens=NEW), 0, (0,), *pair) for pair in pairs for text in texts
    ]
    assert tokens_of(case.backend, requests) == wanted(case, requests)
    for at, (soft, _) in enumerate(pairs):
        usages = [reply.usage for reply in case.backend.generate(requests)[at * len(texts) : (at + 1) * len(texts)]]
        text = [case.backend.count_tokens(Prompt(text=text)) for text in texts]
        assert [usage.prompt_tokens for usage in usages] == [count + (soft.tokens if soft else 0) for count in text]
        cached = [usage.cached_tokens for usage in usages]
        assert cached.count(0) == 1, "one of the group pays for the prefix"
        assert sorted(cached)[1] >= len(case.backend._codec.content(SHARED * 6)) - 1 + (soft.tokens if soft else 0)


def test_samples_are_drawn_with_the_same_noise_whatever_the_company(build: Callable[[str], Learned]) -> None:
    case = build("llama")
    requests = [replace(r, samples=(0, 2)) for r in case.requests(temperature=0.9)]
    together = case.backend.generate(requests)
    for request, reply in zip(requests[::3], together[::3], strict=True):
        (alone,) = case.backend.generate([request])
        assert [c.text for c in alone.completions] == [c.text for c in reply.completions]
    (renumbered,) = case.backend.generate([requests[-1]])
    assert renumbered.completions[0].text == together[-1].completions[0].text


@pytest.mark.parametrize("sharing", ["copied", "alone"])
def test_every_way_of_sharing_serves_weights(tiny: Callable[..., Path], tokens_of: Any, sharing: str) -> None:
    case = _built(tiny("llama"), "llama")
    backend = LocalBackend(case.folder, batch_size=8)
    for soft, low in case.pairs():  # made ready before the prefix is refused to a model without sharing
        for one in (soft, low):
            if one is not None:
                backend.check_weights(one)
    backend._loaded = replace(backend._loaded, sharing=sharing)  # type: ignore[arg-type]
    requests = case.requests()
    assert tokens_of(backend, requests) == wanted(case, requests)


def test_rows_beyond_the_reach_of_a_window_run_alone(tiny: Callable[..., Path], tokens_of: Any) -> None:
    case = _built(tiny("mistral", sliding_window=16), "mistral")
    requests = case.requests()
    assert any(case.backend.count_tokens(request.prompt) + NEW > case.backend._loaded.reach for request in requests)
    assert tokens_of(case.backend, requests) == wanted(case, requests)


@pytest.fixture
def ids() -> Any:
    return torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])


def logits_of(backend: LocalBackend, ids: Any) -> Any:
    with torch.no_grad():
        return backend.model(ids).logits


@pytest.fixture
def busy(build: Callable[[str], Learned]) -> Iterator[Learned]:
    """A backend on which a second thread runs requests with LoRAs all the time."""
    case, stop = build("qwen2"), threading.Event()
    requests = [r for r in case.requests() if r.lora is not None]

    def work() -> None:
        while not stop.is_set():
            case.backend.generate(requests)

    thread = threading.Thread(target=work)
    thread.start()
    yield case
    stop.set()
    thread.join()


def unlike_while_busy(case: Learned, ids: Any, before: Any, rounds: int) -> int:
    return sum(not torch.equal(logits_of(case.backend, ids), before) for _ in range(rounds))


def test_the_base_is_bit_identical_before_during_and_after(
    tiny: Callable[..., Path], build: Callable[[str], Learned], ids: Any, request: pytest.FixtureRequest
) -> None:
    untouched = LocalBackend(tiny("qwen2"))
    before = logits_of(untouched, ids)
    asked = [Request(Prompt(text=text), Sampling(max_new_tokens=NEW)) for text in TEXTS]
    answers = [reply.completions for reply in untouched.generate(asked)]
    case: Learned = request.getfixturevalue("busy")
    assert unlike_while_busy(case, ids, before, 300) == 0
    during = [reply.completions for reply in LocalBackend.generate(case.backend, asked)]
    assert during == answers, "tokens and log-probabilities to the last bit"
    assert torch.equal(logits_of(case.backend, ids), before)
    state = case.backend.model.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in untouched.model.state_dict().items())


class _Global:
    """A variable that every thread sees."""

    def __init__(self) -> None:
        self.value: Any = None

    def get(self) -> Any:
        return self.value

    def set(self, value: Any) -> Any:
        self.value, token = value, self.value
        return token

    def reset(self, token: Any) -> None:
        self.value = token


def test_the_test_above_would_see_changes_that_all_threads_see(
    tiny: Callable[..., Path], ids: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    before = logits_of(LocalBackend(tiny("qwen2")), ids)
    # Every other number of rows would be refused, so the changes must be those of a whole batch.
    monkeypatch.setattr(local_lora.BatchedLora, "add", _add_to_all)
    monkeypatch.setattr(local_lora, "_active", _Global())
    case: Learned = request.getfixturevalue("busy")
    assert any(unlike_while_busy(case, ids, before, 10) for _ in range(2000))


def _add_to_all(self: Any, layer: Any, x: Any, out: Any) -> Any:
    folded = self._segments[0][2].get(layer)
    return out if folded is None else out + x @ folded.a.T @ folded.b.T


def test_four_threads_with_mixed_requests_answer_as_one(build: Callable[[str], Learned]) -> None:
    case = build("llama")
    requests = case.requests() + case.requests(temperature=0.8)
    work = [requests[start::4] for start in range(4)]
    want = [[reply.completions[0].text for reply in case.backend.generate(own)] for own in work]
    got: dict[int, list[str]] = {}

    def run(at: int) -> None:
        got[at] = [case.backend.generate([own])[0].completions[0].text for own in work[at]]

    threads = [threading.Thread(target=run, args=(at,)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [got[at] for at in range(4)] == want


def test_weights_are_checked_before_anything_is_computed(
    build: Callable[[str], Learned], monkeypatch: pytest.MonkeyPatch
) -> None:
    case, other = build("llama"), build("qwen2")
    monkeypatch.setattr(case.backend, "_work", lambda *_: pytest.fail("computed something"))
    fine = Request(Prompt(text="fine"))
    with pytest.raises(ArtifactError, match=f"{case.backend.fingerprint()}, got '{other.backend.fingerprint()}'"):
        case.backend.generate([fine, replace(fine, lora=other.loras[0])])
    with pytest.raises(ArtifactError, match=r"requests\[0\]: soft_prompt weights: base must be made for this model"):
        case.backend.score([ScoreRequest(Prompt(text="fine"), (" a",), soft_prompt=other.softs[0])])
    text, soft = "war" * 400, case.softs[0]
    spare = case.backend.context_window - case.backend.count_tokens(Prompt(text=text)) - soft.tokens
    long = Request(Prompt(text=text), Sampling(max_new_tokens=spare + 1), soft_prompt=soft)
    with pytest.raises(ContextLengthError, match=r"requests\[0\]: .* window of 512 tokens, got .* = 513"):
        case.backend.generate([long])


def test_prefix_tuning_is_refused_where_it_cannot_work(build: Callable[[str], Learned]) -> None:
    t5, llama = build("t5").backend, build("llama")
    given = replace(llama.softs[2], base=t5.fingerprint())
    with pytest.raises(UnsupportedError, match="a t5 model must be a decoder of attention layers alone"):
        t5.generate([Request(Prompt(text="fine"), soft_prompt=given)])


def test_bfloat16_serves_all_kinds(build: Callable[[str], Learned]) -> None:
    case = build("llama")
    backend = LocalBackend(case.folder, dtype="bfloat16", batch_size=64)
    requests = [ScoreRequest(Prompt(text=TEXTS[3]), (" a",), *pair) for pair in case.pairs()]
    fine, coarse = ([own[0][0] for own in each.score(requests)] for each in (case.backend, backend))
    assert coarse == pytest.approx(fine, abs=0.5)
    assert max(fine) - min(fine) > 1
