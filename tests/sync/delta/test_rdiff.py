"""Our deltas beside librsync's, over the same blocks: what we send is no larger."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from sidecar.sync.delta.encoder import Encoder
from sidecar.sync.delta.matcher import spans
from sidecar.sync.delta.signature import block_size
from tests.servers.programs import need_program
from tests.sync.delta.test_matcher import Memory, signed

SIZE = 3 << 20
OLD = random.Random(1).randbytes(SIZE)
NEW = random.Random(2).randbytes(1 << 20)


def scattered(count: int) -> bytes:
    rng = random.Random(3)
    parts, at = [], 0
    for place in sorted(rng.sample(range(SIZE), count)):
        parts += [OLD[at:place], NEW[:50]]
        at = place
    return b"".join([*parts, OLD[at:]])


EDITS = {
    "nothing": OLD,
    "overwrite": OLD[:1_000_000] + NEW[:1024] + OLD[1_001_024:],
    "front": NEW[:100] + OLD,
    "append": OLD + NEW[:1000],
    "insertion": OLD[:1_000_001] + NEW[:5000] + OLD[1_000_001:],
    "deletion": OLD[:1_000_001] + OLD[1_009_000:],
    "scattered": scattered(100),
    "moved": OLD[:100_001] + OLD[2_000_000:2_500_000] + OLD[100_001:2_000_000] + OLD[2_500_000:],
    "new": NEW,
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_delta_is_no_larger_than_librsyncs(tmp_path: Path, edit: str) -> None:
    if edit == "moved":
        pytest.importorskip("numpy")
    rdiff, new, block = need_program("rdiff"), EDITS[edit], block_size(SIZE)
    old_file, new_file = tmp_path / "old", tmp_path / "new"
    old_file.write_bytes(OLD)
    new_file.write_bytes(new)
    signature, theirs = tmp_path / "signature", tmp_path / "delta"
    for command in (
        ["-b", str(block), "signature", old_file, signature],
        ["delta", signature, new_file, theirs],
    ):
        subprocess.run([rdiff, *command], check=True)
    parts = list(spans(signed(OLD, block), Memory(new)))
    ours = len(Encoder(Memory(new), parts).take(len(new) * 2))  # type: ignore[arg-type]
    assert ours <= 1.1 * theirs.stat().st_size + 200
