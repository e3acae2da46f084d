"""What must not leak or mix: keys, images behind URLs, two processes on one folder."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from evalkit import api
from evalkit.errors import RunError, UserError
from evalkit.run_folder import RunFolder
from tests.fault_server import ANSWERS, FaultServer, vllm_error, where
from tests.generation.workbench import PROMPT, QUICK, evaluate, make_rows, output_file, write_benchmark

SECRET = "sk-a-secret-of-the-tests"


def everything_written(out: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file())


@pytest.mark.parametrize("variable", ["EVALKIT_API_KEY", "OPENAI_API_KEY"])
def test_the_key_comes_from_the_environment_and_is_written_nowhere(
    benchmark: Path,
    server: FaultServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    variable: str,
) -> None:
    monkeypatch.setenv(variable, SECRET)
    server.api_key = SECRET
    # A server that tells the key back in its error, as a proxy's debug page may.
    server.plan = where({"number 0003": vllm_error(400, f"cannot use 'Bearer {SECRET}' for this image")})
    evaluate(benchmark, server, tmp_path / "out")
    assert {each.headers["authorization"] for each in server.requests} == {f"Bearer {SECRET}"}
    written = everything_written(tmp_path / "out")
    assert b"(hidden)" in written
    assert SECRET.encode() not in written
    assert SECRET not in "".join(capfd.readouterr())


@pytest.mark.parametrize("key", [None, SECRET])
def test_a_login_in_the_address_is_used_where_there_is_no_key_and_written_nowhere(
    benchmark: Path, server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    if key:
        monkeypatch.setenv("EVALKIT_API_KEY", key)
    address = server.url.replace("http://", "http://somebody:pass%40word@")
    api.eval([*QUICK], benchmarks=str(benchmark), output_dir=tmp_path / "out", server_address=address)
    sent = {each.headers["authorization"] for each in server.requests}
    login = base64.b64encode(b"somebody:pass@word").decode()
    assert sent == ({f"Bearer {key}"} if key else {f"Basic {login}"})
    assert b"pass%40word" not in everything_written(tmp_path / "out")


def test_without_a_key_none_is_sent(benchmark: Path, server: FaultServer, tmp_path: Path) -> None:
    evaluate(benchmark, server, tmp_path / "out")
    assert all("authorization" not in each.headers for each in server.requests)


def test_a_refused_key_is_told_without_showing_it(
    benchmark: Path, server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVALKIT_API_KEY", SECRET)
    server.api_key = "another"
    with pytest.raises(RunError, match="HTTP 401") as caught:
        evaluate(benchmark, server, tmp_path / "out")
    assert SECRET not in str(caught.value)
    assert SECRET.encode() not in everything_written(tmp_path / "out")


def test_image_urls_are_passed_on_and_never_fetched(server: FaultServer, tmp_path: Path) -> None:
    with FaultServer() as images:
        rows = make_rows(6)
        for row in rows:
            row["image_path"] = f"http://127.0.0.1:{images.port}/{row['id']}.png"
        folder = write_benchmark(tmp_path / "words", rows)
        evaluate(folder, server, tmp_path / "out", "++check_images=full")
        assert images.connections == 0
    assert sorted(url for each in server.requests for url in each.images) == [
        row["image_path"] for row in rows
    ]


@pytest.mark.parametrize("path", ["../outside.png", "images/../../outside.png", "link.png"])
def test_a_relative_path_cannot_leave_the_data_folder(server: FaultServer, tmp_path: Path, path: str) -> None:
    rows = make_rows(3)
    rows[1]["image_path"] = path
    folder = write_benchmark(tmp_path / "words", rows)
    (tmp_path / "outside.png").write_bytes((folder / "images" / "0000.png").read_bytes())
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    with pytest.raises(UserError, match=r"test\.jsonl:2.*may not leave the data folder"):
        evaluate(folder, server, tmp_path / "out")
    assert server.requests == []


def test_a_folder_in_use_is_refused_with_the_pid(
    benchmark: Path, server: FaultServer, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "out")
    with folder.locked(), pytest.raises(UserError, match=f"is in use by pid {os.getpid()} on "):
        evaluate(benchmark, server, tmp_path / "out")
    assert server.requests == []
    # Free again as soon as the first has ended.
    assert evaluate(benchmark, server, tmp_path / "out").complete


def test_a_dry_run_sends_nothing_and_writes_nothing(
    benchmark: Path, server: FaultServer, tmp_path: Path
) -> None:
    shown = evaluate(benchmark, server, tmp_path / "out", dry_run=True).dry_run
    assert shown is not None
    assert "10 rows checked; 10 requests would be sent" in shown
    assert (server.connections, (tmp_path / "out").exists()) == (0, False)


def test_generate_saves_goes_on_and_tells_what_failed(
    benchmark: Path, server: FaultServer, tmp_path: Path
) -> None:
    prompt = benchmark / "ask.yaml"
    prompt.write_text(PROMPT)

    def run() -> api.EvalResult:
        return api.generate(
            [*QUICK, "++retry.attempts=1"],
            input_file=benchmark / "test.jsonl",
            prompt_config=str(prompt),
            output_dir=tmp_path / "out",
            server_address=server.url,
        )

    server.plan = where({"number 0003": "unavailable"})
    with pytest.raises(RunError, match="1 of 10 generations failed, 0 are not there; run the same command"):
        run()
    server.plan = lambda _: ANSWERS["ok"]
    assert run().files[0] == tmp_path / "out" / "output.jsonl"
    assert len(server.requests) == 11
    assert not output_file(tmp_path / "out").exists()


def test_generate_tells_of_permanent_errors_every_time(
    benchmark: Path, server: FaultServer, tmp_path: Path
) -> None:
    server.plan = where({"number 0003": "bad_schema"})
    for _ in range(2):
        with pytest.raises(RunError, match="1 of 10 generations failed"):
            api.generate(
                [*QUICK],
                input_file=benchmark / "test.jsonl",
                prompt_config=str(benchmark / "prompt.yaml"),
                output_dir=tmp_path / "out",
                server_address=server.url,
            )
    assert len(server.requests) == 10
