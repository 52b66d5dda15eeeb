from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from promptkit.backends.local.keys import lora_number, prompt_key, text_of, virtual_of
from promptkit.backends.local.prefix import common_length

TEXTS = st.lists(st.integers(0, 300_000), min_size=1, max_size=8)
PARTS = st.tuples(TEXTS, st.integers(0, 3), st.integers(1, 4), st.integers(0, 3))


def build(parts: tuple[list[int], int, int, int]) -> tuple[int, ...]:
    text, soft, virtual, lora = parts
    return prompt_key(text, soft=soft, virtual=virtual if soft else 0, lora=lora)


@given(PARTS)
def test_a_key_tells_all_its_parts(parts: tuple[list[int], int, int, int]) -> None:
    text, soft, virtual, lora = parts
    key = build(parts)
    assert text_of(key) == tuple(text)
    assert lora_number(key) == lora
    assert virtual_of(key) == ((soft, 0, virtual) if soft else (0, 0, 0))
    assert len(key) == len(text) + (virtual if soft else 0)
    if soft:
        assert virtual_of(key[1:]) == ((soft, 1, virtual - 1) if virtual > 1 else (0, 0, 0))


@given(PARTS, PARTS)
def test_prompts_have_in_common_what_is_computed_equally(
    one: tuple[list[int], int, int, int], other: tuple[list[int], int, int, int]
) -> None:
    shared = common_length(build(one), build(other))
    if one[3] != other[3] or one[1] != other[1]:
        assert shared == 0
    elif one[2] == other[2] or not one[1]:
        assert shared == (one[2] if one[1] else 0) + common_length(one[0], other[0])


def test_the_base_keeps_its_numbers() -> None:
    assert prompt_key([5, 7]) == (5, 7)
    assert text_of(()) == ()
