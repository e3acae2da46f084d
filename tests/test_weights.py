"""Which weights a server serves, and which engine enforces its constraints, as ``run.yaml`` records them."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.servers.self_hosted import structured_backend
from evalkit.servers.weights import SAMPLE, revision_of


def model_folder(folder: Path, weights: bytes) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def test_a_new_checkpoint_under_an_old_path_is_another_revision(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model", b"a" * 100)
    before = revision_of(str(folder))
    (folder / "model.safetensors").write_bytes(b"b" * 100)
    assert revision_of(str(folder)) != before


def test_only_the_ends_of_large_weights_are_read(tmp_path: Path) -> None:
    one = model_folder(tmp_path / "one", b"x" * SAMPLE + b"middle" + b"y" * SAMPLE)
    same = model_folder(tmp_path / "same", b"x" * SAMPLE + b"MIDDLE" + b"y" * SAMPLE)
    longer = model_folder(tmp_path / "longer", b"x" * SAMPLE + b"a middle" + b"y" * SAMPLE)
    assert revision_of(str(one)) == revision_of(str(same))
    assert revision_of(str(one)) != revision_of(str(longer))


def test_a_hub_snapshot_is_known_by_its_commit(tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = model_folder(tmp_path / "models--a--b" / "snapshots" / commit, b"w")
    assert revision_of(str(folder)) == commit


def test_a_hub_id_has_no_revision_that_could_be_told() -> None:
    assert revision_of("Qwen/Qwen3-VL-4B-Instruct") == ""


@pytest.mark.parametrize(
    ("arguments", "backend"),
    [
        (["--structured-outputs-config.backend", "guidance"], "guidance"),
        (["--structured-outputs-config.backend=xgrammar"], "xgrammar"),
        (
            ["--structured-outputs-config", '{"backend": "outlines", "disable_any_whitespace": true}'],
            "outlines",
        ),
        (["--grammar-backend", "llguidance"], "llguidance"),
        (["--max-model-len", "1024"], "the server's default"),
    ],
)
def test_the_engine_of_constraints_is_read_off_the_command(arguments: list[str], backend: str) -> None:
    assert structured_backend(["vllm", "serve", "model", *arguments]) == backend
