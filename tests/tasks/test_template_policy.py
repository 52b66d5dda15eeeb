from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptkit.errors import TemplateError
from promptkit.tasks.template import compile_template
from promptkit.tasks.template_policy import Budget, current_budget, rendering, replaced_length, weigh

ANSWER = "{% macro answer(item) %} {{ item.target }}{% endmacro %}"
FIELDS = ("q", "items")
DATA = {"q": "a question", "items": "some items"}

_events: list[str] | None = None


def _record(event: str, args: tuple[object, ...]) -> None:
    if _events is not None:
        _events.append(event)


sys.addaudithook(_record)


@contextmanager
def audited() -> Iterator[list[str]]:
    """Collects what the interpreter reports: files, imports, compilation, processes, sockets."""
    global _events
    events: list[str] = []
    _events = events
    try:
        yield events
    finally:
        _events = None


def question(body: str) -> str:
    return "{% macro question(item) %}" + body + "{% endmacro %}" + ANSWER


PAYLOADS = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__class__']['__mro__'][1]['__subclasses__']() }}",
    "{{ ''|attr('__class__')|attr('__mro__')|last|attr('__subclasses__')() }}",
    "{{ ().__class__.__bases__[0].__subclasses__() }}",
    "{{ [].__class__.__base__.__subclasses__() }}",
    "{{ {}.__class__.__base__.__subclasses__() }}",
    "{{ ''.__class__.__base__.__subclasses__()[40]('/etc/passwd').read() }}",
    "{{ item.__class__ }}",
    "{{ item.__class__.__init__.__globals__ }}",
    "{{ item['__class__'] }}",
    "{{ item[item.q] }}",
    "{{ item|attr('__class__') }}",
    "{{ item|attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
    "{{ item|attr('_'*2 ~ 'class' ~ '_'*2) }}",
    "{{ item.q.__class__ }}",
    "{{ item.q.format }}",
    "{{ item.q.format(item) }}",
    "{{ '{0.__class__.__init__.__globals__}'.format(item) }}",
    "{{ '{0.__class__}'|format(item) }}",
    "{{ 'a'.format_map(item) }}",
    "{{ item|map('format')|list }}",
    "{{ ['{0.__class__}']|map(attribute='format')|first }}",
    "{% for f in ['a']|map(attribute='format') %}{{ f(item) }}{% endfor %}",
    "{% set f = 'a'.format %}{{ f(item) }}",
    "{{ self }}",
    "{{ self.__init__.__globals__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ self._TemplateReference__context.cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ joiner.__init__.__globals__.os.popen('id').read() }}",
    "{{ namespace.__init__.__globals__.os.popen('id').read() }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "{{ lipsum.__globals__.__builtins__.__import__('os').system('id') }}",
    "{{ url_for.__globals__['current_app'] }}",
    "{{ get_flashed_messages.__globals__ }}",
    "{{ config.items() }}",
    "{{ request.application.__globals__.__builtins__.open('/etc/passwd').read() }}",
    "{{ range.__class__ }}",
    "{{ dict.__base__.__subclasses__() }}",
    "{{ dict(a=1) }}",
    "{{ loop.__class__ }}",
    "{{ caller }}",
    "{{ varargs }}",
    "{{ kwargs }}",
    "{{ question.__globals__ }}",
    "{{ question.__init__ }}",
    "{{ question._environment }}",
    "{{ answer(item) }}",
    "{{ item.target }}",
    "{{ item.rationale }}",
    "{{ item }}",
    "{{ item.items() }}",
    "{{ item.pop('q') }}",
    "{{ item.update({'q': 1}) }}",
    "{{ item.q.join(['a']) }}",
    "{{ context }}",
    "{{ environment }}",
    "{{ __builtins__ }}",
    "{{ undefined_name }}",
    "{{ undefined_name.__class__ }}",
    "{{ none.__class__ }}",
    "{{ true }}",
    "{{ 1 }}",
    "{{ (1).__class__ }}",
    "{{ 1.0 / 0 }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os }}",
    "{% from 'os' import popen %}",
    "{% extends 'base' %}",
    "{% block b %}{% endblock %}",
    "{% set item = 1 %}",
    "{% set x %}{{ item.q }}{% endset %}{{ x }}",
    "{% with a = item %}{{ a }}{% endwith %}",
    "{% filter upper %}x{% endfilter %}",
    "{% call(x) question(item) %}{% endcall %}",
    "{% macro inner(item) %}{% endmacro %}",
    "{% autoescape true %}{{ item.q }}{% endautoescape %}",
    "{% do item.pop() %}",
    "{% debug %}",
    "{% trans %}x{% endtrans %}",
    "{% for k in item %}{{ k }}{% endfor %}",
    "{{ item.q if item.__class__ else '' }}",
    "{% if item.__class__ %}x{% endif %}",
    "{{ item.q is defined is callable }}",
    "{% if item.q is callable %}x{% endif %}",
    "{% if item.q is sameas item %}x{% endif %}",
    "{% if range is defined %}x{% endif %}",
    "{{ item.q|safe }}",
    "{{ item.q|tojson }}",
    "{{ item.q|map('upper') }}",
    "{{ item.q|replace('a', item) }}",
    "{{ item.q|replace('a', item.q.__class__) }}",
    "{{ item.q|replace(*item) }}",
    "{{ item.q|replace(**item) }}",
    "{{ item.q|replace('a') }}",
    "{{ item.q|replace('a', 'b', 1) }}",
    "{{ item.q|upper('a') }}",
    "{{ item.q ~ item }}",
    "{{ item.q + item.q }}",
    "{{ item.q % item.q }}",
    "{{ item.q[0] }}",
    "{{ item.q[::-1] }}",
    "{{ [item] }}",
    "{{ (item,) }}",
    "{{ {'a': item} }}",
]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_known_attacks_are_refused_before_they_run(payload):
    source = question(payload)
    with pytest.raises(TemplateError, match="^d/direct"):
        compile_template(source, FIELDS, "d/direct.jinja")


def test_the_recorder_sees_a_live_attack():
    """The twin: in an open environment the same attacks reach the system."""
    attack = "{{ cycler.__init__.__globals__.os.listdir('.') }}"
    template = jinja2.Environment().from_string(attack)
    with audited() as events:
        template.render()
    assert "os.listdir" in events
    assert attack.replace("listdir('.')", "popen('id').read()") in PAYLOADS


def test_rendering_makes_no_event_at_all():
    template = compile_template(question("Q: {{ item.q|trim|upper }}{% if item.items %}x{% endif %}"), FIELDS)
    with audited() as events:
        for payload in PAYLOADS:
            template.question({"q": payload, "items": payload})
            template.answer(DATA, payload, payload)
    assert events == []


_ATOMS = [
    *("item", "item.q", "item.items", "item.target", "self", "text", "loop", "caller", "varargs", "kwargs", "cycler"),
    *("lipsum", "range", "namespace", "dict", "question", "answer", "none", "true", "7", "'a'", "''", "[]", "{}", "()"),
]
_TAILS = [
    *(".__class__", ".__init__", ".__globals__", ".format", ".items", ".q", "['q']", "['__class__']", "[0]", "[:]"),
    *("()", "(item)", "|upper", "|trim", "|attr('__class__')", "|map('upper')", "|list", "|replace('a', 'b')", "|safe"),
    *(" is defined", " is callable", " == 'a'", " in item.q", " ~ item.q", " + 'a'", " * 9", " and item.q", " if 1"),
]
_FRAMES = [
    *("{{ %s }}", "{%% if %s %%}x{%% endif %%}", "{%% for x in %s %%}{{ x }}{%% endfor %%}", "{%% set x = %s %%}"),
    *("{%% with x = %s %%}{%% endwith %%}", "{%% include %s %%}", "{%% filter %s %%}{%% endfilter %%}"),
    *("{{ item.q if %s else '' }}", "{{ not %s }}", "{{ -%s }}", "{{ item.q|replace('a', %s) }}", "{%% do %s %%}"),
]


def _generated(count: int, seed: int) -> Iterator[str]:
    rng = random.Random(seed)
    for _ in range(count):
        parts = []
        for _ in range(rng.randint(1, 2)):
            tails = "".join(rng.choices(_TAILS, k=rng.choice([0, 0, 1, 1, 2, 3])))
            parts.append(rng.choice(_FRAMES) % (rng.choice(_ATOMS) + tails))
        yield question("".join(parts))


@pytest.mark.parametrize("count", [1_500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_what_is_accepted_of_generated_templates_does_nothing_but_text(count):
    accepted = 0
    for source in _generated(count, seed=count):
        try:
            template = compile_template.__wrapped__(source, FIELDS, "t")
        except TemplateError:
            continue
        accepted += 1
        with audited() as events:
            try:
                text = template.question(DATA)
            except TemplateError:
                text = ""
        assert events == [], source
        # The texts hold letters and spaces; "<built-in method ...>", "Undefined" or a number would show here.
        assert set(text.casefold()) <= set("a question some items b x"), (source, text)
    assert 0.01 * count < accepted < 0.5 * count  # both sides of the border were tried


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (ANSWER, r"the macro question\(item\) is missing; add {% macro question\(item\) %}"),
        ("{% macro question(item) %}{% endmacro %}", r"the macro answer\(item\) is missing"),
        ("text" + ANSWER, "line 1: Output is refused: only macros"),
        (ANSWER + ANSWER, "each once, got 'answer'"),
        ("{% macro other(item) %}{% endmacro %}", "must be one of 'question', 'answer', 'instruction'"),
        ("{% macro question(x) %}{% endmacro %}", r"must be written as question\(item\)"),
        ("{% macro question(item, b) %}{% endmacro %}", r"must be written as question\(item\)"),
        ("{% macro question(item='') %}{% endmacro %}", r"must be written as question\(item\)"),
        ("{% macro instruction(text) %}{{ text.x }}{% endmacro %}", "only attributes are those of item"),
        ("{% macro instruction(text) %}{{ item }}{% endmacro %}", "name 'item' cannot be shown"),
        (question("{{ item.questio }}"), r"line 1: item\.questio must be one of 'item\.q', 'item\.items'$"),
        (question("{{ item.target }}"), "a question must not show its answer"),
        (question("\n{{ item.q|shout }}"), "line 2: a filter must be one of 'lower', 'replace', 'trim', 'upper', got"),
        (question("{{ item.q|replace('a') }}"), "'replace' takes 2 texts in quotes"),
        (question("{% for x in item.q %}{% endfor %}"), "line 1: For is refused: it is not on the list"),
        (question("{{ item.q }}" * 201), "at most 200 syntax nodes"),
    ],
)
def test_refusals_say_where_and_what_to_do(source, message):
    with pytest.raises(TemplateError, match=message):
        compile_template(source, FIELDS)


def test_comments_and_space_between_macros_are_fine():
    source = "{# a comment #}\n\n" + question("{# another #}{{ item.q }}") + "\n"
    assert compile_template(source, FIELDS).question(DATA) == "a question"


@pytest.mark.parametrize(
    ("body", "delimiters"),
    [
        ("Question: {{ item.q }}\nAnswer:", ("Question:", "Answer:")),
        ("Q: {{ item.q }} is {{ item.items }}.\n  A:\n", ("Q:", "A:")),
        ("{{ item.q }} ->", ("->",)),
        ("{{ item.q }}\n", ()),
        ("{% if item.q %}Text: {{ item.q }}{% else %}Empty{% endif %}\n{{ item.items }}", ("Text:",)),
        ("问题：{{ item.q }}\n答案：", ("问题：", "答案：")),
    ],
)
def test_delimiters_are_the_texts_that_open_lines_or_close_the_question(body, delimiters):
    assert compile_template(question(body), FIELDS).delimiters == delimiters


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=30,
)


@given(st.text("ab"), st.text("ab", max_size=2), st.text("abc", max_size=5), st.integers(-1, 5))
def test_the_length_of_a_replacement_is_never_underestimated(text: str, old: str, new: str, count: int) -> None:
    bound = replaced_length(text, old, new, count)
    assert len(text.replace(old, new, count)) <= bound
    if len(new) >= len(old):
        assert len(text.replace(old, new, count)) == bound


@given(VALUES)
def test_a_weight_bounds_what_is_printed(value: object) -> None:
    assert len(repr(value)) <= 200 * weigh(value, 10**9)


def test_measuring_ends_where_it_was_told_to() -> None:
    nest: list[object] = [1]
    for _ in range(200):
        nest = [nest, nest, nest]
    assert 1000 < weigh(nest, 1000) < 1100


def test_budgets_do_not_mix() -> None:
    with rendering(Budget(steps=10)) as outer:
        with rendering() as inner:
            current_budget().work(1000)
        assert current_budget() is outer and inner is not outer
        with pytest.raises(TemplateError, match="bounded amount of work"):
            current_budget().handle(16 * 11)
