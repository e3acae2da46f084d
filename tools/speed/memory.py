"""Whether memory grows with the rows: peak memory of ``evalkit eval`` at 1,000 and at 100,000 rows.

    python -m tools.speed.memory

Text and an image a row (16 files of 64 KB in turn, more than are kept between rows), 64 in flight, a server
that answers after 5 ms; scoring included.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from .measure import Cost, Failed, cpu, median, options, peak, print_table, run, verdict
from .testbed import build_server, eval_command, serve, write_benchmark, write_images

GROWTH_BUDGET = 1.10
FILES, FILE_BYTES, LATENCY_MS = 16, 64 * 1024, 5


def measure(few: int, many: int, repeats: int, longest: float, folder: Path) -> tuple[list[Cost], list[Cost]]:
    """What the small runs cost, and the large ones; the small come first and last."""
    found: dict[int, list[Cost]] = {few: [], many: []}
    with serve(build_server(folder), LATENCY_MS) as address:
        for rows in (few, many):
            benchmark = folder / f"benchmark-{rows}"
            write_benchmark(benchmark, rows, write_images(benchmark, FILES, FILE_BYTES))
        for number, rows in enumerate([*([few, many] * repeats), few]):
            benchmark = folder / f"benchmark-{rows}"
            command = eval_command(sys.executable, benchmark, folder / f"{number}", address)
            found[rows].append(run(command, folder, longest=longest))
    return found[few], found[many]


def main() -> None:
    """Measure and print."""
    parser = options(__doc__)
    parser.add_argument("--few", type=int, default=1_000, metavar="ROWS")
    parser.add_argument("--many", type=int, default=100_000, metavar="ROWS")
    parser.add_argument("--repeats", type=int, default=1, help="runs of the many rows")
    parser.add_argument("--longest", type=float, default=240, help="seconds that one run may take")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="evalkit-speed-") as name:
        try:
            small, large = measure(given.few, given.many, given.repeats, given.longest, Path(name))
        except Failed as error:
            print(error, file=sys.stderr)
            return
    print_table(
        ("rows", "runs", "peak MB", "CPU s/1k"),
        [
            [
                f"{rows:,}",
                str(len(costs)),
                f"{median(costs, peak):.1f}",
                f"{1000 / rows * median(costs, cpu):.2f}",
            ]
            for rows, costs in ((given.few, small), (given.many, large))
        ],
    )
    growth = median(large, peak) / statistics.median(map(peak, small))
    print(f"\ngrowth: {growth:.3f} times; {verdict(growth, GROWTH_BUDGET)} ({GROWTH_BUDGET:.2f})")


if __name__ == "__main__":
    main()
