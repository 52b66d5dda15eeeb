from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptkit.adapters.selection import LexicalIndex, select, tokens
from promptkit.data import Split
from promptkit.errors import DataError, SettingError
from promptkit.types import Example, Query


def example(text: str, target: str = "x", id: str = "") -> Example:
    return Example(Query({"question": text}, id), (target,))


def pool(size: int = 40, labels: int = 4) -> list[Example]:
    words = "apple pear plum fig red green big small sweet sour round fresh".split()
    draw = random.Random(0)
    return [example(f"{' '.join(draw.sample(words, 4))} {n}", f"label {n % labels}", str(n)) for n in range(size)]


def said(examples: list[Example]) -> list[str]:
    return [item.query.fields["question"] for item in examples]


ask = Query({"question": "red sweet apple"})
methods = pytest.mark.parametrize("method", ["first", "random", "balanced", "nearest", "diverse"])


# --- what holds for every method ---------------------------------------------------------------------------------


@methods
@given(k=st.integers(0, 12), seed=st.integers(), size=st.integers(13, 30))
@settings(max_examples=25, deadline=None)
def test_k_different_examples_of_the_pool_never_the_query(method: str, k: int, seed: int, size: int) -> None:
    rows = pool(size)
    query = rows[seed % size].query
    rows += [example(f"  {said(rows)[n].upper()} ", "y") for n in range(3)]  # repeats but for case and space
    chosen = select(method, rows, k, query=query, seed=seed)
    keys = [item.query.key for item in chosen]
    assert len(keys) == k == len(set(keys)) and query.key not in keys
    assert all(item in rows for item in chosen)


@methods
def test_the_same_seed_gives_the_same_choice(method: str) -> None:
    assert select(method, pool(), 6, query=ask, seed=3) == select(method, pool(), 6, query=ask, seed=3)
    assert select(method, LexicalIndex(pool()), 6, query=ask, seed=3) == select(method, pool(), 6, query=ask, seed=3)


@methods
def test_only_first_depends_on_the_order_of_the_pool(method: str) -> None:
    turned = select(method, pool()[::-1], 6, query=ask) == select(method, pool(), 6, query=ask)
    assert turned == (method != "first")


@methods
def test_the_query_is_known_by_content_whatever_its_id_and_writing(method: str) -> None:
    rows = [example("Two apples?"), example("Three pears?"), example("Four plums?")]
    chosen = select(method, rows, 2, query={"question": "two\u3000ＡＰＰＬＥＳ?"})
    assert sorted(said(chosen)) == ["Four plums?", "Three pears?"]
    # The twin: were the query compared by its letters only, the first example would be taken.
    assert "Two apples?" in said(select(method, rows, 3, query={"question": "two apples??"}))


@methods
def test_a_test_split_is_refused_as_a_pool(method: str) -> None:
    with pytest.raises(DataError, match=r"select: examples must be no test items, got Split\('test', 40 examples\)"):
        select(method, Split("test", pool()), 2, query=ask)
    with pytest.raises(DataError, match="choose demonstrations from data.train"):
        select(method, Split("test", pool())[:20][::-1], 2, query=ask)
    with pytest.raises(DataError, match="no test items"):
        LexicalIndex(Split("test", pool()))
    assert len(select(method, Split("train", pool()), 2, query=ask)) == 2  # the twin: the same rows, another name


@methods
def test_a_pool_that_is_too_small_is_refused(method: str) -> None:
    rows = [example("a"), example("A "), example("b"), example("red sweet apple")]
    with pytest.raises(SettingError, match="select: k must be at most 2, the number of different examples"):
        select(method, rows, 3, query=ask)
    assert len(select(method, rows, 2, query=ask)) == 2
    assert select(method, [], 0, query=ask) == []


@pytest.mark.parametrize("k", [-1, 1.0, True, "2", None])
def test_k_must_be_a_count(k: object) -> None:
    with pytest.raises(SettingError, match="select: k must be an integer of at least 0"):
        select("first", pool(), k)  # type: ignore[arg-type]


def test_unknown_methods_are_refused() -> None:
    with pytest.raises(
        SettingError, match="must be one of 'first', 'random', 'balanced', 'nearest', 'diverse', got 'best'"
    ):
        select("best", pool(), 2)  # type: ignore[arg-type]


# --- first, random, balanced -------------------------------------------------------------------------------------


def test_first_keeps_the_order_and_skips_repeats() -> None:
    assert said(select("first", [example("a"), example("A"), example("b"), example("c")], 2)) == ["a", "b"]


def test_random_follows_the_seed_and_a_larger_k_extends_a_smaller() -> None:
    draws = {tuple(said(select("random", pool(), 5, seed=seed))) for seed in range(20)}
    assert len(draws) == 20
    assert select("random", pool(), 9, seed=4)[:5] == select("random", pool(), 5, seed=4)


def test_random_is_even() -> None:
    counts = Counter(item.id for seed in range(2000) for item in select("random", pool(10), 3, seed=seed))
    assert all(500 < count < 700 for count in counts.values()) and len(counts) == 10  # 600 expected, sd 20


def test_balanced_takes_turns() -> None:
    chosen = [item.target for item in select("balanced", pool(), 8)]
    assert Counter(chosen) == {f"label {n}": 2 for n in range(4)}
    assert chosen[:4] == chosen[4:]


@given(st.integers(0, 40), st.integers(1, 7), st.integers())
def test_balanced_counts_differ_by_one_at_most(k: int, labels: int, seed: int) -> None:
    counts = Counter(item.target for item in select("balanced", pool(42, labels), k, seed=seed))
    sizes = [counts[f"label {n}"] for n in range(labels)]
    assert max(sizes) - min(sizes) <= 1


def test_balanced_with_fewer_examples_than_labels_draws_the_labels_by_seed() -> None:
    drawn = [frozenset(item.target for item in select("balanced", pool(), 2, seed=seed)) for seed in range(50)]
    assert all(len(labels) == 2 for labels in drawn) and len(set(drawn)) == 6


def test_balanced_fills_up_where_a_label_runs_out() -> None:
    rows = [example("only", "rare"), *(example(f"many {n}", "often") for n in range(9))]
    assert Counter(item.target for item in select("balanced", rows, 5)) == {"often": 4, "rare": 1}


def test_balanced_over_given_labels_leaves_the_others_out() -> None:
    chosen = select("balanced", pool(), 6, labels=["label 1", "label 3", "unheard of"])
    assert Counter(item.target for item in chosen) == {"label 1": 3, "label 3": 3}
    with pytest.raises(
        SettingError, match="k must be at most 10, the number of examples with one of the labels, got 11"
    ):
        select("balanced", pool(), 11, labels=["label 2"])


# --- nearest, diverse --------------------------------------------------------------------------------------------


def test_nearest_puts_the_most_like_one_last() -> None:
    rows = [example("the weather in Rome"), example("the price of gold"), example("the price of gold in Rome today")]
    chosen = select("nearest", rows, 3, query={"question": "what is the price of gold in Rome?"})
    assert said(chosen) == ["the weather in Rome", "the price of gold", "the price of gold in Rome today"]


def test_nearest_works_in_scripts_without_spaces() -> None:
    rows = [example("今天上海的天气怎么样"), example("苹果多少钱一斤"), example("北京有多少人口")]
    assert said(select("nearest", rows, 1, query={"question": "一斤苹果要多少钱"})) == ["苹果多少钱一斤"]


def test_nearest_needs_a_query() -> None:
    with pytest.raises(SettingError, match="query must be given for method 'nearest'"):
        select("nearest", pool(), 2)


def test_nearest_decides_between_equals_by_seed() -> None:
    rows = [example(f"alpha {n}") for n in range(6)]
    firsts = {said(select("nearest", rows, 1, query={"question": "alpha"}, seed=seed))[0] for seed in range(40)}
    assert len(firsts) == 6


def test_diverse_avoids_a_near_copy_that_nearest_takes() -> None:
    rows = [
        example("red apple pie recipe"),
        example("red apple pie recipe idea"),
        example("pears for dinner"),
        example("blue sky over the sea"),
    ]
    query = {"question": "red apple pie recipe and pears"}
    assert set(said(select("nearest", rows, 2, query=query))) == {"red apple pie recipe", "red apple pie recipe idea"}
    assert said(select("diverse", rows, 2, query=query)) == ["pears for dinner", "red apple pie recipe"]


def test_diverse_is_the_maximal_marginal_relevance_of_the_paper() -> None:
    index = LexicalIndex(pool(25))
    like = index.similarity(ask.fields)
    among = [index.between(place) for place in range(len(index))]
    chosen: list[int] = []
    while len(chosen) < 5:  # the formula, word for word
        rest = [place for place in range(len(index)) if place not in chosen]
        gains = {p: 0.5 * like[p] - 0.5 * max((among[p][c] for c in chosen), default=0.0) for p in rest}
        chosen.append(max(gains, key=lambda p: gains[p]))
    assert {item.id for item in select("diverse", index, 5, query=ask)} == {index.examples[p].id for p in chosen}


def test_diverse_without_a_query_covers_the_pool() -> None:
    groups = ["red apple", "blue sky", "old car"]
    rows = [example(f"{group} {word}") for group in groups for word in ("one", "two", "three", "four")]
    assert {" ".join(text.split()[:2]) for text in said(select("diverse", rows, 3))} == set(groups)


# --- likeness ----------------------------------------------------------------------------------------------------


@given(st.text(max_size=40))
def test_likeness_is_a_cosine(text: str) -> None:
    index = LexicalIndex([example(text), *pool(5)])
    scores = index.similarity({"question": text})
    assert all(-1e-9 <= score <= 1 + 1e-9 for score in scores)
    assert scores[0] == pytest.approx(1.0 if tokens(text) else 0.0)
    assert index.between(0).tolist() == pytest.approx(scores.tolist())


def test_words_that_the_pool_lacks_make_a_query_less_alike() -> None:
    index = LexicalIndex(pool())
    assert max(index.similarity({"question": "red apple zzz"})) < max(index.similarity({"question": "red apple"}))


def test_likeness_to_nothing_is_zero() -> None:
    assert LexicalIndex([example("a"), example("!")]).similarity({"question": "?"}).tolist() == [0.0, 0.0]
    assert LexicalIndex([]).similarity({"question": "a"}).tolist() == []
    assert LexicalIndex([example("?!")]).centrality().tolist() == [0.0]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Don't STOP", ["don", "t", "stop"]),
        ("ﬁve ５", ["five", "5"]),
        ("苹", ["苹"]),
        ("苹果a树林", ["苹果", "a", "树林"]),
        ("Привет, мир", ["привет", "мир"]),
        ("りんご", ["りん", "んご"]),
        ("한국어", ["한국", "국어"]),
        ("…", []),
    ],
)
def test_tokens(text: str, found: list[str]) -> None:
    assert tokens(text) == found
