"""What programs on the remote may call the project's folder, beside its real name: the name that
was configured, which may lead there through links (/home → /gpfs)."""

from __future__ import annotations

import posixpath


def as_configured(path: str, home: str) -> str:
    """The absolute form of a host's `path`, links in it left as they are; "" where only the remote
    can tell (another user's home, a variable) or where text alone cannot (`..` behind a link).

    Args:
        home: the account's there, as its environment names it.
    """
    if "$" in path or ".." in path.split("/") or not home.startswith("/"):
        return ""
    if path == "~" or path.startswith("~/"):
        path = home + path[1:]
    elif path.startswith("~"):
        return ""
    return posixpath.normpath(posixpath.join(home, path))
