from __future__ import annotations

import dataclasses
import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptkit import RemoteBackend, ScriptedBackend
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


@pytest.mark.parametrize(("dtype", "device"), [("torch.bfloat16", "cpu"), ("torch.float32", "cuda")])
def test_numbers_and_device_of_a_local_model_count(dtype: str, device: str) -> None:
    class Device:
        def __init__(self, kind: str) -> None:
            self.type = kind

    class Model:
        def __init__(self, dtype: str, device: str) -> None:
            self.dtype, self.device = dtype, Device(device)

    def local(dtype: str, device: str) -> ScriptedBackend:
        backend = ScriptedBackend(["a"])
        backend.model = Model(dtype, device)  # type: ignore[attr-defined]
        return backend

    assert scope(local(dtype, device)) != scope(local("torch.float32", "cpu"))


def test_what_has_no_plain_form_is_refused_rather_than_left_out() -> None:
    with pytest.raises(TypeError, match="cannot be part of the key"):
        _plain(object())
