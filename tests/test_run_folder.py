"""A run's folder: held by one process, and a record that tells everything but secrets."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from evalkit.config import RunConfig, as_plain
from evalkit.errors import UserError
from evalkit.run_folder import HIDDEN, RunFolder, hidden

# --- secrets ------------------------------------------------------------------------------------------------

SECRET_KEYS = (
    "api_key",
    "OPENAI_API_KEY",
    "apikey",
    "x-api-key",
    "HF_TOKEN",
    "access_token",
    "client_secret",
    "aws_secret_access_key",
    "password",
    "db.passwd",
    "Authorization",
    "credentials",
)


@given(
    st.sampled_from(SECRET_KEYS),
    st.text(min_size=1) | st.integers(1) | st.dictionaries(st.text(), st.text(), min_size=1),
)
def test_a_secret_never_gets_into_the_record(key: str, value: Any) -> None:
    assert hidden({"outer": [{key: value}]}) == {"outer": [{key: HIDDEN}]}


@pytest.mark.parametrize(
    ("argument", "shown"),
    [
        ("++inference.extra_body.api_key=sk-1", "++inference.extra_body.api_key=(hidden)"),
        ("--api-key=sk-1", "--api-key=(hidden)"),
        ("++inference.extra_body={api_key: sk-1, n: 2}", "++inference.extra_body={api_key: (hidden), n: 2}"),
        ("++inference.extra_body={'token': 'a b'}", "++inference.extra_body={'token': (hidden)}"),
        ("--server_address=http://me:pw@host/v1", "--server_address=http://host/v1"),
        ("--server_address=http://a:b@h/v1,http://c:d@i/v1", "--server_address=http://h/v1,http://i/v1"),
        (
            "--server_address=http://h/v1?api_key=sk-1&a=2",
            "--server_address=http://h/v1?api_key=(hidden)&a=2",
        ),
        ("http://me:p@ss@host/v1", "http://host/v1"),
        ("http://me:pw@[broken", "http://[broken"),
    ],
)
def test_secrets_on_the_command_line_are_hidden(argument: str, shown: str) -> None:
    assert hidden([argument]) == [shown]


@pytest.mark.parametrize(
    "value",
    [
        {"tokens_to_generate": 512, "max_tokens": 3, "num_generated_tokens": 4, "stop_token_ids": [1]},
        {"secretary": "Ann", "key": "a row's content key", "tokenizer": "t"},
        {"api_key": "", "token": None},  # nothing to hide, and worth knowing
        "++prompt_suffix=Mail to a@b.c. The token: x",
        "a=b",
        "http://host:8000/v1",
        "see http://host/v1 or ask me@host",
    ],
)
def test_what_is_no_secret_is_recorded_as_it_is(value: Any) -> None:
    assert hidden(value) == value


def test_the_config_has_no_key_that_is_taken_for_a_secret() -> None:
    assert hidden(as_plain(RunConfig())) == as_plain(RunConfig())


@given(st.text(st.one_of(st.sampled_from(":/@=[]{}?#& "), st.characters(exclude_categories=["Cs"]))))
def test_any_text_can_be_recorded(text: str) -> None:
    assert isinstance(hidden(text), str)
    hidden(f"--server_address=http://{text}")


# --- record, log, timing ------------------------------------------------------------------------------------


def test_the_record_is_yaml_with_command_versions_and_what_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["evalkit", "eval", "--server_address=http://me:pw@host/v1"])
    folder = RunFolder(tmp_path)
    folder.write_record({"server": {"model": "größe", "api_key": "sk-1"}})
    text = folder.run_file.read_text(encoding="utf-8")
    record = yaml.safe_load(text)
    assert record["command"] == ["evalkit", "eval", "--server_address=http://host/v1"]
    assert record["server"] == {"model": "größe", "api_key": HIDDEN}
    assert {"python", "pillow", "hydra-core"} <= set(record["versions"])
    assert "sk-1" not in text
    assert "pw" not in text


def test_the_log_of_a_run_ends_with_it(tmp_path: Path) -> None:
    folder, logger = RunFolder(tmp_path), logging.getLogger("evalkit.somewhere")
    with folder.logging():
        logger.info("inside")
    logger.warning("outside")
    log = folder.log_file.read_text()
    assert "INFO inside" in log
    assert "outside" not in log


def test_timings_of_sessions_add_up_and_a_broken_file_is_begun_anew(tmp_path: Path) -> None:
    folder, file = RunFolder(tmp_path), tmp_path / "timing.json"
    for seconds in (1, 2):
        folder.add_timing(file, {"seconds": seconds})
    assert orjson.loads(file.read_bytes()) == {"sessions": [{"seconds": 1}, {"seconds": 2}]}
    file.write_text("{torn")
    folder.add_timing(file, {"seconds": 3})
    assert orjson.loads(file.read_bytes()) == {"sessions": [{"seconds": 3}]}


# --- the lock -----------------------------------------------------------------------------------------------

HOLD = """
import sys
from pathlib import Path
from evalkit.run_folder import RunFolder
with RunFolder(Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_with_the_pid_of_the_first_until_that_is_killed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "out")
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match=rf"--output_dir=.*out: is in use by pid {first.pid} on "):
            folder.locked().__enter__()
        first.kill()
    with folder.locked():  # a kill leaves nothing that must be cleared away
        pass


def test_the_folder_is_free_again_after_an_error(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with pytest.raises(RuntimeError), folder.locked():
        raise RuntimeError
    with folder.locked(), pytest.raises(UserError, match=f"pid {os.getpid()}"):
        folder.locked().__enter__()


def test_an_output_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--output_dir=.*file/out: Not a directory"):
        RunFolder(tmp_path / "file" / "out").locked().__enter__()
