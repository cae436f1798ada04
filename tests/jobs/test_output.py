from __future__ import annotations

from pathlib import Path

import pytest

from sidecar import api
from sidecar.core import messages as m
from sidecar.core.pathmap import PathMap
from sidecar.errors import RemoteError
from sidecar.jobs import listing
from sidecar.jobs.output import OutputReader, signal_name, to_text

TRACEBACK = b"""\
Traceback (most recent call last):
  File "/r/p/a.py", line 3, in <module>
    f()
  File "/usr/lib/python3/json.py", line 9, in loads
    raise ValueError
ValueError
"""


def reader() -> OutputReader:
    return OutputReader("j", "box", PathMap(["/home/me/p"], ["/r/p"]))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", ("", "utf-8")),
        ("é漢".encode(), ("é漢", "utf-8")),
        (b"\0\x1b[0m", ("\0\x1b[0m", "utf-8")),
        (b"\xe9", ("6Q==", "base64")),
        ("漢".encode()[:2], ("5rw=", "base64")),
        (b"\xed\xa0\x80", ("7aCA", "base64")),
    ],
)
def test_data_is_text_where_all_of_it_is_and_base64_else(
    data: bytes, expected: tuple[str, str]
) -> None:
    assert to_text(data) == expected


def test_a_part_keeps_its_offsets_and_its_stream() -> None:
    assert reader().output(m.Output("j", 5, 12, 2, b"hi")) == api.Output(
        job="j", offset=5, end=12, stream="stderr", data="hi", encoding="utf-8"
    )


@pytest.mark.parametrize("stream", [1, 2])
def test_a_failed_program_ends_with_its_traceback(stream: int) -> None:
    one = reader()
    cut = 60
    one.output(m.Output("j", 0, 70, stream, TRACEBACK[:cut]))
    one.output(m.Output("j", 70, 300, stream, TRACEBACK[cut:]))
    one.output(m.Output("j", 0, 70, stream, TRACEBACK[:cut]))  # again, for a late viewer
    end = one.exited(m.Exited("j", 1))
    assert end.error == "ValueError"
    assert end.frames == [
        api.Frame(path="/home/me/p/a.py", line=3, name="<module>", local=True),
        api.Frame(path="/usr/lib/python3/json.py", line=9, name="loads", local=False),
    ]


def test_a_traceback_that_a_program_survived_is_not_told() -> None:
    one = reader()
    one.output(m.Output("j", 0, 300, 2, TRACEBACK))
    assert one.exited(m.Exited("j", 0)) == api.Exited(job="j", host="box", status=0)


def test_ends_by_a_signal_and_unknown_ends() -> None:
    killed = reader().exited(m.Exited("j", -9))
    assert (killed.status, killed.signal) == (-1, "KILL")
    lost = reader().exited(m.Exited("j", 0, "nobody knows"))
    assert (lost.status, lost.why) == (-1, "nobody knows")
    assert signal_name(40) == "40"


def test_a_listed_job_is_told_as_editors_want_it() -> None:
    body = (
        b'[{"id":"j","argv":["python","a b.py"],"cwd":"/","state":"elsewhere","started":0,'
        b'"status":null,"record":{"tree":"t","commit":"c","dirty":"3"},"later":[1]},'
        b'{"id":"k","argv":["x"],"cwd":"/","state":"exited","started":1,"status":-15}]'
    )
    first, second = (listing.describe(one, "gpu1") for one in listing.decode(body))
    assert first == api.Job(
        id="j", host="gpu1", command="python 'a b.py'", state="running",
        started="1970-01-01T00:00:00+00:00", tree="t", commit="c", dirty=3, elsewhere=True,
    )  # fmt: skip
    assert (second.state, second.exit_status, second.signal) == ("exited", -1, "TERM")


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b'[{"id":1}]', b"\xff"])
def test_a_list_that_is_none_is_an_error_of_the_remote(body: bytes) -> None:
    with pytest.raises(RemoteError):
        listing.decode(body)


@pytest.mark.parametrize("started", ["1e300", "-1e300", "1e17"])
def test_a_job_with_an_impossible_record_does_not_hide_the_others(started: str) -> None:
    body = '[{"id":"a","argv":[],"cwd":"/","state":"exited","started":%s,"record":{"dirty":"%s"}}]'
    (one,) = listing.decode((body % (started, "9" * 5000)).encode())
    job = listing.describe(one, "gpu1")
    assert (job.id, job.started, job.dirty) == ("a", "", 0)


def test_names_relative_to_where_it_ran_are_files_here_if_they_exist(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "a.py").write_text("")
    one = OutputReader("j", "box", PathMap([str(tmp_path)], ["/r/p"]), "/r/p/tests")
    for at, name in enumerate((b"a.py", b"<string>", b"b.py", b"../../x.py")):
        text = b'Traceback (most recent call last):\n  File "%s", line 1, in f\nValueError\n' % name
        one.output(m.Output("j", at, at + 1, 2, text))
    found = one.exited(m.Exited("j", 1)).failures
    assert [failure.frames[0].path for failure in found][1:] == ["<string>", "b.py", "../../x.py"]
    assert found[0].frames == [
        api.Frame(path=str(tmp_path / "tests" / "a.py"), line=1, name="f", local=True)
    ]


def test_the_projects_own_failure_is_the_one_that_counts() -> None:
    """torchrun tells last that a rank failed, in a traceback through its own code."""
    one = reader()
    launcher = TRACEBACK.replace(b"/r/p/a.py", b"/env/torch/run.py").replace(
        b"\nValueError", b"\nChildFailedError"
    )
    ranks = b"".join(b"[rank0]: " + line for line in TRACEBACK.splitlines(keepends=True))
    one.output(m.Output("j", 0, 999, 2, ranks + launcher))
    end = one.exited(m.Exited("j", 1))
    assert end.error == "ValueError"
    assert [failure.error for failure in end.failures] == ["ValueError", "ChildFailedError"]
