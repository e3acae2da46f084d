"""Data sets on a hub: opening a split with its images as they are, and saying in one line what went wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from evalkit.errors import RunError, UserError
from evalkit.images import BadImage
from evalkit.preparation import ImageStore

HUB_TIMEOUT_S = 10.0


def open_split(
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
