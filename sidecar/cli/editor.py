"""`sidecar editor NAME`: puts an editor's client, of this very version, in its place."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import sidecar
from sidecar.cli import terminal
from sidecar.errors import UsageError

PACK = "pack/sidecar/start/sidecar"
"""Under a Neovim site folder: loaded by itself, no plugin manager needed."""

_MARK = ".installed-by-sidecar"


VSCODES = ("code", "codium", "code-insiders", "cursor", "code-server")
"""Programs that install an extension by `--install-extension FILE`, best known first."""

VSIX = "editors/vscode/sidecar.vsix"
"""Below our package; `npm run package` in editors/vscode makes it, and a wheel carries it."""


def editor(options: argparse.Namespace) -> int:
    if options.name == "vscode":
        return install_vscode(Path(sidecar.__file__).parent / VSIX)
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


def install_vscode(package: Path) -> int:
    """Has every VS Code on the PATH install the extension."""
    if not package.is_file():
        raise UsageError(
            "The extension is not built here",
            f"there is no {package}",
            "build it in editors/vscode: `npm install && npm run package`",
        )
    found = [path for name in VSCODES if (path := shutil.which(name))]
    if not found:
        print(package)
        terminal.say(
            "No VS Code is on the PATH; there, `Extensions: Install from VSIX...` takes this file."
        )
        return 0
    for program in found:
        done = subprocess.run(
            [program, "--install-extension", str(package), "--force"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            raise UsageError(
                f"{program} did not install the extension",
                done.stdout.strip(),
                f"install {package} by hand: `Extensions: Install from VSIX...`",
            )
        print(program)
    terminal.say("Reload the window; then `Sidecar: Set Up a Remote for This Folder…`.")
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
