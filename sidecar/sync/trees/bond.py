"""The bond: which two folders base speaks of, so that no others are taken for them.

The marker in the folder there says which one it is, but a backup brings it back with the rest. So
what else tells a folder from another is kept here: device and inode of the root on this machine,
the device of the one there. Neither is for ever (a reboot may number devices anew), so a
difference alone is only a doubt, and the files decide: where a single one still is what it was, by
its inode and change time, so is the folder. In doubt everything is compared, as at first contact.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from sidecar.core.identity import FILE, Identity
from sidecar.errors import SyncError
from sidecar.sync.trees.base import Agreed

log = logging.getLogger(__name__)

VERSION = 1


class Here(NamedTuple):
    """A folder of this machine, whatever its name is."""

    device: int
    inode: int


def folder_at(root: Path, project: str) -> Here:
    """The folder that is there now.

    Raises:
        SyncError: none is, which never means that its files were deleted.
    """
    try:
        status = os.stat(os.path.join(root, "."))  # a file or nothing there is no folder
    except OSError as error:
        raise SyncError(
            f"{project} is gone",
            f"{error.strerror}; it may be unmounted or renamed; nothing was removed on the other "
            "side",
            "bring the folder back, or open the project where it is now",
            code="root-gone",
        ) from None
    return Here(status.st_dev, status.st_ino)


class Bond:
    """What is remembered of both folders; empty where nothing is. Kept in one small file.

    Attributes:
        marker: of the folder there.
        device_there: 0: not known, since the folder was made after we looked.
        owner: how we called ourselves there. A laptop's name changes with its network; whoever
            wrote the marker last knows by this that it was itself.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.marker = self.owner = ""
        self.here: Here | None = None
        self.device_there = 0
        try:
            self._take(json.loads(path.read_bytes()))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, RecursionError, TypeError, KeyError) as error:
            log.warning("%s cannot be read: %s", path, error)

    def _take(self, state: object) -> None:
        match state:
            case {
                "version": int(version),
                "marker": str(marker),
                "owner": str(owner),
                "here": [int(device), int(inode)],
                "device_there": int(device_there),
            } if version == VERSION:
                self.marker, self.owner = marker, owner
                self.here, self.device_there = Here(device, inode), device_there
            case _:
                raise ValueError("it is of another version, or damaged")

    def tie(self, marker: str, owner: str, here: Here, device_there: int) -> None:
        """Both sides are together: these are the folders."""
        now = marker, owner, here, device_there
        if now == (self.marker, self.owner, self.here, self.device_there):
            return
        self.marker, self.owner, self.here, self.device_there = now
        state = {
            "version": VERSION,
            "marker": marker,
            "owner": owner,
            "here": here,
            "device_there": device_there,
        }
        fresh = self._path.with_name(self._path.name + ".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as out:
            json.dump(state, out)
        os.replace(fresh, self._path)

    def doubt_here(
        self, here: Here, entries: Mapping[str, Identity], agreed: Mapping[str, Agreed]
    ) -> bool:
        """Whether the folder here may be another one than it was."""
        if self.here in (None, here) or not agreed:
            return False
        return not any(
            one.node.kind == FILE and one.local is not None and entries.get(path) == one.local
            for path, one in agreed.items()
        )

    def doubt_there(
        self, device: int, differing: Collection[str], agreed: Mapping[str, Agreed]
    ) -> bool:
        """Whether the folder there may be another one than it was, though its marker is the same.

        Args:
            differing: paths that are not as base says.
        """
        if self.device_there in (0, device) or len(differing) < len(agreed) // 2:
            return False
        files = [path for path, one in agreed.items() if one.node.kind == FILE]
        return bool(files) and all(path in differing for path in files)
