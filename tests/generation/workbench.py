"""A small benchmark of the tests' own, and running evalkit on it against a server of our own."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson
from PIL import Image

from evalkit import api
from tests.fault_server import WORDS, FaultServer

NAME = "words"

BENCHMARK = f'''"""A benchmark of the tests: the answer is one of a few words."""

from evalkit.benchmark import Benchmark
from evalkit.scoring.answers import closed_set
from evalkit.scoring.result import Scorer

WORDS = {WORDS!r}


def strict(row, reply):
    return closed_set(reply, WORDS, row["expected_answer"])


BENCHMARK = Benchmark(
    name="{NAME}",
    description="Made by a test.",
    prompt="prompt",
    scorers={{"strict": Scorer(strict)}},
    answer_set=WORDS,
)
'''

PROMPT = "image_field: image_path\nuser: |-\n  {question}\n  Answer with one word.\n"

QUICK = (
    "++retry.first_wait=0.01",
    "++retry.longest_wait=0.05",
    "++retry.lost_server=1",
    "++max_concurrent_requests=8",
)
"""Overrides with which a test does not wait for seconds."""


def picture(seed: int, side: int = 8) -> bytes:
    """A PNG file whose bytes no other seed has."""
    pixels = random.Random(seed).randbytes(side * side * 3)
    stream = io.BytesIO()
    Image.frombytes("RGB", (side, side), pixels).save(stream, "PNG")
    return stream.getvalue()


def make_rows(count: int) -> list[dict[str, Any]]:
    """Rows whose texts are all different, each with an image of its own."""
    return [
        {
            "id": f"row-{number:04}",
            "image_path": f"images/{number:04}.png",
            "question": f"What does picture number {number:04} show?",
            "expected_answer": WORDS[number % len(WORDS)],
            "subset_for_metrics": "even" if number % 2 == 0 else "odd",
        }
        for number in range(count)
    ]


def write_rows(folder: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write the rows of the benchmark in ``folder``; returns the file."""
    path = folder / "test.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_benchmark(folder: Path, rows: int | list[dict[str, Any]], side: int = 8) -> Path:
    """Write the whole benchmark into ``folder``; images are made for paths that begin with ``images/``."""
    (folder / "images").mkdir(parents=True)
    (folder / "benchmark.py").write_text(BENCHMARK)
    (folder / "prompt.yaml").write_text(PROMPT)
    made = make_rows(rows) if isinstance(rows, int) else rows
    for number, row in enumerate(made):
        if str(row.get("image_path")).startswith("images/"):
            (folder / row["image_path"]).write_bytes(picture(number, side))
    write_rows(folder, made)
    return folder


def evaluate(
    folder: Path, server: FaultServer, out: Path, *overrides: str, samples: int = 1, **more: Any
) -> api.EvalResult:
    """``evalkit eval`` on the benchmark in ``folder``."""
    repeats = f":{samples}" if samples > 1 else ""
    return api.eval(
        [*QUICK, *overrides],
        benchmarks=f"{folder}{repeats}",
        output_dir=out,
        server_address=server.url,
        **more,
    )


def output_file(out: Path) -> Path:
    """Where a run stores its generations."""
    return out / "eval-results" / NAME / "output.jsonl"


def lines(out: Path) -> list[dict[str, Any]]:
    """The stored generations of a run, in the order in which they came."""
    return [orjson.loads(line) for line in output_file(out).read_bytes().splitlines()]


def scores(out: Path) -> dict[str, dict[str, Any]]:
    """The scores of a run, by row."""
    path = out / "eval-results" / NAME / "scores.jsonl"
    return {each["id"]: each for each in map(orjson.loads, path.read_bytes().splitlines())}


def metrics(out: Path) -> dict[str, Any]:
    """The metrics of a run."""
    found: dict[str, Any] = orjson.loads((out / "eval-results" / NAME / "metrics.json").read_bytes())
    return found


def timing(out: Path) -> dict[str, Any]:
    """What the last session of a run came to."""
    found: dict[str, Any] = orjson.loads((out / "eval-results" / NAME / "timing.json").read_bytes())
    session: dict[str, Any] = found["sessions"][-1]
    return session
