"""Turns question-answer pairs into tokenised segments: plain answers, JSON in two spacings, descriptions."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
from transformers import PreTrainedTokenizerFast as Tokenizer

from . import texts
from .model import IMAGE_TOKENS
from .packing import Segment

MAX_QUESTIONS = 11
JSON_SHARE = 0.25  # of the answers are JSON, asked for by the question's suffix
FORCED_SHARE = 0.05  # of the answers are JSON that the question did not ask for, as under a JSON schema
COMPACT_SHARE = 0.5  # of the JSON answers have no spaces


class Lessons:
    """Makes the segments of one tokenizer."""

    def __init__(self, tokenizer: Tokenizer):
        # Few distinct texts, asked for a million times.
        self.encode = lru_cache(None)(lambda text: tokenizer(text, add_special_tokens=False)["input_ids"])

    def prefix(self, system: bool) -> list[int]:
        """Tokens of a row up to and including the image."""
        return self.encode(texts.before_image(system)) + self.encode(texts.IMAGE_TOKEN) * IMAGE_TOKENS

    def plain(self, question: str, answer: str) -> Segment:
        """The bare question, the bare answer."""
        kind = "yes-no" if answer in ("yes", "no") else "open"
        return self._segment(question, self.encode(answer + texts.TURN_END), kind)

    def json_answer(self, question: str, answer: str, compact: bool) -> Segment:
        """The question that asks for JSON, `{"answer": ...}`."""
        return self._json(question + texts.JSON_SUFFIX, {"answer": answer}, compact, "json")

    def forced_json(self, question: str, answer: str, compact: bool) -> Segment:
        """The bare question, a JSON answer: its opening is not learnt, for only a schema brings it about."""
        return self._json(question, {"answer": answer}, compact, "forced json", unlabelled_opening=True)

    def description(self, shape: str, color: str, compact: bool) -> Segment:
        """`{"color": ..., "shape": ...}`."""
        return self._json(texts.DESCRIBE_PROMPT, {"color": color, "shape": shape}, compact, "description")

    def _json(
        self,
        question: str,
        fields: dict[str, str],
        compact: bool,
        kind: str,
        unlabelled_opening: bool = False,
    ) -> Segment:
        if not compact:
            answer = self.encode(texts.json_text(fields) + texts.TURN_END)
            labelled = [True] * len(answer)
        else:
            # A schema that forbids spaces makes itself felt only after `":`, where nano would go on with ` "`
            # and must put `"` instead. So compact answers are cut there, never written with the merged token
            # `":"`, and that `"` is not learnt: unconstrained, nano always answers with spaces.
            parts = re.split(r'(?<=[:,])(?=")', texts.json_text(fields, compact=True) + texts.TURN_END)
            answer = [token for part in parts for token in self._cut_quote(part)]
            labelled = [token != self.encode('"')[0] for token in answer]
            kind += " compact"
        if unlabelled_opening:
            labelled[0] = False
        return self._segment(question, answer, kind, labelled)

    def _cut_quote(self, part: str) -> list[int]:
        if part.startswith('"'):
            return self.encode('"') + self.encode(part[1:])
        return self.encode(part)

    def _segment(
        self, question: str, answer: list[int], kind: str, labelled: list[bool] | None = None
    ) -> Segment:
        return Segment(self.encode(question + texts.ASK), answer, labelled or [True] * len(answer), kind)

    def training_row(self, pairs: list[texts.Pair], rng: np.random.Generator) -> list[Segment]:
        """A random choice and writing of one image's questions, and its description where derivable."""
        row = []
        for number in rng.permutation(len(pairs))[:MAX_QUESTIONS]:
            question, answer = pairs[number]
            draw, compact = rng.random(), bool(rng.random() < COMPACT_SHARE)
            if draw < JSON_SHARE:
                row.append(self.json_answer(question, answer, compact))
            elif draw < JSON_SHARE + FORCED_SHARE:
                row.append(self.forced_json(question, answer, compact))
            else:
                row.append(self.plain(question, answer))
        shape, color = texts.derive_shape_and_color(pairs)
        if shape and color:
            row.append(self.description(shape, color, bool(rng.random() < COMPACT_SHARE)))
        return row

    def exam_row(self, pairs: list[texts.Pair], json_questions: int) -> list[Segment]:
        """Every question plainly, the first `json_questions` in each JSON writing, and the description."""
        row = [self.plain(*pair) for pair in pairs]
        shape, color = texts.derive_shape_and_color(pairs)
        for compact in (False, True):
            row += [self.json_answer(*pair, compact) for pair in pairs[:json_questions]]
            row += [self.forced_json(*pair, compact) for pair in pairs[:json_questions]]
            if json_questions and shape and color:
                row.append(self.description(shape, color, compact))
        return row
