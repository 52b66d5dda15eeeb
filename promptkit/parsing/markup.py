r"""Markup around answers: blocks of reasoning, emphasis, quotes, code fences, HTML and LaTeX wrappers.

Every step takes linear time in the length of the text.

- **Blocks of reasoning** (``<think>...</think>``, also ``thinking``, ``thought``, ``reasoning``, ``seed:think``,
  ``[THINK]``, ``◁think▷``, ``<|START_THINKING|>`` and ``<|begin_of_thought|>``, in any case, and what comes before the
  channel ``final`` of models that write in channels) are never read for an answer. A closing tag without an opening
  one ends a block that began in the prompt: all text before it is reasoning. A block that is not closed was cut off:
  there is no answer. A tag in backticks is text.
- **Around a text** one or more pairs are dropped if they enclose all of it: quotation marks of any style, ``*``,
  ``**``, ``_``, ``__`` and backticks, a code fence, ``\boxed{}`` and ``\text{}``. What is inside a text stays, and
  so does a mark without its partner (``*args``, ``**kwargs``), a pair that recurs inside (``"a" and "b"``), and
  underscores around a lower-case identifier (``__init__``).
"""

from __future__ import annotations

import html
import re
from typing import NamedTuple

__all__ = [
    "Line",
    "first_line",
    "opening_mark",
    "split_reasoning",
    "strip_closing",
    "strip_emphasis",
    "strip_mark",
    "strip_struck",
    "strip_tags",
    "unwrap",
]

_NAMES = r"(?:seed:)?think|thinking|thoughts?|reasoning"
_TAG = re.compile(
    rf"(?<!`)(?:<\s?(?P<close>/?)\s?(?:{_NAMES})(?:\s[^<>]{{0,100}})?>|\[(?P<close2>/?)THINK\]|◁(?P<close3>/?)think▷"
    r"|<\|(?:start|(?P<close4>end))_thinking\|>|<\|(?:begin|(?P<close5>end))_of_thought\|>"
    r"|<\|channel\|>(?:analysis|commentary)[^<>]{0,100}<\|message\|>"
    r"|(?P<close6>(?:<\|end\|>\s?)?(?:<\|start\|>assistant\s?)?<\|channel\|>final\s?<\|message\|>))",
    re.IGNORECASE,
)
_LINE_BREAKS = r"\r\n\u2028\u2029\x85"
_LINE = re.compile(rf"[^{_LINE_BREAKS}]*")
_FENCE_LINE = re.compile(r"(?:(?:`{3,}|~{3,})[\w+#.-]{0,30}|\$\$|\\\[|\*\*)[ \t]*")
_FENCED = re.compile(r"(?P<fence>`{3,}|~{3,})[\w+#.-]{0,30}[ \t]*\n(?P<inner>.*)\n[ \t]*(?P=fence)", re.DOTALL)
_LATEX_TEXT = re.compile(r"(?P<dollar>\$\$|\$|)\\(?:boxed|text|textbf)\{(?P<inner>[^{}]*)\}(?P=dollar)")
_PAIRS = {
    '"': '"',
    "'": "'",
    "“": "”",
    "‘": "’",
    "”": "”",
    "’": "’",
    "„": "“”",
    "‚": "‘’",
    "«": "»",
    "»": "«",
    "‹": "›",
    "›": "‹",
    "「": "」",
    "『": "』",
    "＂": "＂",
    "〝": "〞〟",
    "`": "`",
    "*": "*",
    "_": "_",
}
_ENCLOSING = {"(": ")", "[": "]", "{": "}", '"': '"', "“": "”", "«": "»", "「": "」", "（": "）", "【": "】"}
_CLOSING = re.compile(r" ?[:：]?([*_`]{1,3}+)[:：]?(?=(\s|$)?)")
_OPENING = re.compile(r"(?<![\w*_`])([*_`]{1,3})(?=[^\s*_`]|$)")
_IDENTIFIER = re.compile(r"[a-z0-9_]*")
_APOSTROPHE = re.compile(r"(?<=\w)['’](?=\w)")
_STARS = re.compile(r"(?<![\w*])(\*{1,3})(?=[^\s*])([^*\n]{1,300})(?<!\s)\1(?![\w*])")
_BOLD_STARRED = re.compile(r"(?<![\w*])\*\*(?=[^\s*])([^*\n]{1,300}\*)\*\*(?![\w*])")  # the grade A* in bold
_UNDERSCORES = re.compile(r"(?<!\w)(_{1,3})(?=[^\s_])([^_\n]{1,300})(?<!\s)\1(?!\w)")
_STRUCK = re.compile(r"~~[^~\n]{1,200}~~|<(?:s|del|strike)>[^<\n]{0,200}</(?:s|del|strike)>", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_INLINE = r"b|i|sup|sub|em|strong|u|s|mark|span|code|small|big|font|tt|kbd|q|var|ins|a"
_INLINE_TAG = re.compile(rf"</?(?:{_INLINE})(?:\s[^<>]{{0,200}})?>", re.IGNORECASE)
_OTHER_TAG = re.compile(r"</?[A-Za-z][A-Za-z0-9]{0,20}(?:\s[^<>]{0,200})?/?>")


def split_reasoning(text: str) -> tuple[str, str | None]:
    """Divides a completion into its blocks of reasoning and the text outside of them.

    Args:
        text: The generated text.

    Returns:
        The reasoning without its tags, blocks joined by line breaks, and the rest; ``None`` in place of the rest if
        the last block is not closed. A text without tags is returned as it is.

    Example:
        >>> split_reasoning("<think>Rome? No.</think> Paris")
        ('Rome? No.', ' Paris')
        >>> split_reasoning("<think>Rome? Or")
        ('Rome? Or', None)
    """
    lowered = text.lower()
    if not any(word in lowered for word in ("think", "thought", "reasoning", "<|channel|>")):
        return "", text
    reasoning: list[str] = []
    outside: list[str] = []
    place, inside = 0, False
    for tag in _TAG.finditer(text):
        closes = any(tag.groups())
        piece = text[place : tag.start()]
        if closes and not inside:  # the block began in the prompt
            reasoning += [*outside, piece]
            outside = []
        else:
            (reasoning if inside else outside).append(piece)
        place, inside = tag.end(), not closes
    if not place:
        return "", text
    (reasoning if inside else outside).append(text[place:])
    thought = "\n".join(part.strip() for part in reasoning if part.strip())
    return thought, None if inside else "".join(outside)


class Line(NamedTuple):
    """The first line of a text.

    Attributes:
        text: The line.
        closed: Whether a line break follows it.
        fresh: Whether a line break precedes it.
    """

    text: str
    closed: bool
    fresh: bool


def first_line(text: str) -> Line | None:
    r"""Returns the first line with any text; one that only opens a code fence or a formula is passed over.

    Args:
        text: Any text.

    Returns:
        The line, or ``None`` if there is no text.

    Example:
        >>> first_line("\n```python\nprint(1)\n```").text
        'print(1)'
    """
    body = text.lstrip()
    line = _LINE.match(body)
    for _ in range(2):
        if line is None or not _FENCE_LINE.fullmatch(line[0]):
            break
        body = body[line.end() :].lstrip()
        line = _LINE.match(body)
    if not body or line is None:
        return None
    skipped = text[: len(text) - len(body)]
    return Line(line[0], line.end() < len(body), len(_LINE.match(skipped)[0]) < len(skipped))  # type: ignore[index]


def strip_mark(text: str, opening: str) -> str:
    """Drops the mark that closes what was opened before a text, if the text begins with it.

    Args:
        text: The text after a marker.
        opening: The mark before the marker, such as ``**``; may be empty.

    Example:
        >>> strip_mark(":** Paris", "**"), strip_mark(" Paris**", "**")
        (' Paris', ' Paris**')
    """
    match = _CLOSING.match(text)
    if match is None or not (match[1] == opening or (match[2] is not None and match[1] in ("**", "__", "***"))):
        return text
    return text[match.end() :]


def opening_mark(text: str, place: int) -> str:
    """Returns the mark that is open at a place: ``**`` in ``**Final answer: Paris**``, a bracket or quote right there.

    Args:
        text: Any text.
        place: Where a marker starts; 200 characters of its line before it are looked at.

    Example:
        >>> opening_mark("**Final answer:** Paris", 8), opening_mark("**Final** answer: Paris", 10)
        ('**', '')
    """
    if place and text[place - 1] in _ENCLOSING:
        return text[place - 1]
    before = re.split(f"[{_LINE_BREAKS}]", text[max(0, place - 200) : place])[-1]
    last = None
    for last in _OPENING.finditer(before):  # noqa: B007  # the last one is meant
        pass
    return last[1] if last is not None and last[1] not in before[last.end() :] else ""


def strip_closing(text: str, opening: str) -> str:
    """Drops the mark at the end of a text that closes what was opened before it.

    Args:
        text: A text behind a marker.
        opening: The mark before the marker; may be empty.

    Example:
        >>> strip_closing("Paris**", "**"), strip_closing("**Paris***", "*"), strip_closing("**Paris**", "**")
        ('Paris', '**Paris**', '**Paris**')
        >>> strip_closing("Paris)", "("), strip_closing("Paris (Texas)", "(")
        ('Paris', 'Paris (Texas)')
    """
    closing = _ENCLOSING.get(opening)
    if closing is not None:
        open_inside = text.count(closing) % 2 == 0 if opening == closing else text.count(closing) <= text.count(opening)
        return text if open_inside or not text.endswith(closing) else text[:-1].rstrip()
    if not opening or not text.endswith(opening):
        return text
    leading, trailing = (len(text) - len(rest) for rest in (text.lstrip(opening[0]), text.rstrip(opening[0])))
    return text[: -len(opening)].rstrip() if trailing - leading == len(opening) else text


def unwrap(text: str) -> str:
    r"""Drops quotation marks, emphasis, fences and LaTeX wrappers that enclose the whole text, and white space.

    Args:
        text: An answer.

    Returns:
        The text inside; the text itself where nothing encloses it, or nothing would be left.

    Example:
        >>> [unwrap(text) for text in ("**Paris**", '"Paris"', "**kwargs", '"a" and "b"', "“*Paris*”")]
        ['Paris', 'Paris', '**kwargs', '"a" and "b"', 'Paris']
    """
    text = text.strip()
    for _ in range(10):
        inner = _inside(text)
        if not inner:
            break
        text = inner
    return text


def _inside(text: str) -> str:
    """Returns what one pair of marks encloses, or an empty text if there is none."""
    if len(text) < 3 or (text[0] not in _PAIRS and text[0] not in "$\\~"):
        return ""
    match = _FENCED.fullmatch(text) or _LATEX_TEXT.fullmatch(text)
    if match is not None:
        inner: str = match["inner"]
        return "" if "```" in inner else inner.strip()
    opening, closing = text[0], _PAIRS.get(text[0], "")
    if text[-1] not in closing or not closing:
        return ""
    width = 1
    if opening in "*_`":
        width = len(text) - len(text.lstrip(opening))
        if width != len(text) - len(text.rstrip(opening)) or width > 3:
            return ""
    inner = text[width:-width]
    plain = _APOSTROPHE.sub("", inner) if opening in "'‘’‚" else inner
    if opening in plain or any(mark in plain for mark in closing):
        return ""
    if opening in "*_" and (not inner or inner[0].isspace() or inner[-1].isspace()):
        return ""
    if opening == "_" and _IDENTIFIER.fullmatch(inner):
        return ""
    if opening == "*" and not (inner[0].isalnum() or inner[0] in _PAIRS or inner[0] in "-−([$\\"):
        return ""
    return inner.strip()


def strip_emphasis(text: str) -> str:
    """Drops pairs of ``*`` and ``_`` around words, and backticks that stand between no two letters or digits.

    Args:
        text: Text in which a number or label is looked for.

    Example:
        >>> strip_emphasis("It is **-5**, not `5*3` or a_b")
        'It is -5, not 5*3 or a_b'
    """
    if "*" in text:
        text = _BOLD_STARRED.sub(r"\1", text)
        text = _STARS.sub(r"\2", _STARS.sub(r"\2", text))
    if "_" in text:
        text = _UNDERSCORES.sub(r"\2", text)
    if "`" in text:
        text = re.sub(r"(?<!\w)`+|`+(?!\w)", "", text)
    return text


def strip_struck(text: str) -> str:
    """Drops words that are struck through, since they are taken back.

    Args:
        text: Text in which a number or label is looked for.

    Example:
        >>> strip_struck("~~11~~ 12")
        '  12'
    """
    return _STRUCK.sub(" ", text) if "~~" in text or "<" in text else text


def strip_tags(text: str) -> str:
    r"""Resolves HTML entities, drops words struck through and HTML tags; one that marks no words becomes a line break.

    Args:
        text: Text in which a number or label is looked for.

    Example:
        >>> strip_tags("<b>-5</b>&nbsp;m<br>")
        '-5\xa0m\n'
    """
    if "&" in text:
        text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
    text = strip_struck(text)
    if "<" in text:
        text = _OTHER_TAG.sub("\n", _INLINE_TAG.sub("", text))
    return text
