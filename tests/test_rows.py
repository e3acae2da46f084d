"""Rows: what a JSON Lines file may hold, which line an error names, and the lock of prepared data."""

from __future__ import annotations

import json
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit import rows as rows_module
from evalkit.errors import UserError
from evalkit.rows import Lock, read_rows, replace_file, sha256_of
from tests.samples import write_rows


def refusal(path: Path, limit: int | None = None) -> str:
    with pytest.raises(UserError) as caught:
        list(read_rows(path, limit))
    assert "\n" not in str(caught.value)
    return str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text() | st.floats(-1e9, 1e9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=3,
)


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.dictionaries(st.text().filter(lambda name: name != "id"), JSON), st.integers(0, 2)))
)
def test_rows_come_as_they_were_written_with_their_line_numbers(
    tmp_path: Path, written: list[tuple[dict[str, object], int]]
) -> None:
    path = tmp_path / "rows.jsonl"
    lines, expected = [], []
    for fields, blank_lines_before in written:
        lines += [" \t"] * blank_lines_before + [json.dumps(fields)]
        expected.append((fields, len(lines)))
    path.write_text("\n".join(lines), encoding="utf-8")
    found = list(read_rows(path))
    assert [(row.fields, row.line) for row in found] == expected
    # A row without an id is known by its line.
    assert [row.id for row in found] == [str(line) for _, line in expected]


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_a_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"id": "a"}\r\n\r\n{"id": "b"}\r\n')
    assert [(row.id, row.line) for row in read_rows(path)] == [("a", 1), ("b", 3)]


def test_a_last_line_without_its_end_counts(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"id": "a"}\n{"id": "b"}')
    assert [row.id for row in read_rows(path)] == ["a", "b"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{oops}", "not JSON"),
        ('{"id": "cut o', "not JSON"),
        ('{"a": NaN}', "not JSON"),
        (b'{"a": "\xff"}', "not JSON"),
        ("[1, 2]", "a row must be a JSON object, not a list"),
        ('"text"', "a row must be a JSON object, not a str"),
        ("null", "a row must be a JSON object"),
        ('{"id": null}', "id must be a string or an integer, not None"),
        ('{"id": true}', "id must be a string or an integer, not True"),
        ('{"id": 1.5}', "id must be a string or an integer, not 1.5"),
        ('{"id": ["a"]}', "id must be a string or an integer"),
    ],
)
def test_what_is_no_row_is_an_error_with_its_file_and_line(
    line: str | bytes, complaint: str, tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "rows.jsonl", {"id": "good"}, "", line)
    assert refusal(path).startswith(f"{path}:3: {complaint}")


def test_two_rows_of_an_id_are_an_error_that_names_both_lines(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", {"id": "a"}, "", {"id": "b"}, {"id": "a"})
    assert refusal(path) == f"{path}:4: id 'a' stands on line 1 already; ids are unique"


def test_the_id_1_and_the_id_text_1_are_the_same(tmp_path: Path) -> None:
    # Results are written with ids as text.
    assert ":2: id '1' stands on line 1" in refusal(
        write_rows(tmp_path / "rows.jsonl", {"id": 1}, {"id": "1"})
    )


def test_a_missing_id_is_its_line_number_and_can_clash_with_a_given_one(tmp_path: Path) -> None:
    assert ":2: id '2' stands on line 1" in refusal(
        write_rows(tmp_path / "rows.jsonl", {"id": "2"}, {"question": "?"})
    )


def test_a_limit_reads_no_further(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", {"id": "a"}, "", {"id": "b"}, "{broken", {"id": "a"})
    assert [row.id for row in read_rows(path, 2)] == ["a", "b"]


def test_rows_come_before_the_rest_of_the_file_is_read(tmp_path: Path) -> None:
    # Memory must not grow with the file.
    found = read_rows(write_rows(tmp_path / "rows.jsonl", {"id": "a"}, "{broken"))
    assert next(found).id == "a"


def test_a_line_without_an_end_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows_module, "LONGEST_LINE", 100)
    path = write_rows(tmp_path / "rows.jsonl", {"id": "a"}, {"id": "b", "text": "x" * 100})
    assert refusal(path).startswith(f"{path}:2: the line is longer than 100 bytes")


def test_a_file_that_is_not_there_and_a_folder_are_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.jsonl") == f"{tmp_path / 'no.jsonl'}: No such file or directory"
    assert refusal(tmp_path) == f"{tmp_path}: Is a directory"


# --- the lock -----------------------------------------------------------------------------------------------


def lock_for(path: Path) -> Lock:
    lock = Lock("easy-vqa", "test", "a package", "1.0", 1, sha256_of(path))
    lock.write(path)
    return lock


def test_a_lock_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "test.jsonl", {"id": "a"})
    lock = lock_for(path)
    assert Lock.read(path) == lock
    lock.check(path)
    assert sorted(each.name for each in path.parent.iterdir()) == ["test.jsonl", "test.lock.json"]


def test_rows_without_a_lock_have_none(tmp_path: Path) -> None:
    assert Lock.read(write_rows(tmp_path / "rows.jsonl", {"id": "a"})) is None


def test_changed_rows_are_refused_with_the_command_that_mends_them(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", {"id": "a", "expected_answer": "yes"})
    lock = lock_for(path)
    write_rows(tmp_path / "rows.jsonl", {"id": "a", "expected_answer": "no"})
    with pytest.raises(UserError, match="has changed since it was prepared") as caught:
        lock.check(path)
    assert str(path) in str(caught.value)
    assert "evalkit prepare_data easy-vqa --force" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b'{"benchmark": "a"}', b'{"unknown": 1}'])
def test_a_damaged_lock_is_an_error_not_an_absent_one(content: bytes, tmp_path: Path) -> None:
    # Taken for absent, it would let changed rows pass.
    path = write_rows(tmp_path / "rows.jsonl", {"id": "a"})
    Lock.path_for(path).write_bytes(content)
    with pytest.raises(UserError, match="prepare the data again"):
        Lock.read(path)


def test_a_replaced_file_is_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    replace_file(path, b"old")
    replace_file(path, orjson.dumps({"new": True}))
    assert path.read_bytes() == b'{"new":true}'
    assert list(tmp_path.iterdir()) == [path]
