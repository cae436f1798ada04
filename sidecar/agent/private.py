"""Folders of the state folder that nobody else may have a hand in.

What lies in them is believed: a job's record says whom to signal, the cache holds programs that
are started as us. So they are made for us alone whatever the umask is (with the usual one of many
labs, 002, a colleague could put another folder in their place), and a folder that somebody else
prepared, where the configured one lies in a place for all, is not used.
"""

import os
import stat

from sidecar.agent.failure import Failure, explain


def folder(state: str, name: str, make: bool = False) -> str:
    """The folder `name` in the state folder, which need not be there unless `make`.

    Raises:
        Failure: it cannot be made, or others can change what is in it.
    """
    path = os.path.join(state, name)
    try:
        for one in (state, path):
            if make:
                _make(one)
            elif not os.path.lexists(one):
                return path
            _check(one)
    except OSError as error:
        code, why = explain(error)
        raise Failure(code, "%s cannot be used" % path, why, "set `hosts.X.state`") from None
    return path


def _make(path: str) -> None:
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return
    except FileNotFoundError:
        _make(os.path.dirname(path))
        _make(path)


def _check(path: str) -> None:
    user, status = os.geteuid(), os.stat(path)
    if not stat.S_ISDIR(status.st_mode):
        why = "it is no folder"
    elif user != status.st_uid or user != os.lstat(path).st_uid:
        why = "it belongs to user %d, not to us" % status.st_uid
    else:
        if status.st_mode & 0o022:
            os.chmod(path, stat.S_IMODE(status.st_mode) & ~0o022)
        return
    raise Failure("path", "%s is not safe to use" % path, why, "set `hosts.X.state`")
