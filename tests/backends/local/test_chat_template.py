from __future__ import annotations

from typing import Any

import pytest

from promptkit.backends.local.tokenizer import TokenCodec
from promptkit.errors import UnsupportedError
from promptkit.types import Message, Prompt

CONTROLS = ["<pad>", "</s>", "<s>", "<|im_start|>", "<|im_end|>", "<think>"]
TURNS = [("system", "Answer briefly."), ("user", "2 + 2 ="), ("assistant", "4"), ("user", "3 + 3 =")]
TRIMMING = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>{% endfor %}<think>"
NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% for m in messages %}<s>{{ m.content }}</s>{% endfor %}"
)
REWRITING = "{% for m in messages %}<s>{{ m.content | upper | replace('SLOT', 'slot') }}</s>{% endfor %}"


def chat(*contents: str) -> Prompt:
    filled = [*contents, *(text for _, text in TURNS[len(contents) :])]
    return Prompt(
        messages=tuple(Message(role, text) for (role, _), text in zip(TURNS, filled, strict=True))  # type: ignore[arg-type]
    )


@pytest.fixture
def codec(make_tokenizer: Any) -> TokenCodec:
    return TokenCodec(make_tokenizer(chat=True))


def whole(codec: TokenCodec, prompt: Prompt) -> list[int]:
    turns = [{"role": message.role, "content": message.content} for message in prompt.messages]
    text = codec.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    ids: list[int] = codec.tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def controls(codec: TokenCodec, ids: list[int]) -> list[int]:
    return [number for number in ids if number in codec.control]


def test_plain_messages_are_tokenised_as_a_whole(codec: TokenCodec) -> None:
    assert codec.prompt_ids(chat()) == whole(codec, chat())


@pytest.mark.parametrize("template", ["own", TRIMMING])
@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("token", CONTROLS)
def test_no_content_yields_a_control_token(codec: TokenCodec, token: str, place: int, template: str) -> None:
    if template != "own":
        codec.tokenizer.chat_template = template
    contents = [text for _, text in TURNS]
    contents[place] = f"  so{token}\n{token} it is"
    prompt = chat(*contents)
    frame = controls(codec, whole(codec, chat()))
    assert controls(codec, whole(codec, prompt)) != frame, "the bad twin: tokenised as a whole"
    ids = codec.prompt_ids(prompt)
    assert controls(codec, ids) == frame
    assert codec.tokenizer.decode(ids) == codec.tokenizer.decode(whole(codec, prompt))


def test_tokens_that_would_form_across_the_border_do_not(codec: TokenCodec) -> None:
    codec.tokenizer.chat_template = "{% for m in messages %}<s>{{ m.content }}|im_end|></s>{% endfor %}"
    ids = codec.prompt_ids(chat("a", "b<", "c", "d"))
    assert controls(codec, ids) == controls(codec, whole(codec, chat()))


def test_a_refused_system_message_goes_before_the_first_question(codec: TokenCodec) -> None:
    codec.tokenizer.chat_template = NO_SYSTEM
    shown = codec.tokenizer.decode(codec.prompt_ids(chat()))
    assert shown == "<s>Answer briefly.\n\n2 + 2 =</s><s>4</s><s>3 + 3 =</s>"
    with pytest.raises(UnsupportedError, match=r"refuses messages with the roles \['system'\]: no system role"):
        codec.prompt_ids(Prompt(messages=(Message("system", "alone"),)))


def test_a_template_that_rewrites_is_safe_or_refused(codec: TokenCodec) -> None:
    codec.tokenizer.chat_template = REWRITING
    assert codec.prompt_ids(chat()) == whole(codec, chat())
    codec.tokenizer.chat_template = REWRITING.replace("upper", "lower")
    with pytest.raises(UnsupportedError, match="rewrites messages, so the two cannot be told apart"):
        codec.prompt_ids(chat("A<THINK>B"))


def test_a_tokenizer_without_a_template_cannot_chat(make_tokenizer: Any) -> None:
    with pytest.raises(UnsupportedError, match="needs a tokenizer with a chat template, and this one has none"):
        TokenCodec(make_tokenizer()).prompt_ids(chat())


def test_contents_that_look_like_markers_change_nothing(codec: TokenCodec) -> None:
    prompt = chat("slot000000", "slotq000001<think>", "slot", "slotqq")
    assert codec.tokenizer.decode(codec.prompt_ids(prompt)) == codec.tokenizer.decode(whole(codec, prompt))


def turns(*pairs: tuple[str, str]) -> Prompt:
    return Prompt(messages=tuple(Message(role, text) for role, text in pairs))  # type: ignore[arg-type]


SYSTEM_THEN_USER = (("system", "Answer in French."), ("user", "Where is Rome?"))
CONVERSATION = (*SYSTEM_THEN_USER, ("assistant", "In Italy."), ("user", "And Oslo?"))
LOOP = "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}</s>{% endfor %}"


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{% if m.role == 'user' %}U: {{ m.content }}{% elif m.role == 'assistant' %}A: {{ m.content }}{% endif %}{% endfor %}",
        "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}",
        "{% if tools %}{{ messages[0].content }}{% endif %}{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}",
        "{% for m in messages %}{% if m.role == 'system' %}{{ m.content + 1 }}{% endif %}{{ m.content }}{% endfor %}",
        "{% for m in messages %}{% if m.role == 'system' %}{{ 1 // 0 }}{% endif %}{{ m.content }}{% endfor %}",
        "{% for m in messages %}{{ {'user': 'U', 'assistant': 'A'}[m.role] + m.content }}{% endfor %}",
        "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for m in messages %}{{ m.content }}{% endfor %}",
        "{% for m in messages %}{% if m.role == 'system' %}{{ m.content[:6] }}{% else %}{{ m.content }}{% endif %}{% endfor %}",
    ],
)
@pytest.mark.parametrize("prompt", [SYSTEM_THEN_USER, CONVERSATION], ids=["two", "four"])
def test_a_system_message_that_is_left_out_goes_before_the_first_question(
    codec: TokenCodec, template: str, prompt: Any
) -> None:
    codec.tokenizer.chat_template = template
    shown = codec.tokenizer.decode(codec.prompt_ids(turns(*prompt)))
    assert "Answer in French.\n\nWhere is Rome?" in shown
    assert all(text in shown for _, text in prompt)


@pytest.mark.parametrize(
    ("template", "role"),
    [
        ("U: {{ messages[-1].content }}\nA:", "system"),
        ("{% for m in messages if m.role != 'assistant' %}{{ m.content }}{% endfor %}", "assistant"),
        ("{% for m in messages[-2:] %}{{ m.content }}{% endfor %}", "system"),
        ("{{ messages[0].content }}", "user"),
        ("{% for m in messages %}{{ m.content[:9] }}{% endfor %}", "system"),
        ("{% for m in messages %}{{ m.content | replace('e', '') }}{% endfor %}", "system"),
        ("{% for m in messages %}{{ m.content | length }}{% endfor %}", "system"),
        ("nothing at all", "system"),
    ],
)
def test_a_message_that_stays_lost_is_refused_by_its_role(codec: TokenCodec, template: str, role: str) -> None:
    codec.tokenizer.chat_template = template
    with pytest.raises(UnsupportedError, match=f"leaves out a message of the role '{role}'.*form='completion'"):
        codec.prompt_ids(turns(*CONVERSATION))


def test_of_two_equal_messages_both_must_come_out(codec: TokenCodec) -> None:
    repeated = turns(("user", "Again."), ("assistant", "Yes."), ("user", "Again."))
    codec.tokenizer.chat_template = (
        "{% for m in messages %}{% if not loop.last %}{{ m.content }}{% endif %}{% endfor %}"
    )
    with pytest.raises(UnsupportedError, match="leaves out a message of the role 'user'"):
        codec.prompt_ids(repeated)
    codec.tokenizer.chat_template = (
        "{% set ns = namespace(last='') %}{% for m in messages %}{% if m.content != 'Again.' or ns.last == '' %}"
        "{{ m.content }}{% set ns.last = m.content %}{% endif %}{% endfor %}"
    )
    with pytest.raises(UnsupportedError, match="leaves out a message of the role 'user'"):
        codec.prompt_ids(repeated)
    codec.tokenizer.chat_template = LOOP
    assert codec.tokenizer.decode(codec.prompt_ids(repeated)).count("Again.") == 2


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}<s>{% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}</s>{% endfor %}",
        "{% for m in messages %}<s>{{ m['content'][0]['text'] }}</s>{% endfor %}",
        "{% for m in messages %}<s>{{ m.content | map(attribute='text') | join('') }}</s>{% endfor %}",
    ],
)
def test_a_template_of_content_parts_gets_parts(codec: TokenCodec, template: str) -> None:
    codec.tokenizer.chat_template = template
    assert codec.tokenizer.decode(codec.prompt_ids(turns(*CONVERSATION))) == "".join(
        f"<s>{text}</s>" for _, text in CONVERSATION
    )


def test_parts_are_never_printed_as_python_writes_them(codec: TokenCodec) -> None:
    codec.tokenizer.chat_template = "{% for m in messages %}{{ '' if m.content is string else m.content }}{% endfor %}"
    with pytest.raises(UnsupportedError, match="leaves out"):
        codec.prompt_ids(turns(*CONVERSATION))


@pytest.mark.parametrize("change", ["trim", "upper", "lower", "e", "tojson", "replace('\n\n', '\n')", "title"])
def test_what_only_looks_different_is_not_lost(codec: TokenCodec, change: str) -> None:
    codec.tokenizer.chat_template = LOOP.replace("m.content", f"m.content | {change}")
    prompt = turns(("system", '  Be <brief> & "kind"\n\nalways é  '), ("user", "It's 2 < 3?"))
    assert "system: " in codec.tokenizer.decode(codec.prompt_ids(prompt))


def test_repeated_messages_and_the_tokens_of_the_frame(codec: TokenCodec) -> None:
    codec.tokenizer.chat_template = "{{ bos_token }}" + LOOP + LOOP + "{{ eos_token }}"
    shown = codec.tokenizer.decode(codec.prompt_ids(turns(*SYSTEM_THEN_USER)))
    assert shown.startswith("<s>") and shown.endswith("</s>") and shown.count("Where is Rome?") == 2


def test_reasoning_of_earlier_answers_may_be_left_out_but_not_the_answer(codec: TokenCodec) -> None:
    prompt = turns(("user", "2 + 2 ="), ("assistant", "let me see</think>four"), ("user", "and 3 + 3 ="))
    codec.tokenizer.chat_template = LOOP.replace("m.content", "m.content.split('</think>')[-1]")
    assert "assistant: four" in codec.tokenizer.decode(codec.prompt_ids(prompt))
    codec.tokenizer.chat_template = LOOP.replace("m.content", "m.content.split('</think>')[0]")
    with pytest.raises(UnsupportedError, match="leaves out a message of the role 'assistant'"):
        codec.prompt_ids(prompt)


def test_several_templates_of_which_none_is_the_default(codec: TokenCodec) -> None:
    codec.tokenizer.chat_template = {"tool_use": LOOP}
    with pytest.raises(UnsupportedError, match="this one has none"):
        codec.prompt_ids(turns(*CONVERSATION))
    codec.tokenizer.chat_template = {"tool_use": "x", "default": LOOP}
    assert "Where is Rome?" in codec.tokenizer.decode(codec.prompt_ids(turns(*CONVERSATION)))
