"""mmmu-pro from the hub to its table: the documented commands, hub and server on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import orjson
import pytest

from tests.fault_server import FaultServer
from tests.hub import hub_environment, serve_hub, write_mmmu_pro

pytestmark = pytest.mark.integration

VISION, STANDARD = 3, 5


def evalkit(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "evalkit", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_prepare_evaluate_and_score_again(tmp_path: Path) -> None:
    write_mmmu_pro(tmp_path / "hub", vision=VISION, standard=STANDARD)
    data, out = f"--data_dir={tmp_path / 'data'}", tmp_path / "out"
    with serve_hub(tmp_path / "hub") as hub, FaultServer() as server:
        environment = hub_environment(hub, tmp_path)
        prepare = ("prepare_data", "easy-vqa", "mmmu-pro", data)

        # The hub of the test has eight rows, the real one 3,460.
        refused = evalkit(environment, *prepare)
        assert refused.returncode == 2
        assert "8 rows came from hub MMMU/MMMU_Pro, and 3,460 are known" in refused.stderr
        assert not (tmp_path / "data" / "mmmu-pro" / "test.jsonl").exists()
        assert evalkit(environment, *prepare, "--allow_row_count_mismatch").returncode == 0

        done = evalkit(
            environment,
            "eval",
            "--benchmarks=easy-vqa,mmmu-pro:4",
            data,
            f"--output_dir={out}",
            "--server_type=vllm",
            f"--server_address={server.url}",
            "--max_samples=6",
            "++inference.temperature=0",
            "++max_concurrent_requests=64",
        )
        assert done.returncode == 0, done.stderr
        images = [len(each.images) for each in server.requests if "choice" in each.text]

    metrics = orjson.loads((out / "eval-results" / "mmmu-pro" / "metrics.json").read_bytes())
    assert metrics["wanted"] == metrics["scored"] == 6 * 4
    assert metrics["mmmu-pro"]["pass@4"]["num_entries"] == 6
    assert metrics["mmmu-pro-vision"]["pass@1[avg-of-4]"]["num_entries"] == VISION
    assert max(images) > 1, "rows with several images went with all of them"

    scores = tmp_path / "scores.jsonl"
    generations = out / "eval-results" / "mmmu-pro" / "output.jsonl"
    again = evalkit(
        {},
        "score",
        "--benchmarks=mmmu-pro",
        f"--input_file={generations}",
        f"--output_file={scores}",
        "--protocol=official",
    )
    assert again.returncode == 0, again.stderr
    assert {orjson.loads(line)["protocol"] for line in scores.read_bytes().splitlines()} == {"official-1"}
    assert "mmmu-pro" in evalkit({}, "summarize_results", str(out)).stdout
