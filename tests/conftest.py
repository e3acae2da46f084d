"""What the unit tests share: an environment without the developer's settings, and prepared easy-VQA."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from evalkit.api import prepare_data

# A build must not fail by chance, nor because the machine is busy.
settings.register_profile(
    "evalkit",
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("evalkit")


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A key in the environment would be sent, and a data folder written to."""
    for name in ("EVALKIT_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EVALKIT_DATA_DIR", str(tmp_path / "data-of-the-test"))


@pytest.fixture(scope="session")
def easy_vqa(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with easy-VQA's test split, prepared from its package. Not to be written to."""
    folder = tmp_path_factory.mktemp("data")
    prepare_data("easy-vqa", data_dir=folder)
    return folder
