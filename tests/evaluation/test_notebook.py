from __future__ import annotations

from html.parser import HTMLParser

import pytest

import promptkit as pk
from promptkit.evaluation.notebook import html_table

HOSTILE = "<script>alert(1)</script>\"'&\ud800"


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not attrs
        self.seen.add(tag)


def tags(text: str) -> set[str]:
    page = Tags()
    page.feed(text)
    return page.seen


def test_hostile_texts_stay_texts_wherever_they_stand() -> None:
    text = html_table(HOSTILE, [HOSTILE], [[HOSTILE]], [HOSTILE])
    assert tags(text) == {"div", "p", "table", "tr", "th", "td", "small"}
    assert text.count("&lt;script&gt;") == 4
    text.encode()


def test_a_comparison_with_hostile_names_stays_text() -> None:
    found = pk.compare({HOSTILE: [1.0, 0.0, 1.0], "b": [0.0, 0.0, 1.0]})
    assert tags(found._repr_html_()) <= {"div", "p", "table", "tr", "th", "td", "small"}
    assert repr(found) == str(found) == found.table


@pytest.mark.parametrize("count", [1, 12])
def test_a_report_shows_mean_interval_and_n(count: int) -> None:
    task, data = pk.load_task("apples"), pk.load_examples("apples")
    predictor = pk.FewShot(task, shots=0).fit([], pk.ScriptedBackend([" The answer is 5."]))
    report = pk.evaluate(predictor, data.test[:count])
    assert f"<td>{count}</td>" in report._repr_html_()
    assert f"n = {count}" in repr(report)
    assert pk.Report.model_validate_json(report.to_json()) == report == pk.Report.model_validate(report.to_dict())
