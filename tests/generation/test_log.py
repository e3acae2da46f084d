"""The append-only log: healed after a kill, scanned without parsing, never left half written."""

from __future__ import annotations

import os
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit.errors import RunError, UserError
from evalkit.generation.log import OutputLog
from evalkit.generation.reply import Reply, encode_line, key_of_line, short_key

KEYS = [f"{number:016x}{'ab' * 8}" for number in range(10)]


def line(key: str, reply: Reply | None = None, /, **fields: object) -> bytes:
    return encode_line(key, {"id": "x", **fields}, reply or Reply("ok", "red"), {"sample": 0}, "generation")


def test_what_was_appended_is_found_and_read(tmp_path: Path) -> None:
    with OutputLog(tmp_path / "deep" / "output.jsonl") as log:
        offsets = [log.append(line(key, text="ü\n" * number)) for number, key in enumerate(KEYS)]
        assert log.scan() == {short_key(key): at for key, at in zip(KEYS, offsets, strict=True)}
        assert [log.read(at)["key"] for at in offsets] == KEYS
    with OutputLog(tmp_path / "deep" / "output.jsonl") as log:
        assert log.torn_bytes == 0
        assert log.read(offsets[3])["text"] == "ü\n" * 3


def test_long_lines_are_read_whole(tmp_path: Path) -> None:
    with OutputLog(tmp_path / "output.jsonl") as log:
        log.append(line(KEYS[0], text="x" * 300_000))
        at = log.append(line(KEYS[1], text="y" * 300_000))
        assert log.read(at)["text"] == "y" * 300_000


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(whole=st.integers(0, 3), size=st.integers(0, 200_000), share=st.floats(0, 1))
def test_a_kill_in_the_middle_of_a_line_costs_that_line_alone(
    tmp_path: Path, whole: int, size: int, share: float
) -> None:
    path = tmp_path / "output.jsonl"
    before = b"".join(line(key) for key in KEYS[:whole])
    last = line(KEYS[9], text="z" * size)
    torn = last[: int(share * (len(last) - 1))]
    path.write_bytes(before + torn)
    with OutputLog(path) as log:
        assert log.torn_bytes == len(torn)
        assert list(log.scan()) == [short_key(key) for key in KEYS[:whole]]
        at = log.append(last)
        assert at == len(before)
        assert log.read(at)["key"] == KEYS[9]
    assert path.read_bytes() == before + last


TEMPORARY = Reply("error", reason="timeout", error="no answer")
PERMANENT = Reply("error", permanent=True, reason="bad_request", error="HTTP 400")
TOO_LONG = Reply("invalid", permanent=True, reason="prompt_too_long", error="HTTP 400")


@pytest.mark.parametrize(
    ("reply", "finished"),
    [
        (Reply("ok", "red"), True),
        (Reply("truncated", "re"), True),
        (Reply("refused", ""), True),
        (PERMANENT, True),
        (TOO_LONG, True),
        (TEMPORARY, False),
    ],
)
def test_temporary_errors_are_not_finished(reply: Reply, finished: bool) -> None:
    assert key_of_line(line(KEYS[5], reply)) == (5 if finished else None)


@pytest.mark.parametrize(
    "raw", [b"", b"\n", b"{}\n", b'{"key":"xyz","state":"ok"}\n', b'{"key": "0', b"\xff"]
)
def test_lines_that_are_not_ours_have_no_key(raw: bytes) -> None:
    assert key_of_line(raw) is None


def test_the_last_line_of_a_key_counts_unless_it_is_a_temporary_error(tmp_path: Path) -> None:
    with OutputLog(tmp_path / "output.jsonl") as log:
        log.append(line(KEYS[0], Reply("ok", "first")))
        last = log.append(line(KEYS[0], Reply("ok", "second")))
        log.append(line(KEYS[0], TEMPORARY))
        assert log.scan() == {0: last}


def test_a_rows_own_fields_cannot_pass_for_a_state(tmp_path: Path) -> None:
    # A row may itself be a line of an earlier run, with a field of every name that we add.
    fields = {"key": "f" * 32, "state": "error", "permanent": False, "error": "old", "generation": "old"}
    with OutputLog(tmp_path / "output.jsonl") as log:
        at = log.append(line(KEYS[4], Reply("ok", "new"), **fields))
        assert list(log.scan()) == [4]
        stored = log.read(at)
    assert (stored["generation"], stored["state"], stored["error"]) == ("new", "ok", None)


def test_a_full_disk_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write

    def full(file: int, data: bytes) -> int:
        # Half of the line fits, and then nothing does.
        if len(data) == len(line(KEYS[1])):
            return real(file, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    path = tmp_path / "output.jsonl"
    with OutputLog(path) as log:
        log.append(line(KEYS[0]))
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(RunError, match=r"No space left on device.*what was written before is kept"):
            log.append(line(KEYS[1]))
        monkeypatch.setattr(os, "write", real)
    assert path.read_bytes() == line(KEYS[0])


def test_a_damaged_line_is_named_by_its_place(tmp_path: Path) -> None:
    path = tmp_path / "output.jsonl"
    path.write_bytes(line(KEYS[0]) + line(KEYS[1])[:80] + b"\0\n")
    with OutputLog(path) as log:
        (_, at) = log.scan().values()
        with pytest.raises(RunError, match=f"line at byte {at} is damaged"):
            log.read(at)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "output.jsonl").mkdir()
    with pytest.raises(UserError, match=r"output\.jsonl: Is a directory"):
        OutputLog(tmp_path / "output.jsonl")


def test_a_line_begins_with_what_a_scan_needs() -> None:
    raw = line(KEYS[1], PERMANENT, question="What?")
    assert raw.startswith(b'{"key":"' + KEYS[1].encode() + b'","state":"error","permanent":true,')
    assert orjson.loads(raw)["question"] == "What?"
