from __future__ import annotations

from typing import Any

import pytest

from promptkit.backends.tokens import TokenCodec
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
