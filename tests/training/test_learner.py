"""The loss is that of full logits, in stock PEFT, on every architecture; padding and cutting change nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from promptkit.artifacts.weights import weights_to_files
from promptkit.backends.local.backend import LocalBackend
from promptkit.errors import UnsupportedError
from promptkit.training import LoraSpec, SoftSpec, TrainingConfig
from promptkit.training.dataset import Item, encode
from promptkit.training.learner import Learner, learning
from promptkit.types import Prompt, Request, Weights

KINDS = [
    "gpt2", "llama", "qwen2", "qwen3", "mistral", "gemma", "phi", "gpt_neox", "bloom", "opt", "falcon", "falcon_rw", "t5"
]  # fmt: skip
SOFT = {
    "prompt": SoftSpec(kind="prompt", tokens=5),
    "ptuning": SoftSpec(kind="ptuning", tokens=5),
    "prefix": SoftSpec(kind="prefix", tokens=5),
}
LORA = {
    "lora": LoraSpec(rank=3, alpha=24),
    "rslora": LoraSpec(rank=3, variant="rslora", targets="attention"),
    "dora": LoraSpec(rank=3, variant="dora"),
    "adalora": LoraSpec(rank=2, variant="adalora", targets="attention"),
}


@contextmanager
def moved(backend: LocalBackend, *, batch_size: int = 3, **what: Any) -> Iterator[Learner]:
    """A learner whose numbers are no longer those of the start, at which low-rank changes change nothing."""
    spec = TrainingConfig(batch_size=batch_size, precision="float32")
    what = {"lora": None, "soft": None} | what
    torch.manual_seed(5)
    with learning(backend, spec, steps=20, bfloat16=False, **what) as learner:
        with torch.no_grad():
            for name, parameter in learner.parameters.items():
                parameter.add_((3.0 if name.startswith("soft") else 0.3) * torch.randn_like(parameter))
        yield learner


def plain_model(backend: LocalBackend, *weights: Weights | None, folder: Path) -> Any:
    """The model as transformers loads it, with weights that stock PEFT loads from their files."""
    import peft
    import transformers

    causal, seq2seq = transformers.AutoModelForCausalLM, transformers.AutoModelForSeq2SeqLM
    kind = seq2seq if backend._loaded.seq2seq else causal
    model = kind.from_pretrained(backend.folder, dtype=torch.float32).eval()
    for number, each in enumerate(weights):
        if each is not None:
            path = folder / str(number)
            path.mkdir()
            for name, data in weights_to_files(each).items():
                (path / name).write_bytes(data)
            model = peft.PeftModel.from_pretrained(model, path).eval()
            if each.kind == "lora":
                model = model.get_base_model()  # PEFT's own forward fails for a loaded adalora when given labels
    return model


def labelled(item: Item, seq2seq: bool) -> dict[str, torch.Tensor]:
    """What a trainer would hand to the model for one item."""
    if seq2seq:
        ids, labels = [*item.prompt], [*item.answer]
    else:
        ids, labels = [*item.prompt, *item.answer], [-100] * len(item.prompt) + [*item.answer]
    return {
        "input_ids": torch.tensor([ids]),
        "attention_mask": torch.ones(1, len(ids), dtype=torch.long),
        "labels": torch.tensor([labels]),
    }


def full_loss(model: Any, items: list[Item], seq2seq: bool) -> float:
    with torch.no_grad():
        losses = [float(model(**labelled(item, seq2seq)).loss) * len(item.answer) for item in items]
    return sum(losses) / sum(len(item.answer) for item in items)


@pytest.mark.parametrize("what", ["prompt", "prefix", "lora"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_that_of_full_logits_in_stock_peft(backend_of, pairs, tmp_path, kind, what) -> None:
    backend = backend_of(kind)
    seq2seq = kind == "t5"
    items = encode(backend, pairs(5, end=True), of="pairs", before=5)
    chosen = {"soft": SOFT[what]} if what in SOFT else {"lora": LORA[what]}
    if seq2seq and what == "prefix":
        with pytest.raises(UnsupportedError, match="kind must be 'prompt' or 'ptuning' for a t5 model"):
            with moved(backend, **chosen):
                pass
        return
    with moved(backend, **chosen) as learner:
        ours = learner.loss(items)
        lora, soft = learner.weights(backend.fingerprint())
    stock = plain_model(backend, lora, soft, folder=tmp_path)
    theirs = full_loss(stock, items, seq2seq)
    # The tiny t5's loss is so high that rounding, which differs from processor to processor, exceeds 1e-5.
    rounding = abs(full_loss(stock.double(), items, seq2seq) - theirs) if seq2seq else 0.0
    assert ours == pytest.approx(theirs, abs=1e-5 + 2 * rounding)
    assert ours != pytest.approx(full_loss(plain_model(backend, folder=tmp_path), items, seq2seq), abs=1e-3)


@pytest.mark.parametrize("what", ["ptuning", "rslora", "dora", "adalora"])
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_every_member_of_the_families_loads_in_stock_peft(backend_of, pairs, tmp_path, kind, what) -> None:
    backend = backend_of(kind)
    items = encode(backend, pairs(5), of="pairs", before=5)
    with moved(backend, **({"soft": SOFT[what]} if what in SOFT else {"lora": LORA[what]})) as learner:
        ours = learner.loss(items)
        lora, soft = learner.weights(backend.fingerprint())
    assert ours == pytest.approx(full_loss(plain_model(backend, lora, soft, folder=tmp_path), items, False), abs=1e-5)


@pytest.mark.parametrize("kind", ["llama", "bloom", "t5"])
def test_a_padded_batch_of_a_trainer_has_the_same_loss(backend_of, pairs, tmp_path, kind) -> None:
    backend = backend_of(kind)
    items = encode(backend, pairs(5, end=True), of="pairs", before=0)
    with moved(backend, batch_size=5, lora=LORA["lora"]) as learner:
        ours = learner.loss(items)
        model = plain_model(backend, learner.weights("")[0], folder=tmp_path)
    rows = [labelled(item, kind == "t5") for item in items]
    fill = {"input_ids": 0, "attention_mask": 0, "labels": -100}
    batch = {
        name: torch.nn.utils.rnn.pad_sequence([row[name][0] for row in rows], batch_first=True, padding_value=value)
        for name, value in fill.items()
    }
    with torch.no_grad():
        assert ours == pytest.approx(float(model(**batch).loss), abs=1e-5)


def gradients_of(learner: Learner, parts: list[list[Item]], weights: list[float]) -> dict[str, torch.Tensor]:
    total: dict[str, torch.Tensor] = {}
    for part, weight in zip(parts, weights, strict=True):
        learner.gradients(part)
        for name, parameter in learner.parameters.items():
            total[name] = total.get(name, 0) + weight * parameter.grad
            parameter.grad = None
    return total


@pytest.mark.parametrize("kind", KINDS)
def test_padding_has_no_effect_on_gradients(tiny, pairs, kind) -> None:
    backend = LocalBackend(tiny(kind), device="cpu")
    backend.model.double()  # some of these random models magnify rounding a thousandfold
    items = encode(backend, pairs(6), of="pairs", before=5)
    assert len({item.length for item in items}) > 3
    whole = sum(len(item.answer) for item in items)
    soft = SOFT["prompt" if kind == "t5" else "prefix"]
    for what in ({"soft": soft, "lora": LORA["lora"]}, {"soft": SOFT["prompt"]}):
        with moved(backend, batch_size=6, **what) as learner:
            together = gradients_of(learner, [items], [1.0])
            single = gradients_of(learner, [[item] for item in items], [len(item.answer) / whole for item in items])
        for name, gradient in together.items():
            assert gradient.norm() > 0
            assert (gradient - single[name]).norm() / gradient.norm() < 1e-5, name


def test_how_a_step_is_cut_into_passes_has_no_effect(backend_of, pairs) -> None:
    backend = backend_of("llama")
    items = encode(backend, pairs(8), of="pairs", before=0)
    found = []
    for batch_size in (8, 3, 1):
        with moved(backend, batch_size=batch_size, lora=LORA["lora"]) as learner:
            found.append(gradients_of(learner, [items], [1.0]))
    for other in found[1:]:
        for name, gradient in found[0].items():
            assert (gradient - other[name]).norm() / gradient.norm() < 1e-4, name


def test_the_check_of_padding_sees_visible_padding(tiny, pairs, monkeypatch) -> None:
    """The bad twin: rows padded on the left without a mask, as a careless loop would."""
    from promptkit.training import learner as room

    original = room.collate

    def left(items: Any, *others: Any) -> Any:
        import dataclasses

        batch = original(items, *others)
        shift = (~batch.real).sum(1)
        rolled = torch.stack([row.roll(int(by)) for row, by in zip(batch.ids, shift, strict=True)])
        return dataclasses.replace(batch, ids=rolled, places=batch.places + shift[batch.rows])

    monkeypatch.setattr(room, "collate", left)
    with pytest.raises(AssertionError):
        test_padding_has_no_effect_on_gradients(tiny, pairs, "llama")


def test_logits_are_computed_at_answers_only(backend_of, pairs) -> None:
    backend = backend_of("llama")
    items = encode(backend, pairs(4), of="pairs", before=0)
    seen: list[tuple[int, ...]] = []
    with moved(backend, batch_size=4, lora=LORA["lora"]) as learner:
        head = learner._model.get_output_embeddings()
        head.register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape)))
        learner.loss(items)
    assert seen == [(1, sum(len(item.answer) for item in items), backend.model.config.vocab_size)]


def test_dropout_is_on_in_training_and_off_in_evaluation(backend_of, pairs) -> None:
    backend = backend_of("gpt2")  # whose own configuration has dropout, which stays off
    items = encode(backend, pairs(4), of="pairs", before=0)
    with moved(backend, lora=LoraSpec(dropout=0.5)) as learner:
        assert learner.loss(items) == learner.loss(items)
        assert learner.gradients(items) != learner.gradients(items)
        assert learner.loss(items) == learner.loss(items)
    with moved(backend, lora=LoraSpec()) as learner:
        assert learner.gradients(items) == learner.gradients(items)


def test_a_model_that_serves_is_left_alone(backend_of, pairs) -> None:
    backend = backend_of("llama")
    before = {name: tensor.clone() for name, tensor in backend.model.state_dict().items()}
    modules = [type(module) for module in backend.model.modules()]
    wanted = backend.generate([Request(Prompt(text="Review: dull.\nLabel:"))])
    answers: list[Any] = []
    with moved(backend, lora=LORA["dora"], soft=SOFT["prompt"]) as learner:
        learner.gradients(encode(backend, pairs(4), of="pairs", before=5))
        asking = threading.Thread(
            target=lambda: answers.append(backend.generate([Request(Prompt(text="Review: dull.\nLabel:"))]))
        )
        asking.start()
        asking.join()
        assert [type(module) for module in backend.model.modules()] == modules
        assert all(parameter.data_ptr() in own for parameter in backend.model.parameters()
                   for own in [{each.data_ptr() for each in learner._model.parameters()}])  # fmt: skip
    assert [reply.completions for reply in answers[0]] == [reply.completions for reply in wanted]
    assert all(parameter.requires_grad and parameter.grad is None for parameter in backend.model.parameters())
    assert backend.model.state_dict().keys() == before.keys()
    for name, tensor in backend.model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_base_in_bfloat16_trains_numbers_in_float32(tiny, pairs) -> None:
    backend = LocalBackend(tiny("llama"), device="cpu", dtype="bfloat16")
    items = encode(backend, pairs(4), of="pairs", before=5)
    for what in ({"lora": LORA["adalora"]}, {"lora": LORA["dora"], "soft": SOFT["prompt"]}, {"soft": SOFT["prefix"]}):
        with moved(backend, **what) as learner:
            assert {parameter.dtype for parameter in learner.parameters.values()} == {torch.float32}
            assert not any("ranknum" in name for name in learner.parameters)
            assert learner.gradients(items) > 0
            assert all(parameter.grad is not None for parameter in learner.parameters.values())
