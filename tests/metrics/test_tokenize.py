"""Tokenizers: equal to rouge-score where it sees, and seeing where it does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptkit.errors import SettingError
from promptkit.metrics.tokenize import get_tokenizer, rouge_score_tokens, unicode_tokens

oracle = pytest.importorskip("rouge_score.tokenize")

ASCII = st.text(st.characters(max_codepoint=127))
MARKED = "e\u0301\u0307\u0928\u094d\u1112\u1161\u11abйǅßİﬁ½中ก\u0e35\u3099\ufe00\U000e0100\ud800 a"


@given(ASCII)
def test_ascii_tokens_are_those_of_rouge_score(text: str) -> None:
    assert unicode_tokens(text) == rouge_score_tokens(text) == oracle.tokenize(text, None)


@given(st.text())
def test_the_package_tokenizer_is_equal_on_every_text(text: str) -> None:
    assert rouge_score_tokens(text) == oracle.tokenize(text, None)


@given(st.lists(st.text(st.characters(categories=["Lu", "Ll"], max_codepoint=127), min_size=1, max_size=12)))
def test_stems_are_those_of_rouge_score(words: list[str]) -> None:
    from nltk.stem.porter import PorterStemmer

    text = " ".join(words)
    assert get_tokenizer("rouge-score", stemmer=True)(text) == oracle.tokenize(text, PorterStemmer())


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Janet’s ducks — 5 “x”", ["janet", "s", "ducks", "5", "x"]),
        ("你好，世界abc", ["你", "好", "世", "界", "abc"]),
        ("Привет, МИР", ["привет", "мир"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("한국어 텍스트", ["한국어", "텍스트"]),
        ("テキスト", ["テ", "キ", "ス", "ト"]),
        ("مرحبا بكم", ["مرحبا", "بكم"]),
        ("می\u200cخواهم", ["میخواهم"]),
        ("STRASSE Straße ﬁn", ["strasse", "strasse", "fin"]),
        ("葛\U000e0100飾", ["葛", "飾"]),
        ("\ud800x é", ["x", "é"]),
        ("😀 !", []),
    ],
)
def test_other_scripts_are_seen(text: str, tokens: list[str]) -> None:
    assert unicode_tokens(text) == tokens


@given(st.text(alphabet=MARKED))
def test_composed_and_decomposed_texts_have_equal_tokens(text: str) -> None:
    import unicodedata

    forms = {tuple(unicode_tokens(unicodedata.normalize(form, text))) for form in ("NFC", "NFD", "NFKC", "NFKD")}
    assert len(forms) == 1


@given(st.text())
def test_tokens_are_fixed_points(text: str) -> None:
    tokens = unicode_tokens(text)
    assert [part for token in tokens for part in unicode_tokens(token)] == tokens


def test_an_unknown_tokenizer_is_refused() -> None:
    with pytest.raises(SettingError, match="rouge: tokenizer must be .* 'unicode', 'rouge-score', got 'words'"):
        get_tokenizer("words")
    assert get_tokenizer(str.split)("A b") == ["A", "b"]
