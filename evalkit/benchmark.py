"""What a benchmark is: a prompt, scorers by protocol, defaults, and what its score is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evalkit.scoring.result import Scorer


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A named evaluation over prepared rows.

    ``scorers`` maps a protocol's name to its scorer: ``strict`` (the headline; never guesses) and, where
    the authors published scoring code, ``official`` (that code's rules). ``defaults`` are config values
    under the user's own, shaped like the config (``{"inference": {"tokens_to_generate": 16}}``).
    ``answer_set`` is the closed set of answers, where there is one that rows do not list as ``options``.
    """

    name: str
    description: str
    prompt: str
    scorers: Mapping[str, Scorer]
    metric: str = "accuracy"
    split: str = "test"
    defaults: Mapping[str, Any] = field(default_factory=dict)
    answer_set: tuple[str, ...] = ()
