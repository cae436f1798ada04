"""`sidecar editor NAME`: puts an editor's client, of this very version, in its place."""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path

import sidecar
from sidecar.cli import terminal
from sidecar.errors import UsageError

PACK = "pack/sidecar/start/sidecar"
"""Under a Neovim site folder: loaded by itself, no plugin manager needed."""

_MARK = ".installed-by-sidecar"


def editor(options: argparse.Namespace) -> int:
    source = _source(options.name)
    target = Path(options.into).expanduser().absolute() if options.into else _nvim_site() / PACK
    if target.exists() and any(target.iterdir()) and not (target / _MARK).is_file():
        raise UsageError(
            f"{target} holds something that we did not put there",
            "",
            "remove it, or name another folder by --into",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    # The new copy is whole before the old one goes.
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        fresh = Path(temporary) / "new"
        shutil.copytree(source, fresh, ignore=shutil.ignore_patterns("tests", "test", ".*"))
        (fresh / _MARK).write_text(f"{sidecar.__version__}\n")
        if target.exists():
            target.rename(Path(temporary) / "old")
        fresh.rename(target)
    print(target)
    terminal.say("Restart Neovim; then `:help sidecar` and `:checkhealth sidecar`.")
    return 0


def _source(name: str) -> Path:
    """In the wheel beside our code; in a checkout beside the package."""
    package = Path(sidecar.__file__).parent
    for candidate in (package / "editors" / name, package.parent / "editors" / name):
        if candidate.is_dir():
            return candidate
    raise UsageError(
        f"The client for {name} is not here",
        f"neither in {package / 'editors'} nor in {package.parent / 'editors'}",
        "install the sidecar from its wheel",
    )


def _nvim_site() -> Path:
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / os.environ.get("NVIM_APPNAME", "nvim") / "site"
