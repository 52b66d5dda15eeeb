from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from promptkit.backends.local.adapters import Folded
from promptkit.backends.local.batch_adapters import BatchAdapters, Ready, padded
from promptkit.backends.local.batched_lora import _active
from promptkit.types import Weights

LAYER = torch.nn.Linear(2, 2)
EMBEDDINGS = torch.nn.Embedding(10, 2)
MODEL = SimpleNamespace(device=torch.device("cpu"), get_input_embeddings=lambda: EMBEDDINGS)


def weights(kind: str, tokens: int = 0, seed: int = 0) -> Weights:
    tensors = {"prompt_embeddings": (torch.ones(tokens, 2) * (seed + 1)).numpy()} if tokens else {}
    return Weights(kind, {"seed": seed}, tensors, "base")  # type: ignore[arg-type]


def ready(own: Weights) -> Ready:
    if own.kind == "lora":
        return Ready(changes={LAYER: Folded(torch.zeros(1, 2), torch.zeros(2, 1))})
    vectors = torch.from_numpy(own.tensors["prompt_embeddings"])
    if own.kind == "prefix":
        return Ready(layers=((vectors[None, None], -vectors[None, None]),))
    return Ready(vectors=vectors)


@pytest.fixture
def adapters() -> BatchAdapters:
    return BatchAdapters(ready)


def test_virtual_tokens_stand_right_before_the_text(adapters: BatchAdapters) -> None:
    keys = [
        adapters.key([5, 6, 7, 8], None, None),
        adapters.key([5], weights("soft_prompt", 2), None),
        adapters.key([6], weights("soft_prompt", 1, seed=4), weights("lora")),
    ]
    inputs, real = adapters.inputs(MODEL, keys, left=True)
    vectors = inputs["inputs_embeds"]
    assert real.tolist() == [[True] * 4, [False, True, True, True], [False, False, True, True]]
    assert torch.equal(vectors[0], EMBEDDINGS(torch.tensor([5, 6, 7, 8])))
    assert torch.equal(vectors[1, 1:3], torch.ones(2, 2))
    assert torch.equal(vectors[2, 2:], torch.stack([torch.full((2,), 5.0), EMBEDDINGS.weight[6]]))
    right, real = adapters.inputs(MODEL, keys, left=False)
    assert torch.equal(right["inputs_embeds"][1, :2], torch.ones(2, 2))
    assert real[1].tolist() == [True, True, True, False]


def test_rows_without_vectors_are_read_as_tokens(adapters: BatchAdapters) -> None:
    keys = [adapters.key([5, 6], None, weights("lora")), adapters.key([7], None, None)]
    inputs, real = adapters.inputs(MODEL, keys, left=True)
    assert inputs["input_ids"].tolist() == [[5, 6], [0, 7]]
    assert real.tolist() == [[True, True], [False, True]]


def test_the_rest_of_a_soft_prompt_keeps_its_places(adapters: BatchAdapters) -> None:
    soft = Weights("soft_prompt", {}, {"prompt_embeddings": torch.arange(6.0).view(3, 2).numpy()}, "base")
    key = adapters.key([5], soft, None)
    inputs, _ = adapters.inputs(MODEL, [key[1:]], left=True)
    assert inputs["inputs_embeds"][0, :2].tolist() == [[2, 3], [4, 5]]


def test_only_prefixes_give_keys_and_values(adapters: BatchAdapters) -> None:
    key = adapters.key([5], weights("prefix", 3), weights("lora"))
    count, layers = adapters.given(key[1:])
    assert (count, [tuple(one.shape) for one in layers[0]]) == (2, [(1, 1, 2, 2)] * 2)
    assert adapters.given(adapters.key([5], weights("soft_prompt", 3), None)) == (0, ())
    assert adapters.given(adapters.key([5], None, None)) == (0, ())


def test_equal_weights_have_one_number(adapters: BatchAdapters) -> None:
    same = [adapters.key([5], weights("soft_prompt", 2), weights("lora", seed=seed)) for seed in (0, 1, 0)]
    assert same[0] == same[2] != same[1]


def test_changes_are_those_of_each_row(adapters: BatchAdapters) -> None:
    keys = [adapters.key([5], None, low) for low in (None, weights("lora"), weights("lora", seed=1))]
    assert [(start, stop) for start, stop, _ in adapters.changes(keys)._segments] == [(1, 2), (2, 3)]
    with adapters.changes(keys[:1]).active():
        assert _active.get() is None


def test_padding(adapters: BatchAdapters) -> None:
    ids, real = padded([[1, 2, 3], [4]], torch.device("cpu"), left=True)
    assert (ids.tolist(), real.tolist()) == ([[1, 2, 3], [0, 0, 4]], [[True] * 3, [False, False, True]])
    ids, _ = padded([[1, 2, 3], [4]], torch.device("cpu"), left=False)
    assert ids.tolist() == [[1, 2, 3], [4, 0, 0]]
