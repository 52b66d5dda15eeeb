from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from promptkit.backends.local.adapters import Folded
from promptkit.backends.local.batched_lora import BatchedLora, _Grid
from promptkit.errors import UnsupportedError


def folded(seed: int, *, scaled: bool = False, inputs: int = 6, outputs: int = 4) -> Folded:
    draw = torch.Generator().manual_seed(seed)
    scale = torch.rand(outputs, generator=draw) + 0.5 if scaled else None
    return Folded(torch.randn(3, inputs, generator=draw), torch.randn(outputs, 3, generator=draw), scale)


def changed(layer: Any, x: Any, change: Folded | None) -> Any:
    """The formula, row by row."""
    out = layer(x)
    if change is None:
        return out
    bias = 0 if layer.bias is None else layer.bias
    scale = 1 if change.scale is None else change.scale
    return scale * (out - bias) + bias + x @ change.a.T @ change.b.T


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("layer", [nn.Linear(6, 4), nn.Linear(6, 4, bias=False), Conv1D(4, 6)])
@pytest.mark.parametrize("order", [[0, 0, 1, 1, 2], [2, 1, 0, 1, 2], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]])
def test_each_row_gets_its_own_change(layer: Any, scaled: bool, order: list[int]) -> None:
    known = [None, folded(1), folded(2, scaled=scaled)]
    maps = [None, {layer: known[1]}, {layer: known[2]}]
    x = torch.randn(5, 7, 6)
    want = torch.stack([changed(layer, row, known[number]) for row, number in zip(x, order, strict=True)])
    rows = BatchedLora([maps[number] for number in order])
    with torch.no_grad(), rows.active():
        assert torch.allclose(layer(x), want, atol=1e-5)
        # Some models lay the tokens of all rows one after the other.
        assert torch.allclose(layer(x.view(35, 6)), want.view(35, 4), atol=1e-5)
        base = [at for at, number in enumerate(order) if number == 0]
        assert torch.equal(layer(x)[base], want[base])
    with torch.no_grad():
        assert torch.equal(layer(x), changed(layer, x, None))


@pytest.mark.parametrize("tokens", [1, 3])
@pytest.mark.parametrize("odd", ["none", "scaled", "missing"])
def test_many_changes_at_one_token_per_row_take_the_grid(
    tokens: int, odd: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer: Any = nn.Linear(6, 4)
    draw = torch.Generator().manual_seed(3)
    known: list[Any] = [folded(seed) for seed in range(4)]
    known.append(Folded(torch.randn(5, 6, generator=draw), torch.randn(4, 5, generator=draw)))  # of a higher rank
    maps: list[Any] = [{layer: own} for own in known]
    if odd == "scaled":
        known[1] = folded(1, scaled=True)
        maps[1] = {layer: known[1]}
    if odd == "missing":
        known[1], maps[1] = None, {nn.Linear(6, 4): known[1]}
    order: list[int | None] = [None, None, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    added: list[bool] = []
    add = _Grid.add
    monkeypatch.setattr(_Grid, "add", lambda self, *given: added.append(add(self, *given)) or added[-1])
    rows = BatchedLora([None if number is None else maps[number] for number in order])
    for keep in (
        list(range(12)),
        [1, *range(2, 10), 11],
        [0, 1, 3, 4, 5, 6, 9],
        [1, 0, 5, 6],
        [2, 3],
        [1, 0, 0, 1],
        [3],
    ):
        rows.keep(keep)
        order = [order[row] for row in keep]
        x = torch.randn(len(order), tokens, 6)
        changes = [None if number is None else known[number] for number in order]
        want = torch.stack([changed(layer, row, own) for row, own in zip(x, changes, strict=True)])
        with torch.no_grad(), rows.active():
            assert torch.allclose(layer(x), want, atol=1e-5)
    side_by_side = [True, True, True, False, True, False, True]
    even = [True, False, False, False, False, False, False]
    assert added == ((side_by_side if tokens == 1 else even) if odd == "none" else [False] * 7)


def test_an_even_batch_takes_the_shortest_way() -> None:
    layer, known = nn.Linear(6, 4), [folded(seed) for seed in range(3)]
    rows = BatchedLora([{layer: own} for own in known for _ in range(2)])
    order = [own for own in known for _ in range(2)]
    for tokens in (5, 1, 1):
        x = torch.randn(6, tokens, 6)
        want = torch.stack([changed(layer, row, own) for row, own in zip(x, order, strict=True)])
        for given, wanted in ((x, want), (x.view(-1, 6), want.view(-1, 4)), (x.mT.contiguous().mT, want)):
            with torch.no_grad(), rows.active():
                assert torch.allclose(layer(given), wanted, atol=1e-5)
    assert rows._grid is not None
    with torch.no_grad(), rows.active(), pytest.raises(UnsupportedError, match="must see all 6 rows"):
        layer(torch.randn(1, 6, 6))


def test_the_base_goes_on_when_all_changed_rows_have_left() -> None:
    layer, x = nn.Linear(6, 4), torch.randn(4, 1, 6)
    plain = layer(x), layer(x[:1]), layer(x[:2])
    rows = BatchedLora([None, *({layer: folded(seed)} for seed in range(3))])
    with torch.no_grad(), rows.active():
        assert not torch.equal(layer(x), plain[0])
    for keep in ([0], [0, 0]):
        rows.keep(keep)
        with torch.no_grad(), rows.active():
            assert torch.equal(layer(x[: len(keep)]), plain[len(keep)])


def test_rows_may_leave_and_repeat() -> None:
    layer: Any = nn.Linear(6, 4)
    known = [folded(seed) for seed in range(3)]
    rows = BatchedLora([{layer: known[0]}, None, {layer: known[1]}, {layer: known[2]}])
    rows.keep([3, 1, 1, 0])
    x = torch.randn(4, 2, 6)
    order = [known[2], None, None, known[0]]
    want = torch.stack([changed(layer, row, change) for row, change in zip(x, order, strict=True)])
    with torch.no_grad(), rows.active():
        assert torch.allclose(layer(x), want, atol=1e-5)


def test_layers_without_a_change_and_other_threads_see_nothing() -> None:
    layer, other = nn.Linear(6, 4), nn.Linear(6, 4)
    x = torch.randn(2, 3, 6)
    plain, seen = layer(x), list[Any]()
    with torch.no_grad(), BatchedLora([{layer: folded(1)}, None]).active():
        assert torch.equal(other(x), other(x))
        assert not torch.equal(layer(x), plain)
        thread = threading.Thread(target=lambda: seen.append(layer(x)))
        thread.start()
        thread.join()
    assert torch.equal(seen[0], plain)


def test_the_changes_end_with_the_block_even_after_a_failure() -> None:
    layer = nn.Linear(6, 4)
    x = torch.randn(1, 6)
    plain = layer(x)
    with pytest.raises(RuntimeError), BatchedLora([{layer: folded(1)}]).active():
        raise RuntimeError
    assert torch.equal(layer(x), plain)


def test_one_hook_is_enough() -> None:
    layer = nn.Linear(6, 4)
    for seed in range(5):
        BatchedLora([{layer: folded(seed)}])
    assert len(layer._forward_hooks) == 1


def test_input_that_cannot_be_told_apart_by_rows_is_refused() -> None:
    layer = nn.Linear(6, 4)
    rows = BatchedLora([{layer: folded(1)}, None])
    for shape in ((3, 6), (1, 4, 6), (4, 1, 6)):
        with rows.active(), torch.no_grad(), pytest.raises(UnsupportedError, match="must see all 2 rows of its batch"):
            layer(torch.randn(*shape))


def test_low_precision_layers_are_changed_in_float32() -> None:
    layer: Any = nn.Linear(6, 4).bfloat16()
    change, x = folded(1, scaled=True), torch.randn(2, 6).bfloat16()
    want = changed(nn.Linear(6, 4).requires_grad_(False), x.float(), None) * 0
    with torch.no_grad():
        bias = layer.bias.float()
        want = change.scale * (layer(x).float() - bias) + bias + x.float() @ change.a.T @ change.b.T
        with BatchedLora([{layer: change}] * 2).active():
            got = layer(x)
    assert got.dtype == torch.bfloat16
    assert torch.equal(got, want.bfloat16())
