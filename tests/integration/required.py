"""Programs that integration tests need: skipped without them, failed where they must be there."""

from __future__ import annotations

import os
import shutil

import pytest

MUST = "EVALKIT_REQUIRE_SERVERS"


def require(program: str) -> str:
    """The program's path; skips the test where there is none, fails it with ``EVALKIT_REQUIRE_SERVERS=1``."""
    if found := shutil.which(program):
        return found
    reason = f"{program} is not on PATH"
    if os.environ.get(MUST) == "1":
        pytest.fail(f"{reason}, and {MUST}=1 says that it must be")
    pytest.skip(reason)
