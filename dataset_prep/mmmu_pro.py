"""MMMU-Pro: ten-option questions about images, as text with images and as screenshots of both."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from evalkit.errors import RunError, UserError
from evalkit.hub import image_bytes, one_line, open_split, save_image
from evalkit.preparation import ImageStore, PrepareContext, Preparer

DATASET = "MMMU/MMMU_Pro"
# The commit that public evaluation projects pin. A branch would move: the hub's history has several
# uploads after the release.
REVISION = "563f3e84bb3b90893083a1f039cfa13077f2302b"

# Our short name of each config; it starts a row's id and is its second subset, next to the subject.
CONFIGS = {"vision": "vision", "standard": "standard (10 options)"}
SPLITS = {"test": ("vision", "standard"), "vision": ("vision",), "standard": ("standard",)}

IMAGE_COLUMNS = {
    "vision": ("image",),
    "standard": tuple(f"image_{number}" for number in range(1, 8)),
}
TEXT_COLUMNS = {
    "vision": ("id", "options", "answer", "subject"),
    "standard": ("id", "question", "options", "answer", "subject"),
}

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
IMAGE_TOKEN = re.compile(r"<image\s+(\d+)>")


def rows(context: PrepareContext) -> Iterator[Mapping[str, Any]]:
    """Rows of a split in the hub's order; ``test`` is the vision rows, then the standard rows.

    Raises :class:`UserError` for an unknown split or a data set this user may not read, and
    :class:`RunError` for a hub out of reach or data that is not as pinned.
    """
    if context.split not in SPLITS:
        raise UserError(f"mmmu-pro has no split {context.split!r}; it has {', '.join(SPLITS)}")
    makers = {"vision": vision_row, "standard": standard_row}
    # All configs are opened before the first row, so that a broken second one is found at once.
    tables = {
        name: open_split(
            DATASET,
            CONFIGS[name],
            "test",
            REVISION,
            text_columns=TEXT_COLUMNS[name],
            image_columns=IMAGE_COLUMNS[name],
        )
        for name in SPLITS[context.split]
    }
    for name, table in tables.items():
        for raw in table:
            yield makers[name](raw, context.images)


def vision_row(raw: Mapping[str, Any], images: ImageStore) -> dict[str, Any]:
    """A row of the ``vision`` config: the question is in the image, the text is the options."""
    where = f"{DATASET} {CONFIGS['vision']!r}, row {raw['id']}"
    options = parse_options(raw["options"], where)
    data = image_bytes(raw["image"], f"{where}: image")
    if data is None:
        raise RunError(f"{where}: it has no image")
    return {
        "id": f"vision/{raw['id']}",
        "problem": lettered(options),
        "options": options,
        "expected_answer": answer_letter(raw["answer"], options, where),
        "image_path": save_image(images, data, f"{where}: image"),
        # The question's other version is no independent one.
        "cluster_id": raw["id"],
        "subset_for_metrics": subsets(raw["subject"], "vision"),
    }


def standard_row(raw: Mapping[str, Any], images: ImageStore) -> dict[str, Any]:
    """A row of the ten-option config: ``image_path[i - 1]`` is what the token ``<image i>`` names.

    The options were shuffled after the images were numbered, so tokens need not come in order, and an
    image that no token names keeps its place.
    """
    where = f"{DATASET} {CONFIGS['standard']!r}, row {raw['id']}"
    options = parse_options(raw["options"], where)
    question = raw["question"]
    if not isinstance(question, str):
        raise RunError(f"{where}: question is {question!r}, not text")
    problem = f"{question}\n{lettered(options)}"
    pictures = numbered_images(raw, where)
    for number in map(int, IMAGE_TOKEN.findall(problem)):
        if not 1 <= number <= len(pictures):
            raise RunError(f"{where}: it names <image {number}> but has {len(pictures)} image(s)")
    return {
        "id": f"standard/{raw['id']}",
        "problem": problem,
        "question": question,
        "options": options,
        "expected_answer": answer_letter(raw["answer"], options, where),
        "image_path": [
            save_image(images, data, f"{where}: image_{number}") for number, data in enumerate(pictures, 1)
        ],
        "cluster_id": raw["id"],
        "subset_for_metrics": subsets(raw["subject"], "standard"),
    }


def parse_options(text: object, where: str) -> list[str]:
    """The options, stored as a Python list's literal text; ``where`` names the row in errors."""
    if not isinstance(text, str):
        raise RunError(f"{where}: options is {text!r}, not the text of a list")
    try:
        # The text comes from the network: literals only, never code.
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise RunError(f"{where}: options is not the text of a list: {one_line(text)}") from None
    # validation_Accounting_29 was released as [['A', 'B', …]]: its answer, B, is in the inner list.
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    if not isinstance(value, list) or not all(isinstance(option, str | int | float) for option in value):
        raise RunError(f"{where}: options is not a list of texts: {one_line(text)}")
    # The config's name says ten, but the counts run from two to twelve.
    if not 2 <= len(value) <= len(LETTERS):
        raise RunError(f"{where}: {len(value)} option(s); a question has 2 to {len(LETTERS)}")
    return [str(option) for option in value]


def lettered(options: Iterable[str]) -> str:
    """The options a line each, ``A. …``, as the authors' own inference code letters them."""
    return "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False))


def answer_letter(answer: object, options: list[str], where: str) -> str:
    """The answer, once it is known to be the letter of an option."""
    letters = LETTERS[: len(options)]
    if not (isinstance(answer, str) and len(answer) == 1 and answer in letters):
        raise RunError(f"{where}: the answer is {answer!r}, not a letter from A to {letters[-1]}")
    return answer


def subsets(subject: object, config: str) -> list[str]:
    """The row's own tables: its subject and its config."""
    # One spelling a subject, so that the two configs meet in one table.
    return [str(subject).replace(" ", "_"), config]


def numbered_images(raw: Mapping[str, Any], where: str) -> list[bytes]:
    """``image_1``, ``image_2``, … up to the last one that is there, encoded as on the hub."""
    cells = [image_bytes(raw[column], f"{where}: {column}") for column in IMAGE_COLUMNS["standard"]]
    while cells and cells[-1] is None:
        cells.pop()
    if not cells:
        raise RunError(f"{where}: it has no image")
    pictures = [data for data in cells if data is not None]
    if len(pictures) < len(cells):
        # Closing the gap would move every later image under another token.
        gap = cells.index(None) + 1
        raise RunError(f"{where}: image_{gap} is empty but image_{len(cells)} is not")
    return pictures


PREPARER = Preparer(
    source=f"hub {DATASET}",
    revision=REVISION,
    rows=rows,
    expected_rows={"test": 3460, "vision": 1730, "standard": 1730},
)
