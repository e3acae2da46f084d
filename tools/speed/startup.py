"""What it costs to begin: CPU-seconds of ``evalkit --help`` and of a dry run of easy-vqa.

python -m tools.speed.startup
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from .measure import Failed, cpu, median, options, peak, print_table, run, told, verdict

EVALKIT = (sys.executable, "-m", "evalkit")
DRY_RUN = (*EVALKIT, "eval", "--benchmarks=easy-vqa", "--output_dir=out", "--data_dir=data", "--dry_run")
NO_SERVER = "--server_address=http://127.0.0.1:9/v1"
"""A dry run asks no server."""
CASES = (
    ("evalkit --help", (*EVALKIT, "--help"), 0.4),
    ("evalkit eval --dry_run, easy-vqa, embedded server", DRY_RUN, 1.5),
    ("evalkit eval --dry_run, easy-vqa, --server_address", (*DRY_RUN, NO_SERVER), 1.5),
)


def main() -> None:
    """Measure and print."""
    parser = options(__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory(prefix="evalkit-speed-") as name:
        folder = Path(name)
        run((*EVALKIT, "prepare_data", "easy-vqa", "--data_dir=data"), folder)
        for title, command, budget in CASES:
            try:
                run(command, folder)  # byte code and page cache
                costs = [run(command, folder) for _ in range(given.repeats)]
            except Failed as error:
                print(error, file=sys.stderr)
                continue
            whole, memory = median(costs, cpu), median(costs, peak)
            lines.append([title, f"{whole:.2f}", f"{verdict(whole, budget)} ({budget})", f"{memory:.0f}"])
    print_table(("command", "CPU s", "budget", "peak MB"), lines)


if __name__ == "__main__":
    told(main)
