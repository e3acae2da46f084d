"""What the measurements work on: a test server, images, and a small benchmark as a plug-in."""

from __future__ import annotations

import io
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .measure import Failed

NAME = "speed"
IN_FLIGHT = 64

BENCHMARK = f'''"""A benchmark for measuring speed; what is answered does not matter."""

from evalkit.benchmark import Benchmark
from evalkit.scoring.choices import strict_choice
from evalkit.scoring.result import Scorer

BENCHMARK = Benchmark(
    name="{NAME}",
    description="Made by tools/speed.",
    prompt="prompt",
    scorers={{"strict": Scorer(strict_choice)}},
)
'''
PROMPT = """\
image_field: image_path
user: |-
  {question}

  The last line of your response should be 'Answer: X', where X is the letter of the option.
"""


def build_server(folder: Path) -> Path:
    """Compile the test server into ``folder``; returns the program."""
    program = folder / "server"
    source = Path(__file__).with_name("server.c")
    try:
        subprocess.run(["cc", "-O2", "-o", program, source], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Failed(f"the test server cannot be compiled: {error}") from None
    return program


@contextmanager
def serve(program: Path, latency_ms: float) -> Iterator[str]:
    """Run the test server while this is open; gives its address."""
    process = subprocess.Popen([program, "0", str(latency_ms)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def write_images(folder: Path, count: int, size: int) -> list[str]:
    """Write ``count`` different JPEG files of ``size`` bytes; returns their names.

    A small image, and random bytes behind its end up to the size: as incompressible as a photograph.
    """
    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (64, 64), (30, 120, 200)).save(stream, "JPEG")
    head = stream.getvalue()
    (folder / "images").mkdir(parents=True, exist_ok=True)
    names = [f"images/{number:05}.jpg" for number in range(count)]
    for name in names:
        (folder / name).write_bytes(head + os.urandom(size - len(head)))
    return names


def write_benchmark(folder: Path, rows: int, images: list[str]) -> Path:
    """Write the benchmark into ``folder``: multiple choice, the images cycled over; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "benchmark.py").write_text(BENCHMARK)
    (folder / "prompt.yaml").write_text(PROMPT)
    with (folder / "test.jsonl").open("w") as stream:
        for number in range(rows):
            row = {
                "id": f"row-{number}",
                "question": f"Question {number}: which of the four shapes is drawn here?\n"
                "A. a circle\nB. a rectangle\nC. a triangle\nD. none of them",
                "options": ["a circle", "a rectangle", "a triangle", "none of them"],
                "expected_answer": "ABCD"[number % 4],
                "image_path": images[number % len(images)],
                "subset_for_metrics": f"subset-{number % 5}",
                "cluster_id": f"image-{number}",  # also where files are shared: the harder case
            }
            stream.write(json.dumps(row) + "\n")
    return folder


def eval_command(python: str, benchmark: Path, output_dir: Path, address: str) -> list[str]:
    """The command that evaluates the benchmark on the server."""
    return [
        *(python, "-m", "evalkit", "eval"),
        f"--benchmarks={benchmark}",
        f"--output_dir={output_dir}",
        f"--server_address={address}",
        f"++max_concurrent_requests={IN_FLIGHT}",
    ]
