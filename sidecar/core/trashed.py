"""Places in the remote's trash, read: which path was kept there, and when.

A place is `<minute>/<path>~<second>`, with `-<number>` behind it for several copies in one second,
or `<minute>/~<second>/<path>` for names that are too long to add anything (agent/changes/trash.py
makes them). Minutes are UTC.
"""

import calendar
import re
from typing import NamedTuple

from sidecar.core.blake2 import blake2b
from sidecar.core.identity import Identity
from sidecar.core.paths import PathError

LONGEST = 240
"""Bytes of a name to which something is added."""

_MINUTE = re.compile(r"(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)?\Z")
_ADDED = re.compile(r"(.*)~(\d\d)(?:-\d+)?\Z", re.DOTALL)


class PlaceError(PathError):
    """That is no place in the trash."""


class Trashed(NamedTuple):
    """`when`: seconds since the epoch."""

    path: str
    when: int


def parse(place: str) -> Trashed:
    """What is kept at a place.

    Raises:
        PlaceError: nothing is kept at such a place.
    """
    minute, _, rest = place.partition("/")
    time = _MINUTE.match(minute)
    *folders, name = rest.split("/")
    if time is None or not name:
        raise PlaceError("no place in the trash: %r" % place)
    found = _ADDED.match(name)
    if len(name.encode("utf-8", "surrogateescape")) > LONGEST and folders:
        long = _ADDED.match(folders[0])
        if long is not None and not long.group(1):
            return Trashed("/".join([*folders[1:], name]), _seconds(time, long.group(2)))
    if found is None or not found.group(1):
        raise PlaceError("no place in the trash: %r" % place)
    return Trashed("/".join([*folders, found.group(1)]), _seconds(time, found.group(2)))


def name_of(place: str, what: Identity) -> str:
    """Eight hex digits by which a person names that copy, and no other one that comes to lie at
    its place when it is gone."""
    told = "%d %d %d" % (what.inode, what.size, what.mtime_ns)
    raw = place.encode("utf-8", "surrogateescape") + b"\0" + told.encode("ascii")
    return blake2b(raw, digest_size=4).hexdigest()


def _seconds(minute: "re.Match[str]", second: str) -> int:
    year, month, day, hours, minutes = (int(part) for part in minute.groups()[:5])
    return calendar.timegm((year, month, day, hours, minutes, int(second), 0, 0, 0))
