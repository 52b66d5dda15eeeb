from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptkit import CachedBackend, RemoteBackend, ScriptedBackend
from promptkit.backends.cache_key import _plain, sample_keys, scope, score_keys
from promptkit.types import Message, Prompt, Request, Sampling, ScoreRequest, Weights

BASE = Request(Prompt(text="2 + 2 ="), Sampling(temperature=1.0), seed=3)


def weights(kind: str, value: float = 0.5, base: str = "base", **config: Any) -> Weights:
    return Weights(kind, config, {"prompt_embeddings": np.full((2, 4), value, np.float32)}, base)  # type: ignore[arg-type]


def sampling(**changes: Any) -> Request:
    return replace(BASE, sampling=replace(BASE.sampling, **changes))


CHANGED: dict[str, Request] = {
    "nothing": BASE,
    "seed": replace(BASE, seed=4),
    "text": replace(BASE, prompt=Prompt(text="2 + 2 = ")),
    "unicode form": replace(BASE, prompt=Prompt(text="2 + 2 =\u0301")),
    "chat": replace(BASE, prompt=Prompt(messages=(Message("user", "2 + 2 ="),))),
    "role": replace(BASE, prompt=Prompt(messages=(Message("system", "2 + 2 ="),))),
    "turns": replace(BASE, prompt=Prompt(messages=(Message("user", "2 + 2"), Message("user", " =")))),
    "max_new_tokens": sampling(max_new_tokens=65),
    "temperature": sampling(temperature=1.0000000000000002),
    "top_p": sampling(top_p=0.9),
    "stop": sampling(stop=("\n",)),
    "stops": sampling(stop=("\n", "\n\n")),
    "order of stops": sampling(stop=("\n\n", "\n")),
    "schema": sampling(schema='{"type": "object"}'),
    "soft prompt": replace(BASE, soft_prompt=weights("soft_prompt")),
    "prefix": replace(BASE, soft_prompt=weights("prefix")),
    "lora": replace(BASE, lora=weights("lora")),
    "retrained lora": replace(BASE, lora=weights("lora", 0.5000001)),
    "lora of another model": replace(BASE, lora=weights("lora", base="other")),
    "scaled lora": replace(BASE, lora=weights("lora", lora_alpha=32)),
}


def test_every_single_change_changes_the_key() -> None:
    keys = {name: sample_keys(request, "model")[0] for name, request in CHANGED.items()}
    for one, other in itertools.combinations(keys, 2):
        assert keys[one] != keys[other], (one, other)


def test_every_field_of_a_request_and_its_sampling_is_tried_above() -> None:
    for kind, of in ((Request, lambda r: r), (Sampling, lambda r: r.sampling), (Prompt, lambda r: r.prompt)):
        for field in dataclasses.fields(kind):
            values = {repr(_plain(getattr(of(request), field.name))) for request in CHANGED.values()}
            assert len(values) > 1 or field.name == "samples", field.name


def test_the_sample_index_and_the_model_count() -> None:
    keys = sample_keys(replace(BASE, samples=tuple(range(20))), "model")
    assert len(set(keys)) == 20
    assert sample_keys(replace(BASE, samples=(7, 3)), "model") == [keys[7], keys[3]]
    assert sample_keys(BASE, "another model")[0] != keys[0]


def test_equal_requests_have_equal_keys() -> None:
    again = Request(Prompt(text="2 + 2 ="), Sampling(temperature=1.0), 3, lora=weights("lora"))
    assert sample_keys(again, "model") == sample_keys(CHANGED["lora"], "model")


@given(st.text(), st.text(), st.text(), st.text())
def test_texts_never_flow_into_each_other(a: str, b: str, c: str, d: str) -> None:
    def key(*contents: str) -> bytes:
        return sample_keys(Request(Prompt(messages=tuple(Message("user", text) for text in contents))), "m")[0]

    assert (key(a, b) == key(c, d)) == ((a, b) == (c, d))


def test_scores_have_keys_of_their_own() -> None:
    base = ScoreRequest(Prompt(text="2 + 2 ="), (" 4", " 5"))
    keys = score_keys(base, "model")
    changed = [
        score_keys(replace(base, prompt=Prompt(text="2 + 3 =")), "model")[0],
        score_keys(replace(base, lora=weights("lora")), "model")[0],
        score_keys(replace(base, soft_prompt=weights("soft_prompt")), "model")[0],
        score_keys(base, "other")[0],
        sample_keys(Request(Prompt(text="2 + 2 =")), "model")[0],
    ]
    assert len({*keys, *changed}) == 7
    assert score_keys(replace(base, continuations=(" 5",)), "model") == [keys[1]]


def test_what_a_backend_is() -> None:
    scopes = [
        scope(ScriptedBackend(["a"])),
        scope(ScriptedBackend(["b"])),
        scope(ScriptedBackend(["a"], name="other")),
    ]
    remotes = []
    for url, settings in [
        ("http://127.0.0.1:9/v1", {}),
        ("http://127.0.0.1:10/v1", {}),
        ("http://127.0.0.1:9/v1", {"seeds": False}),
        ("http://127.0.0.1:9/v1", {"logprobs": True}),
    ]:
        backend = RemoteBackend(url, "m", **settings)  # type: ignore[arg-type]
        backend._fingerprint = "the same"
        remotes.append(scope(backend))
    assert len({*scopes, *remotes}) == 7


def test_a_cache_in_between_hides_nothing_of_a_backend(tmp_path: Path) -> None:
    """Else two servers with one fingerprint would share answers behind two caches, or behind a journal and a cache."""
    scopes = set()
    for url in ("http://127.0.0.1:9/v1", "http://127.0.0.1:10/v1"):
        backend = RemoteBackend(url, "m")
        backend._fingerprint = "the same"
        cached = CachedBackend(CachedBackend(backend, tmp_path / "a.sqlite"), tmp_path / "b.sqlite")
        assert scope(cached) == scope(backend)
        scopes.add(scope(cached))
    assert len(scopes) == 2


def test_numbers_device_and_form_of_a_local_model_count(tmp_path: Path) -> None:
    from promptkit.backends.local.backend import LocalBackend

    def said(dtype: str = "torch.float32", device: str = "cpu", chat: bool = False) -> str:
        model = SimpleNamespace(dtype=dtype, device=SimpleNamespace(type=device))
        return LocalBackend.cache_scope.func(SimpleNamespace(model=model, chat=chat, folder=tmp_path))  # type: ignore[arg-type]

    found = [said(), said(dtype="torch.bfloat16"), said(device="cuda"), said(chat=True)]
    assert len(set(found)) == 4
    assert said() == found[0]


def test_settings_that_change_answers_count_although_the_fingerprint_leaves_them_out(
    tiny: Callable[..., Path], tmp_path: Path
) -> None:
    from promptkit.backends.local.backend import LocalBackend

    folder = Path(shutil.copytree(tiny("llama", chat=True), tmp_path / "mine"))
    first = LocalBackend(folder)
    request = Request(Prompt(text="Review: a fine film"), Sampling(max_new_tokens=12))
    whole = first.generate([request])[0].completions[0]
    wanted = scope(first)  # read before the folder is changed
    path = folder / "generation_config.json"
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "eos_token_id": list(range(first.tokenizer.vocab_size))})
    )
    changed = LocalBackend(folder)
    assert changed.fingerprint() == first.fingerprint()
    cut = changed.generate([request])[0].completions[0]
    assert (whole.finish, cut.finish) == ("length", "eos")
    assert sample_keys(request, scope(changed)) != sample_keys(request, wanted)

    messages = Request(Prompt(messages=(Message("user", "2 + 2 ="),)), Sampling(max_new_tokens=4))
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    settings = folder / "tokenizer_config.json"
    scopes, counts = set(), set()
    for template in ("{{ messages[0].content }}", "Well: {{ messages[0].content }}"):
        settings.write_text(json.dumps({**json.loads(settings.read_text()), "chat_template": template}))
        backend = LocalBackend(folder)
        scopes.add(scope(backend))
        counts.add(backend.count_tokens(messages.prompt))
    assert len(scopes) == len(counts) == 2


def test_what_has_no_plain_form_is_refused_rather_than_left_out() -> None:
    with pytest.raises(TypeError, match="cannot be part of the key"):
        _plain(object())
