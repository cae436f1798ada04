"""Which release of debugpy a remote's Python gets: the newest one that was tested with it.

The sidecar's own environment has the newest, CURRENT, by an exact dependency. The last one that
runs on older Pythons differs from it in few lines (60 kB of a unified diff without context, instead
of a second archive of 5 MB), so it is made here from CURRENT's sources, without a network, and is
used only if every file of it then is, byte for byte, what its own wheel on PyPI has.

For a new release: change CURRENT, the dependency in pyproject.toml and constraints.txt, then write
the difference anew with both wheels at hand:

    python -m sidecar.debug.releases CURRENT.whl BEFORE.whl

and put the digest that this prints below.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from sidecar.errors import RunError


class Release(NamedTuple):
    """`oldest` and `newest`: the Pythons that it was tested with. `digest`: of its sources, where
    they are made from CURRENT's."""

    version: str
    oldest: tuple[int, int]
    newest: tuple[int, int]
    digest: str = ""


CURRENT = Release("1.8.22", (3, 10), (3, 15))

BEFORE = Release(
    "1.8.21",
    (3, 8),
    (3, 9),
    "2d3ad9bd2b0d4695064868584e8fd57c99b996db17fc3343ddbd73e416abbb73",
)

RELEASES = (CURRENT, BEFORE)

_LEFT_OUT = re.compile(
    r"(^|/)(__pycache__|third_party|tests)/|"
    # Attaching to a process by its number: of its parts for all systems, what Linux needs.
    r"/pydevd_attach_to_process/(?!(add_code_to_python_process|__init__)\.py$)"
)

_KEPT = (".py", "/ThirdPartyNotices.txt")

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


def choose(python: str, interpreter: str) -> Release:
    """The release for a remote interpreter of version `python`, like "3.11.7".

    Raises:
        RunError: none was tested with it; names the interpreter, its version and the way out.
    """
    found = re.match(r"(\d+)\.(\d+)", python)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    for release in RELEASES:
        if release.oldest <= version <= release.newest:
            return release
    fix = "choose another interpreter with `sidecar envs use`, or `python` in the host's settings; "
    if version > CURRENT.newest:
        fix = "update remote-sidecar, or " + fix
    raise RunError(
        "The debugger cannot run with that Python",
        f"{interpreter} is {python or 'of an unknown version'}, debugpy was tested with "
        f"{_dotted(BEFORE.oldest)} to {_dotted(CURRENT.newest)}",
        fix + "runs without the debugger are not affected",
        code="debugger-python",
    )


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def travels(name: str) -> bool:
    """Whether a file of debugpy, named as in its wheel, is sent to remotes: sources, without the
    compiled parts and what only other systems need."""
    return name.endswith(_KEPT) and not _LEFT_OUT.search(name)


def source(content: bytes) -> bytes:
    """A text file as all wheels have it: those that were built on Windows end lines by CR LF."""
    return content.replace(b"\r\n", b"\n")


def before(current: Mapping[str, bytes]) -> dict[str, bytes]:
    """The sources of BEFORE, made from those of CURRENT.

    Raises:
        RunError: what is installed here is not CURRENT as it was released.
    """
    diff = Path(__file__).with_name(f"debugpy-{BEFORE.version}.diff").read_text("utf-8")
    try:
        made = patched(current, diff)
    except ValueError as error:
        raise _altered(str(error)) from None
    if digest(made) != BEFORE.digest:
        raise _altered("the result is another one")
    return made


def _altered(why: str) -> RunError:
    return RunError(
        "The debugger for older Pythons cannot be made here",
        f"debugpy {BEFORE.version} is made from the files of {CURRENT.version}, which were changed "
        f"in the sidecar's own environment: {why}",
        "install remote-sidecar again",
        code="debugger-missing",
    )


def digest(files: Mapping[str, bytes]) -> str:
    """Of names and contents."""
    total = hashlib.sha256()
    for name in sorted(files):
        content = hashlib.sha256(files[name]).hexdigest()
        total.update(f"{content}  {name}\n".encode())
    return total.hexdigest()


# --- differences -----------------------------------------------------------------------------


def difference(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> str:
    """What makes `new` of `old`: a unified diff without context, in the order of names."""
    text: list[str] = []
    for name in sorted({*old, *new}):
        one, other = _lines(old.get(name, b"")), _lines(new.get(name, b""))
        text += difflib.unified_diff(one, other, f"a/{name}", f"b/{name}", n=0)
    return "".join(text)


def patched(files: Mapping[str, bytes], diff: str) -> dict[str, bytes]:
    """A copy of `files` with a difference applied. Files that become empty are gone.

    Raises:
        ValueError: naming the file that is not as the difference has it.
    """
    result = dict(files)
    for name, hunks in _by_file(diff):
        lines, made, at = _lines(files.get(name, b"")), [], 0
        for start, removed, added in hunks:
            made += lines[at:start]
            at = start + len(removed)
            if lines[start:at] != removed:
                raise ValueError(f"{name} differs at line {start + 1}")
            made += added
        made += lines[at:]
        result[name] = "".join(made).encode()
        if not made:
            del result[name]
    return result


def _lines(content: bytes) -> list[str]:
    # Not by `splitlines`, which also parts at form feeds and the like.
    return re.findall(r"[^\n]*\n|[^\n]+\Z", content.decode())


def _by_file(diff: str) -> Iterator[tuple[str, list[tuple[int, list[str], list[str]]]]]:
    """Each file's name and its hunks: the index of the first line, lines removed, lines added."""
    name, lines = "", iter(_lines(diff.encode()))
    hunks: list[tuple[int, list[str], list[str]]] = []
    for line in lines:
        if line.startswith("--- "):
            if name:
                yield name, hunks
            name, hunks = line[6:].rstrip(), []
            next(lines)
            continue
        found = _HUNK.match(line)
        if found is None:
            raise ValueError(f"the difference has the line {line!r}")
        start, removed, added = int(found[1]), int(found[2] or 1), int(found[4] or 1)
        # Of nothing that is removed, the line before is named.
        hunks.append(
            (
                start - 1 if removed else start,
                [next(lines)[1:] for _ in range(removed)],
                [next(lines)[1:] for _ in range(added)],
            )
        )
    if name:
        yield name, hunks


def _of_wheel(path: str) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as wheel:
        return {name: source(wheel.read(name)) for name in wheel.namelist() if travels(name)}


if __name__ == "__main__":
    newer, older = map(_of_wheel, sys.argv[1:3])
    written = difference(newer, older)
    Path(__file__).with_name(f"debugpy-{BEFORE.version}.diff").write_text(written, "utf-8")
    print(digest(patched(newer, written)))
    sys.exit(patched(newer, written) != older)
