"""Which debugpy a Python gets, and how the one for older Pythons is made."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.debug import bundle, releases
from sidecar.errors import RunError

TEXTS = st.dictionaries(
    st.sampled_from(["a.py", "b/c.py", "b/d.py"]),
    st.lists(st.sampled_from(["x\n", "--- y\n", "+++ z\n", "@@ -1 +1 @@\n", "ü\f\n"])).map(
        lambda lines: "".join(lines).encode()
    ),
)


@pytest.mark.parametrize(
    ("python", "version"),
    [
        ("3.8.0", "1.8.21"),
        ("3.9.18", "1.8.21"),
        ("3.10.0", "1.8.22"),
        ("3.11.7", "1.8.22"),
        ("3.14.0a1", "1.8.22"),
        ("3.15.0", "1.8.22"),
    ],
)
def test_a_python_gets_the_newest_release_that_was_tested_with_it(
    python: str, version: str
) -> None:
    assert releases.choose(python, "/usr/bin/python3").version == version


@pytest.mark.parametrize("python", ["3.7.17", "2.7.18", "3.16.0", "4.0.0", "", "nonsense"])
def test_others_are_refused_with_their_name_and_the_way_out(python: str) -> None:
    with pytest.raises(RunError) as refused:
        releases.choose(python, "/opt/py/bin/python")
    assert "/opt/py/bin/python" in str(refused.value)
    assert "3.8 to 3.15" in refused.value.why
    assert "sidecar envs use" in refused.value.fix
    assert ("update remote-sidecar" in refused.value.fix) == (python in ("3.16.0", "4.0.0"))
    assert refused.value.code == "debugger-python"


def test_what_is_installed_is_the_release_that_is_named() -> None:
    assert metadata.version("debugpy") == releases.CURRENT.version
    project = Path(__file__).parents[2] / "pyproject.toml"
    assert f'"debugpy=={releases.CURRENT.version}"' in project.read_text()


def test_the_release_for_older_pythons_is_made_here_to_the_byte() -> None:
    made = releases.before(bundle.installed())
    assert releases.digest(made) == releases.BEFORE.digest
    # The last one whose requirement admits them, by its own word.
    assert b'"version": "1.8.21"' in made["debugpy/_version.py"]
    assert set(made) <= set(bundle.installed())


@pytest.mark.parametrize("name", ["debugpy/adapter/clients.py", "debugpy/common/timestamp.py"])
def test_it_is_not_made_of_files_that_were_changed(name: str) -> None:
    files = bundle.installed()
    # The first one is in the difference, the other one is not.
    files[name] = re.sub(rb"import", b"import  ", files[name])
    with pytest.raises(RunError, match="Install remote-sidecar again"):
        releases.before(files)


@given(TEXTS, TEXTS)
def test_a_difference_makes_the_new_of_the_old(
    old: dict[str, bytes], new: dict[str, bytes]
) -> None:
    old, new = ({name: text for name, text in of.items() if text} for of in (old, new))
    assert releases.patched(old, releases.difference(old, new)) == new


def test_a_difference_to_something_else_is_refused() -> None:
    diff = releases.difference({"a.py": b"x\ny\n"}, {"a.py": b"x\nz\n"})
    with pytest.raises(ValueError, match=r"a\.py differs at line 2"):
        releases.patched({"a.py": b"x\nother\n"}, diff)
