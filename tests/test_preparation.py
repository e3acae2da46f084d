"""Preparing data: whole or not at all, counted, locked, with each image stored once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import RunError, UserError
from evalkit.images import BadImage
from evalkit.preparation import ImageStore, PrepareContext, Preparer, prepare
from evalkit.rows import Lock, read_rows
from tests.samples import encode


def preparer(count: int = 3, *, known: int | None = None, fails_at: int | None = None) -> Preparer:
    def rows(context: PrepareContext) -> Iterator[dict[str, Any]]:
        for number in range(count):
            if number == fails_at:
                raise ConnectionError("the hub is gone")
            yield {"id": f"{context.split}-{number}", "image_path": context.images.save(encode())}

    return Preparer(
        source="a hub", revision="abc", rows=rows, expected_rows={} if known is None else {"test": known}
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "b" / "test.jsonl"


def test_rows_images_and_lock_are_there_in_the_end(file: Path) -> None:
    lock = prepare("b", preparer(), file, "test")
    rows = list(read_rows(file))
    assert [row.id for row in rows] == ["test-0", "test-1", "test-2"]
    assert all((file.parent / row.fields["image_path"]).read_bytes() == encode() for row in rows)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert lock == Lock("b", "test", "a hub", "abc", 3, digest) == Lock.read(file)
    assert sorted(each.name for each in file.parent.iterdir()) == ["images", "test.jsonl", "test.lock.json"]


def test_a_preparer_that_fails_midway_leaves_no_rows(file: Path) -> None:
    # Half a benchmark under its name would be evaluated as a whole one.
    with pytest.raises(RunError, match="the hub is gone"):
        prepare("b", preparer(fails_at=2), file, "test")
    assert not file.exists()
    assert not Lock.path_for(file).exists()
    assert [each.name for each in file.parent.iterdir()] == ["images"]


def test_a_preparer_that_fails_leaves_what_was_prepared_before(file: Path) -> None:
    prepare("b", preparer(2), file, "test")
    before = file.read_bytes()
    with pytest.raises(RunError):
        prepare("b", preparer(fails_at=2), file, "test")
    assert file.read_bytes() == before
    lock = Lock.read(file)
    assert lock is not None
    lock.check(file)


def test_another_number_of_rows_than_the_known_one_stops_the_preparation(file: Path) -> None:
    with pytest.raises(UserError) as caught:
        prepare("b", preparer(3, known=1730), file, "test")
    message = str(caught.value)
    assert message.startswith("b (test): 3 rows came from a hub, and 1,730 are known")
    assert "--allow_row_count_mismatch" in message
    assert not file.exists()


def test_another_number_of_rows_can_be_allowed_and_is_what_the_lock_says(file: Path) -> None:
    lock = prepare("b", preparer(3, known=1730), file, "test", allow_row_count_mismatch=True)
    assert lock.rows == 3


def test_an_unknown_split_is_refused_with_those_there_are(file: Path) -> None:
    with pytest.raises(UserError, match="--split=dev: b has test"):
        prepare("b", preparer(known=3), file, "dev")
    assert not file.parent.exists()


def test_preparing_twice_gives_the_same_bytes(file: Path) -> None:
    first = prepare("b", preparer(), file, "test")
    assert prepare("b", preparer(), file, "test") == first


def test_a_data_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(RunError, match="data"):
        prepare("b", preparer(), tmp_path / "data" / "b" / "test.jsonl", "test")


# --- images -------------------------------------------------------------------------------------------------


def test_an_image_is_stored_once_for_its_content_with_a_suffix_by_its_bytes(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    paths = [store.save(encode(format=format)) for format in ("PNG", "JPEG", "PNG")]
    assert paths[0] == paths[2] != paths[1]
    assert [Path(path).suffix for path in paths] == [".png", ".jpg", ".png"]
    assert sorted(each.name for each in (tmp_path / "images").iterdir()) == sorted(
        Path(path).name for path in set(paths)
    )
    assert (tmp_path / paths[1]).read_bytes() == encode(format="JPEG")


def test_bytes_that_are_no_image_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadImage, match="14 bytes that are not an image"):
        ImageStore(tmp_path).save(b"<html>sorry</>")
    assert list(tmp_path.iterdir()) == []
