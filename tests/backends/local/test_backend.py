"""What LocalBackend promises beside computing the right numbers, which test_local_equality.py checks."""

from __future__ import annotations

import json
import math
import shutil
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from promptkit.backends.local import forward as local_runs
from promptkit.backends.local.backend import LocalBackend
from promptkit.errors import BackendError, ContextLengthError, SettingError, UnsupportedError
from promptkit.types import Message, Prompt, Request, Sampling, ScoreRequest

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


@cache
def loaded(folder: Path) -> LocalBackend:
    return LocalBackend(folder, batch_size=4)


def ask(text: str, samples: tuple[int, ...] = (0,), seed: int = 0, **sampling: Any) -> Request:
    return Request(Prompt(text=text), Sampling(**({"max_new_tokens": 12} | sampling)), seed, samples)


def test_stop_texts_the_end_token_and_the_limit(tiny: Callable[..., Path]) -> None:
    backend = loaded(tiny("gpt2"))
    whole = backend.generate([ask(MIXED[0], max_new_tokens=20)])[0].completions[0]
    assert (whole.finish, whole.tokens) == ("length", 20)
    stop = whole.text[5:8]
    at = whole.text.index(stop)
    cut = backend.generate([ask(MIXED[0], max_new_tokens=20, stop=(stop, "never"))])[0].completions[0]
    assert (cut.text, cut.finish) == (whole.text[:at], "stop")
    assert cut.tokens <= 20


def test_equal_rows_are_computed_once(tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    backend = loaded(tiny("llama"))
    starts: list[int] = []
    begin = local_runs.CausalRun.start
    monkeypatch.setattr(
        local_runs.CausalRun, "start", lambda self, prompts: starts.append(len(prompts)) or begin(self, prompts)
    )
    first, second = backend.generate([ask(SHARED, samples=(0, 1, 7)), ask(SHARED, seed=9)])
    assert starts == [1]
    assert [completion.index for completion in first.completions] == [0, 1, 7]
    assert len({c.text for c in (*first.completions, *second.completions)}) == 1
    assert first.usage.cached_tokens == 0
    assert second.usage.cached_tokens == second.usage.prompt_tokens == backend.count_tokens(Prompt(text=SHARED))


def test_the_window_is_kept_before_anything_runs(tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    backend = loaded(tiny("llama"))
    text = "war" * 400
    spare = backend.context_window - backend.count_tokens(Prompt(text=text))
    assert spare > 1
    backend.generate([ask(text, max_new_tokens=spare)])
    monkeypatch.setattr(backend, "_work", lambda *_: pytest.fail("computed something"))
    with pytest.raises(ContextLengthError, match=r"requests\[1\]: .* window of 512 tokens, got .* = 513"):
        backend.generate([ask("fine"), ask(text, max_new_tokens=spare + 1)])
    with pytest.raises(ContextLengthError, match=r"requests\[0\]"):
        backend.score([ScoreRequest(Prompt(text=text), (" war" * (spare + 1),))])
    with pytest.raises(SettingError, match="prompt must be not empty"):
        backend.generate([ask("")])
    with pytest.raises(SettingError, match="surrogate"):
        backend.generate([ask("a\ud800")])


def test_encoder_and_decoder_have_a_window_each(tiny: Callable[..., Path]) -> None:
    backend = LocalBackend(tiny("t5"), max_context=20)
    backend.generate([ask("Review: dull.", max_new_tokens=20)])
    for request in (ask("Review: dull.", max_new_tokens=21), ask("war " * 40, max_new_tokens=1)):
        with pytest.raises(ContextLengthError):
            backend.generate([request])


def test_progress_reaches_the_end_once(tiny: Callable[..., Path]) -> None:
    seen: list[tuple[int, int]] = []
    loaded(tiny("llama")).generate(
        [ask(text, samples=(0, 1), temperature=1.0) for text in MIXED], progress=lambda a, b: seen.append((a, b))
    )
    assert seen == [(done, 5) for done in range(1, 6)]
    assert loaded(tiny("llama")).generate([]) == []
    assert loaded(tiny("llama")).score([]) == []


def test_threads_do_not_disturb_each_other(tiny: Callable[..., Path]) -> None:
    backend = loaded(tiny("llama"))
    work = [[ask(text, samples=(0, 1), seed=seed, temperature=0.9) for text in MIXED] for seed in range(4)]
    want = [[[c.text for c in reply.completions] for reply in backend.generate(requests)] for requests in work]
    got: dict[int, Any] = {}

    def run(at: int) -> None:
        got[at] = [[c.text for c in reply.completions] for reply in backend.generate(work[at])]

    threads = [threading.Thread(target=run, args=(at,)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [got[at] for at in range(4)] == want


def test_generating_leaves_the_model_as_it_was(tiny: Callable[..., Path]) -> None:
    backend = LocalBackend(tiny("llama"))
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        before = backend.model(ids).logits
    backend.generate([ask(text, samples=(0, 1), temperature=1.0) for text in MIXED])
    backend.score([ScoreRequest(Prompt(text=SHARED), (" a", " b c"))])
    with torch.no_grad():
        assert torch.equal(backend.model(ids).logits, before)
    backend.model(ids, labels=ids).loss.backward()  # its tensors can still be trained


def test_chat_prompts_end_with_the_turn(tiny: Callable[..., Path], tmp_path: Path) -> None:
    folder = tiny("llama", chat=True)
    backend = LocalBackend(folder)
    prompt = Prompt(messages=(Message("system", "Be brief. <|im_end|>"), Message("user", "2 + 2 = <think>")))
    assert backend.chat
    assert backend.generate([Request(prompt, Sampling(max_new_tokens=4))])[0].completions[0].tokens <= 4
    ids = backend._codec.prompt_ids(prompt)
    assert [ids.count(backend.tokenizer.convert_tokens_to_ids(t)) for t in ("<|im_end|>", "<think>")] == [2, 0]
    assert not LocalBackend(folder, chat=False).chat
    declared = Path(shutil.copytree(folder, tmp_path / "declared"))
    (declared / "promptkit.json").write_text(json.dumps({"form": "completion"}))
    assert not LocalBackend(declared).chat
    assert LocalBackend(declared, chat=True).chat


def test_chat_needs_a_template(tiny: Callable[..., Path]) -> None:
    backend = loaded(tiny("gpt2"))
    assert not backend.chat
    with pytest.raises(UnsupportedError, match="needs a tokenizer with a chat template"):
        backend.generate([Request(Prompt(messages=(Message("user", "x"),)))])
    with pytest.raises(SettingError, match="chat must be False for a tokenizer without a chat template"):
        LocalBackend(tiny("gpt2"), chat=True)


@pytest.mark.parametrize("setting", ["batch_size", "batch_tokens"])
def test_limits_of_a_batch_are_checked(tiny: Callable[..., Path], setting: str) -> None:
    with pytest.raises(SettingError, match=f"{setting} must be an integer of at least 1, got 0"):
        LocalBackend(tiny("gpt2"), **{setting: 0})


def test_bfloat16_runs_and_says_so(tiny: Callable[..., Path]) -> None:
    backend = LocalBackend(tiny("llama"), dtype="bfloat16")
    replies = backend.generate([ask(text) for text in MIXED[:3]])
    assert all(math.isfinite(reply.completions[0].logprob or math.nan) for reply in replies)
    assert backend.model.dtype == torch.bfloat16


def test_damaged_weights_are_a_typed_error(tiny: Callable[..., Path]) -> None:
    backend = LocalBackend(tiny("gpt2"))
    with torch.no_grad():
        backend.model.lm_head.weight[3] = float("nan")
    with pytest.raises(BackendError, match="logits must be finite"):
        backend.generate([ask("Review:")])


def test_names_and_fingerprints(tiny: Callable[..., Path]) -> None:
    folder = tiny("gpt2")
    assert LocalBackend(str(folder)).name == str(folder)
    assert loaded(folder).fingerprint() == LocalBackend(folder, dtype="bfloat16").fingerprint()
    assert loaded(folder).fingerprint() != loaded(tiny("llama")).fingerprint()
