"""Programs that a test needs and a machine may lack."""

from __future__ import annotations

import os
import shutil

import pytest

# Where servers live on systems that keep them out of a user's PATH.
SERVER_FOLDERS = "/usr/sbin:/usr/local/sbin:/sbin"


def need_program(name: str) -> str:
    """Its path; skips the test where there is none (a failure with SIDECAR_REQUIRE_ALL=1)."""
    found = shutil.which(name) or shutil.which(name, path=SERVER_FOLDERS)
    if found is None:
        pytest.skip(f"needs the program {name}")
    return found


def everything_is_required() -> bool:
    return os.environ.get("SIDECAR_REQUIRE_ALL", "") not in ("", "0")
