"""easy-VQA: simple questions about one coloured shape in a 64×64 image; a closed set of 13 answers."""

from evalkit.benchmark import Benchmark
from evalkit.errors import UserError
from evalkit.scoring.answers import closed_set
from evalkit.scoring.result import Row, Score, Scorer

ANSWERS = (
    *("black", "blue", "brown", "gray", "green", "red", "teal", "yellow"),
    *("circle", "rectangle", "triangle"),
    *("yes", "no"),
)


def strict(row: Row, reply: str) -> Score:
    """The one answer of the closed set that the reply gives; case and a full stop do not count."""
    expected = row["expected_answer"]
    if expected not in ANSWERS:
        # Every reply to such a row would be counted as wrong.
        raise UserError(f"row {row.get('id')!r}: expected_answer must be one of {ANSWERS}, got {expected!r}")
    return closed_set(reply, ANSWERS, expected)


BENCHMARK = Benchmark(
    name="easy-vqa",
    description="Colour, shape and yes/no questions about a coloured shape (9,673 test questions).",
    prompt="vlm/easy-vqa",
    scorers={"strict": Scorer(strict, version=1)},
    defaults={"inference": {"tokens_to_generate": 512}},
    answer_set=ANSWERS,
)
