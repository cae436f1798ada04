from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.sync.delta import signatures
from sidecar.sync.delta.signature import FileSignature, Signer
from sidecar.sync.delta.signatures import SignatureStore


def signed(content: bytes) -> FileSignature:
    signer = Signer(len(content))
    signer.update(content)
    return signer.finish()


ONE, OTHER = signed(b"1" * 5000), signed(b"2" * 7000)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SignatureStore]:
    made = SignatureStore(tmp_path / "signatures")
    yield made
    made.close()


def again(store: SignatureStore, tmp_path: Path) -> SignatureStore:
    """What the next sidecar finds."""
    store.close()
    return SignatureStore(tmp_path / "signatures")


def test_what_was_put_is_found_at_once_and_later(store: SignatureStore, tmp_path: Path) -> None:
    assert store.get("a") is None
    store.put("a", ONE)
    assert store.get("a") is ONE
    found = again(store, tmp_path).get("a")
    assert found is not None
    assert found.to_bytes() == ONE.to_bytes()


def test_a_content_on_its_way_is_known_and_kept_when_it_is_there(
    store: SignatureStore, tmp_path: Path
) -> None:
    store.hold("a", ONE)
    store.hold("b", OTHER)
    assert (store.get("a"), store.get("b")) == (ONE, OTHER)
    store.keep("a")
    store.drop("b")
    assert (store.get("a"), store.get("b")) == (ONE, None)
    store.drop("never held")
    store.keep("never held")
    store.close()
    assert os.listdir(tmp_path / "signatures") == ["a"]


def test_a_content_that_is_on_its_way_twice_is_held_until_both_are_answered(
    store: SignatureStore,
) -> None:
    store.hold("a", ONE)
    store.hold("a", ONE)
    store.drop("a")
    assert store.get("a") is ONE
    store.drop("a")
    assert store.get("a") is None


def filled(store: SignatureStore, folder: Path) -> SignatureStore:
    """A store in which "0" was used longest ago and "4" last."""
    for number in range(5):
        store.put(str(number), ONE)
    store.close()
    for number in range(5):
        os.utime(folder / str(number), ns=(number, number))
    return SignatureStore(folder)


def test_the_least_recently_used_go_first(
    store: SignatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "signatures"
    following = filled(store, folder)
    monkeypatch.setattr(signatures, "KEPT", 3)
    assert following.get("1") is not None
    following.put("5", ONE)
    following.close()
    assert sorted(os.listdir(folder)) == ["1", "4", "5"]


def test_their_bytes_are_bounded(
    store: SignatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "signatures"
    following = filled(store, folder)
    monkeypatch.setattr(signatures, "MOST_BYTES", 2 * len(ONE.to_bytes()))
    following.put("5", ONE)
    following.close()
    assert sorted(os.listdir(folder)) == ["4", "5"]


def test_a_damaged_one_is_as_good_as_none(store: SignatureStore, tmp_path: Path) -> None:
    (tmp_path / "signatures" / "a").write_bytes(ONE.to_bytes()[:-1])
    assert store.get("a") is None


def test_many_at_once_are_trimmed_to_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signatures, "KEPT", 3)
    store = SignatureStore(tmp_path)
    for number in range(signatures.TRIMMED + 5):
        store.put(f"{number:032x}", ONE)
    store.close()
    assert len(list(tmp_path.iterdir())) == 3
