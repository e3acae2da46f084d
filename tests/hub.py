"""A small data set hub on loopback: the unpatched `datasets` client prepares from it, by HF_ENDPOINT.

Its root holds ``OWNER/NAME/`` folders as :func:`write_dataset` writes them. Any revision asked for is
served from the same files. The client reads its environment when it is imported, so a test runs the
preparation in a subprocess, with the environment of :func:`hub_environment`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import threading
import urllib.parse
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

Row = Mapping[str, Any]

# The commit reported for a branch; a revision that is a commit already is reported as it was asked.
BRANCH_COMMIT = f"{1:040x}"
COMMIT = re.compile(r"[0-9a-f]{40}")
CHUNK = 1 << 20


class Request(NamedTuple):
    """One request that the hub answered."""

    method: str
    path: str
    status: int


@dataclass
class Hub:
    """A running hub: its address for HF_ENDPOINT, and what it was asked."""

    url: str
    requests: list[Request] = field(default_factory=list)


@contextmanager
def serve_hub(root: Path, *, gated: Collection[str] = ()) -> Iterator[Hub]:
    """Serve the data sets under ``root`` on a free port; files of those in ``gated`` are refused."""
    server = _Server(root, gated)
    # poll_interval is what leaving the context waits for.
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def hub_environment(hub: Hub | str, folder: Path) -> dict[str, str]:
    """This process's environment, pointed at ``hub`` (or an address), with its caches in ``folder``."""
    # A developer's own login, mirror, cache or offline switch would change what the test sees.
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HF_", "HUGGING_FACE_", "HUGGINGFACE_")) and "proxy" not in name.lower()
    }
    return {
        **kept,
        "HF_ENDPOINT": hub if isinstance(hub, str) else hub.url,
        "HF_HOME": str(folder / "hf_home"),
        "HF_HUB_DISABLE_XET": "1",  # its transfers go to hosts that this hub is not
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    }


@dataclass(frozen=True)
class Config:
    """One config of a data set: what its columns hold, and its rows by split."""

    features: Mapping[str, Any]
    splits: Mapping[str, Sequence[Row]]
    files_per_split: int = 1


def write_dataset(root: Path, name: str, configs: Mapping[str, Config]) -> Path:
    """Write a data set as the hub keeps one; returns its folder.

    Parquet files ``CONFIG/SPLIT-00000-of-0000N.parquet`` carry the features in their metadata;
    ``README.md`` names them in its ``configs`` header. An image cell is
    ``{"bytes": …, "path": …}`` or None, and is stored as given.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    import yaml
    from datasets import Features

    folder = root / name
    header = []
    for config, content in configs.items():
        schema = Features(content.features).arrow_schema
        (folder / config).mkdir(parents=True, exist_ok=True)
        header.append(
            {
                "config_name": config,
                "data_files": [{"split": split, "path": f"{config}/{split}-*"} for split in content.splits],
            }
        )
        for split, rows in content.splits.items():
            count = min(content.files_per_split, max(1, len(rows)))  # the client cannot read an empty file
            size = -(-len(rows) // count)
            for number in range(count):
                part = [dict(row) for row in rows[number * size : (number + 1) * size]]
                path = folder / config / f"{split}-{number:05d}-of-{count:05d}.parquet"
                # Row groups as the hub's uploader cuts them for images; a reader holds one at a time.
                pq.write_table(pa.Table.from_pylist(part, schema=schema), path, row_group_size=100)
    text = yaml.safe_dump({"configs": header}, sort_keys=False)
    (folder / "README.md").write_text(f"---\n{text}---\n", encoding="utf-8")
    return folder


def picture(seed: int, format: str = "PNG") -> dict[str, Any]:
    """An image cell of a small picture; another seed is another picture."""
    from PIL import Image

    colour = (seed * 67 % 256, seed * 31 % 256, seed * 149 % 256)
    encoded = io.BytesIO()
    Image.new("RGB", (24 + seed % 7, 16), colour).save(encoded, format)
    return {"bytes": encoded.getvalue(), "path": f"{seed}.{format.lower()}"}


def mmmu_pro_vision(count: int) -> list[dict[str, Any]]:
    """``count`` rows like those of MMMU-Pro's ``vision`` config."""
    return [
        {
            "id": f"test_History_{number}",
            "image": picture(number, "PNG" if number % 2 else "JPEG"),
            "options": str([f"choice {number}.{option}" for option in range(10)]),
            "answer": "ABCDEFGHIJ"[number % 10],
            "subject": "History",
        }
        for number in range(count)
    ]


def mmmu_pro_standard(count: int) -> list[dict[str, Any]]:
    """``count`` rows like those of MMMU-Pro's ten-option config.

    Ids are those of the vision rows, as in the real set. Row 0 has one image. In row 1 the shuffled
    options name images 2, 1, 4, 3; in row 2 image 2 of three is named nowhere; in row 3 the question
    names image 2 before image 1 and options hold quotes. Later rows are like row 0.
    """
    return [_standard_row(number) for number in range(count)]


def _standard_row(number: int) -> dict[str, Any]:
    options = [f"choice {number}.{option}" for option in range(10)]
    question, images = "What does <image 1> show?", 1
    if number == 1:
        question, images = "Which picture is the odd one out?", 4
        options[:4] = ["<image 2>", "<image 1>", "<image 4>", "<image 3>"]
    elif number == 2:
        question, images = "Compare <image 1> with <image 3>.", 3
    elif number == 3:
        question, images = "Does <image 2> follow from <image 1>? ", 2
        options[:3] = ["It's so", 'He said "no"', "{a, b}\\n"]
    cells = [
        picture(1000 + 10 * number + place, "JPEG" if place % 2 else "PNG") if place < images else None
        for place in range(7)
    ]
    return {
        "id": f"test_History_{number}",
        "question": question,
        "options": str(options),
        "explanation": "?",
        **{f"image_{place + 1}": cell for place, cell in enumerate(cells)},
        "img_type": "['Diagrams']",
        "answer": "ABCDEFGHIJ"[number % 10],
        "topic_difficulty": "Medium",
        "subject": "History",
    }


def write_mmmu_pro(
    root: Path,
    vision: int | Sequence[Row] = 3,
    standard: int | Sequence[Row] = 5,
    *,
    without: Collection[str] = (),
) -> Path:
    """Write a small ``MMMU/MMMU_Pro`` with the real set's configs and features; returns its folder.

    ``vision`` and ``standard`` are rows, or how many of :func:`mmmu_pro_vision` and
    :func:`mmmu_pro_standard`. ``without`` leaves out configs and columns by name.
    """
    from datasets import Image, Value

    text = Value("string")
    vision_rows = mmmu_pro_vision(vision) if isinstance(vision, int) else vision
    standard_rows = mmmu_pro_standard(standard) if isinstance(standard, int) else standard
    features = {
        "vision": {"id": text, "image": Image(), "options": text, "answer": text, "subject": text},
        "standard (10 options)": {
            "id": text,
            "question": text,
            "options": text,
            "explanation": text,
            **{f"image_{number}": Image() for number in range(1, 8)},
            "img_type": text,
            "answer": text,
            "topic_difficulty": text,
            "subject": text,
        },
    }
    rows = {"vision": vision_rows, "standard (10 options)": standard_rows}
    configs = {
        config: Config(
            {name: feature for name, feature in columns.items() if name not in without},
            {"test": [{k: v for k, v in row.items() if k not in without} for row in rows[config]]},
            files_per_split=2,  # the real set's ten-option config has two files
        )
        for config, columns in features.items()
        if config not in without
    }
    return write_dataset(root, "MMMU/MMMU_Pro", configs)


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # clients keep connections open; they must not keep the test waiting

    def __init__(self, root: Path, gated: Collection[str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root.resolve()
        self.gated = frozenset(gated)
        self.hub = Hub(f"http://127.0.0.1:{self.server_address[1]}")


class _Handler(BaseHTTPRequestHandler):
    """The part of the hub's interface that `huggingface_hub` uses to list and read a data set."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_HEAD(self) -> None:
        self._route()

    def do_GET(self) -> None:
        self._route()

    def do_POST(self) -> None:
        self._route()

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are in ``Hub.requests``; a test's output stays its own."""

    def _route(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urllib.parse.urlsplit(self.path)
        # Split before unquoting: a revision such as refs%2Fpr%2F1 is one part.
        parts = [urllib.parse.unquote(part) for part in url.path.strip("/").split("/")]
        match parts:
            case ["api", "datasets", owner, name]:
                self._info(f"{owner}/{name}", "main")
            case ["api", "datasets", owner, name, "revision", revision]:
                self._info(f"{owner}/{name}", revision)
            case ["api", "datasets", owner, name, "auth-check"]:
                self._auth_check(f"{owner}/{name}")
            case ["api", "datasets", owner, name, "tree", _, *path]:
                query = urllib.parse.parse_qs(url.query)
                recursive = query.get("recursive", ["false"])[0].lower() in ("true", "1")
                self._tree(f"{owner}/{name}", "/".join(path), recursive)
            case ["api", "datasets", owner, name, "paths-info", _]:
                self._paths_info(f"{owner}/{name}", body)
            case ["datasets", owner, name, "resolve", revision, *path] if path:
                self._file(f"{owner}/{name}", revision, "/".join(path))
            case _:
                self._refuse(404, "no such route")

    def _info(self, dataset: str, revision: str) -> None:
        folder = self._folder(dataset)
        if folder is None:
            return
        files = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
        self._json(
            {
                "_id": hashlib.sha256(dataset.encode()).hexdigest()[:24],
                "id": dataset,
                "sha": _commit(revision),
                "private": False,
                "gated": "manual" if dataset in self.server.gated else False,
                "disabled": False,
                "tags": [],
                "downloads": 0,
                "likes": 0,
                "siblings": [{"rfilename": file} for file in files],
            }
        )

    def _auth_check(self, dataset: str) -> None:
        if self._folder(dataset) is not None and not self._refused(dataset):
            self._json({})

    def _tree(self, dataset: str, path: str, recursive: bool) -> None:
        folder = self._folder(dataset)
        if folder is None:
            return
        start = _inside(folder, path)
        if start is None or not start.is_dir():
            self._refuse(404, "no such folder", "EntryNotFound")
            return
        found = sorted(start.rglob("*") if recursive else start.iterdir())
        self._json([_entry(folder, each) for each in found])

    def _paths_info(self, dataset: str, body: bytes) -> None:
        folder = self._folder(dataset)
        if folder is None:
            return
        # Older clients send a form, newer ones JSON.
        if self.headers.get_content_type() == "application/json":
            asked = json.loads(body).get("paths", [])
        else:
            asked = urllib.parse.parse_qs(body.decode()).get("paths", [])
        paths = [_inside(folder, each) for each in ([asked] if isinstance(asked, str) else asked)]
        self._json([_entry(folder, path) for path in paths if path is not None and path.exists()])

    def _file(self, dataset: str, revision: str, path: str) -> None:
        folder = self._folder(dataset)
        if folder is None or self._refused(dataset):
            return
        file = _inside(folder, path)
        if file is None or not file.is_file():
            self._refuse(404, "Entry not found", "EntryNotFound", [("X-Repo-Commit", _commit(revision))])
            return
        size = file.stat().st_size
        headers = [
            ("ETag", f'"{_digest(file, file.stat().st_mtime_ns)}"'),
            ("X-Repo-Commit", _commit(revision)),
            ("Accept-Ranges", "bytes"),
            ("Content-Type", "application/octet-stream"),
        ]
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if span is None:
            self._start(200, size, headers)
            self._copy(file, 0, size)
            return
        first, last = int(span[1]), min(int(span[2] or size - 1), size - 1)
        if first > last:
            self._start(416, 0, [("Content-Range", f"bytes */{size}")])
            return
        headers.append(("Content-Range", f"bytes {first}-{last}/{size}"))
        self._start(206, last - first + 1, headers)
        self._copy(file, first, last - first + 1)

    def _folder(self, dataset: str) -> Path | None:
        """The data set's folder; where there is none the request is answered and this is None."""
        folder = _inside(self.server.root, dataset)
        if folder is not None and folder.is_dir():
            return folder
        self._refuse(404, "Repository not found", "RepoNotFound")
        return None

    def _refused(self, dataset: str) -> bool:
        """Whether the data set is gated; then the request is answered."""
        if dataset not in self.server.gated:
            return False
        self._refuse(403, f"Access to dataset {dataset} is restricted.", "GatedRepo")
        return True

    def _refuse(
        self, status: int, reason: str, code: str = "", headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        said = [("X-Error-Code", code), ("X-Error-Message", reason)] if code else []
        self._json({"error": reason}, status, [*said, *headers])

    def _json(self, value: Any, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> None:
        body = json.dumps(value).encode()
        self._start(status, len(body), [("Content-Type", "application/json"), *headers])
        if self.command != "HEAD":
            self.wfile.write(body)

    def _start(self, status: int, length: int, headers: Sequence[tuple[str, str]]) -> None:
        self.server.hub.requests.append(Request(self.command, self.path, status))
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def _copy(self, file: Path, start: int, length: int) -> None:
        if self.command == "HEAD":
            return
        with file.open("rb") as source:
            source.seek(start)
            while length > 0:
                part = source.read(min(CHUNK, length))
                self.wfile.write(part)
                length -= len(part)


def _commit(revision: str) -> str:
    return revision if COMMIT.fullmatch(revision) else BRANCH_COMMIT


def _inside(folder: Path, path: str) -> Path | None:
    """``path`` under ``folder``, or None where it leads out of it."""
    target = (folder / path).resolve()
    return target if target.is_relative_to(folder) else None


def _entry(folder: Path, path: Path) -> dict[str, Any]:
    """A file or folder as the hub's tree describes it."""
    name = path.relative_to(folder).as_posix()
    if path.is_dir():
        return {"type": "directory", "oid": hashlib.sha1(name.encode()).hexdigest(), "size": 0, "path": name}
    status = path.stat()
    return {"type": "file", "oid": _digest(path, status.st_mtime_ns), "size": status.st_size, "path": name}


@lru_cache(maxsize=1024)
def _digest(file: Path, changed_ns: int) -> str:
    """The file's sha1; ``changed_ns`` makes a rewritten file another key."""
    digest = hashlib.sha1()
    with file.open("rb") as source:
        while part := source.read(CHUNK):
            digest.update(part)
    return digest.hexdigest()
