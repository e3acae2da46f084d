"""MMMU-Pro's published scoring rules, quirks kept, so that a score can stand beside a published one.

The rules are those of github.com/MMMU-Benchmark/MMMU at commit bb0b95a945998d91dfef37e969e07d49d1139438,
file ``mmmu-pro/evaluate.py`` (``parse_multi_choice_response`` and ``mmmu_process_results``). For every reply
in which that code finds a letter, this module finds the same letter.

One deviation, where nothing is found: that code then calls ``random.choice`` on a generator it never seeds,
so its own guesses differ from run to run and cannot be reproduced. Here the guess depends on the row's id
alone. It is right as often on average, it is the same whenever a run is scored again, and it is marked
``guessed``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from evalkit.errors import UserError
from evalkit.scoring.result import Parsed, Row, Score

_CUE = "Answer:"
_TRIMMED = ",.!?;:'"
_DECORATION = " \t\r\n*_`$()."
# How a letter may be mentioned, in falling priority, and what decides which of several mentions is last.
# Kept quirk: bare letters ("B ") and dotted letters ("B.") are both placed by looking for " B ", because one
# branch of the original serves the two. A dotted letter is then never placed, nor is a bare one at the end
# of a word ("NASA "), and where no letter can be placed the first in the alphabet wins.
_MENTIONS = (("({})", "({})"), ("{} ", " {} "), ("{}.", " {} "))


def official_mmmu_pro(row: Row, reply: str) -> Score:
    """Score one reply as MMMU-Pro's authors do: 1 where the letter found, or drawn, is the expected one.

    ``row`` needs ``id``, ``options`` (strings, in order A, B, …) and ``expected_answer`` (a letter). A drawn
    letter counts like a found one, as it does in published numbers, and has ``guessed`` set; such a row is
    never ``robust`` and its ``reason`` is ``no_match``. ``robust`` means that the reply was the letter alone
    or ended in ``Answer: X``, but for brackets, a full stop or Markdown.

    A row whose expected letter is past its last option cannot be answered and scores 0, as published: in the
    authors' own files validation_Accounting_29 holds one list of three texts where three texts should be.
    Raises UserError for a row without options or without an expected answer.
    """
    options, expected = row.get("options"), row.get("expected_answer")
    if not isinstance(options, (list, tuple)) or not options:
        raise UserError(f"row {row['id']!r}: options must be a list of at least one text, got {options!r}")
    if not isinstance(expected, str):
        raise UserError(f"row {row['id']!r}: expected_answer must be a letter, got {expected!r}")
    parsed = parse_official(reply, options, str(row["id"]))
    return Score(
        score=float(parsed.value == expected),
        predicted_answer=parsed.value,
        robust=not parsed.guessed and reply.rpartition(_CUE)[2].strip(_DECORATION) == parsed.value,
        reason="no_match" if parsed.guessed else None,
        guessed=parsed.guessed,
    )


def parse_official(reply: str, options: Sequence[str], row_id: str) -> Parsed:
    """Find the letter that the published code finds; draw one by ``row_id`` where it would draw at random.

    Hard cases, all as published: "I cannot tell" is option I of nine or more, "A cat" is option A, and
    "Answer: b" is a guess.
    """
    letters = _letters(options)
    found = _after_cue(reply, letters)
    if found is None:
        padded = _trim_and_pad(reply)
        found = _last_mention(padded, letters) or _last_option_text(padded, letters, options)
    return Parsed(_draw(letters, row_id), guessed=True) if found is None else Parsed(found)


def _letters(options: Sequence[str]) -> list[str]:
    # Kept quirk: letters are counted up from "A" without a bound, so a 27th option would be "[".
    return [chr(ord("A") + index) for index in range(len(options))]


def _after_cue(reply: str, letters: Sequence[str]) -> str | None:
    """The one letter that occurs after the last ``Answer:``, or None where none or several occur.

    Kept quirks: the cue is case-sensitive ("ANSWER: B" is none), while the letter is any capital at all up to
    the end of the reply, because the original tests for substrings. "Answer: Apple" is A, and
    "Answer: B. I am sure" holds both B and I, so it falls through to the other rules.
    """
    _, cue, tail = reply.rpartition(_CUE)
    present = [letter for letter in letters if letter in tail] if cue else []
    return present[0] if len(present) == 1 else None


def _trim_and_pad(reply: str) -> str:
    # Kept quirk: each mark is stripped once and white space never, so "B.'" loses only the quote (the
    # stop was not yet at the end when its turn came) and "B.\n" keeps its stop.
    for mark in _TRIMMED:
        reply = reply.strip(mark)
    return f" {reply} "


def _last_mention(padded: str, letters: Sequence[str]) -> str | None:
    """The letter mentioned last, by the first way of mentioning that occurs at all.

    Kept quirks: "(C)" anywhere in the reasoning beats a final "B". The letter needs no boundary before it and
    the blank after it must be a space, so "NASA said" mentions A and "B\\nbecause" mentions nothing.
    """
    for seen_as, placed_as in _MENTIONS:
        places = {
            letter: padded.rfind(placed_as.format(letter))
            for letter in letters
            if seen_as.format(letter) in padded
        }
        if places:
            return max(places, key=places.__getitem__)
    return None


def _last_option_text(padded: str, letters: Sequence[str], options: Sequence[str]) -> str | None:
    """The option whose text starts last in a reply of more than five words.

    Kept quirks: a text may start inside a word ("art" in "start"). A reply that is just an option's text,
    five words or fewer, is not looked at, because the original meant to read long replies only.
    """
    if len(padded.split()) <= 5:
        return None
    lowered = padded.lower()
    texts = {letter: text for letter, text in zip(letters, options, strict=True) if isinstance(text, str)}
    places = {letter: lowered.rfind(text.lower()) for letter, text in texts.items()}
    places = {letter: place for letter, place in places.items() if place >= 0}
    return max(places, key=places.__getitem__) if places else None


def _draw(letters: Sequence[str], row_id: str) -> str:
    digest = hashlib.blake2b(row_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return letters[int.from_bytes(digest, "big") % len(letters)]
