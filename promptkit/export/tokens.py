"""Gives a tokenizer tokens that stand for the vectors of a soft prompt, and puts them before every text."""

from __future__ import annotations

import json
from typing import Any

from promptkit.errors import UnsupportedError
from promptkit.types import JSONObject

__all__ = ["FRONT", "with_soft_tokens"]

FRONT = "soft-prompt"
"""What the tokens together are called in the tokenizer's frame."""

_ROLES = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")


def with_soft_tokens(tokenizer: Any, rows: int, count: int) -> tuple[Any, list[str], list[int]]:
    """Copies a tokenizer and adds tokens that its frame puts before every text, and its chat template before a chat.

    Rows of the vocabulary that have no token yet get the names ``<unused-0>`` and so on, so that the new tokens stand
    after all rows.

    Args:
        tokenizer: A fast tokenizer of transformers; not changed.
        rows: Rows of the model's embeddings.
        count: Number of tokens to add.

    Returns:
        The new tokenizer, and names and ids of the tokens.

    Raises:
        UnsupportedError: The tokenizer frames texts in a way that cannot be added to.
    """
    from tokenizers import AddedToken, Tokenizer
    from transformers import PreTrainedTokenizerFast

    # The class that takes tokenizer.json as it is; others put a frame of their own in place when they load.
    generic: Any = PreTrainedTokenizerFast
    rust: Any = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    known = rust.get_vocab(with_added_tokens=True)
    names = _free_names("soft", count, known)
    fillers = _free_names("unused", max(0, rows - 1 - max(known.values())), known)
    rust.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in (*fillers, *names)])
    ids = [rust.token_to_id(name) for name in names]
    if ids != list(range(ids[0], ids[0] + count)) or ids[0] < rows:
        raise UnsupportedError(
            f"export to 'baked': a tokenizer must number new tokens after its {rows} rows, got {ids[0]}; use to='peft'"
        )
    content = json.loads(rust.to_str())
    content["post_processor"] = _framed(content["post_processor"], names, ids)
    roles = {role: str(token) for role in _ROLES if (token := getattr(tokenizer, role, None)) is not None}
    made = generic(
        tokenizer_object=Tokenizer.from_str(json.dumps(content)),
        model_max_length=tokenizer.model_max_length,
        padding_side=tokenizer.padding_side,
        clean_up_tokenization_spaces=False,
        **roles,
    )
    made.chat_template = _front_of_chat(tokenizer.chat_template, "".join(names))
    check_front(tokenizer, made, ids)
    return made, names, ids


def check_front(plain: Any, made: Any, ids: list[int]) -> None:
    """Checks that a tokenizer reads text as another does, with tokens in front.

    Args:
        plain: The other one.
        made: The tokenizer.
        ids: The tokens.

    Raises:
        UnsupportedError: It does not.
    """
    for text in ("a", "Question: 1 + 2?\nAnswer:", " 什么 <b>"):
        if made(text)["input_ids"] != [*ids, *plain(text)["input_ids"]]:
            raise UnsupportedError(
                f"export to 'baked': the tokenizer {type(plain).__name__} must read text as before with the new tokens "
                "in front, got something else; use to='peft'"
            )


def _free_names(stem: str, count: int, known: dict[str, int]) -> list[str]:
    while any(f"<{stem}-{number}>" in known for number in range(count)):
        stem += "_"
    return [f"<{stem}-{number}>" for number in range(count)]


def _framed(processor: JSONObject | None, names: list[str], ids: list[int]) -> JSONObject:
    """Puts the tokens before whatever a tokenizer puts before a text."""
    if processor is None:
        return _template(names, ids)
    kind = processor["type"]
    if kind == "TemplateProcessing":
        front = _template(names, ids)
        return {
            **processor,
            "single": [front["single"][0], *processor["single"]],
            "pair": [front["pair"][0], *processor["pair"]],
            "special_tokens": {**processor["special_tokens"], **front["special_tokens"]},
        }
    if kind == "Sequence":
        steps = list(processor["processors"])
        place = next((at for at, step in enumerate(steps) if step["type"] == "TemplateProcessing"), len(steps))
        steps[place : place + 1] = [_framed(steps[place] if place < len(steps) else None, names, ids)]
        return {**processor, "processors": steps}
    if kind == "ByteLevel":  # it adds no tokens
        return {"type": "Sequence", "processors": [processor, _template(names, ids)]}
    raise UnsupportedError(
        f"export to 'baked': a tokenizer must frame texts by a template, got {kind}; use to='peft' or 'prompt-embeds'"
    )


def _template(names: list[str], ids: list[int]) -> JSONObject:
    front = {"SpecialToken": {"id": FRONT, "type_id": 0}}
    first, second = ({"Sequence": {"id": name, "type_id": kind}} for kind, name in enumerate("AB"))
    return {
        "type": "TemplateProcessing",
        "single": [front, first],
        "pair": [front, first, second],
        "special_tokens": {FRONT: {"id": FRONT, "ids": ids, "tokens": names}},
    }


def _front_of_chat(template: Any, front: str) -> Any:
    if isinstance(template, dict):
        return {name: front + text for name, text in template.items()}
    return front + template if template else template
