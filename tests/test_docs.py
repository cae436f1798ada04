"""What the documents name is there, and what they show works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sidecar.cli.main import parser
from sidecar.config import layers
from sidecar.config.load import load
from sidecar.config.project import at

ROOT = Path(__file__).parent.parent
DOCUMENTS = (
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "protocol/README.md",
    "docs/debugging.md",
)

_FILE = re.compile(r"`((?:[a-z_.-]+/)*[a-z_0-9.-]+\.(?:py|md|json|ts|txt))`|\]\(([^):#]+)\)")
_COMMAND = re.compile(r"(?:^|`|\$ |# )sidecar ([a-z]+)", re.MULTILINE)
_TOML = re.compile(r"```toml\n(.*?)```", re.DOTALL)


def text_of(document: str) -> str:
    return (ROOT / document).read_text("utf-8")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_a_document_names_is_there(document: str) -> None:
    folder = (ROOT / document).parent
    for code, link in _FILE.findall(text_of(document)):
        name = code or link
        places = [folder / name, ROOT / name, ROOT / "sidecar" / name]
        # A bare name in code may be a file of the reader's project.
        if code and "/" not in code and not any(place.exists() for place in places):
            continue
        assert any(place.exists() for place in places), f"{document} names {name}"


def commands() -> set[str]:
    whole = parser()
    (sub,) = (action for action in whole._actions if isinstance(action.choices, dict))
    return set(sub.choices or ())


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_that_a_document_shows_exists(document: str) -> None:
    known = commands()
    for name in _COMMAND.findall(text_of(document)):
        assert name in known, f"{document} shows `sidecar {name}`"


def test_the_readmes_configuration_is_a_configuration(isolated: Path, tmp_path: Path) -> None:
    examples = _TOML.findall(text_of("README.md"))
    assert examples
    for number, example in enumerate(examples):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "sidecar.local.toml").write_text(example, encoding="utf-8")
        loaded = load(at(folder), environ={})
        assert loaded.origins


def test_the_readme_explains_every_setting() -> None:
    readme = text_of("README.md")
    for key, _ in layers.fields():
        assert key[-1] in readme, f"README.md does not explain {layers.dotted(key)}"
