"""Whether memory grows with the rows: peak memory of ``evalkit eval`` at 1,000 and at 100,000 rows.

    python -m tools.speed.memory

Text and an image a row (16 files of 64 KB in turn, more than are kept between rows), 64 in flight, a server
that answers after 5 ms; scoring included. Then the same again, when everything is stored.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from .measure import Cost, cpu, median, options, peak, print_table, run, told, verdict
from .testbed import build_server, eval_command, serve, write_benchmark, write_images

GROWTH_BUDGET = 1.10
FILES, FILE_BYTES, LATENCY_MS, FEW_RUNS = 16, 64 * 1024, 5, 3


def measure(given: argparse.Namespace, folder: Path) -> dict[str, list[Cost]]:
    """What the runs cost: with few rows, with many, and the many again when all are stored."""
    few, many, again = f"{given.few:,}", f"{given.many:,}", f"{given.many:,}, all stored"
    for rows in (given.few, given.many):
        benchmark = folder / f"benchmark-{rows}"
        write_benchmark(benchmark, rows, write_images(benchmark, FILES, FILE_BYTES))
    found: dict[str, list[Cost]] = {few: [], many: [], again: []}
    with serve(build_server(folder), LATENCY_MS) as address:

        def evaluate(rows: int, output: str) -> Cost:
            benchmark = folder / f"benchmark-{rows}"
            command = eval_command(sys.executable, benchmark, folder / output, address)
            return run(command, folder, longest=given.longest)

        for number in range(given.repeats):
            found[few] += [evaluate(given.few, f"few-{number}-{turn}") for turn in range(FEW_RUNS)]
            found[many].append(evaluate(given.many, f"many-{number}"))
            found[again].append(evaluate(given.many, f"many-{number}"))
    return found


def main() -> None:
    """Measure and print."""
    parser = options(__doc__)
    parser.add_argument("--few", type=int, default=1_000, metavar="ROWS")
    parser.add_argument("--many", type=int, default=100_000, metavar="ROWS")
    parser.add_argument("--repeats", type=int, default=1, help="runs of the many rows")
    parser.add_argument("--longest", type=float, default=240, help="seconds that one run may take")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="evalkit-speed-") as name:
        found = measure(given, Path(name))
    base = median(next(iter(found.values())), peak)
    lines = []
    for place, (rows, costs) in enumerate(found.items()):
        growth = median(costs, peak) / base
        lines.append(
            [
                *(rows, str(len(costs)), f"{median(costs, peak):.1f}", f"{growth:.3f}"),
                f"{verdict(growth, GROWTH_BUDGET)} ({GROWTH_BUDGET:.2f})" if place else "",
                f"{median(costs, cpu):.1f}",
            ]
        )
    print_table(("rows", "runs", "peak MB", "growth", "budget", "CPU s"), lines)


if __name__ == "__main__":
    told(main)
