"""A twin has modules of its own and numbers of the model's, and a head that sees answers only."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from promptkit.errors import UnsupportedError
from promptkit.training.clone import AnswerHead, clone_sharing_weights, frozen

KINDS = ["gpt2", "llama", "falcon_rw", "bloom", "gemma", "t5"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_twin_computes_the_same_from_the_same_numbers(backend_of, kind) -> None:
    model = backend_of(kind).model
    clone = clone_sharing_weights(model)
    ids = torch.arange(3, 23).view(2, 10)
    inputs = {"input_ids": ids} | ({"decoder_input_ids": ids[:, :4]} if kind == "t5" else {})
    with torch.no_grad():
        assert torch.equal(clone(**inputs).logits, model(**inputs).logits)
    own = {name: tensor.data_ptr() for name, tensor in model.state_dict().items()}
    assert {name: tensor.data_ptr() for name, tensor in clone.state_dict().items()} == own
    assert not set(map(id, model.modules())) & set(map(id, clone.modules()))


def test_what_happens_to_a_twin_does_not_happen_to_the_model(backend_of) -> None:
    model = backend_of("llama").model
    seen: list[int] = []
    handle = model.register_forward_hook(lambda *_: seen.append(1))
    clone = clone_sharing_weights(model)
    handle.remove()
    clone.lm_head.register_forward_pre_hook(lambda *_: seen.append(2))
    clone.model.layers[0] = nn.Identity()
    used, clone.config.use_cache = model.config.use_cache, not model.config.use_cache
    with torch.no_grad():
        model(input_ids=torch.arange(5)[None])
    assert seen == [] and model.config.use_cache == used
    assert type(model.model.layers[0]).__name__ == "LlamaDecoderLayer"


def test_hooks_of_the_model_are_not_on_its_twin(backend_of) -> None:
    model = backend_of("llama").model
    seen: list[str] = []
    handles = [
        model.lm_head.register_forward_hook(lambda *_: seen.append("after")),
        model.lm_head.register_forward_pre_hook(lambda *_: seen.append("before")),
    ]
    try:
        clone = clone_sharing_weights(model)
        with torch.no_grad():
            clone(input_ids=torch.arange(5)[None])
            assert seen == []
            model(input_ids=torch.arange(5)[None])
            assert seen == ["before", "after"]
    finally:
        for handle in handles:
            handle.remove()


def test_frozen_models_are_left_as_they_were_found() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    with pytest.raises(ZeroDivisionError), frozen(model):
        assert not any(parameter.requires_grad for parameter in model.parameters())
        raise ZeroDivisionError
    assert [parameter.requires_grad for parameter in model.parameters()] == [False, False, True, True]


@pytest.mark.parametrize("kind", KINDS)
def test_the_head_computes_the_chosen_logits_of_all(backend_of, kind) -> None:
    clone = clone_sharing_weights(backend_of(kind).model)
    head = AnswerHead(clone)
    ids = torch.arange(3, 23).view(2, 10)
    inputs = {"input_ids": ids} | ({"decoder_input_ids": ids} if kind == "t5" else {})
    rows, places = torch.tensor([0, 0, 1]), torch.tensor([2, 9, 0])
    with torch.no_grad():
        everything = clone(**inputs).logits
        with head.only(rows, places):
            chosen = clone(**inputs).logits
        assert torch.equal(clone(**inputs).logits, everything)
    torch.testing.assert_close(chosen, everything[rows, places][None], rtol=1e-5, atol=1e-5)


def test_a_model_without_a_head_is_refused(backend_of, monkeypatch) -> None:
    clone = clone_sharing_weights(backend_of("llama").model)
    monkeypatch.setattr(clone, "get_output_embeddings", lambda: None)
    with pytest.raises(UnsupportedError, match="a llama model must have an output head, got none"):
        AnswerHead(clone)
