"""What tests of the generate stage share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from evalkit.servers.endpoint import API_KEY_VARIABLES
from tests.fault_server import FaultServer
from tests.generation.workbench import write_benchmark


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own key is not for these servers."""
    for name in API_KEY_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """A healthy server; a test sets its ``plan``."""
    with FaultServer() as running:
        yield running


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    """A benchmark of ten rows."""
    return write_benchmark(tmp_path / "words", 10)
