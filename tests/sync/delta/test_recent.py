from __future__ import annotations

from sidecar.core import patch
from sidecar.sync.delta.recent import Recent


def test_what_was_added_last_is_kept_within_the_bound() -> None:
    recent = Recent(most=30)
    for number in range(5):
        recent.add(str(number), bytes(10))
    assert [recent.get(str(number)) is not None for number in range(5)] == [
        False, False, True, True, True,
    ]  # fmt: skip


def test_what_is_sent_again_is_the_newest_and_counts_once() -> None:
    recent = Recent(most=30)
    for digest in ("a", "b", "a", "a", "c", "d"):
        recent.add(digest, bytes(10))
    assert recent.get("a") is not None
    assert recent.get("b") is None


def test_what_a_patch_cannot_be_made_from_is_not_kept() -> None:
    recent = Recent()
    recent.add("large", bytes(patch.MOST + 1))
    recent.add("empty", b"")
    assert recent.get("large") is recent.get("empty") is None
