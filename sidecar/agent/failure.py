"""Why something was not done, in words for people and a code for programs.

Foreign data and full disks are no errors of ours: they become one of these, and then an answer.
"""

import errno
import sys
import traceback
from typing import Any, Optional, Tuple

from sidecar.core import messages
from sidecar.core.identity import Identity, PackError
from sidecar.core.paths import PathError


class Failure(Exception):
    """A request that cannot be answered; becomes messages.Fail."""

    def __init__(self, code: str, what: str, why: str = "", fix: str = "") -> None:
        super().__init__("%s: %s" % (what, why) if why else what)
        self.code, self.what, self.why, self.fix = code, what, why, fix


class Refusal(Exception):
    """A change that is not made; becomes messages.Refused, whose codes these are."""

    def __init__(self, code: str, why: str, have: Optional[Identity] = None) -> None:
        super().__init__(why)
        self.code, self.why, self.have = code, why, have


_WORDS = {
    errno.ENOSPC: ("disk", "the disk is full"),
    errno.EDQUOT: ("disk", "the disk quota is used up"),
    errno.EFBIG: ("disk", "the file is larger than the file system allows"),
    errno.EROFS: ("disk", "the file system is read-only"),
    errno.EIO: ("disk", "the disk reports an error"),
    errno.EMFILE: ("disk", "too many open files"),
    errno.ENFILE: ("disk", "too many open files on that machine"),
    errno.EACCES: ("path", "no permission"),
    errno.EPERM: ("path", "not permitted"),
    errno.ENAMETOOLONG: ("path", "a name is too long for the file system"),
    errno.ELOOP: ("path", "a symbolic link is in the way"),
    errno.ENOTDIR: ("path", "a folder above it is a link or a file there"),
    errno.ENOENT: ("path", "a folder above it is gone"),
}


def explain(error: OSError) -> Tuple[str, str]:
    """A code ("disk" or "path") and words for an error of the operating system."""
    code, words = _WORDS.get(error.errno or 0, ("path", error.strerror or str(error)))
    return code, words


def answer(message: Any, error: Exception, cannot: str) -> messages.Fail:
    """What a request is answered with that ended in this error, also where it is one of ours.

    Args:
        cannot: what an error of the operating system means here.
    """
    what, why, fix = cannot, str(error), ""
    if isinstance(error, Failure):
        code, what, why, fix = error.code, error.what, error.why, error.fix
    elif isinstance(error, Refusal):
        code, what, why = error.code, error.why, ""
    elif isinstance(error, PathError):
        code, what = "path", "a path is not allowed"
    elif isinstance(error, PackError):
        code, what = "damaged", "a list of files came damaged"
    elif isinstance(error, OSError):
        code, why = explain(error)
    else:
        traceback.print_exception(type(error), error, error.__traceback__, file=sys.stderr)
        code, what, why = "internal", "the sidecar's agent made an error", repr(error)
        fix = "please report it"
    return messages.Fail(getattr(message, "id", 0), code, what, why, fix)
