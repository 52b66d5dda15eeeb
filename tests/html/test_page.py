"""The page stands alone, holds the whole record, and no text in it becomes active."""

from __future__ import annotations

import base64
import hashlib
import html
import itertools
import re
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

import promptkit as pk
from promptkit.html import render_report, write_report
from promptkit.html.text import visible

sys.path.insert(0, str(Path(__file__).parent))

from hostile import HOSTILE
from sample import LABELS, NAMES, TOPICS, sample

OWN = {"script": 1, "style": 1, "meta": 4, "title": 1}
PASSIVE = set(
    """html head body header main footer nav section p h1 h2 h3 h4 ul ol li a bdi b strong span br dl dt dd div figure figcaption
    details summary pre table caption thead tbody tr th td form label input select option output
    svg title desc text line polyline polygon circle style script meta""".split()
)
ATTRIBUTES = set(
    """lang charset http-equiv content name class dir id href aria-label aria-labelledby role tabindex scope hidden type
    placeholder autocomplete value for data-winner data-scores data-failed
    viewbox x y x1 x2 y1 y2 cx cy r points text-anchor""".split()
)
VOID = {"meta", "br", "input"}


class Page(HTMLParser):
    """What a reader of HTML finds: elements, attributes, headings, texts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.headings: list[tuple[int, str]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.odd: list[str] = []
        self.parts: dict[str, str] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append((int(tag[1]), ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if self.open[-1:] != [tag]:
            self.odd.append(f"</{tag}> closes {self.open[-1:]}")
        else:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        inside = self.open[-1] if self.open else ""
        if inside in ("script", "style"):
            self.parts[inside] = data
        else:
            self.texts.append(data)
        if self.headings and inside in ("h1", "h2", "h3", "h4"):
            level, text = self.headings[-1]
            self.headings[-1] = (level, text + data)

    def handle_comment(self, data: str) -> None:
        self.odd.append(f"comment {data}")

    def handle_pi(self, data: str) -> None:
        self.odd.append(f"instruction {data}")

    def values(self, name: str) -> list[str]:
        return [value for _, found, value in self.attributes if found == name]


def active(page: Page) -> list[str]:
    """Everything that could run, load or send something, other than the page's own parts."""
    found = [f"<{tag}>" for tag in page.elements if tag not in PASSIVE]
    found += [f"{page.elements[tag]} <{tag}>" for tag, n in OWN.items() if tag != "title" and page.elements[tag] != n]
    found += [f"<{tag} {name}>" for tag, name, _ in page.attributes if name not in ATTRIBUTES]
    found += [f"href={value}" for value in page.values("href") if not re.fullmatch("#[a-z]+", value)]
    return found + page.odd


@pytest.fixture(scope="module")
def record() -> pk.Record:
    return sample()


@pytest.fixture(scope="module")
def text(record: pk.Record) -> str:
    return render_report(record)


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_the_page_is_well_formed_and_loads_nothing(page: Page, text: str) -> None:
    assert active(page) == [] and page.open == []
    assert not re.search(
        r"https?:|url\(|@import|//[a-z]", page.parts["style"] + page.parts["script"].replace("// ", "")
    )
    assert "http:" not in text and "https:" not in text
    assert text.startswith("<!doctype html>")


def test_the_policy_lets_only_these_parts_run(page: Page) -> None:
    (policy,) = [value for value in page.values("content") if "default-src" in value]
    for name in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(page.parts[name].encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; base-uri 'none'; form-action 'none'; ")
    assert "unsafe" not in policy and "*" not in policy


def test_there_are_a_hundred_hostile_texts() -> None:
    assert len(set(HOSTILE)) == len(HOSTILE) >= 100


@pytest.mark.parametrize("mixed", ["around", "alone"])
def test_hostile_texts_stay_texts(mixed: str) -> None:
    # Each kind of text (name, input, output, label, error, reason, prompt ...) gets every hostile one in turn.
    turn = itertools.cycle(HOSTILE)
    record = sample(items=60, text=lambda text: f"{text} {next(turn)}" if mixed == "around" else text)
    if mixed == "alone":
        record = replace_everywhere(record, turn)
    text = render_report(record)
    page = Page(text)
    assert active(page) == []
    shown = "".join(page.texts)
    assert all(visible(one) in shown for one in HOSTILE), [one for one in HOSTILE if visible(one) not in shown]
    text.encode("utf-8")


def replace_everywhere(record: pk.Record, turn: itertools.cycle[str]) -> pk.Record:
    """Puts hostile texts in the place of texts, alike texts by alike ones so that the record stays whole."""
    known: dict[str, str] = {}
    fixed = {"dev", "test", "train", "first", "kept", "lost", "undecided", "failed", "finished", "target", "0.1.0"}

    def change(value: object, name: str = "") -> object:
        if isinstance(value, dict):
            keep = name in ("items", "fields")
            return {
                key if keep or not name == "target" else change(key): change(one, key) for key, one in value.items()
            }
        if isinstance(value, list):
            return [change(one, name) for one in value]
        if isinstance(value, str) and value and value not in fixed and name != "item":
            return known.setdefault(value, next(turn)) if name != "answer" else next(turn)
        return value

    return pk.Record.model_validate(change(record.model_dump(mode="json")))


@pytest.mark.parametrize("place", HOSTILE[:6])
def test_the_check_sees_a_page_that_does_not_escape(text: str, place: str) -> None:
    assert active(Page(text.replace("Decision record", place)))


@pytest.mark.parametrize(
    "bad", ["<p onclick=x>", "<img src=x>", '<a href="javascript:x">', "<!-- x -->", "<svg><script>"]
)
def test_the_check_sees_active_nodes(text: str, bad: str) -> None:
    assert active(Page(text.replace("<main>", f"<main>{bad}")))


def test_scripts_of_the_world_are_whole(page: Page) -> None:
    shown = "".join(page.texts)
    for topic in TOPICS:
        assert topic in shown
    assert sum(value == "auto" for value in page.values("dir")) > 500


def test_it_says_what_the_record_says(record: pk.Record, page: Page) -> None:
    shown = " ".join(" ".join(page.texts).split())
    headings = [text for level, text in page.headings if level == 1]
    assert headings == [record.answer]
    for trial in record.trials:
        assert trial.reason in shown and trial.verdict in shown
        if trial.test is not None:
            test = trial.test
            assert f"{test.difference:+.3f} [{test.low:+.3f}, {test.high:+.3f}]" in shown
            assert f"{test.better}, {test.worse}, {test.equal}" in shown
        for prompt in trial.prompts:
            for part in (prompt.text, *(one["content"] for one in prompt.messages)):
                assert part is None or " ".join(part.split()) in shown
    for fact in (record.data.train.fingerprint, "2 near-duplicates", "2.13.0", "score of the winner: 200 items, labels scored",
                 "1 time", "Seed 0", "+0.0", "the lower bound of LoRA, 0.815", "Linux x86_64", "1,204,331"):  # fmt: skip
        assert fact in shown, fact


def test_headings_are_in_order_and_names_are_unique(page: Page) -> None:
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    named = {name for value in page.values("aria-labelledby") for name in value.split()}
    assert named | {value[1:] for value in page.values("href")} <= set(ids)


def test_tables_and_charts_can_be_heard(page: Page, text: str) -> None:
    assert page.elements["svg"] == text.count('role="img"') == page.elements["desc"] >= 6
    assert all("scope" in dict(re.findall(r'(\w+)="(\w+)"', tag)) for tag in re.findall(r"<th\b[^>]*>", text))
    assert page.elements["table"] == text.count('tabindex="0"')


def test_without_a_script_every_row_is_there(page: Page, text: str) -> None:
    body = text.partition('<tbody id="rows">')[2].partition("</tbody>")[0]
    assert body.count("<tr ") == 200 and "hidden" not in body
    assert '<form id="filter" hidden' in text


def test_a_long_record_is_cut_and_says_so() -> None:
    text = render_report(sample(items=700))
    assert text.partition('<tbody id="rows">')[2].partition("</tbody>")[0].count("<tr ") == 300
    assert "Only 300 items are shown" in text


def test_prompts_keep_their_first_empty_line(record: pk.Record) -> None:
    # HTML drops a line break right after <pre>.
    trial = record.trials[0]
    prompt = trial.prompts[0].model_copy(update={"text": "\n\nfirst"})
    trials = (trial.model_copy(update={"prompts": (prompt,)}), *record.trials[1:])
    assert '<pre dir="auto">\n\n\nfirst</pre>' in render_report(record.model_copy(update={"trials": trials}))


def test_any_state_of_a_climb_can_be_shown(record: pk.Record) -> None:
    running = {"status": "running", "decision": None, "test": None, "finished": ""}
    for count in range(len(record.trials) + 1):
        part = record.model_copy(update={**running, "trials": record.trials[:count]})
        page = Page(render_report(part))
        assert active(page) == [] and any("not finished" in text for text in page.texts)
    nothing = {"winner": None, "stopped": "nothing", "reason": "no rung could be judged", "reached": None}
    failed = record.model_copy(
        update={"decision": record.decision.model_copy(update=nothing), "trials": (record.trials[3],)}
    )
    assert "No rung has been judged" in render_report(failed)


def test_scores_between_zero_and_one_are_shown_as_they_are(record: pk.Record) -> None:
    trial = record.trials[0]
    first = trial.results[0].model_copy(update={"score": 0.437})
    trials = (trial.model_copy(update={"results": (first, *trial.results[1:])}), *record.trials[1:])
    text = render_report(record.model_copy(update={"trials": trials}))
    assert '<span class="part">0.437</span>' in text and "winner higher, other lower" in text


def test_one_record_gives_one_page(record: pk.Record, text: str, tmp_path: Path) -> None:
    write_report(record, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_bytes() == text.encode()
    write_report(pk.Record.model_validate_json(record.to_json()), str(tmp_path / "report.html"))
    assert (tmp_path / "report.html").read_bytes() == text.encode()
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_page_that_cannot_be_written_leaves_nothing(record: pk.Record, tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(pk.ArtifactError, match="report.html could not be written"):
        write_report(record, tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_the_sample_is_what_the_tests_think(record: pk.Record) -> None:
    assert [one.verdict for one in record.trials] == ["first", "kept", "undecided", "failed", "kept", "kept"]
    assert {html.escape(one) for one in (*NAMES, *LABELS)} == {*NAMES, *LABELS}


def test_the_stage_of_a_page_is_not_written_through_a_link(record: pk.Record, tmp_path: Path) -> None:
    import os

    (tmp_path / "outside").write_text("precious")
    (tmp_path / f".report.html.promptkit-{os.getpid()}.part").symlink_to(tmp_path / "outside")
    write_report(record, tmp_path / "report.html")
    assert (tmp_path / "outside").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside", "report.html"]
