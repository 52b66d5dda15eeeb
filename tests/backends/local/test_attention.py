from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from promptkit.backends.local import attention as local_attention
from promptkit.backends.local.attention import Prefix, attending, merged_attention


def pieces(rows: int, heads: int, key_heads: int, new: int, own: int, prefix: int) -> list[torch.Tensor]:
    made = torch.Generator().manual_seed(rows * 100 + own)
    shapes = [(rows, heads, new, 8), (rows, key_heads, own, 8), (rows, key_heads, own, 8)]
    shapes += [(key_heads, prefix, 8), (key_heads, prefix, 8)]  # type: ignore[list-item]
    return [torch.randn(*shape, generator=made) * 2 for shape in shapes]


def whole(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, k0: torch.Tensor, v0: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    rows, heads = query.shape[:2]
    key, value = (torch.cat([a.expand(rows, -1, -1, -1), b], 2) for a, b in ((k0, key), (v0, value)))
    key, value = (x.repeat_interleave(heads // x.shape[1], 1) for x in (key, value))
    seen = torch.cat([torch.ones(*mask.shape[:3], k0.shape[1], dtype=torch.bool), mask], 3)
    out = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=seen, scale=1.0)
    return out.transpose(1, 2)


@pytest.mark.parametrize("heads", [(4, 4), (4, 2), (4, 1)])
@pytest.mark.parametrize(("new", "own"), [(1, 5), (5, 5), (3, 7), (1, 1)])
@pytest.mark.parametrize("chunk", [1 << 24, 16])
def test_two_blocks_equal_one_softmax(
    heads: tuple[int, int], new: int, own: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_attention, "_CHUNK", chunk)
    query, key, value, k0, v0 = pieces(3, *heads, new, own, 6)
    causal = torch.ones(new, own, dtype=torch.bool).tril(own - new).expand(3, 1, new, own).clone()
    want = whole(query, key, value, k0, v0, causal)
    assert torch.allclose(merged_attention(query, key, value, k0, v0, None), want, atol=1e-5)
    causal[1, :, :, : own // 2] = False  # padding on the left of one row
    want = whole(query, key, value, k0, v0, causal)
    assert torch.allclose(merged_attention(query, key, value, k0, v0, causal), want, atol=1e-5)


def test_a_row_that_sees_none_of_its_own_tokens_sees_the_prefix() -> None:
    query, key, value, k0, v0 = pieces(2, 2, 2, 1, 4, 6)
    blind = torch.zeros(2, 1, 1, 4, dtype=torch.bool)
    want = whole(query, key, value, k0, v0, blind)
    assert torch.allclose(merged_attention(query, key, value, k0, v0, blind), want, atol=1e-5)


def test_scores_beyond_the_range_of_exp_are_merged() -> None:
    query, key, value, k0, v0 = pieces(2, 2, 2, 1, 4, 6)
    seen = torch.ones(2, 1, 1, 4, dtype=torch.bool)
    for factor in (500.0, -500.0):
        want = whole(query * factor, key, value, k0, v0, seen)
        assert torch.allclose(merged_attention(query * factor, key, value, k0, v0, seen), want, atol=1e-4)


def test_outside_of_attending_it_is_plain_attention() -> None:
    query, key, value, k0, v0 = pieces(2, 4, 2, 1, 4, 6)
    module = SimpleNamespace(layer_idx=0, num_key_value_groups=2, is_causal=True)
    plain, _ = local_attention._forward(module, query, key, value, None, scaling=1.0)
    prefix = Prefix(tuple(range(6)), ((k0[None], v0[None]),))
    with attending(prefix):
        shared, _ = local_attention._forward(module, query, key, value, None, scaling=1.0)
        with pytest.raises(NotImplementedError, match="softcap cannot be merged"):
            local_attention._forward(module, query, key, value, None, softcap=30.0)
    again, _ = local_attention._forward(module, query, key, value, None, scaling=1.0)
    assert torch.equal(plain, again)
    assert not torch.allclose(plain, shared, atol=1e-3)
