"""Strict reading of a multiple-choice reply: the letter it declares or a reason, never a guess.

A reply is read in this order, after a reasoning block has been set aside:

1. explicit declarations, ``Answer: B``, ``the answer is B``, ``\\boxed{B}``, ``<answer>B</answer>``: the last
   one decides, also where it decides that there is no single answer;
2. the whole reply is a letter: ``B``, ``(B)``, ``B.``, ``**B**``, ``option B``;
3. the whole reply is the text of exactly one option;
4. the first line is a label with its own option's text, ``B. Paris``, and no other line starts with a label.

Anything else has no answer. A letter is never picked out of prose. Every step takes linear time.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from evalkit.errors import UserError
from evalkit.scoring.result import Parsed, Row, Score

EMPTY: Final = "empty"  # nothing but white space, or nothing after the reasoning
UNFINISHED_REASONING: Final = "unfinished_reasoning"  # a reasoning block was opened and never closed
NO_ANSWER: Final = "no_answer"  # nothing in the reply declares an answer
NOT_AN_OPTION: Final = "not_an_option"  # "Answer: I cannot tell"
OUT_OF_RANGE: Final = "letter_out_of_range"  # "Answer: F" of four options
AMBIGUOUS: Final = "ambiguous"  # "Answer: A or B", "Answer: A. <text of C>"
PROMPT_ECHO: Final = "prompt_echo"  # "Answer: A/B/C/D", the prompt's own words

DEFAULT_LETTERS: Final = "ABCDEFGHIJ"


def strict_choice(row: Row, reply: str, letters: str = DEFAULT_LETTERS) -> Score:
    """Score one reply: 1 where the letter it declares is the row's ``expected_answer``.

    ``options`` in the row, a list of texts, bounds the letters; for rows without it, bind ``letters`` (say
    ``functools.partial(strict_choice, letters="ABCD")``). ``robust`` means that no searching was needed: the
    reply is the letter alone, or its last line is ``Answer: X``, either with brackets, Markdown or a full
    stop around the letter. Raises UserError where the row's own answer is not one of its letters, because
    every reply to such a row would be counted as wrong.
    """
    options = row.get("options")
    if options is not None and not _is_list_of_texts(options):
        raise UserError(f"row {row.get('id')!r}: options must be a list of texts, got {options!r}")
    letters = _letters(options, letters)
    expected = row.get("expected_answer")
    if expected not in list(letters):
        raise UserError(f"row {row.get('id')!r}: expected_answer must be one of {letters}, got {expected!r}")
    parsed = parse_choice(reply, options, letters)
    if parsed.value is None:
        return Score.miss(parsed.reason or NO_ANSWER)
    return Score(
        score=float(parsed.value == expected),
        predicted_answer=parsed.value,
        robust=_requested_form(reply) == parsed.value,
    )


def parse_choice(reply: str, options: Sequence[str] | None = None, letters: str = DEFAULT_LETTERS) -> Parsed:
    """Find the letter that a reply declares, or say why there is none (the constants of this module).

    ``options`` are the texts in order A, B, …; ``letters`` are the valid letters where the texts are not
    known, and are not looked at otherwise. Hard cases:

    - "I think so" is not option I, "A cat" is not option A, "Answer: Apple" is not A (but it is C where the
      text of option C is exactly "Apple"), ``\\boxed{\\Delta E}`` is not E.
    - "Answer: A … Answer: C" is C. "Answer: A … Answer: I cannot tell" has no answer: the later line took the
      earlier back.
    - "Answer: A/B/C/D" repeats the prompt and is passed over. "Answer: A or B" is ambiguous.
    - "Answer: B because C is wrong" is B. "If the answer is B, …" declares nothing.
    - Only what follows the last ``</think>`` counts. A reply cut off inside ``<think>`` has no answer, even
      where the reasoning says "Answer: A": it had not ended.
    - Without ``options``, "B. Paris" alone is not taken, because nothing can tell a label from an initial.
      "Answer: B. Paris" is.
    """
    choices = _Choices.of(options, letters)
    text, cut_off = after_reasoning(_plain(reply))
    if not text:
        return Parsed(None, UNFINISHED_REASONING if cut_off else EMPTY)
    return _declared(text, choices) or _whole_reply(text, choices) or Parsed(None, NO_ANSWER)


@dataclass(frozen=True, slots=True)
class _Choices:
    """The valid letters, and where the options are known their texts as :func:`_key` spells them."""

    letters: str
    texts: tuple[str, ...]

    @classmethod
    def of(cls, options: Sequence[str] | None, letters: str) -> _Choices:
        return cls(_letters(options, letters), tuple(_key(_plain(text)) for text in options or ()))

    def letter(self, letter: str) -> Parsed:
        upper = letter.upper()
        return Parsed(upper) if upper in self.letters else Parsed(None, OUT_OF_RANGE)

    def by_text(self, text: str) -> Parsed | None:
        """The one option whose text this is; ambiguous where several are. Case counts only if it must."""
        key = _key(text)
        for spell in (str, str.casefold):
            found = [at for at, known in enumerate(self.texts) if key and spell(known) == spell(key)]
            if found:
                return Parsed(self.letters[found[0]]) if len(found) == 1 else Parsed(None, AMBIGUOUS)
        return None

    def labelled(self, letter: str, text: str) -> Parsed | None:
        """The letter where ``text`` is its own option's, ambiguous where another's, None where none's.

        Own text first: MMMU-Pro has rows in which two options have the same text, and the label tells them
        apart.
        """
        index = self.letters.find(letter.upper())
        if 0 <= index < len(self.texts) and _key(text).casefold() == self.texts[index].casefold() != "":
            return Parsed(self.letters[index])
        return Parsed(None, AMBIGUOUS) if self.by_text(text) else None


def _is_list_of_texts(options: object) -> bool:
    return isinstance(options, (list, tuple)) and all(isinstance(text, str) for text in options)


def _letters(options: Sequence[str] | None, letters: str) -> str:
    if options is None:
        return letters
    if not 1 <= len(options) <= len(string.ascii_uppercase):
        raise UserError(f"options: expected 1 to {len(string.ascii_uppercase)} texts, got {len(options)}")
    return string.ascii_uppercase[: len(options)]


# --- the text of a reply -----------------------------------------------------------------------------------

_FULL_WIDTH = {0xFF01 + i: 0x21 + i for i in range(94)} | {0x3000: " "}
_TYPOGRAPHIC = {0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"', 0x2013: "-", 0x2014: "-", 0x3002: "."}
_INVISIBLE = dict.fromkeys([0xFEFF, 0x200B, 0x200C, 0x200D, 0x2060, 0x00AD])
_AS_ASCII = _FULL_WIDTH | _TYPOGRAPHIC | _INVISIBLE
_LATEX = re.compile(r"\\(?:text|math)(?:bf|rm|sf|tt|it)?(?![A-Za-z])|\\[()\[\],;!]|\\(?=\$)")
_THINK = re.compile(r"<(/?)think(?:ing)?>", re.IGNORECASE)
_PAIRS = ("**", "**"), ("*", "*"), ("{", "}"), ("`", "`"), ('"', '"'), ("'", "'")
_LOOSE_SPACE = re.compile(r"(?<!\w) | (?!\w)")
_MARKS = r"\s*_`~#$\"'(){}\[\]<>|"


def _plain(text: str) -> str:
    """Full-width forms, curly quotes and dashes as ASCII; invisible characters and LaTeX fonts left out."""
    text = text.translate(_AS_ASCII)
    return _LATEX.sub("", text).replace("\r\n", "\n").replace("\r", "\n").strip()


def _key(text: str) -> str:
    """A plain text for comparison: a final full stop, marks around it and "$" do not count.

    Nor does white space beside a sign ("w = 5, h = 2" is "w=5,h=2"). Marks go in pairs only, or "<5" would be
    the same as ">5", and ".5" as "5".
    """
    text = text.strip().replace("$", "")
    if text.count("**") % 2:  # the label took the opening mark of "**B. Paris**"
        text = text.removesuffix("**")
    for _ in range(4):  # nested deeper than that is not an option's text
        before = text
        text = text.strip().rstrip(".")
        for left, right in _PAIRS:
            if text.startswith(left) and text.endswith(right) and len(text) > len(left + right):
                text = text[len(left) : -len(right)]
        if text == before:
            break
    return _LOOSE_SPACE.sub("", " ".join(text.split()))


def after_reasoning(text: str) -> tuple[str, bool]:
    """What stands outside the reasoning block, and whether that block was cut off before its end."""
    closed = [tag.end() for tag in _THINK.finditer(text) if tag[1]]
    start = closed[-1] if closed else 0
    opened = _THINK.search(text, start)
    return text[start : opened.start() if opened else len(text)].strip(), opened is not None


def _requested_form(reply: str) -> str | None:
    """The letter of a reply that is only a letter, or whose last line is only ``Answer: X``."""
    text, _ = after_reasoning(_plain(reply))
    bare = _ONLY_LETTER.fullmatch(text) or _ANSWER_LINE.fullmatch(text.rpartition("\n")[2])
    return bare[1].upper() if bare else None


# --- declarations ------------------------------------------------------------------------------------------

_ONLY_MARKS = re.compile(rf"[{_MARKS}.]*")
_ONLY_LETTER = re.compile(rf"[{_MARKS}]*([A-Za-z])[{_MARKS}.:]*")
_ANSWER_LINE = re.compile(rf"[{_MARKS}]*answer[{_MARKS}]*:[{_MARKS}]*([A-Za-z])[{_MARKS}.]*", re.IGNORECASE)

# Repeats are bounded where the text before the word is read, or a long run of marks would be read again from
# each of its characters.
_CUE = re.compile(
    r"""
      (?: (?P<line> ^[ \t#*_>-]{0,9} (?:(?:the|my|final|correct)[ ]){0,3} answer [ \t*_`]{0,9} : )
        | (?P<prose> (?<![a-z])
            (?: answer (?:[ ]to[ ](?:the|this)[ ](?:question|problem))?
              | (?:correct|right|best)[ ](?:option|choice) )
            [\s*_`"']{0,9}
            (?: : | (?:is|must[ ]be|should[ ]be)\b \s{0,9} :? ) )
      ) (?:[*_]{1,3}(?=\s|$))?
    | (?P<box> \\(?:boxed|fbox)\s{0,9}\{ )
    | (?P<tag> <answer> | <\|begin_of_box\|> )
    """,
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
# "I do not think the answer is B", "if the answer is B, then": said about B, not declared. A "so" in between
# ends the doubt: "it is not C so the answer is B".
_SUPPOSED = re.compile(
    r"(?:\bnot|n't|\bif|\bwhether|\bunless|\bsuppos\w+|\bassum\w+|\bdoubt|\bmaybe|\bmight|\bwhy)\b"
    r"(?!.*\b(?:so|thus|hence|therefore)\b)",
    re.IGNORECASE,
)


def _declared(text: str, choices: _Choices) -> Parsed | None:
    """What the last declaration says: a letter, a reason, or None where nothing is declared.

    "The answer is obvious" or ``\\boxed{42}`` declares no option and is passed over. After ``Answer:`` at the
    start of a line, or inside ``<answer>``, the same words take an earlier declaration back.
    """
    result: Parsed | None = None
    echoed = open_cue = False
    for kind, words, supposed in _declarations(text):
        binding = kind in ("line", "tag") or open_cue
        if not words:
            open_cue = binding  # "Answer: \boxed{B}": the box says what the empty line announced
            continue
        open_cue = False
        read = None if supposed else _read(words, choices)
        if read is None and binding:
            read = Parsed(None, NOT_AN_OPTION)
        if read is not None and read.reason == PROMPT_ECHO:
            echoed = True
        elif read is not None:
            result = read
    return result or (Parsed(None, PROMPT_ECHO) if echoed else None)


def _declarations(text: str) -> Iterator[tuple[str, str, bool]]:
    """Each cue's kind, the words it introduces, and whether it is only supposed or denied.

    The words end where the next cue starts, so all of them together are no longer than the text.
    """
    cues = list(_CUE.finditer(text))
    ends = [*(cue.start() for cue in cues[1:]), len(text)]
    for cue, end in zip(cues, ends, strict=False):
        kind = cue.lastgroup or ""
        words = text[cue.end() : end]
        if kind == "box":
            words = _until_brace_closes(words)
        elif kind == "tag":
            words = words.partition("<")[0]
        before = re.split(r"[.,;:!?\n]", text[max(0, cue.start() - 40) : cue.start()])[-1]
        supposed = kind == "prose" and _SUPPOSED.search(before) is not None
        yield kind, _first_line(words), supposed


def _first_line(words: str) -> str:
    """The first line with more than marks on it: "Answer:" may stand on a line of its own."""
    return next((line.strip() for line in words.split("\n") if not _ONLY_MARKS.fullmatch(line)), "")


def _until_brace_closes(words: str) -> str:
    depth = 1
    for brace in re.finditer(r"[{}]", words):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return words[: brace.start()]
    return words


# --- the words of a declaration ----------------------------------------------------------------------------

_LEAD = re.compile(rf"[{_MARKS}]*(?:(?:option|choice|letter)\b[{_MARKS}:]*)?", re.IGNORECASE)
_LETTER = re.compile(r"[A-Za-z](?!\w)")
_ECHO = re.compile(r"[A-Z](?:\s*/\s*[A-Z])+(?!\w)")
_EITHER = re.compile(rf"[{_MARKS}]*(?:either|both|neither|between)[{_MARKS}]+[A-Za-z](?!\w)", re.IGNORECASE)
_LABEL_END = re.compile(r"[)\]}*_.:]*\s*(?:-\s+)?")  # "-1" after a label is a number
# What may follow a letter that stands for itself. A word may not: "A cat", "I think", "E field", "B cells";
# but for the few that introduce a reason. Nor may a comma after I: "I, for one, cannot tell".
_AFTER_LETTER = re.compile(
    r"""
      \s*$
    | [)\]}]
    | [*_`$"'>|]+ (?![*_`$"'>|\w])
    | [.:] (?!\w)
    | (?<![Ii]) [,;]
    | [!<\\]
    | \s+ (?: \( | [-:](?=\s) )
    | ,?\s+ (?:because|since|as|due\ to|rather\ than|instead\ of|is\ (?:the\ )?(?:correct|right|best))\b (?!-)
    """,
    re.IGNORECASE | re.VERBOSE,
)
# A second letter: "A or B", "A, B", "A/B", "(A) (B)".
_JOINED = re.compile(
    r"""
      [\s)\]}*_`$"'.,;]* (?: (?:and/or|or|and)\b | [/|&+,;-] )
      [\s(\[*_]* (?:(?:also|maybe|perhaps|possibly|even|option|choice)\s[\s(\[*_]*){0,3} ([A-Za-z])(?!\w)
    | [)\]]\s*[(\[] ([A-Za-z]) [)\]]
    """,
    re.IGNORECASE | re.VERBOSE,
)


def _read(words: str, choices: _Choices) -> Parsed | None:
    """Read the words after a cue: a letter, a reason, or None where they are no option at all."""
    bare = _ONLY_LETTER.fullmatch(words)
    if bare:
        return choices.letter(bare[1])
    by_text = choices.by_text(words)  # before the letters: "A cat" and "E. coli" may be options
    if by_text:
        return by_text
    start = _end(_LEAD, words, 0)
    echo = _ECHO.match(words, start)
    if echo and _is_echo(echo[0], choices.letters):
        return Parsed(None, PROMPT_ECHO)
    if _EITHER.match(words):
        return Parsed(None, AMBIGUOUS)
    return _read_letter(words, start, choices) if _LETTER.match(words, start) else None


def _read_letter(words: str, at: int, choices: _Choices) -> Parsed | None:
    """Read words that have a letter at ``at``, unless that letter turns out to be a word."""
    labelled = choices.labelled(words[at], words[_end(_LABEL_END, words, at + 1) :])
    if labelled:
        return labelled
    if _names_second(words, at + 1):
        return Parsed(None, AMBIGUOUS)
    return choices.letter(words[at]) if _AFTER_LETTER.match(words, at + 1) else None


def _names_second(words: str, at: int) -> bool:
    joined = _JOINED.match(words, at)
    if not joined:
        return False
    end = joined.end(1) if joined[1] else joined.end(2)
    return bool(_AFTER_LETTER.match(words, end) or _JOINED.match(words, end))


def _is_echo(listed: str, letters: str) -> bool:
    """Whether a list is the prompt's own: every letter from A on, at least as many as there are options.

    "A/B/C" of ten options is a hedge instead.
    """
    named = "".join(char for char in listed if char.isalpha())
    return len(named) >= len(letters) and string.ascii_uppercase.startswith(named)


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


# --- replies without a declaration -------------------------------------------------------------------------

_ONLY_OPTION = re.compile(rf"[{_MARKS}]*(?:option|choice)[{_MARKS}]+([A-Za-z])[{_MARKS}.]*", re.IGNORECASE)
_LABEL = re.compile(r"[\s*_(\[]*([A-Z])[*_]*[.:)\]][*_]*(?=\s*\S)")


def _whole_reply(text: str, choices: _Choices) -> Parsed | None:
    bare = _ONLY_LETTER.fullmatch(text) or _ONLY_OPTION.fullmatch(text)
    if bare:
        return choices.letter(bare[1])
    return choices.by_text(text) or _labelled(text, choices)


def _labelled(text: str, choices: _Choices) -> Parsed | None:
    """A first line like ``B. <text of option B>``; explanations may follow, other labelled lines may not."""
    lines = text.split("\n")
    first = _LABEL.match(lines[0])
    if first is None:
        return None
    labelled = choices.labelled(first[1], lines[0][first.end() :])
    if labelled and any(_LABEL.match(line) for line in lines[1:]):
        return Parsed(None, AMBIGUOUS)
    return labelled
