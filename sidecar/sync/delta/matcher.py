"""Matching: which parts of a new content are in an old one, of which only a signature is known.

Most edits leave nearly everything where it was, or shifted as a whole. So what is equal in front
is passed over group by group, then what is equal at the end. Between those, after each place where
the contents part, the next block of the old content is looked for: behind an overwrite, at the
place where it would be; near by, by searching for the anchors of the next blocks (a search in C);
among all blocks' anchors, first close by, then with numpy (if it is installed; it is imported only
then) over up to `Limits.searched` bytes, which finds what moved; at last at block boundaries. A
block counts as found when its checksum agrees: what is searched for only decides how much is sent.

Measured on one core, content in the page cache, random data, 256 MiB in 16 KiB blocks, the best
of three runs (new bytes sent):

    equal                        27 ms (0)          200 deletions               55 ms (3.2 MB)
    1 KB overwritten             39 ms (16 KiB)     halves swapped              55 ms (16 KiB)
    100 bytes in front           36 ms (100)        70 MB moved                 63 ms (0)
    1 MB appended                57 ms (1 MiB)      50 MB replaced by new      396 ms (50 MiB)
    200 insertions               63 ms (3.3 MB)     all new                   1.06 s (all)

Without numpy the last takes 0.25 s, and blocks that moved further than a few hundred kilobytes are
sent again. Signing takes 53 ms besides reading. Tried before: rolling checksums over every byte
(numpy: 120 to 190 MB/s; Python alone is hopeless), content-defined chunks (one more pass over all
bytes, to save nothing in the usual case), mapping the file (one that is truncated meanwhile kills
the process). Memory: a window of `Limits.window` bytes, and eight times that while numpy searches.

Source of the idea: A. Tridgell, P. Mackerras, "The rsync algorithm", TR-CS-96-05, 1996.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from sidecar.core.delta import Copy
from sidecar.sync.delta.signature import ANCHOR, GROUP, STRONG, FileSignature

AHEAD = 8
"""So many blocks of the old content are tried after a mismatch, the nearest first."""

TRIES = 8
"""So many places that only look like the beginning of a block are looked at for each."""


class Limits(NamedTuple):
    """How far is looked, in bytes. Tests make them small, so that small contents meet them."""

    step: int = 2 << 20
    """Read at a time where contents are alike: small enough to stay in the processor's cache."""
    window: int = 8 << 20
    """Searched at a time."""
    short: int = 1 << 20
    """The first stretch that is searched after a place: most are found there."""
    searched: int = 64 << 20
    """New content in which blocks are searched for at all offsets, besides half of its size: then
    matching goes on at block boundaries only."""
    close: int = 64 << 10
    """Behind a place, what Python itself looks at byte by byte (8 MB/s), which costs less than
    importing numpy."""
    all_close: int = 1 << 20
    """The sum of that."""
    inserted: int = 4096
    """What is left between two equal parts and is at most two blocks and this, goes as it is: it
    is an insertion or an overwrite, and looking for its origin costs more than sending it."""
    numpy: bool = True
    """Whether numpy may be used, where it is installed."""


LIMITS = Limits()

Found = tuple[int, int] | None
"""A place in the new content and the number of the old one's block that begins there."""


class Span(NamedTuple):
    """Bytes [offset, offset + length) of the new content, which the old one does not have."""

    offset: int
    length: int


class Source(Protocol):
    """The new content."""

    size: int

    def read_at(self, offset: int, length: int) -> bytes:
        """The bytes [offset, offset + length), fewer only behind the end."""
        ...


def spans(
    signature: FileSignature | None, source: Source, limits: Limits = LIMITS
) -> Iterator[Copy | Span]:
    """What makes the new content from the old one, from front to back.

    Copies are of whole blocks, joined where they follow each other. Without a signature all is
    new. The source is read from front to back, but for a look at the end in between; what it
    raises comes through.
    """
    if not source.size:
        return
    if signature is None or not signature.count:
        yield Span(0, source.size)
        return
    yield from _joined(_Matcher(signature, _New(source, limits), limits).run())


def _joined(operations: Iterator[Copy | Span]) -> Iterator[Copy | Span]:
    """Copies that follow each other in the old content as one."""
    offset = length = 0
    for operation in operations:
        if isinstance(operation, Copy):
            if length and operation.offset == offset + length:
                length += operation.length
                continue
            if length:
                yield Copy(offset, length)
            offset, length = operation
        else:
            if length:
                yield Copy(offset, length)
                length = 0
            yield operation
    if length:
        yield Copy(offset, length)


class _New:
    """The new content, through a window."""

    def __init__(self, source: Source, limits: Limits) -> None:
        self._source, self._limits = source, limits
        self.size = source.size
        self._start, self._data, self._view = 0, b"", memoryview(b"")

    def get(self, offset: int, length: int) -> memoryview:
        """Bytes of it; the caller keeps within its size."""
        at = offset - self._start
        if at < 0 or at + length > len(self._data):
            at = self._load(offset, length)
        return self._view[at : at + length]

    def stretch(self, offset: int, length: int) -> tuple[bytes, int]:
        """Loaded bytes that hold [offset, offset + length), and where in them that begins."""
        length = min(length, self.size - offset)
        at = offset - self._start
        if at < 0 or at + length > len(self._data):
            at = self._load(offset, length)
        return self._data, at

    def _load(self, offset: int, length: int) -> int:
        """Loads at least that, and returns where in what is loaded it begins."""
        start, end = offset, offset + length
        if length < self._limits.step:
            if end <= self._start:  # somebody goes from the end to the front
                start = max(0, end - self._limits.step)
            else:
                end = min(start + self._limits.step, self.size)
        self._data = self._source.read_at(start, end - start)
        self._start, self._view = start, memoryview(self._data)
        return offset - start


class _Matcher:
    """One run. Positions are in the new content, blocks are numbers in the old one."""

    def __init__(self, signature: FileSignature, new: _New, limits: Limits) -> None:
        self._signature, self._new, self._limits = signature, new, limits
        self._block = signature.block
        self._strong = [
            signature.strong[at : at + STRONG] for at in range(0, len(signature.strong), STRONG)
        ]
        self._short = signature.size - signature.whole * signature.block
        self._end = new.size
        self._by_anchor: dict[bytes, list[int]] | None = None
        self._search: _Search | None = None
        self._left_to_search = self._limits.searched + new.size // 2
        self._left_close = self._limits.all_close

    def run(self) -> Iterator[Copy | Span]:
        position, block, tail = 0, 0, None
        while position < self._end:
            reached = self._pass_over(position, block)
            if reached > position:
                yield Copy(block * self._block, reached - position)
                block += -(-(reached - position) // self._block)
                position = reached
                continue
            if tail is None:
                tail = self._equal_at_end(position)
                continue
            found, block = self._next(position, block)
            if found > position:
                yield Span(position, found - position)
            position = found
        if tail is not None and tail < self._new.size:
            length = self._new.size - tail
            yield Copy(self._signature.size - length, length)

    def _length(self, block: int) -> int:
        return self._block if block < self._signature.whole else self._short

    def _is(self, block: int, position: int) -> bool:
        """Whether that block of the old content begins at that position of the new one."""
        length = self._length(block)
        if position < 0 or position + length > self._end:
            return False
        return self._signature.checksum(self._new.get(position, length)) == self._strong[block]

    # --- what is equal

    def _pass_over(self, position: int, block: int) -> int:
        """Where the new content stops being the old one's blocks from `block` on."""
        signature, size = self._signature, self._block * GROUP
        use_groups = bool(signature.groups)
        while block < signature.count:
            if use_groups and block % GROUP == 0 and block + GROUP <= signature.whole:
                if position + size <= self._end and self._is_group(block // GROUP, position):
                    block += GROUP
                    position += size
                    continue
                # The mismatch is in this group: no group comes before it.
                use_groups = False
            if not self._is(block, position):
                break
            position += self._length(block)
            block += 1
        return position

    def _is_group(self, group: int, position: int) -> bool:
        found = self._signature.checksum(self._new.get(position, self._block * GROUP))
        return found == self._signature.groups[group * STRONG : group * STRONG + STRONG]

    def _equal_at_end(self, position: int) -> int:
        """Where the part begins that is equal to the old content's end; matching ends there."""
        signature = self._signature
        shift = self._end - signature.size
        block = signature.count
        start = self._end
        use_groups = bool(signature.groups)
        while block > 0:
            if use_groups and block % GROUP == 0 and block <= signature.whole:
                place = (block - GROUP) * self._block + shift
                if place >= position and self._is_group(block // GROUP - 1, place):
                    block -= GROUP
                    start = place
                    continue
                use_groups = False
            place = (block - 1) * self._block + shift
            if place < position or not self._is(block - 1, place):
                break
            block -= 1
            start = place
        self._end = start
        return start

    # --- what comes next

    def _next(self, position: int, block: int) -> tuple[int, int]:
        """The next place where a block of the old content begins, and its number; the end, where
        there is none. `block`: the one that was expected at `position` and is not there."""
        found = self._behind_overwrite(position, block)
        if found is None and self._signature.anchors:
            found = self._near(position, block, (AHEAD + 1) * self._block)
            if found is None and self._end - position > 2 * self._block + self._limits.inserted:
                found = self._close(position) or self._anywhere(position, block)
        if found is None:
            found = self._at_boundaries(position, block)
        if found is None:
            return self._end, block
        place, block = found
        before = place - self._block
        while block > 0 and before >= position and self._is(block - 1, before):
            place, block, before = before, block - 1, before - self._block
        return place, block

    def _behind_overwrite(self, position: int, block: int) -> Found:
        for number in range(1, AHEAD + 1):
            place = position + number * self._block
            if block + number >= self._signature.count or place >= self._end:
                break
            if self._is(block + number, place):
                return place, block + number
        return None

    def _near(self, position: int, block: int, span: int, ahead: int = AHEAD) -> Found:
        """One of the next blocks, within `span` bytes. The expected one comes last: it is most
        often the one that was edited, and if not, it is found by going back from the next."""
        anchors, whole = self._signature.anchors, self._signature.whole
        span = min(span, self._end - position)
        for number in (*range(block + 1, min(block + ahead, whole)), block):
            anchor = anchors[number * ANCHOR : number * ANCHOR + ANCHOR]
            if not anchor:
                continue
            skip = 0
            for _ in range(TRIES):
                data, at = self._new.stretch(position, span)
                skip = data.find(anchor, at + skip, at + span) - at
                if skip < 0:
                    break
                if self._is(number, position + skip):
                    return position + skip, number
                skip += 1
        return None

    def _close(self, position: int) -> Found:
        """Any block that begins in the next few kilobytes."""
        span = min(
            max(self._block, self._limits.close) + ANCHOR, self._end - position, self._left_close
        )
        if span < ANCHOR:
            return None
        self._left_close -= span
        by_anchor = self._anchors()
        data, at = self._new.stretch(position, span)
        for place in range(at, at + span - ANCHOR + 1):
            blocks = by_anchor.get(data[place : place + ANCHOR])
            if blocks is not None:
                found = self._first_of(blocks, position + place - at)
                if found is not None:
                    return found
        return None

    def _anywhere(self, position: int, block: int) -> Found:
        """Any block at any offset, as far as may be searched."""
        if self._end - position <= self._limits.close:
            return None
        if self._search is None:
            self._search = _Search(self._anchors(), self._limits.numpy)
        if not self._search.works:
            return self._further(position, block)
        span = self._limits.short
        while position + ANCHOR <= self._end:
            span = self._spend(min(span, self._end - position))
            if span < ANCHOR:
                break
            data, at = self._new.stretch(position, span)
            for place in self._search.candidates(data, at, at + span):
                blocks = self._anchors().get(data[place : place + ANCHOR])
                found = self._first_of(blocks, position + place - at) if blocks else None
                if found is not None:
                    return found
            position += span - ANCHOR + 1
            span = self._limits.window
        return None

    def _further(self, position: int, block: int) -> Found:
        """The expected block or the next one, at any offset, as far as may be searched."""
        while position + ANCHOR <= self._end:
            span = self._spend(min(self._limits.window, self._end - position))
            if span < ANCHOR:
                break
            found = self._near(position, block, span, ahead=2)
            if found is not None:
                return found
            position += span - ANCHOR + 1
        return None

    def _spend(self, wanted: int) -> int:
        """How many bytes may be searched now, of so many."""
        granted = min(wanted, self._left_to_search)
        self._left_to_search -= granted
        return granted

    def _at_boundaries(self, position: int, block: int) -> Found:
        """The next block that stands where it stood, or as far from the expected one as it did."""
        count, size = self._signature.count, self._block
        first = position // size
        for number in range(1, count + 1):
            place, other = (first + number) * size, position + number * size
            if place >= self._end:
                break
            if first + number < count and self._is(first + number, place):
                return place, first + number
            if other != place and block + number < count and self._is(block + number, other):
                return other, block + number
        return None

    # --- all blocks by their beginnings

    def _anchors(self) -> dict[bytes, list[int]]:
        """Which blocks begin with which bytes; of those that begin alike, the first few."""
        if self._by_anchor is None:
            self._by_anchor = {}
            anchors = self._signature.anchors
            for block in range(self._signature.whole):
                anchor = anchors[block * ANCHOR : block * ANCHOR + ANCHOR]
                blocks = self._by_anchor.setdefault(anchor, [])
                if len(blocks) < TRIES:
                    blocks.append(block)
        return self._by_anchor

    def _first_of(self, blocks: list[int], place: int) -> Found:
        return next(((place, block) for block in blocks if self._is(block, place)), None)


class _Search:
    """Finds places in a stretch of bytes where one of many anchors may begin, by numpy.

    Eight bytes at each offset are taken as a number, and two hashes of it looked up in tables of
    a megabyte, which the processor's cache holds. `works` is False without numpy.
    """

    BITS = 20
    FACTORS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)
    MOST = 4096
    """Candidates in one stretch; more only come where content repeats itself, which makes finding
    each place it repeats worth little."""

    def __init__(self, anchors: Iterable[bytes], allowed: bool) -> None:
        self.works = False
        if not allowed:
            return
        try:
            import numpy
        except ImportError:
            return
        self.works = True
        self._numpy: Any = numpy
        # Runs of one byte are everywhere in files that have them at all.
        heads = b"".join(one[:8] for one in anchors if one.count(one[:1]) < ANCHOR)
        numbers = numpy.frombuffer(heads, "<u8")
        self._tables: list[Any] = []
        for factor in self.FACTORS:
            table = numpy.zeros(1 << self.BITS, bool)
            table[self._hash(numbers, factor)] = True
            self._tables.append(table)

    def _hash(self, numbers: Any, factor: int) -> Any:
        return (numbers * self._numpy.uint64(factor)) >> self._numpy.uint64(64 - self.BITS)

    def candidates(self, data: bytes, start: int, stop: int) -> list[int]:
        """Such places in [start, stop), in their order."""
        numpy, found = self._numpy, []
        for offset in range(8):
            count = (stop - start - offset) // 8
            numbers = numpy.frombuffer(data, "<u8", max(count, 0), start + offset)
            places = numpy.flatnonzero(self._tables[0][self._hash(numbers, self.FACTORS[0])])
            sure = self._tables[1][self._hash(numbers[places], self.FACTORS[1])]
            found.append(places[sure] * 8 + (start + offset))
        merged = numpy.sort(numpy.concatenate(found))[: self.MOST]
        places_found: list[int] = merged.tolist()
        return places_found
