from __future__ import annotations

import os
from pathlib import Path

import pytest

from sidecar.agent.jobs import gpus

APPS = """\
41021, GPU-5d3c2a10-7f6b-4e0e-9c57-0d8a5f1b2c3d
41021, GPU-0b1e9f44-2a77-4a35-8a1c-6f2f8e9d7c11
977, GPU-0b1e9f44-2a77-4a35-8a1c-6f2f8e9d7c11
"""

CARDS = """\
GPU-0b1e9f44-2a77-4a35-8a1c-6f2f8e9d7c11, 0
GPU-5d3c2a10-7f6b-4e0e-9c57-0d8a5f1b2c3d, 3
"""


def test_each_process_is_told_with_the_numbers_of_its_gpus() -> None:
    assert gpus.parse(APPS, CARDS) == {41021: [0, 3], 977: [0]}


@pytest.mark.parametrize(
    ("apps", "cards"),
    [
        ("", ""),
        ("No running processes found\n", CARDS),
        ("[N/A], [N/A]\n", CARDS),
        ("12, GPU-of-another-machine\n", CARDS),
        (APPS, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver\n"),
        (",,,\n\n , \n", ",,\n"),
    ],
)
def test_what_is_no_table_says_nothing(apps: str, cards: str) -> None:
    assert gpus.parse(apps, cards) == {}


def fake_tool(folder: Path, script: str) -> None:
    folder.mkdir(exist_ok=True)
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}")
    tool.chmod(0o755)


def test_the_tool_is_asked_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path) + os.pathsep + os.environ["PATH"])
    fake_tool(
        tmp_path,
        f"[ $2 = --format=csv,noheader ] || exit 2\ncase $1 in\n"
        f"--query-compute-apps=pid,gpu_uuid) cat <<END\n{APPS}END\n;;\n"
        f"--query-gpu=uuid,index) cat <<END\n{CARDS}END\n;;\nesac\n",
    )
    assert gpus.in_use() == {41021: [0, 3], 977: [0]}
    fake_tool(tmp_path, "echo broken; exit 9\n")
    assert gpus.in_use() == {}
