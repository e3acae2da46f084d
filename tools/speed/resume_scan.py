"""What it costs to find out what is done: a scan of 1,000,000 stored generations in a fresh process.

python -m tools.speed.resume_scan
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path

from .measure import cpu, median, options, peak, print_table, run, told, verdict

CPU_BUDGET = 3.0

SCAN = """
import sys
from pathlib import Path
from evalkit.generation.log import OutputLog
with OutputLog(Path(sys.argv[1])) as log:
    found = log.scan()
assert len(found) == int(sys.argv[2]), len(found)
"""
HINT = "Look well. " * 8
IMPORT_ALONE = "import evalkit.generation.log"


def write_log(path: Path, lines: int) -> None:
    """Write an ``output.jsonl`` as a run would, every line a different key."""
    from evalkit.generation.reply import Reply, encode_line

    reply = Reply("ok", "Answer: B", None, "stop", 1234, 4, latency=1.2345)
    more = {"arm": "original", "sample": 0, "model": "speed-model"}
    with path.open("wb", buffering=1 << 20) as stream:
        for number in range(lines):
            row = {
                "id": f"row-{number}",
                "question": f"Question {number}: which of the four shapes is drawn here? {HINT}",
                "options": ["a circle", "a rectangle", "a triangle", "none of them"],
                "expected_answer": "B",
                "image_path": f"images/{number:07}.jpg",
                "subset_for_metrics": ["shapes"],
            }
            key = hashlib.md5(b"%d" % number, usedforsecurity=False).hexdigest()
            stream.write(encode_line(key, row, reply, more, "generation"))


def main() -> None:
    """Measure and print."""
    parser = options(__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", help="where the file goes (0.7 GB)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="evalkit-speed-", dir=given.folder) as name:
        folder = Path(name)
        path = folder / "output.jsonl"
        write_log(path, given.lines)
        size = path.stat().st_size / 1e6
        scan: list[str | Path] = [sys.executable, "-c", SCAN, path, str(given.lines)]
        costs = [run(scan, folder) for _ in range(given.repeats)]
        start = [run([sys.executable, "-c", IMPORT_ALONE], folder) for _ in range(given.repeats)]
    whole = median(costs, cpu)
    print_table(
        ("lines", "MB", "CPU s", "of it start", "budget", "peak MB"),
        [
            [
                f"{given.lines:,}",
                f"{size:.0f}",
                f"{whole:.2f}",
                f"{median(start, cpu):.2f}",
                f"{verdict(whole, CPU_BUDGET)} ({CPU_BUDGET})",
                f"{median(costs, peak):.0f}",
            ]
        ],
    )


if __name__ == "__main__":
    told(main)
