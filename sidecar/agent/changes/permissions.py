"""What new content is given besides its bytes: mode, group, ACL and times.

Of the laptop's, only the executable bit and the mtime count. The rest is what the folder gives to
new files (umask, setgid, default ACL) and, on replacement, what the file had that was there;
where that cannot be given, rather less than more.
"""

import os
import stat
import time
from typing import Optional

_ACL = "system.posix_acl_access"


def with_executable(mode: int, executable: bool) -> int:
    """A file's mode with the bit set wherever it may be read, or taken away."""
    if not executable:
        return mode & ~0o111
    return mode if mode & stat.S_IXUSR else mode | (mode & 0o444) >> 2


def dress(
    descriptor: int,
    old: Optional[os.stat_result],
    old_file: int,
    folder: os.stat_result,
    executable: bool,
    mtime_ns: int,
) -> None:
    """Gives a staged file what it has to have when it lands.

    Args:
        descriptor: the new file, as its staging folder made it.
        old, old_file: the file that it replaces (a descriptor, or -1), if there is one.
        folder: the folder where it lands.
    Raises:
        OverflowError: the mtime is no time that a file can have.
    """
    new = os.fstat(descriptor)
    if old is not None and stat.S_ISREG(old.st_mode):
        # Set-uid and set-gid go, as with every write.
        mode = with_executable(stat.S_IMODE(old.st_mode) & 0o777, executable)
        if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
            mode = _owned_as(descriptor, old, mode)
        _copy_acl(old_file, descriptor)
        os.fchmod(descriptor, mode)
    elif folder.st_mode & stat.S_ISGID and new.st_gid != folder.st_gid:
        try:
            os.fchown(descriptor, -1, folder.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(new.st_mode) & 0o777)
        except PermissionError:
            pass  # not a member of that group: our own then
    os.utime(descriptor, ns=(time.time_ns(), mtime_ns))


def _owned_as(descriptor: int, old: os.stat_result, mode: int) -> int:
    """Gives the file its predecessor's owner and group, as far as that is allowed.

    Returns:
        The mode that it then may have: where the group is another one, the group gets no more
        than everybody has.
    """
    try:
        os.fchown(descriptor, old.st_uid, old.st_gid)
        return mode
    except PermissionError:
        pass
    try:
        os.fchown(descriptor, -1, old.st_gid)
        return mode
    except PermissionError:
        return mode & ~0o070 | mode & (mode & 0o007) << 3


def _copy_acl(source: int, target: int) -> None:
    """The same access ACL, or none where there was none: an inherited one would be wider."""
    if source < 0 or not hasattr(os, "getxattr"):
        return
    try:
        acl = os.getxattr(source, _ACL)
    except OSError:  # none there, or a file system without
        try:
            os.removexattr(target, _ACL)
        except OSError:
            pass  # none here either
        return
    os.setxattr(target, _ACL, acl)
