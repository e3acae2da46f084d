"""The example of ``docs/plugins.md``, run as it stands there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from evalkit import eval, prepare_data, score
from evalkit.rows import read_rows
from tests.samples import write_rows

DOCUMENT = Path(__file__).parents[1] / "docs" / "plugins.md"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example's folder, written from the document; its parent is the current folder."""
    files = re.findall(r"^`([\w./-]+)`\n\n```\w+\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    assert len(files) == 3
    assert sum(len(text.splitlines()) for _, text in files) < 60
    for name, text in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "colored-dots"


@pytest.mark.parametrize("how", ["./colored-dots", "colored-dots"])
def test_the_documented_plug_in_works_by_path_and_by_name(example: Path, how: str, tmp_path: Path) -> None:
    extra = [] if "/" in how else ["."]
    ((prepared),) = prepare_data(how, data_dir="data", extra_benchmarks=extra)
    assert prepared.lock.rows == 30
    planned = eval(
        benchmarks=how,
        output_dir="out",
        data_dir="data",
        extra_benchmarks=extra,
        server_address="http://127.0.0.1:9/v1",
        dry_run=True,
    )
    assert planned.dry_run is not None
    assert "colored-dots: 30 rows checked; 30 requests would be sent" in planned.dry_run
    assert "what is the color of the shape?" in planned.dry_run
    rows = [row.fields for row in read_rows(prepared.rows_file)]
    replies = write_rows(
        tmp_path / "x.jsonl", *({**row, "generation": f"It is {row['expected_answer']}."} for row in rows)
    )
    metrics = score(benchmarks=how, input_file=replies, output_file="y.jsonl", extra_benchmarks=extra)
    assert metrics["colored-dots"]["pass@1"]["score"] == 1.0
    assert not json.loads((tmp_path / "y.jsonl").read_text().splitlines()[0])["robust"]
