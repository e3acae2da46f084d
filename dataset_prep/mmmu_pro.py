"""MMMU-Pro: ten-option questions about images, as text with images and as screenshots of both."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from evalkit.errors import RunError, UserError
from evalkit.images import BadImage
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
HUB_TIMEOUT_S = 10.0


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
        name: open_config(
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


def image_bytes(cell: object, where: str) -> bytes | None:
    """The encoded image of an undecoded cell, or None where the cell is empty."""
    if cell is None:
        return None
    data = cell.get("bytes") if isinstance(cell, Mapping) else None
    if not isinstance(data, bytes) or not data:
        raise RunError(f"{where} holds no encoded image")
    return data


def save_image(images: ImageStore, data: bytes, where: str) -> str:
    """Store an image as it is; the path that the row stores."""
    try:
        return images.save(data)
    except BadImage as error:  # its class blames the user, and its text cannot name the row
        raise RunError(f"{where}: {error}") from error


def open_config(
    name: str,
    config: str,
    split: str,
    revision: str,
    *,
    text_columns: tuple[str, ...],
    image_columns: tuple[str, ...],
) -> Iterable[Mapping[str, Any]]:
    """A split of a hub data set with its images undecoded, memory-mapped from the client's cache.

    It is downloaded whole rather than streamed: the cache makes a second try cheap and works with
    ``HF_HUB_OFFLINE=1`` on a node without network, and a lost connection is noticed in seconds, where
    the streaming reader retries for minutes.

    Raises :class:`UserError` for a data set this user may not read, and :class:`RunError` for a hub out
    of reach, a config, split or column that is not there, or files that cannot be read.
    """
    from datasets import Image, load_dataset
    from datasets.exceptions import DatasetGenerationError, DatasetNotFoundError

    check_hub(name, revision)
    what = f"{name} {config!r} at revision {revision[:12]}"
    try:
        table = load_dataset(name, config, split=split, revision=revision)
    except DatasetNotFoundError as error:  # gated as well: the text says which, and where to ask
        raise UserError(f"cannot load {what}: {one_line(error)}") from error
    except Exception as error:
        # This one says only that something happened; what, is its cause.
        told = (isinstance(error, DatasetGenerationError) and error.__cause__) or error
        raise RunError(f"cannot load {what}: {type(told).__name__}: {one_line(told)}") from error
    columns = table.column_names
    missing = [column for column in (*text_columns, *image_columns) if column not in columns]
    if missing:
        raise RunError(f"{what} has no column {', '.join(missing)}; it has {', '.join(columns)}")
    # Columns that nobody asked for would still be copied out of the cache, row by row.
    table = table.select_columns([*text_columns, *image_columns])
    for column in image_columns:
        try:
            table = table.cast_column(column, Image(decode=False))
        except Exception as error:
            raise RunError(f"{what}: column {column} holds no images: {one_line(error)}") from error
    return table  # type: ignore[no-any-return]


def check_hub(name: str, revision: str) -> None:
    """Ask the hub for the data set once, so that a hub out of reach is an error within seconds.

    The loader itself asks six times with growing pauses, half a minute on a closed port, and then
    hides the reason. Servers' passing faults (5xx, 429) are left to its retries; with
    ``HF_HUB_OFFLINE=1`` there is nothing to ask.

    Raises :class:`UserError` where the data set or its revision is not there for this user, and
    :class:`RunError` where the hub does not answer.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    api = HfApi()
    try:
        api.dataset_info(name, revision=revision, timeout=HUB_TIMEOUT_S)
    except (OfflineModeIsEnabled, GatedRepoError):
        return  # the loader has its cache for the first, and says where to ask for the second
    except RepositoryNotFoundError as error:
        raise UserError(
            f"the hub at {api.endpoint} has no data set {name} that this login may read"
        ) from error
    except RevisionNotFoundError as error:
        raise UserError(f"the hub's {name} has no revision {revision}") from error
    except HfHubHTTPError:
        return
    except Exception as error:  # the client's HTTP library, and with it the class, changed twice
        raise RunError(
            f"cannot reach the hub at {api.endpoint}: {type(error).__name__}: {one_line(error)}; check the "
            "network and HF_ENDPOINT, or set HF_HUB_OFFLINE=1 to use what is in the cache"
        ) from error


def one_line(value: object, limit: int = 300) -> str:
    """A value's text on one line, cut to what a terminal can show."""
    text = " ".join(str(value).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


PREPARER = Preparer(
    source=f"hub {DATASET}",
    revision=REVISION,
    rows=rows,
    expected_rows={"test": 3460, "vision": 1730, "standard": 1730},
)
