"""The tables of a run: complete, comparable, and readable whatever names and causes hold."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import orjson
import pytest

from evalkit.errors import UserError
from evalkit.metrics import aggregate
from evalkit.reports.summary import (
    Table,
    as_csv,
    as_json,
    collect,
    markdown,
    print_tables,
    standing,
    write_summary,
)
from evalkit.run_folder import RunFolder


def metrics(right: int, n: int, *, name: str = "b", samples: int = 1, **changes: Any) -> dict[str, Any]:
    """A metrics file of ``n`` rows, each with an image of its own; half of them in a subset."""
    scores = [
        {
            "id": str(number),
            "arm": "original",
            "score": float(number < right),
            "predicted_answer": "A",
            "valid": True,
            "state": "ok",
            "reason": None,
            "subset_for_metrics": "half" if number % 2 else None,
            "cluster_id": str(number),
            "num_generated_tokens": 2,
        }
        for number in range(n)
        for _ in range(samples)
    ]
    found = aggregate(name, scores, samples=samples, wanted=len(scores))
    whole = {
        "status": found.pop("status"),
        "model": "m",
        "protocol": "strict-1",
        "metric": "accuracy",
        "references": [
            {"name": "chance", "score": 0.25, "n": n, "how": "at random"},
            {"name": "majority answer", "score": 0.75, "n": n, "how": "always 'A'"},
        ],
        **found,
    }
    return {**whole, **changes}


def tables(tmp_path: Path, *files: dict[str, Any], name: str = "b") -> list[Table]:
    folder = RunFolder(tmp_path)
    for number, content in enumerate(files):
        path = folder.metrics_file(name if number == 0 else f"{name}{number}")
        path.parent.mkdir(parents=True)
        path.write_bytes(orjson.dumps(content))
    return collect(folder)


def printed(found: list[Table]) -> str:
    stream = io.StringIO()
    print_tables(found, stream)
    return stream.getvalue()


def test_a_table_has_the_score_its_interval_its_n_and_its_subsets(tmp_path: Path) -> None:
    text = printed(tables(tmp_path, metrics(50, 100)))
    assert "b · accuracy · model m · protocol strict-1" in text
    (head,) = [line for line in text.splitlines() if line.strip().startswith("b ") and "50.0" in line]
    assert head.split() == ["b", "50.0", "40.3", "–", "59.7", "100", "100.0", "2.0", "–"]
    assert any(line.split()[:2] == ["half", "50.0"] for line in text.splitlines())
    assert "complete: 100 of 100 generations scored" in text


def test_the_score_is_set_against_each_reference(tmp_path: Path) -> None:
    (table,) = tables(tmp_path, metrics(50, 100))
    assert standing(table) == [
        "50.0 % is above chance (25.0 %, +25.0 points).",
        "50.0 % is below majority answer (75.0 %, -25.0 points).",
    ]


def test_a_few_rows_cannot_be_told_apart_from_chance(tmp_path: Path) -> None:
    (table,) = tables(tmp_path, metrics(2, 4))
    assert all("not to be told apart from" in sentence for sentence in standing(table))


def test_figures_over_a_part_are_marked(tmp_path: Path) -> None:
    content = metrics(1, 2, status="INCOMPLETE: 2 of 3 generations scored", complete=False)
    (table,) = tables(tmp_path, content)
    assert not table.complete
    for text in (printed([table]), markdown([table])):
        assert "INCOMPLETE: 2 of 3" in text


def test_several_samples_have_a_line_for_each_mode(tmp_path: Path) -> None:
    (table,) = tables(tmp_path, metrics(1, 2, samples=4))
    modes = [line.mode for line in table.lines if not line.subset]
    assert modes == ["pass@1[avg-of-4]", "pass@4", "majority@4"]
    assert "b pass@1[avg-of-4]" in printed([table])  # brackets are no markup


def test_a_run_without_a_single_score_is_shown_without_one(tmp_path: Path) -> None:
    content = metrics(0, 1)
    content["b"]["pass@1"]["score"] = None
    (table,) = tables(tmp_path, content)
    assert standing(table) == []
    assert "–" in printed([table])


def test_what_is_not_ok_is_counted(tmp_path: Path) -> None:
    content = metrics(1, 2)
    content["b"]["pass@1"]["states"] = {"ok": 5, "invalid": 3, "truncated": 1}
    assert "3 invalid, 1 truncated" in printed(tables(tmp_path, content))


def test_markdown_survives_bars_tags_and_line_breaks(tmp_path: Path) -> None:
    content = metrics(
        1,
        2,
        model="m|x",
        status="INCOMPLETE: 1 failed (1 × HTTP 502: <html>\n<h1>a|b)",
        references=[{"name": "majority answer", "score": 0.5, "n": 2, "how": "always 'a|b\\<td>'"}],
    )
    text = markdown(tables(tmp_path, content))
    assert "<" not in text.replace("&lt;", "")
    table = [line for line in text.splitlines() if line.startswith("|")]
    # Bars that are not escaped would be columns.
    assert {line.replace("\\\\", "").replace("\\|", "").count("|") for line in table} == {8}
    assert "INCOMPLETE: 1 failed (1 × HTTP 502: &lt;html> &lt;h1>a\\|b)" in text


def test_markup_in_names_is_text_on_the_terminal(tmp_path: Path) -> None:
    text = printed(tables(tmp_path, metrics(1, 2, model="[red]m[/red]", status="failed ([/])")))
    assert "[red]m[/red]" in text
    assert "failed ([/])" in text


def test_csv_and_json_hold_fractions(tmp_path: Path) -> None:
    found = tables(tmp_path, metrics(1, 4))
    first, *_ = csv.DictReader(io.StringIO(as_csv(found)))
    assert (first["benchmark"], first["mode"], first["score"], first["n"]) == ("b", "pass@1", "0.25", "4")
    (table,) = orjson.loads(as_json(found))
    assert table["lines"][0]["score"] == 0.25
    assert table["lines"][0]["states"] == {"ok": 4}


def test_all_benchmarks_of_a_folder_are_collected_and_written(tmp_path: Path) -> None:
    found = tables(tmp_path, metrics(1, 2), metrics(2, 2, name="b1"))
    written = write_summary(RunFolder(tmp_path), found)
    assert [path.name for path in written] == ["summary.md", "summary.json", "summary.csv"]
    text = written[0].read_text(encoding="utf-8")
    assert text.index("## b ·") < text.index("## b1 ·")


OTHER = orjson.dumps(metrics(1, 2, name="renamed"))  # a folder that was copied under another name


def test_a_folder_without_results_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no results"):
        collect(RunFolder(tmp_path))


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"b": {"pass@1": {}}}', b'{"b": 5}', b"null", OTHER]
)
def test_a_damaged_metrics_file_is_named_with_what_mends_it(content: bytes, tmp_path: Path) -> None:
    path = RunFolder(tmp_path).metrics_file("b")
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"metrics\.json: is not a metrics file of this version") as caught:
        collect(RunFolder(tmp_path))
    assert "\n" not in str(caught.value)
