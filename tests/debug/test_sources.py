"""Sources that are not here: read from the remote, where debugpy has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.debug import dap, sources
from sidecar.debug.dap import Message
from sidecar.debug.sources import Sources
from tests.debug.client import DapClient, DapFailure
from tests.debug.conftest import Bench

LIBRARY = """\
# A package that only the remote has.

def twice(value):
    result = value * 2
    return result
"""


def library(bench: Bench) -> Path:
    folder = Path(bench.home, "site", "doubling")
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(LIBRARY)
    return folder / "__init__.py"


async def test_a_package_that_is_only_there_is_read_from_there_with_its_line(bench: Bench) -> None:
    there = library(bench)
    bench.write("main.py", "import doubling\nprint(doubling.twice(4))\nprint(doubling.twice(5))\n")
    path = str(there.parent.parent)
    session = await bench.start(just_my_code=False, env={"PYTHONPATH": path})
    async with DapClient.connected(session.port) as client:
        await client.stop_at(str(bench.here / "main.py"), 2)
        await client.ask("stepIn", threadId=1)
        frame = (await client.stack(2))[0]
        source = frame["source"]
        assert (source["path"], frame["line"]) == (str(there), 4)
        asked = {"source": source, "sourceReference": source["sourceReference"]}
        found = await client.ask("source", **asked)
        assert found["content"] == LIBRARY
        assert found["mimeType"] == "text/x-python"
        # What was read once is not asked for again.
        there.write_text("# something else\n")
        assert await client.ask("source", **asked) == found
        there.write_text(LIBRARY)
        # And what is shown can have breakpoints.
        set_ = await client.ask("setBreakpoints", source=source, breakpoints=[{"line": 5}])
        assert set_["breakpoints"][0]["verified"]
        await client.ask("continue", threadId=1)
        frame = (await client.stack(3))[0]
        assert (frame["source"]["path"], frame["line"]) == (str(there), 5)
        assert (await client.variables(frame))["result"] == "8"


async def test_code_that_is_in_no_file_shows_its_lines_where_python_has_them(bench: Bench) -> None:
    # As IPython does it for the cells of a notebook.
    bench.write(
        "main.py",
        "import linecache\n"
        "text = 'def cell(value):\\n    inner = value + 1\\n    return inner\\n'\n"
        "name = '<ipython-input-1-abc>'\n"
        "linecache.cache[name] = (len(text), None, text.splitlines(True), name)\n"
        "exec(compile(text, name, 'exec'))\n"
        "import model\n"
        "exec(compile('def bare(value):\\n    return model.score(value)\\n', '<string>', 'exec'))\n"
        "print(cell(1))\n"
        "print(bare(2))\n",
    )
    session = await bench.start(just_my_code=False)
    async with DapClient.connected(session.port) as client:
        await client.stop_at(str(bench.here / "main.py"), 8)
        await client.ask("stepIn", threadId=1)
        frame = (await client.stack(2))[0]
        assert (frame["name"], frame["line"]) == ("cell", 2)
        source = frame["source"]
        found = await client.ask("source", source=source, sourceReference=source["sourceReference"])
        assert found["content"].splitlines()[1] == "    inner = value + 1"
        model = {"path": str(bench.here / "model.py")}
        await client.ask("setBreakpoints", source=model, breakpoints=[{"line": 2}])
        await client.ask("continue", threadId=1)
        bare = (await client.stack(3))[1]
        assert (bare["name"], bare["line"], bare["source"]["path"]) == ("bare", 2, "<string>")
        # Nobody has that text, and that is said.
        number = bare["source"]["sourceReference"]
        with pytest.raises(DapFailure, match="source for <string>"):
            await client.ask("source", source=bare["source"], sourceReference=number)


def asks(number: int, seq: int = 1, path: str = "/lib/x.py") -> Message:
    return dap.request("source", {"source": {"path": path, "sourceReference": number}}, seq=seq)


def test_texts_are_kept_up_to_a_limit_the_oldest_makes_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sources, "LIMIT", 10)
    kept = Sources()
    for number in (1, 2, 3):
        kept.asked(asks(number, seq=number))
        kept.told(dap.success(number, "source", {"content": "1234"}))
    assert [kept.answer(asks(number)) is not None for number in (1, 2, 3)] == [False, True, True]


def test_what_is_no_file_or_was_refused_is_not_kept() -> None:
    kept = Sources()
    kept.asked(asks(1, path="<ipython-input-1>"))
    told = kept.told(dap.success(1, "source", {"content": "x"}))
    assert told["body"]["mimeType"] == "text/x-python"
    kept.asked(asks(2))
    refused = dap.failure(1, "source", "no")
    assert kept.told(refused) == refused
    assert kept.answer(asks(1)) is None
    assert kept.answer(asks(2)) is None
