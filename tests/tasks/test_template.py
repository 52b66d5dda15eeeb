from __future__ import annotations

import json
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptkit.errors import MissingExtraError, TemplateError
from promptkit.tasks.template import MAX_CHARS, MAX_SOURCE, _require_jinja, compile_template, fold_blank_lines

ANSWER = "{% macro answer(item) %} {{ item.target }}{% endmacro %}"


def question(body: str) -> str:
    return "{% macro question(item) %}" + body + "{% endmacro %}" + ANSWER


def test_renders_byte_exact_and_only_once():
    template = compile_template(question("Q: {{ item.q }}\nA:"), ("q",))
    text = "{{ 1 }} {% raw %} {# c #} {{ item.target }} <b>&amp; \t\x00 \U0001f600 \ud800 é e\u0301"
    assert template.question({"q": text}) == f"Q: {text}\nA:"
    assert template.answer({"q": ""}, text) == f" {text}"


@given(st.text(alphabet=st.sampled_from("{}%#-+ \n'\"item.q"), max_size=60))
def test_braces_in_data_stay_as_they_are(text):
    assert compile_template(question("[{{ item.q }}]"), ("q",)).question({"q": text}) == f"[{text}]"


@pytest.mark.parametrize("name", ["items", "keys", "get", "pop", "update", "values", "copy"])
def test_a_field_named_like_a_method_of_dict_gives_the_field(name):
    template = compile_template(question("{{ item.%s }}" % name), (name,))
    assert template.question({name: "data"}) == "data"


def test_filters_conditions_and_the_test_for_a_rationale():
    source = (
        "{% macro question(item) %}{% if item.a == 'x' and not item.b %}{{ item.a | upper }}"
        "{% elif item.b in 'yz' %}{{ item.b | trim | replace('y', 'Z') | lower }}{% else %}-{% endif %}"
        "{{ '!' if item.a else '?' }}{% endmacro %}"
        "{% macro answer(item) %}{% if item.rationale is defined %}{{ item.rationale }} {% endif %}"
        "{{ item.target }}{% endmacro %}"
        "{% macro instruction(text) %}<{{ text }}>{% endmacro %}"
    )
    template = compile_template(source, ("a", "b"))
    assert template.question({"a": "x", "b": ""}) == "X!"
    assert template.question({"a": "", "b": "y"}) == "z?"
    assert template.question({"a": "n", "b": "no"}) == "-!"
    assert template.answer({"a": "", "b": ""}, "5") == "5"
    assert template.answer({"a": "", "b": ""}, "5", "So") == "So 5"
    assert template.instruction("Do it.") == "<Do it.>"
    assert template.shows["answer"] == {"rationale", "target"}


def test_without_an_instruction_macro_the_instruction_is_the_text():
    assert compile_template(question("q"), ()).instruction("{{ text }}") == "{{ text }}"


def test_a_missing_rationale_is_an_error_that_names_template_and_value():
    source = "{% macro question(item) %}q{% endmacro %}{% macro answer(item) %}{{ item.rationale }}{% endmacro %}"
    template = compile_template(source, (), "apples/reasoned.jinja")
    with pytest.raises(TemplateError, match=r"^apples/reasoned\.jinja: the macro 'answer' .* item\.rationale has no"):
        template.answer({}, "5")


@pytest.mark.parametrize("fields", [{}, {"q": None}, {"q": 5}, {"q": ["a"]}, {"q": b"a"}])
def test_a_field_that_is_missing_or_no_text_is_an_error(fields):
    with pytest.raises(TemplateError, match="q has no value|must be text"):
        compile_template(question("{{ item.q }}"), ("q",)).question(fields)


def test_a_comparison_is_not_output():
    with pytest.raises(TemplateError, match="must give text, got True"):
        compile_template(question("{{ item.q == 'a' }}"), ("q",)).question({"q": "a"})


def test_filters_are_paid_for():
    """Sixty filters in a row over a long text: each gives no more than it takes, and together they took four seconds."""
    chain = "{{ item.q" + " | replace('a', 'b') | replace('b', 'a')" * 30 + " }}"
    costly = compile_template(question(chain), ("q",))
    assert costly.question({"q": "a" * 1000}) == "a" * 1000
    for length in (MAX_CHARS // 2, MAX_CHARS):
        with pytest.raises(TemplateError, match="bounded amount of work"):
            costly.question({"q": "a" * length})
    cased = compile_template(question("{{ item.q" + " | upper | lower | trim" * 20 + " }}"), ("q",))
    with pytest.raises(TemplateError, match="bounded amount of work"):
        cased.question({"q": "a" * MAX_CHARS})


def test_constants_pay_at_every_rendering():
    long = f"{{{{ '{'a' * 1000}' | replace('a', '{'b' * 900}') }}}}"
    compile_template(question(long), ("q",)).question({"q": "x"})
    twice = compile_template(question(long + long), ("q",))
    with pytest.raises(TemplateError, match="at most 1,000,000 characters"):
        twice.question({"q": "x"})
    near = compile_template(question("{{ item.q }}" + "y" * 500), ("q",))
    with pytest.raises(TemplateError, match="at most 1,000,000 characters"):
        near.question({"q": "a" * (MAX_CHARS - 400)})


def test_syntax_errors_name_file_and_line():
    with pytest.raises(TemplateError, match=r"^d/direct\.jinja: line 2: "):
        compile_template("{# c #}\n{% macro question(item) %}{{ item. }}{% endmacro %}", ("q",), "d/direct.jinja")


def test_limits_on_source_input_and_output():
    with pytest.raises(TemplateError, match="at most 16,000 characters, got 16,001"):
        compile_template("x" * (MAX_SOURCE + 1), ())
    twice = compile_template(question("{{ item.q }}{{ item.q }}"), ("q",))
    assert len(twice.question({"q": "a" * (MAX_CHARS // 2)})) == MAX_CHARS
    for length in (MAX_CHARS // 2 + 1, MAX_CHARS + 1):
        with pytest.raises(TemplateError, match="at most 1,000,000 characters"):
            twice.question({"q": "a" * length})


def test_a_constant_that_grows_while_compiling_is_refused():
    template = compile_template(question("{{ 'a'" + "|replace('a','aa')" * 60 + " }}"), ())
    with pytest.raises(TemplateError, match="'replace' must give at most"):
        template.question({})


def test_equal_sources_compile_once_and_threads_share_a_template():
    template = compile_template(question("{{ item.q }}{{ item.q }}"), ("q",))
    assert compile_template(question("{{ item.q }}{{ item.q }}"), ("q",)) is template
    wrong = []

    def work(letter: str) -> None:
        for _ in range(200):
            if template.question({"q": letter * 1000}) != letter * 2000:
                wrong.append(letter)

    threads = [threading.Thread(target=work, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("version", ["3.1.5", "3.1", "2.11.3", "3.0.99"])
def test_old_jinja_is_refused(version):
    with pytest.raises(MissingExtraError, match=rf"got {version}.*pip install -U 'jinja2>=3\.1\.6'"):
        _require_jinja(version)


@pytest.mark.parametrize("version", ["3.1.6", "3.2.0", "3.10.1", "4.0.0rc1"])
def test_new_jinja_is_accepted(version):
    _require_jinja(version)


@given(st.text(alphabet=st.sampled_from("a \t\u00a0\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")))
def test_folded_text_has_no_blank_line_and_keeps_everything_else(text):
    folded = fold_blank_lines(text)
    lines = folded.splitlines()
    assert all(line.strip() for line in lines[1:-1])
    assert folded.split() == text.split()
    assert fold_blank_lines(folded) == folded


@pytest.mark.parametrize("text", ["", "a", "a\nb", "a\n  b", "a\u2028b", " a \n b "])
def test_text_without_blank_lines_is_not_touched(text):
    assert fold_blank_lines(text) == text


_BOMBS = [
    "{% for a in range(10**9) %}x{% endfor %}",
    "{% for a in 'aaaaaaaaaa' %}{% for b in 'aaaaaaaaaa' %}{% for c in 'aaaaaaaaaa' %}x{% endfor %}{% endfor %}{% endfor %}",
    "{% for a in item.q %}{% for b in item.q %}{% for c in item.q %}{{ item.q }}{% endfor %}{% endfor %}{% endfor %}",
    "{{ 'a' * 10**9 }}",
    "{{ 10**10**10 }}",
    "{{ 9**9**9**9 }}",
    "{{ [0] * 10**9 }}",
    "{{ ('a' * 10**9) | length }}",
    "{{ 'a' | center(10**9) }}",
    "{{ 'a' | center(1000000000) }}",
    "{{ 'a' | indent(1000000000) }}",
    "{{ 'a' | ljust(1000000000) }}",
    "{{ '%1000000000d' | format(1) }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '{:1000000000}'.format(1) }}",
    "{{ range(10**9) | list }}",
    "{{ range(99999) | join(range(99999) | join) }}",
    "{{ lipsum(n=10**7) }}",
    "{{ item.q | wordwrap(1) | urlize | striptags }}",
    "{{ item.q | batch(1) | list | tojson }}",
    "{{ item.q | pprint | xmlattr }}",
    "{{ question(item) }}",
    "{{ question(item) }}{{ question(item) }}",
    "{% macro a() %}{{ a() }}{{ a() }}{% endmacro %}{{ a() }}",
    "{% call question(item) %}{% endcall %}",
    "{% set x = 'aaaaaaaaaa' %}{% set x = x ~ x ~ x ~ x ~ x ~ x ~ x ~ x %}{{ x }}",
    "{% set ns = namespace(x='a') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
    "{{ item.q" + " ~ item.q" * 1500 + " }}",
    "{{ item.q }}" * 199,
    "{{ item.q" + "|replace('a','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')" * 40 + " }}",
    "{{ item.q" + "|replace('','aa')" * 40 + " }}",
    "{{ item.q" + "|upper" * 1500 + " }}",
    "{{ " + "(" * 7000 + "item.q" + ")" * 7000 + " }}",
    "{{ " + "not " * 3900 + "item.q }}",
    "{{ " + "-" * 12000 + "1 }}",
    "{{ " + "[" * 7000 + "]" * 7000 + " }}",
    "{{ item.q" + ".a" * 7000 + " }}",
    "{{ item.q" + "[0]" * 5000 + " }}",
    "{% if item.q %}" * 600 + "{% endif %}" * 600,
    "{% if item.q %}a" + "{% elif item.q %}a" * 800 + "{% endif %}",
    "{{ item.q" + " if item.q else item.q" * 650 + " }}",
    "{{ item.q == " + " == ".join(["item.q"] * 1000) + " }}",
    "{{ " + "9" * 15000 + " }}",
    "{# " * 5000,
    "{{" * 7900,
    "{% raw %}" * 1700,
    "{% filter upper %}" * 400 + "{% endfilter %}" * 400,
    "{{ 'x' | random | sort | groupby('a') }}",
]

_RUNNER = """
import json, resource, sys
from promptkit.errors import TemplateError
from promptkit.tasks.template import compile_template

pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + (256 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
resource.setrlimit(resource.RLIMIT_CPU, (100, 100))  # ends a hang; no measure of speed
try:
    bytearray(300 << 20)
except MemoryError:
    print("the limit bites")
for number, source in enumerate(json.load(sys.stdin)):
    try:
        compile_template(source, ("q",)).question({"q": "a" * 900_000})
    except TemplateError as error:
        print(number, "refused", len(str(error)))
    except BaseException as error:
        print(number, type(error).__name__, str(error)[:200])
    else:
        print(number, "rendered")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory by reading /proc")
def test_costly_templates_are_refused_within_256_mb():
    plain = question("{{ item.q }}")  # the twin: what is not costly still renders under the same limit
    done = subprocess.run(
        [sys.executable, "-c", _RUNNER],
        input=json.dumps([plain, *map(question, _BOMBS)]),
        capture_output=True,
        text=True,
        timeout=200,
    )
    lines = done.stdout.splitlines()
    assert lines[:2] == ["the limit bites", "0 rendered"], done.stderr
    assert [line.split()[1] for line in lines[2:]] == ["refused"] * len(_BOMBS), done.stdout
    assert max(int(line.split()[2]) for line in lines[2:]) < 1000
