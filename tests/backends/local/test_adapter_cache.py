from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from promptkit.backends.local import adapter_cache as local_shelf
from promptkit.backends.local.adapter_cache import AdapterCache
from promptkit.backends.local.backend import LocalBackend
from promptkit.errors import ArtifactError, SettingError, UnsupportedError
from tests.support import learned


@pytest.fixture
def backend(tiny: Callable[..., Path]) -> LocalBackend:
    return LocalBackend(tiny("llama"))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The fingerprints of the LoRAs that were folded, in order."""
    seen: list[str] = []
    fold = local_shelf.fold_lora

    def spy(weights: Any, model: Any) -> Any:
        seen.append(weights.fingerprint)
        return fold(weights, model)

    monkeypatch.setattr(local_shelf, "fold_lora", spy)
    return seen


def test_weights_are_made_ready_once_whoever_names_them(backend: LocalBackend, made: list[str]) -> None:
    weights = learned.lora(backend, 1)
    first = backend._adapter_cache.ready(weights)
    assert backend._adapter_cache.ready(replace(weights)) is first, "an equal copy"
    threads = [threading.Thread(target=backend.check_weights, args=(learned.lora(backend, 2),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 2


def test_the_longest_unused_make_room(backend: LocalBackend, made: list[str]) -> None:
    loras = [learned.lora(backend, seed) for seed in range(3)]
    each = 2 * sum(tensor.size for tensor in loras[0].tensors.values()) * 4
    adapter_cache = AdapterCache(backend._loaded, backend.fingerprint, max_bytes=each)
    for number in (0, 1, 0, 2, 0, 1):
        adapter_cache.ready(loras[number])
    assert made == [loras[number].fingerprint for number in (0, 1, 2, 1)]
    tight = AdapterCache(backend._loaded, backend.fingerprint, max_bytes=1)
    assert tight.ready(loras[0]) is tight.ready(loras[0]), "the newest is kept whatever its size"


def test_what_is_refused_is_not_kept(backend: LocalBackend) -> None:
    foreign = replace(learned.lora(backend), base="0" * 64)
    for _ in range(2):
        with pytest.raises(ArtifactError, match="base must be made for this model"):
            backend.check_weights(foreign)
    odd = replace(learned.lora(backend), kind="ia3")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="kind must be 'soft_prompt', 'prefix' or 'lora', got 'ia3'"):
        backend.check_weights(odd)


def test_models_that_read_tokens_only_take_no_soft_prompt(backend: LocalBackend) -> None:
    loaded = replace(backend._loaded, accepts=frozenset({"input_ids"}))
    with pytest.raises(UnsupportedError, match="a llama model must read vectors to use a soft prompt"):
        AdapterCache(loaded, backend.fingerprint).ready(learned.soft_prompt(backend))
    with pytest.raises(UnsupportedError, match="must be a decoder of attention layers alone"):
        AdapterCache(replace(loaded, reach=0), backend.fingerprint).ready(learned.prefix(backend))
