"""What a comparison says in text and JSON."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

import promptkit as pk
from tests.support import shipped

BASE = [0.0] * 200 + [1.0] * 200
UP = [0.0] * 160 + [1.0] * 240
NEAR = [0.0, 1.0] * 4 + BASE[8:]

TABLE = """\
score on 400 items, paired; differences from 'base'

arm    mean  95 % interval     n  difference  95 % interval          p  Holm p  verdict    failed
-------------------------------------------------------------------------------------------------
base  0.500  [0.450, 0.550]  400    baseline                                                    0
up    0.600  [0.550, 0.648]  400      +0.100  [+0.072, +0.134]  <.0001  <.0001  better          0
near  0.510  [0.460, 0.560]  400      +0.010  [+0.000, +0.025]  0.1250  0.1250  undecided       0

up is better than base: +0.100 [+0.072, +0.134], Holm p <.0001; 40 items gained, 0 lost, d_z +0.33.
"""


def test_the_table() -> None:
    found = pk.compare({"base": BASE, "up": UP, "near": NEAR})
    assert found.table.startswith(TABLE)
    assert str(found) == found.table
    last = found.table.splitlines()
    assert last[-4].startswith(
        "near against base is undecided: +0.010 [+0.000, +0.025], Holm p 0.1250; 4 items gained, 0 lost; about "
    )
    assert last[-4].endswith(" more items would settle it at the difference seen (power .8).")
    assert last[-2].startswith("exact McNemar; Holm over 2 differences; these items find differences of ")
    assert last[-1] == "failed items score 0, in every arm alike."


def test_a_margin_is_said_wherever_it_matters() -> None:
    lines = pk.compare({"base": BASE, "up": UP, "near": NEAR}, margin=0.05).table.splitlines()
    assert lines[0] == "score on 400 items, paired; differences from 'base' by more than 0.05"
    assert any(line.startswith("up is better than base by more than 0.05: ") for line in lines)
    assert any(line.startswith("near is as good as base: ") and "differences of 0.05 are ruled out (TOST p " in line for line in lines)  # fmt: skip
    lines = pk.compare({"base": BASE, "up": UP}, margin=0.09).table.splitlines()
    assert any("a difference, but perhaps not by more than 0.09" in line for line in lines)


def test_nothing_to_decide_is_said() -> None:
    table = pk.compare({"a": [1.0, 0.0], "b": [1.0, 0.0]}).table
    assert "no number of items would settle it at the difference seen" in table
    assert "these items find differences of inf" not in table


def test_costs_stand_beside_the_scores() -> None:
    task, data = pk.load_task("apples"), shipped("apples")
    backend = pk.ScriptedBackend(lambda request, index: " The answer is 5.\n\n")
    arms = {f"{k} shots": pk.FewShot(task, shots=k).fit(data.train, backend) for k in (0, 2)}
    found = pk.compare(arms, data.test[:10])
    head, _, zero, two = found.table.splitlines()[2:6]
    assert head.split()[-4:] == ["prompt", "generated", "ms", "failed"]
    assert 2 * int(zero.split()[-4]) < int(two.split()[-4])
    assert "ms: median per item" in found.table


def test_failures_are_said() -> None:
    arms = {"a": [1.0, None, 0.0, 1.0], "b": [1.0, 1.0, None, 0.0]}
    assert "failed items score 0, in every arm alike." in pk.compare(arms).table
    table = pk.compare(arms, failures="exclude").table
    assert "score on 2 items" in table
    assert "2 items on which an arm failed are left out for every arm." in table


@given(st.text(st.characters(), min_size=1, max_size=12), st.text(st.characters(), min_size=1, max_size=12))
def test_no_name_breaks_the_table(first: str, second: str) -> None:
    if first == second:
        second += "'"
    table = pk.compare({first: [1.0, 0.0], second: [0.0, 1.0]}).table
    assert not any(unicodedata.category(char)[0] == "C" and char != "\n" for char in table)
    assert len(table.splitlines()) == 11


def test_wide_characters_keep_the_columns() -> None:
    lines = pk.compare({"苹果": [1.0, 0.0], "plain": [0.0, 1.0]}).table.splitlines()
    assert lines[5].index("0.500") - lines[4].index("0.500") == 2  # two characters that are four columns wide


def test_json_holds_all_of_it() -> None:
    found = pk.compare({"base": BASE, "up": UP}, margin=0.05)
    data = json.loads(found.to_json())
    assert data["arms"]["up"]["scores"] == UP
    assert data["differences"][0]["verdict"] == "better"
    assert data["differences"][0]["p_value"] == found["up"].p_value
    assert data["minimum_detectable"] == found.minimum_detectable
    assert (data["margin"], data["baseline"], data["items"], data["seed"]) == (0.05, "base", 400, 0)
    assert "reports" not in data


@pytest.mark.parametrize(
    "key", ["difference", "low", "high", "p_value", "p_adjusted", "verdict", "effect_size", "items_to_decide"]
)
def test_a_difference_has_what_was_promised(key: str) -> None:
    assert getattr(pk.compare({"a": BASE, "b": UP})["b"], key) is not None
