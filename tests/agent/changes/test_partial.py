"""What arrived of a large content is gone on with, by this agent or the next one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.agent.changes import staging
from sidecar.agent.changes.partial import Partials
from sidecar.core import delta
from sidecar.core import messages as m
from sidecar.core.delta import DIGEST_SIZE, LEAF
from tests.agent.laptop import NOTHING, ROOT, Laptop, put_message, seen

SIZE = 9 * LEAF + 1000
CONTENT = random.Random(1).randbytes(SIZE)
STREAM = delta.encode_literal(CONTENT)
ARRIVED = 4 * LEAF + 500


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    made = Laptop(tmp_path / "code")
    yield made
    made.files.close()


def begun(laptop: Laptop, path: str = "data.bin", content: bytes = CONTENT) -> m.Put:
    """A stream of which the first part has arrived."""
    stream = delta.encode_literal(content)
    put = put_message(laptop.next(), path, content, stream=stream[:ARRIVED], last=False)
    laptop.files.handle(put)
    return put


def again(laptop: Laptop) -> Laptop:
    """The connection breaks, and the next agent comes."""
    laptop.files.close()
    return Laptop(laptop.folder)


def leaves(laptop: Laptop, path: str = "data.bin") -> bytes:
    partials = Partials(laptop.heard.send, laptop.files)
    laptop._id += 1
    partials.handle(m.Partial(laptop._id, ROOT, path, False))
    answer = laptop.heard.first(lambda one: getattr(one, "id", 0) == laptop._id)
    assert isinstance(answer, m.PartialLeaves), answer
    return answer.body


def leaves_of(content: bytes) -> bytes:
    starts = range(0, len(content), LEAF)
    return b"".join(delta.leaf_digest(content[at : at + LEAF]) for at in starts)


def rest(laptop: Laptop, content: bytes, start: int, **fields: object) -> object:
    """The answer to the stream's rest."""
    return laptop.put(
        "data.bin",
        content,
        NOTHING,
        stream=delta.encode_literal(content[start:]),
        start=start,
        **fields,
    )


def kept(laptop: Laptop) -> list[Path]:
    return sorted((laptop.folder / ".sidecar/tmp/partial").glob("*"))


def test_a_broken_transfer_goes_on_where_it_stopped(laptop: Laptop) -> None:
    begun(laptop)
    laptop = again(laptop)
    assert leaves(laptop) == leaves_of(CONTENT[: 4 * LEAF])
    assert isinstance(rest(laptop, CONTENT, 4 * LEAF), m.Applied)
    assert laptop.read("data.bin") == CONTENT
    assert kept(laptop) == []
    assert laptop.leftovers() == []
    laptop.files.close()


def test_it_goes_on_with_less_than_has_arrived(laptop: Laptop) -> None:
    begun(laptop)
    laptop = again(laptop)
    other = CONTENT[: 2 * LEAF] + b"x" + CONTENT[2 * LEAF + 1 :]
    assert leaves(laptop)[: 2 * DIGEST_SIZE] == leaves_of(other[: 2 * LEAF])
    assert isinstance(rest(laptop, other, 2 * LEAF), m.Applied)
    assert laptop.read("data.bin") == other
    laptop.files.close()


def test_what_does_not_fit_is_thrown_away(laptop: Laptop) -> None:
    begun(laptop)
    laptop = again(laptop)
    assert leaves(laptop)
    assert isinstance(laptop.put("data.bin", b"small"), m.Applied)
    assert laptop.read("data.bin") == b"small"
    assert kept(laptop) == []
    assert laptop.leftovers() == []
    assert leaves(laptop) == b""
    laptop.files.close()


def test_what_is_damaged_on_the_disk_is_told_as_it_is(laptop: Laptop) -> None:
    begun(laptop)
    laptop = again(laptop)
    [partial] = kept(laptop)
    with partial.open("r+b") as file:
        file.seek(LEAF + 5)
        file.write(b"damage")
    told = leaves(laptop)
    assert told[:DIGEST_SIZE] == leaves_of(CONTENT)[:DIGEST_SIZE]
    assert told[DIGEST_SIZE : 2 * DIGEST_SIZE] != leaves_of(CONTENT)[DIGEST_SIZE : 2 * DIGEST_SIZE]
    answer = rest(laptop, CONTENT, 3 * LEAF)
    assert isinstance(answer, m.Refused)
    assert answer.code == "damaged"
    assert not (laptop.folder / "data.bin").exists()
    assert kept(laptop) == []
    laptop.files.close()


def test_a_delta_goes_on_too(laptop: Laptop) -> None:
    old = laptop.put("data.bin", CONTENT)
    new = CONTENT[:LEAF] + CONTENT[-5 * LEAF :] + CONTENT[: 5 * LEAF]
    stream = (
        delta.encode_copy(0, LEAF)
        + delta.encode_copy(SIZE - 5 * LEAF, 5 * LEAF)
        + delta.encode_literal(CONTENT[: 5 * LEAF])
    )
    expect = seen(old.identity, delta.content_digest(CONTENT))
    put = put_message(
        laptop.next(), "data.bin", new, expect, stream=stream[: 2 * LEAF], old=True, last=False
    )
    laptop.files.handle(put)
    laptop = again(laptop)
    assert leaves(laptop) == leaves_of(new[: 7 * LEAF])
    answer = laptop.put(
        "data.bin",
        new,
        expect,
        stream=delta.encode_copy(LEAF, 4 * LEAF),
        old=True,
        start=7 * LEAF,
    )
    assert isinstance(answer, m.Applied), answer
    assert laptop.read("data.bin") == new
    laptop.files.close()


def test_an_upload_that_is_taken_back_is_kept(laptop: Laptop) -> None:
    put = begun(laptop)
    laptop.files.handle(m.PutPart(put.seq, ROOT, True, True, b""))
    assert laptop.answer(put.seq).code == "aborted"
    assert len(kept(laptop)) == 1
    assert leaves(laptop) == leaves_of(CONTENT[: 4 * LEAF])
    assert isinstance(rest(laptop, CONTENT, 4 * LEAF), m.Applied)


def test_what_was_asked_for_and_not_used_is_there_the_next_time(laptop: Laptop) -> None:
    begun(laptop)
    laptop = again(laptop)
    assert leaves(laptop)
    laptop = again(laptop)
    assert leaves(laptop) == leaves_of(CONTENT[: 4 * LEAF])
    assert leaves(laptop) == leaves_of(CONTENT[: 4 * LEAF])
    laptop.files.close()


@pytest.mark.parametrize("start", [LEAF + 1, 5 * LEAF, 9 * LEAF, -LEAF])
def test_a_stream_that_does_not_go_on_there_is_refused(laptop: Laptop, start: int) -> None:
    begun(laptop)
    laptop = again(laptop)
    leaves(laptop)
    answer = laptop.put("data.bin", CONTENT, stream=b"", start=start)
    assert isinstance(answer, m.Refused)
    assert not (laptop.folder / "data.bin").exists()
    laptop.files.close()


def test_a_stream_that_goes_on_behind_nothing_is_refused(laptop: Laptop) -> None:
    answer = laptop.put("data.bin", CONTENT, stream=b"", start=LEAF)
    assert (answer.code, answer.have) == ("aborted", None)


def test_of_a_small_content_nothing_is_kept(laptop: Laptop) -> None:
    content = CONTENT[: staging.LEAF * 2]
    stream = delta.encode_literal(content)[:-1]
    laptop.files.handle(put_message(laptop.next(), "f", content, stream=stream, last=False))
    laptop = again(laptop)
    assert kept(laptop) == []
    assert leaves(laptop, "f") == b""
    laptop.files.close()


def test_of_what_has_hardly_begun_nothing_is_kept(laptop: Laptop) -> None:
    put = put_message(laptop.next(), "f", CONTENT, stream=STREAM[: LEAF - 1], last=False)
    laptop.files.handle(put)
    laptop = again(laptop)
    assert kept(laptop) == []
    laptop.files.close()


def test_a_path_that_is_none_has_nothing(laptop: Laptop) -> None:
    assert leaves(laptop, "../data.bin") == b""


def test_the_executable_bit_is_the_new_ones(laptop: Laptop) -> None:
    begun(laptop)
    laptop = again(laptop)
    partials = Partials(laptop.heard.send, laptop.files)
    partials.handle(m.Partial(7, ROOT, "data.bin", True))
    assert isinstance(rest(laptop, CONTENT, 4 * LEAF, executable=True), m.Applied)
    assert os.access(laptop.folder / "data.bin", os.X_OK)
    laptop.files.close()


def test_as_many_are_kept_as_is_said(laptop: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "MOST_PARTIALS", 2)
    for number in range(4):
        begun(laptop, f"{number}.bin")
    laptop.files.close()
    assert len(kept(laptop)) == 4
    laptop = Laptop(laptop.folder)
    laptop.put("f", b"")
    assert len(kept(laptop)) == 2
    laptop.files.close()


def test_none_is_kept_for_ever(laptop: Laptop) -> None:
    begun(laptop)
    laptop = again(laptop)
    [partial] = kept(laptop)
    long_ago = time.time() - 2 * staging.PARTIAL_SECONDS
    os.utime(partial, (long_ago, long_ago))
    laptop.put("f", b"")
    assert kept(laptop) == []
    laptop.files.close()


def test_an_agent_that_was_killed_leaves_what_arrived_to_the_next_one(tmp_path: Path) -> None:
    (tmp_path / "stream").write_bytes(STREAM[:ARRIVED])
    program = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from sidecar.agent.changes.files import Files
from sidecar.core import messages as m
folder = {str(tmp_path / "code")!r}
files = Files(lambda message, lane: None, folder + "/state")
files.handle(m.Open(1, 1, folder))
files.handle(m.Claim(2, 1, "marker-1", "ada@laptop"))
stream = open({str(tmp_path / "stream")!r}, "rb").read()
digest = {delta.content_digest(CONTENT)!r}
nothing = m.Expect(0, None, "")
put = (1, 1, "f", nothing, {SIZE}, 10**18, False, digest, False, "", False, 0, False, stream)
files.handle(m.Put(*put)._replace(path="data.bin"))
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", program], check=False)
    assert ended.returncode == -signal.SIGKILL
    laptop = Laptop(tmp_path / "code")
    assert leaves(laptop) == leaves_of(CONTENT[: 4 * LEAF])
    assert isinstance(rest(laptop, CONTENT, 4 * LEAF), m.Applied)
    assert laptop.read("data.bin") == CONTENT
    assert kept(laptop) == []
    laptop.files.close()
