from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from promptkit.backends.local.chat_template import _renderer
from promptkit.backends.local.tokenizer import TokenCodec
from promptkit.errors import UnsupportedError
from promptkit.tasks.template_policy import rendering
from promptkit.types import Message, Prompt
from tests.support import ROOT
from tests.support.chat_templates import BOMBS, FAMILIES

ROLES = {
    "user": ["user"],
    "system": ["system", "user"],
    "turns": ["system", "user", "assistant", "user"],
    "no system": ["user", "assistant", "user", "assistant", "user"],
    "not alternating": ["user", "user"],
}
CONTENTS = [
    "Answer briefly.",
    "  two\n\n  lines, a <tag> & 'quotes' \"\" \u2028 é 👩‍👩‍👧 {{ x }} {% if %} \\n ",
    "<think>\nhm\n</think>\n\nfour",
    "a" * 3000,
    "x",
]


def outcome(render: Any, *args: Any) -> str:
    try:
        with rendering():
            return str(render(*args))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("roles", ROLES.values(), ids=ROLES)
@pytest.mark.parametrize("template", FAMILIES.values(), ids=FAMILIES)
def test_templates_render_as_transformers_renders_them(make_tokenizer: Any, template: str, roles: list[str]) -> None:
    tokenizer = make_tokenizer(chat=True)
    tokenizer.chat_template = template
    for shift in range(len(CONTENTS)):
        texts = [CONTENTS[(place + shift) % len(CONTENTS)] for place in range(len(roles))]
        messages = [Message(role, text) for role, text in zip(roles, texts, strict=True)]  # type: ignore[arg-type]
        for parts in (False, True):
            assert outcome(_renderer(tokenizer), messages, parts) == outcome(
                by_transformers, tokenizer, messages, parts
            )


def by_transformers(tokenizer: Any, messages: list[Message], parts: bool) -> str:
    turns = [
        {"role": m.role, "content": [{"type": "text", "text": m.content}] if parts else m.content} for m in messages
    ]
    return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))


def test_the_families_hold_every_feature_that_matters() -> None:
    """What the comparison above would be worth without loops, macros, namespaces, filters, slices and formats."""
    text = "".join(FAMILIES.values())
    for feature in ("namespace(", "macro", "[::-1]", "tojson", "selectattr", "| items", "~", "%s", ".format(", "break"):
        assert feature in text


LIMITED = """
import resource, sys
from promptkit.backends.local.chat_template import render_chat
from promptkit.types import Message
from tests.support.chat_templates import BOMBS

class Codec:
    control = frozenset()
    special_tokens_map = {}
    def __init__(self, source):
        self.tokenizer, self.chat_template = self, source
    def get_chat_template(self):
        return self.chat_template
    def framed(self, text):
        return [1]

used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 256 * 2**20,) * 2)
messages = [Message("system", "Be brief."), Message("user", "2 + 2 =")]
for name, source in BOMBS.items():
    if sys.argv[1:] and name not in sys.argv[1:]:
        continue
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    if sys.argv[1:]:
        from jinja2.sandbox import ImmutableSandboxedEnvironment
        ImmutableSandboxedEnvironment().from_string(source).render()
    try:
        render_chat(messages, Codec(source))
        print(name, "rendered")
    except Exception as error:
        spent = resource.getrusage(resource.RUSAGE_SELF).ru_utime - before
        print(name, type(error).__name__, "slow" if spent > 2 else "")
"""


def limited(*names: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LIMITED, *names], capture_output=True, text=True, timeout=240, cwd=ROOT, check=False
    )


def test_costly_templates_end_typed_in_little_memory() -> None:
    done = limited()
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{name} UnsupportedError " for name in BOMBS]


def test_without_the_budget_they_run_out_of_memory() -> None:
    """The bad twin: Jinja2's own sandbox."""
    assert "MemoryError" in limited("repeated text").stderr


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ messages.__class__ }}", "leaves out|unsafe"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
        ("{{ messages.append(1) }}", "unsafe|undefined"),
        ("{{ namespace(__x=1) }}", "underscore"),
        ("{{ dict.__init__.__globals__ }}", "unsafe"),
        ("{{ cycler.__init__.__globals__ }}", "unsafe"),
        ("{{ '{0.__class__}'.format(1) }}", "leaves out|unsafe"),
        ("{{ raise_exception.__globals__ }}", "leaves out|unsafe"),
        ("{{ raise_exception.__globals__.x }}", "unsafe"),
        ("{{ self._TemplateReference__context }}", "leaves out|unsafe"),
        ("{% include 'x' %}", "Include is refused"),
        ("{% import 'x' as y %}", "Import is refused"),
        ("{{ 1", "unexpected end of template"),
        ("{{ 'a' | pprint }}", "No filter named 'pprint'"),
    ],
)
def test_nothing_leads_out(make_tokenizer: Any, template: str, reason: str) -> None:
    tokenizer = make_tokenizer(chat=True)
    tokenizer.chat_template = template
    with pytest.raises(UnsupportedError, match=reason):
        TokenCodec(tokenizer).prompt_ids(Prompt(messages=(Message("user", "hello there"),)))


def test_the_allowance_grows_with_the_messages(make_tokenizer: Any) -> None:
    """A template that looks back at every message before each, as several do, over a long conversation."""
    tokenizer = make_tokenizer(chat=True)
    tokenizer.chat_template = FAMILIES["qwen3"]
    messages = [Message("user" if n % 2 == 0 else "assistant", "word " * 40) for n in range(151)]
    turns = [{"role": message.role, "content": message.content} for message in messages]
    whole = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    codec = TokenCodec(tokenizer)
    assert codec.prompt_ids(Prompt(messages=tuple(messages))) == codec.framed(whole)
