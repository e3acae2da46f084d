"""MMMU-Pro's rows, prepared by the unpatched `datasets` client from a hub on loopback."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from evalkit.dataset_prep.mmmu_pro import PREPARER, REVISION, parse_options, standard_row, vision_row
from evalkit.errors import RunError
from evalkit.preparation import ImageStore
from tests.hub import (
    Request,
    hub_environment,
    mmmu_pro_standard,
    mmmu_pro_vision,
    serve_hub,
    write_mmmu_pro,
)

# Rows of the splits named, or the error of the first that fails, as JSON on standard output. The
# client reads HF_ENDPOINT when it is imported, so a process is needed for each hub.
PREPARE = """
import json, pathlib, sys
from evalkit.dataset_prep.mmmu_pro import PREPARER
from evalkit.errors import EvalkitError
from evalkit.preparation import ImageStore, PrepareContext

folder, *splits = sys.argv[1:]
answer = {}
try:
    for split in splits:
        answer[split] = list(PREPARER.rows(PrepareContext(split, ImageStore(pathlib.Path(folder)))))
except EvalkitError as error:
    answer["error"] = [type(error).__name__, str(error)]
print(json.dumps(answer))
"""


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def prepare(environment: Mapping[str, str], folder: Path, *splits: str) -> dict[str, Any]:
    """What the preparer makes of ``splits`` in a process of its own; images go into ``folder``."""
    done = subprocess.run(
        [sys.executable, "-c", PREPARE, str(folder), *splits],
        env=dict(environment),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def failure(tmp_path: Path, *, gated: Sequence[str] = ()) -> tuple[str, str]:
    """The class and message of the error that preparing ``test`` from ``tmp_path / "hub"`` ends with."""
    with serve_hub(tmp_path / "hub", gated=gated) as hub:
        kind, message = prepare(hub_environment(hub, tmp_path), tmp_path, "test")["error"]
    assert "\n" not in message
    return kind, message


class Prepared:
    """What one preparation of all splits gave, and what it was made from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source_vision = mmmu_pro_vision(3)
        self.source_standard = mmmu_pro_standard(5)
        root = folder / "hub"
        write_mmmu_pro(root, self.source_vision, self.source_standard)
        with serve_hub(root) as hub:
            self.environment = hub_environment(hub, folder)
            splits = prepare(self.environment, folder, "vision", "standard", "test")
        assert "error" not in splits, splits["error"]
        self.vision: list[dict[str, Any]] = splits["vision"]
        self.standard: list[dict[str, Any]] = splits["standard"]
        self.test: list[dict[str, Any]] = splits["test"]
        self.requests: list[Request] = hub.requests

    def stored(self, row: Mapping[str, Any]) -> list[str]:
        """The digests of a row's image files, in the row's order."""
        paths = row["image_path"]
        names = [paths] if isinstance(paths, str) else paths
        return [digest((self.folder / name).read_bytes()) for name in names]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return Prepared(tmp_path_factory.mktemp("mmmu_pro"))


def test_vision_row_asks_its_options_because_the_question_is_in_the_image(prepared: Prepared) -> None:
    row, source = prepared.vision[1], prepared.source_vision[1]
    assert prepared.stored(row) == [digest(source["image"]["bytes"])]
    lines = [f"{letter}. choice 1.{number}" for number, letter in enumerate("ABCDEFGHIJ")]
    assert row == {
        "id": "vision/test_History_1",
        "problem": "\n".join(lines),
        "options": [f"choice 1.{number}" for number in range(10)],
        "expected_answer": "B",
        "image_path": row["image_path"],
        "cluster_id": "test_History_1",
        "subset_for_metrics": ["History", "vision"],
    }


def test_standard_row_asks_the_question_then_its_options(prepared: Prepared) -> None:
    row, source = prepared.standard[0], prepared.source_standard[0]
    assert isinstance(row["image_path"], list)  # of one, so that every row is read alike
    assert prepared.stored(row) == [digest(source["image_1"]["bytes"])]
    lines = [f"{letter}. choice 0.{number}" for number, letter in enumerate("ABCDEFGHIJ")]
    assert row == {
        "id": "standard/test_History_0",
        "problem": "What does <image 1> show?\n" + "\n".join(lines),
        "question": "What does <image 1> show?",
        "options": [f"choice 0.{number}" for number in range(10)],
        "expected_answer": "A",
        "image_path": row["image_path"],
        "cluster_id": "test_History_0",
        "subset_for_metrics": ["History", "standard"],
    }


def test_split_test_is_vision_then_standard_with_ids_that_never_clash(prepared: Prepared) -> None:
    # The two configs of the real set use the same ids.
    assert prepared.test == prepared.vision + prepared.standard
    assert len({row["id"] for row in prepared.test}) == len(prepared.test) == 8


def test_images_are_the_bytes_that_the_hub_served(prepared: Prepared) -> None:
    # A decoded and re-encoded JPEG would be another image.
    cells = [row["image"] for row in prepared.source_vision]
    cells += [cell for row in prepared.source_standard for k, cell in row.items() if k.startswith("image_")]
    served = [cell["bytes"] for cell in cells if cell is not None]
    assert {data[:2] for data in served} == {b"\x89P", b"\xff\xd8"}  # PNG and JPEG both
    assert [name for row in prepared.test for name in prepared.stored(row)] == [digest(d) for d in served]


def test_image_token_i_is_image_i_whatever_the_order_of_the_tokens(prepared: Prepared) -> None:
    # Options were shuffled after the images were numbered: here they name images 2, 1, 4, 3.
    row, source = prepared.standard[1], prepared.source_standard[1]
    assert row["options"][:4] == ["<image 2>", "<image 1>", "<image 4>", "<image 3>"]
    assert prepared.stored(row) == [digest(source[f"image_{number}"]["bytes"]) for number in (1, 2, 3, 4)]


def test_an_image_that_no_token_names_keeps_its_place(prepared: Prepared) -> None:
    # Were image 2 dropped, <image 3> would be the second picture.
    row, source = prepared.standard[2], prepared.source_standard[2]
    assert "<image 2>" not in row["problem"]
    assert prepared.stored(row) == [digest(source[f"image_{number}"]["bytes"]) for number in (1, 2, 3)]


def test_text_is_kept_as_the_hub_has_it(prepared: Prepared) -> None:
    row = prepared.standard[3]
    assert row["question"] == "Does <image 2> follow from <image 1>? "
    assert row["problem"].startswith("Does <image 2> follow from <image 1>? \nA. It's so\n")
    assert row["options"][:3] == ["It's so", 'He said "no"', "{a, b}\\n"]


def test_only_the_pinned_revision_is_read(prepared: Prepared) -> None:
    read = [request.path for request in prepared.requests if "/resolve/" in request.path]
    assert read
    assert all(f"/resolve/{REVISION}/" in path for path in read)
    assert PREPARER.revision == REVISION


def test_a_second_split_is_not_downloaded_again(prepared: Prepared) -> None:
    loads = [r.path for r in prepared.requests if r.method == "GET" and r.path.endswith(".parquet")]
    assert len(loads) == len(set(loads)) == 4


def test_offline_the_cache_of_an_earlier_preparation_is_enough(prepared: Prepared, tmp_path: Path) -> None:
    # The message for a hub out of reach offers this. The hub is gone by now.
    again = prepare({**prepared.environment, "HF_HUB_OFFLINE": "1"}, tmp_path, "test")
    assert again == {"test": prepared.test}


def test_expected_rows_are_those_of_the_published_set() -> None:
    assert PREPARER.expected_rows == {"test": 3460, "vision": 1730, "standard": 1730}
    assert next(iter(PREPARER.expected_rows)) == "test"  # the default split


def test_missing_column_is_one_line_that_names_it(tmp_path: Path) -> None:
    write_mmmu_pro(tmp_path / "hub", 1, 1, without=["answer"])
    kind, message = failure(tmp_path)
    assert kind == "RunError"
    assert "MMMU/MMMU_Pro 'vision'" in message
    assert "has no column answer;" in message


def test_missing_config_is_found_before_any_row_is_made(tmp_path: Path) -> None:
    write_mmmu_pro(tmp_path / "hub", 1, 1, without=["standard (10 options)"])
    kind, message = failure(tmp_path)
    assert kind == "RunError"
    assert "cannot load MMMU/MMMU_Pro 'standard (10 options)'" in message
    assert "Available: ['vision']" in message
    assert not (tmp_path / "images").exists(), "a vision row's image was written"


def test_broken_file_is_one_line_that_gives_the_cause(tmp_path: Path) -> None:
    # The client's own last word is "An error occurred while generating the dataset".
    folder = write_mmmu_pro(tmp_path / "hub", 1, 1)
    file = folder / "vision" / "test-00000-of-00001.parquet"
    data = file.read_bytes()
    file.write_bytes(data[:4] + bytes(200) + data[204:])  # the pages, not the index at its end
    kind, message = failure(tmp_path)
    assert kind == "RunError"
    assert message.startswith("cannot load MMMU/MMMU_Pro 'vision'")
    assert "page header" in message


def test_missing_data_set_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    kind, message = failure(tmp_path)
    assert kind == "UserError"
    assert message.startswith("the hub at http://127.0.0.1:")
    assert "has no data set MMMU/MMMU_Pro" in message


def test_gated_data_set_says_where_to_ask(tmp_path: Path) -> None:
    write_mmmu_pro(tmp_path / "hub", 1, 1)
    kind, message = failure(tmp_path, gated=["MMMU/MMMU_Pro"])
    assert kind == "UserError"
    assert "is a gated dataset" in message
    assert "to ask for access" in message


def test_hub_out_of_reach_is_one_line_within_seconds(tmp_path: Path) -> None:
    # The loader alone would ask six times, for half a minute, and not say why it gave up.
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound but not listening: every connection is refused
        address = f"http://127.0.0.1:{held.getsockname()[1]}"
        started = time.monotonic()
        kind, message = prepare(hub_environment(address, tmp_path), tmp_path, "test")["error"]
    assert time.monotonic() - started < 15
    assert kind == "RunError"
    assert message.startswith(f"cannot reach the hub at {address}: ")
    assert "\n" not in message


def standard(**changes: Any) -> dict[str, Any]:
    """A good row of the ten-option config, changed."""
    return {**mmmu_pro_standard(1)[0], "id": "test_Art_7", **changes}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"options": "['a', 'b'"}, "options is not the text of a list"),
        ({"options": "__import__('os').getcwd()"}, "options is not the text of a list"),
        ({"options": "'ab'"}, "options is not a list of texts"),
        ({"options": "['a', None]"}, "options is not a list of texts"),
        ({"options": "['a']"}, "1 option(s)"),
        ({"options": None}, "options is None"),
        ({"options": "['a', 'b']", "answer": "C"}, "the answer is 'C', not a letter from A to B"),
        ({"answer": ""}, "the answer is ''"),
        ({"question": None}, "question is None"),
        ({"question": "<image 1> or <image 2>?"}, "it names <image 2> but has 1 image(s)"),
        ({"question": "<image 0>?"}, "it names <image 0>"),
        ({"image_1": None}, "it has no image"),
        ({"image_3": mmmu_pro_vision(1)[0]["image"]}, "image_2 is empty but image_3 is not"),
        ({"image_1": {"bytes": None, "path": "1.png"}}, "image_1 holds no encoded image"),
        ({"image_1": {"bytes": b"<html>", "path": None}}, "image_1: 6 bytes that are not an image"),
    ],
)
def test_bad_row_is_an_error_that_names_it(tmp_path: Path, changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(RunError) as caught:
        standard_row(standard(**changes), ImageStore(tmp_path))
    assert "'standard (10 options)', row test_Art_7" in str(caught.value)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_vision_row_without_an_image_is_an_error_not_a_row_of_text(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="'vision', row test_History_0: it has no image"):
        vision_row({**mmmu_pro_vision(1)[0], "image": None}, ImageStore(tmp_path))


def test_more_than_ten_options_are_all_lettered(tmp_path: Path) -> None:
    # test_Computer_Science_61 has twelve: letters must not stop at J.
    row = standard_row(standard(options=str(list("abcdefghijkl")), answer="L"), ImageStore(tmp_path))
    assert row["problem"].endswith("\nK. k\nL. l")


def test_options_in_a_list_of_their_own_are_the_options() -> None:
    # As validation_Accounting_29 was released; its answer is B.
    assert parse_options("[['A', 'B', 'Not enough information']]", "row") == [
        "A",
        "B",
        "Not enough information",
    ]


def test_one_spelling_a_subject(tmp_path: Path) -> None:
    row = standard_row(standard(subject="Art Theory"), ImageStore(tmp_path))
    assert row["subset_for_metrics"] == ["Art_Theory", "standard"]
