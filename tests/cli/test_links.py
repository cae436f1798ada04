from __future__ import annotations

import itertools
import re
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.cli.links import MAX_PATH, Folder, Linker
from tests.cli.person import TerminalSession
from tests.hub.laptop import Laptop
from tests.servers.box import Box

LINK = re.compile(rb"\x1b\]8;;([^\x1b]*)\x1b\\")
HOST = socket.gethostname()
FOLDERS = [Folder("/home/ada/my model", "/srv/model"), Folder("/home/ada/my model", "/jobs/7")]

PLAIN = b'  File "/srv/model/train.py", line 31, in <module>\n'
COLOURED = (
    b'  File \x1b[35m"/srv/model/train.py"\x1b[0m, line \x1b[35m31\x1b[0m, in \x1b[35mf\x1b[0m\r\n'
)
QUOTED_COLOUR = b'  File "\x1b[35m/srv/model/train.py\x1b[0m", line \x1b[35m31\x1b[0m, in f\r\n'
FROZEN = PLAIN.replace(b"/srv/model", b"/jobs/7")
RANK = b"[rank0]: " + PLAIN
PYTEST = b"sub/test_x.py:5: AssertionError\n"
REDDISH = b"\x1b[1m\x1b[31msub/test_x.py\x1b[0m:5: AssertionError\r\n"
SYNTAX = b'  File "/srv/model/train.py", line 3\n'

URI = f"file://{HOST}/home/ada/my%20model/train.py#31".encode()


def linker(is_file: bool = True) -> Linker:
    return Linker(FOLDERS, "/srv/model", lambda path: is_file)


def shown(*pieces: bytes, one: Linker | None = None) -> bytes:
    one = one or linker()
    return b"".join(one.feed(piece) for piece in pieces) + one.flush()


def links(text: bytes) -> list[bytes]:
    return [uri for uri in LINK.findall(text) if uri]


@pytest.mark.parametrize("line", [PLAIN, COLOURED, QUOTED_COLOUR, FROZEN, RANK])
def test_a_place_of_a_traceback_leads_to_the_file_here(line: bytes) -> None:
    text = shown(b"before\n" + line + b"    main()\n")
    assert links(text) == [URI]
    assert LINK.sub(b"", text) == b"before\n" + line + b"    main()\n"
    assert links(shown(*(line[at : at + 1] for at in range(len(line))))) == [URI]


def test_the_link_is_the_path_and_its_line() -> None:
    assert shown(PLAIN) == (
        b'  File "\x1b]8;;' + URI + b'\x1b\\/srv/model/train.py", line 31\x1b]8;;\x1b\\,'
        b" in <module>\n"
    )


@pytest.mark.parametrize("line", [PYTEST, REDDISH])
def test_pytests_places_are_relative_to_where_it_runs(line: bytes) -> None:
    expected = f"file://{HOST}/home/ada/my%20model/sub/test_x.py#5".encode()
    assert links(shown(line)) == [expected]
    assert links(shown(b"x\n", line)) == [expected]
    assert links(shown(b"see " + line)) == []


@pytest.mark.parametrize(
    "line",
    [
        PLAIN.replace(b"/srv/model", b"/usr/lib"),
        PLAIN.replace(b"/srv/model", b"/srv/model/../other"),
        PLAIN.replace(b"/srv/model", b"/srv/models"),
        PLAIN.replace(b"train", b"x" * (MAX_PATH + 1)),
        b'File "\xff\xfe", line 3\n',
        b'File "train.py" is missing\n',
        b'  File "<stdin>", line 1 in\n',
    ],
)
def test_what_is_no_file_of_the_project_leads_nowhere(line: bytes) -> None:
    there = Linker(FOLDERS, "/srv/model", lambda path: "<" not in path)
    assert shown(line, one=there) == line
    assert shown(PLAIN, one=linker(is_file=False)) == PLAIN


def test_the_alternate_screen_is_left_alone() -> None:
    for on, off in ((b"\x1b[?1049h", b"\x1b[?1049l"), (b"\x1b[?47h", b"\x1b[?47l")):
        text = shown(on + PLAIN, PLAIN, off + PLAIN)
        assert text.startswith(on + PLAIN + PLAIN + off)
        assert len(links(text)) == 1
        split = shown(on[:4], on[4:], PLAIN, off[:3], off[3:], PLAIN)
        assert len(links(split)) == 1


def test_a_link_of_the_programs_own_is_left_alone() -> None:
    own = b"\x1b]8;id=1;https://x\x1b\\" + PLAIN + b"\x1b]8;;\x07"
    assert shown(own) == own
    assert links(shown(own + PLAIN)) == [URI]


def test_only_what_may_become_a_link_is_held_back() -> None:
    one = linker()
    assert one.feed(b"name? ") == b"name? "
    assert one.feed(b"File ") == b"File "
    assert not one.holds
    assert one.feed(b'"/srv/mo') == b""
    assert one.holds
    assert one.flush() == b'"/srv/mo'
    assert not one.holds
    assert one.feed(b'del/train.py", line 31\n') == b'del/train.py", line 31\n'
    assert one.feed(b'File "' + b"x" * 5000) == b'File "' + b"x" * 5000


PIECES = st.lists(
    st.one_of(
        st.sampled_from(
            [PLAIN, COLOURED, QUOTED_COLOUR, RANK, PYTEST, REDDISH, SYNTAX, b"\x1b[?1049h",
             b"\x1b[?1049l", b"\x1b]8;;https://x\x1b\\", b"\x1b]8;;\x1b\\", b'File "', b", line 3"]
        ),
        st.binary(max_size=40),
    ),
    max_size=20,
)  # fmt: skip


@given(PIECES, st.lists(st.integers(0, 600), max_size=20), st.integers(0, 5))
def test_no_byte_is_changed_wherever_the_output_is_cut(
    pieces: list[bytes], cuts: list[int], flushed: int
) -> None:
    data = b"".join(pieces)
    at = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    one, text = linker(), b""
    for number, (start, end) in enumerate(itertools.pairwise(at)):
        text += one.feed(data[start:end])
        if number % 5 == flushed:
            text += one.flush()
    text += one.flush()
    ours = re.compile(
        rb"\x1b\]8;;file://" + re.escape(HOST.encode()) + rb"[^\x1b]*\x1b\\(.*?)\x1b\]8;;\x1b\\",
        re.DOTALL,
    )
    assert ours.sub(rb"\1", text) == data


SCRIPT = "import os, sys\ndef f():\n    raise ValueError('no')\nprint('begun')\nf()\n"


def test_a_traceback_on_a_terminal_leads_to_the_file_here(
    nearby: Laptop, embedded: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    script = nearby.write("train.py", SCRIPT)
    there = f"{embedded.home}/model/train.py"
    person = TerminalSession(nearby, "run", "train.py")
    person.expect("begun\r\n")
    assert person.wait() == 1
    for line in (5, 3):
        link = f'\x1b]8;;file://{HOST}{script}#{line}\x1b\\{there}", line {line}\x1b]8;;\x1b\\,'
        assert link in re.sub(r"\x1b\[[0-9;]*m", "", person.text)
    piped = nearby.sidecar("run", "train.py")
    assert f'File "{there}", line 5, in <module>\n' in piped.stderr
    assert "\x1b]8" not in piped.stderr


@pytest.mark.parametrize(
    ("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb"), ("SIDECAR_LINKS", "false")]
)
def test_links_can_be_switched_off(
    nearby: Laptop, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv(variable, value)
    nearby.write("train.py", SCRIPT)
    person = TerminalSession(nearby, "run", "train.py")
    assert person.wait() == 1
    assert "ValueError" in person.text
    assert "\x1b]8" not in person.text


def test_a_program_that_stops_within_a_line_is_shown_all_the_same(
    nearby: Laptop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    nearby.write("ask.py", "x = input('  File \"/x')\nprint('got', x)\n")
    person = TerminalSession(nearby, "run", "ask.py")
    person.expect('File "/x', "yes\n")
    person.expect("got yes")
    assert person.wait() == 0
