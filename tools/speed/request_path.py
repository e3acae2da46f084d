"""What a row costs: a whole ``evalkit eval`` with images against a bare aiohttp loop, in one run.

    python -m tools.speed.request_path

1,000 rows, 64 in flight, a server that answers after 50 ms. The two take turns, so that what else the
machine does falls on both.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from .measure import Cost, Failed, cpu, median, options, peak, print_table, run, told, verdict
from .testbed import IN_FLIGHT, build_server, eval_command, serve, write_benchmark, write_images

CPU_BUDGETS = {64: 1.3, 512: 2.0}
"""CPU-seconds for 1,000 rows, by KB an image."""
MEMORY_BUDGET = 150.0
LATENCY_MS = 50


def measure(size_kb: int, rows: int, repeats: int, program: Path, folder: Path) -> list[tuple[Cost, Cost]]:
    """(evalkit, floor) of each repeat."""
    benchmark = folder / f"benchmark-{size_kb}"
    write_benchmark(benchmark, rows, write_images(benchmark, rows, size_kb * 1024))
    floor: list[str | Path] = [sys.executable, Path(__file__).with_name("floor.py"), benchmark / "test.jsonl"]
    pairs = []
    with serve(program, LATENCY_MS) as address:
        for number in range(repeats):
            output = folder / f"out-{size_kb}-{number}"
            ours = run(eval_command(sys.executable, benchmark, output, address), folder)
            pairs.append((ours, run([*floor, address, str(IN_FLIGHT)], folder)))
    shutil.rmtree(benchmark)
    return pairs


def report(size_kb: int, rows: int, pairs: list[tuple[Cost, Cost]]) -> list[str]:
    """A line of the table."""
    ours, floor = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    per_1000 = 1000 / rows
    cost, memory = median(ours, cpu) * per_1000, median(ours, peak)
    budget = CPU_BUDGETS.get(size_kb)
    return [
        f"{size_kb} KB",
        f"{cost:.2f}",
        f"{median(floor, cpu) * per_1000:.2f}",
        f"{statistics.median(a.cpu / b.cpu for a, b in pairs):.2f}",
        "no budget" if budget is None else f"{verdict(cost, budget)} ({budget})",
        f"{rows / median(ours, lambda each: each.seconds):.0f}",
        f"{memory:.0f}",
        f"{median(floor, peak):.0f}",
        f"{verdict(memory, MEMORY_BUDGET)} ({MEMORY_BUDGET:.0f})",
    ]


HEADER = (
    *("image", "evalkit CPU s/1k", "floor CPU s/1k", "ratio", "CPU budget"),
    *("rows/s", "evalkit MB", "floor MB", "memory budget"),
)


def main() -> None:
    """Measure and print."""
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(CPU_BUDGETS), metavar="KB")
    parser.add_argument("--folder", help="where temporary files go (half a GB)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="evalkit-speed-", dir=given.folder) as name:
        folder = Path(name)
        program = build_server(folder)
        lines = []
        for size_kb in given.sizes:
            try:
                pairs = measure(size_kb, given.rows, given.repeats, program, folder)
            except Failed as error:
                print(f"{size_kb} KB: {error}", file=sys.stderr)
            else:
                lines.append(report(size_kb, given.rows, pairs))
    print(f"{given.rows} rows, {IN_FLIGHT} in flight, {LATENCY_MS} ms; medians of {given.repeats}\n")
    print_table(HEADER, lines)


if __name__ == "__main__":
    told(main)
