"""Short answers: normalising, and finding the one answer of a closed set that a reply gives."""

from __future__ import annotations

import re
from collections.abc import Sequence

from evalkit.scoring.choices import EMPTY, UNFINISHED_REASONING, after_reasoning
from evalkit.scoring.result import Parsed, Score

_DECLARED = re.compile(
    r"(?:^|\n|[.:!]\s)\W{0,4}(?:final\s+)?answer(?:\s+is)?\W{1,6}([^\n]{1,80})", re.IGNORECASE
)

_DENIAL = re.compile(
    r"\b(?:not|neither|nor|cannot|never|hardly|without|unsure|no\s+(?:idea|clue|way))\b|n['’]t\b",
    re.IGNORECASE,
)
_MARKS = "*_`\"'“”‘’ \t"


def plain(text: str) -> str:
    """The text in lower case, without surrounding white space, quotes, markup and a final full stop."""
    return text.strip().lstrip(_MARKS).rstrip(_MARKS + ".!").casefold()


def parse_closed(reply: str, answers: Sequence[str]) -> Parsed:
    """The one answer of a closed set that a reply gives.

    It is the whole reply, or its last line, or what follows a last ``Answer:``; else the only answer of
    the set that stands in a one-line reply as a word (``It is red.``). Two of them are ambiguous, and a
    denial ("It is not blue", "I have no idea") says what the answer is not. "yes" in "yesterday" is no word.
    Only what follows a ``</think>`` counts, and a reply that is cut off before it has no answer.
    """
    text, cut_off = after_reasoning(reply.strip())
    if not text:
        return Parsed(None, UNFINISHED_REASONING if cut_off else EMPTY)
    known = {each.casefold(): each for each in answers}
    lines = text.splitlines()
    declared = _DECLARED.findall(text)
    for candidate in (text, *declared[-1:], lines[-1]):
        if (found := known.get(plain(candidate))) is not None:
            return Parsed(found)
    if len(lines) > 1:
        return Parsed(None, "no_answer")
    if _DENIAL.search(text):
        return Parsed(None, "negated")
    words = {word for word in re.findall(r"[^\W_]+", text.casefold()) if word in known}
    if len(words) == 1:
        return Parsed(known[words.pop()])
    return Parsed(None, "ambiguous" if words else "no_answer")


def closed_set(reply: str, answers: Sequence[str], expected: str) -> Score:
    """1 where the reply gives the expected answer of a closed set; robust where it is the bare answer."""
    parsed = parse_closed(reply, answers)
    if parsed.value is None:
        return Score.miss(parsed.reason or "no_answer")
    robust = plain(after_reasoning(reply)[0]) == parsed.value.casefold()
    return Score(float(parsed.value == expected), parsed.value, robust=robust)
