from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.pytest_report import MAX_SILENT, MAX_TESTS
from sidecar.core.tracebacks import (
    MAX_CALLS,
    MAX_FOUND,
    MAX_PREFIXES,
    Call,
    Traceback,
    TracebackParser,
)
from tests.core.test_pytest_report import REPORT

PLAIN = b"""\
epoch 1
Traceback (most recent call last):
  File "/r/train.py", line 9, in <module>
    main()
    ~~~~^^
  File "/r/lib/model.py", line 4, in fit
    raise ValueError("bad shape")
ValueError: bad shape
"""
PLAIN_RESULT = Traceback(
    [Call("/r/train.py", 9, "<module>"), Call("/r/lib/model.py", 4, "fit")],
    "ValueError: bad shape",
)

CHAINED = (
    b"""\
Traceback (most recent call last):
  File "/r/a.py", line 1, in f
    {}["x"]
KeyError: 'x'

During handling of the above exception, another exception occurred:

"""
    + PLAIN
)

GROUP = b"""\
  + Exception Group Traceback (most recent call last):
  |   File "/r/g.py", line 5, in <module>
  |     raise ExceptionGroup("two", errors)
  | ExceptionGroup: two (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/r/g.py", line 2, in one
    |     raise ValueError(1)
    | ValueError: 1
    +---------------- 2 ----------------
    | TypeError: 2
    +------------------------------------
"""
GROUP_RESULT = Traceback([Call("/r/g.py", 5, "<module>")], "ExceptionGroup: two (2 sub-exceptions)")

SYNTAX = b"""\
  File "/r/s.py", line 3
    def (
        ^
SyntaxError: invalid syntax
"""
SYNTAX_RESULT = Traceback([Call("/r/s.py", 3, "")], "SyntaxError: invalid syntax")

PREFIXED = b"".join(b"[rank0]: " + line for line in PLAIN.splitlines(keepends=True))
BEHIND_A_BAR = PLAIN.replace(b"Traceback", b" 50%|####      | 5/10 Traceback")
COLOURED = PLAIN.replace(b'"/r/train.py"', b'\x1b[35m"/r/train.py"\x1b[0m').replace(
    b"ValueError: bad", b"\x1b[1;35mValueError\x1b[0m: bad"
)
TERMINAL = PLAIN.replace(b"\n", b"\r\n")

TABLE = [
    (PLAIN, PLAIN_RESULT),
    (PLAIN.rstrip(b"\n"), PLAIN_RESULT),
    (PLAIN + b"cleaning up\n" * 50, PLAIN_RESULT),
    (CHAINED, PLAIN_RESULT),
    (GROUP, GROUP_RESULT),
    (GROUP + PLAIN, PLAIN_RESULT),
    (SYNTAX, SYNTAX_RESULT),
    (PREFIXED, PLAIN_RESULT),
    (BEHIND_A_BAR, PLAIN_RESULT),
    (COLOURED, PLAIN_RESULT),
    (TERMINAL, PLAIN_RESULT),
    (b"", None),
    (b'  File "/r/x.py", line 3\nnothing wrong with it\n', None),
    (b"Traceback (most recent call last):\n" + b"!!\n" * 50 + b"ValueError: far away\n", None),
    (
        b"Traceback (most recent call last):\nKeyboardInterrupt\n",
        Traceback([], "KeyboardInterrupt"),
    ),
]


def all_parsed(*pieces: bytes) -> list[Traceback]:
    parser = TracebackParser()
    for piece in pieces:
        parser.feed(piece)
    return parser.results()


def parsed(*pieces: bytes) -> Traceback | None:
    """The last that ended something, but for its message."""
    parser = TracebackParser()
    for piece in pieces:
        parser.feed(piece)
    found = parser.result()
    return found and found._replace(message="")


@pytest.mark.parametrize(("output", "expected"), TABLE)
def test_each_form_of_a_traceback_is_found(output: bytes, expected: Traceback | None) -> None:
    assert parsed(output) == expected
    assert parsed(*(output[at : at + 1] for at in range(len(output)))) == expected


def brief(found: list[Traceback]) -> list[tuple[str, str, int]]:
    return [(one.kind, one.error, one.calls[-1].line if one.calls else 0) for one in found]


def prefixed(text: bytes, prefix: bytes) -> list[bytes]:
    return [prefix + line for line in text.splitlines(keepends=True)]


NOTED = b"""\
Traceback (most recent call last):
  File "/r/a.py", line 4, in <module>
    raise error
ValueError: first

second
a note
"""

GROUP_BEFORE_3_13 = b"""\
  + Exception Group Traceback (most recent call last):
  |   File "/r/g.py", line 9, in <module>
  |     raise ExceptionGroup("two", errors)
  | ExceptionGroup: two (3 sub-exceptions)
  | a note
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/r/g.py", line 2, in one
    |     raise ValueError("a\\nb")
    | ValueError: a
b
    |
    | During handling of the above exception, another exception occurred:
    |
    | Traceback (most recent call last):
    |   File "/r/g.py", line 4, in two
    | KeyError: 'k'
    +---------------- 2 ----------------
    | TypeError: 2
    +---------------- 3 ----------------
    | ExceptionGroup: inner (1 sub-exception)
    +-+---------------- 1 ----------------
      | OSError: 1
      +------------------------------------
done
"""


def test_a_message_has_all_its_lines_and_its_notes() -> None:
    (found,) = all_parsed(NOTED)
    assert (found.error, found.message) == (
        "ValueError: first",
        "ValueError: first\nsecond\na note",
    )
    (found,) = all_parsed(NOTED.replace(b"\n", b"\r\n"))
    assert found.message == "ValueError: first\nsecond\na note"


def test_what_a_program_prints_behind_a_traceback_is_not_its_message() -> None:
    (found,) = all_parsed(NOTED + b"epoch\n" * 50)
    assert found.message == "ValueError: first"


def test_what_led_to_an_exception_and_what_a_group_holds_are_told_apart() -> None:
    assert brief(all_parsed(CHAINED)) == [
        ("chained", "KeyError: 'x'", 1),
        ("", "ValueError: bad shape", 4),
    ]
    found = all_parsed(GROUP_BEFORE_3_13 + PLAIN)
    assert brief(found) == [
        ("", "ExceptionGroup: two (3 sub-exceptions)", 9),
        ("chained", "ValueError: a", 2),
        ("inside", "KeyError: 'k'", 4),
        ("inside", "TypeError: 2", 0),
        ("inside", "ExceptionGroup: inner (1 sub-exception)", 0),
        ("inside", "OSError: 1", 0),
        ("", "ValueError: bad shape", 4),
    ]
    assert found[0].message == "ExceptionGroup: two (3 sub-exceptions)\na note"
    assert found[1].message == "ValueError: a\nb"


@pytest.mark.parametrize(
    "prefix", [b"[rank%d]: ", b"[default%d]:", b"[1,%d]<stderr>:", b"(train pid=%d) ", b"%d: "]
)
def test_the_tracebacks_of_several_ranks_are_read_though_their_lines_are_mixed(
    prefix: bytes,
) -> None:
    other = PLAIN.replace(b"bad shape", b"no memory").replace(b"line 4", b"line 5")
    ranks = [prefixed(PLAIN, prefix % 0), prefixed(other, prefix % 1)]
    mixed = b"".join(line for pair in zip(*ranks, strict=True) for line in pair)
    assert brief(all_parsed(mixed)) == [
        ("", "ValueError: bad shape", 4),
        ("", "ValueError: no memory", 5),
    ]
    # A rank whose prefix begins another's.
    ranks = [prefixed(PLAIN, b"[1]: "), prefixed(other, b"[1]: [2]: ")]
    assert len(all_parsed(b"".join(line for rank in ranks for line in rank))) == 2


def test_the_traceback_of_a_worker_is_behind_the_one_that_tells_of_it() -> None:
    output = PLAIN.replace(b"bad shape", b"Caught ValueError in worker 0.") + PLAIN.replace(
        b"Traceback", b"Original Traceback"
    )
    assert [error for _, error, _ in brief(all_parsed(output))] == [
        "ValueError: Caught ValueError in worker 0.",
        "ValueError: bad shape",
    ]


def test_what_python_ignored_ended_nothing() -> None:
    ignored = b"Exception ignored in: <function A.__del__ at 0x7f>\n" + PLAIN
    assert brief(all_parsed(ignored)) == [("ignored", "ValueError: bad shape", 4)]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"/usr/bin/python3: No module named pytest\n", "No module named pytest"),
        (
            b"/usr/bin/python3.12: can't open file '/r/x.py': [Errno 2] No such file\n",
            "can't open file '/r/x.py': [Errno 2] No such file",
        ),
    ],
)
def test_what_an_interpreter_says_of_itself_counts(line: bytes, error: str) -> None:
    assert parsed(line) == Traceback([], error)


@pytest.mark.parametrize(
    "begun",
    [
        PLAIN[: PLAIN.index(b"ValueError")],
        GROUP_BEFORE_3_13[: GROUP_BEFORE_3_13.index(b"    | ValueError")],
        GROUP_BEFORE_3_13[: GROUP_BEFORE_3_13.index(b"b\n")],
        REPORT[: REPORT.index(b"lib.py")],
    ],
)
def test_what_never_ends_is_given_up(begun: bytes) -> None:
    parser = TracebackParser()
    parser.feed(begun)
    assert not parser._idle
    parser.feed(b"   more and more\n" * (MAX_SILENT + 1))
    assert parser._idle
    parser.feed(PLAIN)
    assert [one.error for one in parser.results()][-1] == "ValueError: bad shape"


def test_only_so_many_are_kept() -> None:
    many = b"".join(PLAIN.replace(b"bad shape", b"%d" % n) for n in range(MAX_FOUND + 10))
    found = all_parsed(many)
    assert len(found) == MAX_FOUND
    assert found[-1].error == f"ValueError: {MAX_FOUND + 9}"
    parser = TracebackParser()
    for number in range(1000):
        parser.feed(b"[rank%d]: Traceback (most recent call last):\n" % number)
    assert len(parser._readers) == MAX_PREFIXES


LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                line
                for output in [*(one for one, _ in TABLE), NOTED, GROUP_BEFORE_3_13, REPORT]
                for line in output.splitlines(keepends=True)
            ]
        ),
        st.binary(max_size=30),
        st.integers(0, 3).map(lambda n: b"x" * (n * 5000)),
    ),
    max_size=40,
)


@given(LINES, st.lists(st.integers(0, 20000), max_size=12))
def test_what_is_found_does_not_depend_on_where_the_output_was_cut(
    lines: list[bytes], cuts: list[int]
) -> None:
    output = b"".join(lines)
    whole = all_parsed(output)
    at = [0, *sorted(min(cut, len(output)) for cut in cuts), len(output)]
    pieces = [output[start:end] for start, end in itertools.pairwise(at)]
    assert all_parsed(*pieces) == whole
    assert len(whole) <= MAX_FOUND + MAX_TESTS


def test_a_deep_recursion_keeps_its_outer_and_its_inner_calls() -> None:
    calls = b"".join(b'  File "/r/x.py", line %d, in f\n    f()\n' % n for n in range(1, 1001))
    found = parsed(b"Traceback (most recent call last):\n" + calls + b"RecursionError: deep\n")
    assert found is not None
    assert len(found.calls) == MAX_CALLS
    assert found.calls[0].line == 1
    assert found.calls[-1].line == 1000


@pytest.mark.parametrize(
    "program",
    [
        "def f():\n    raise ValueError('first\\nsecond')\nf()\n",
        "try:\n    1/0\nexcept ZeroDivisionError as e:\n    raise ValueError('first') from e\n",
        "def f():\n    assert False, 'x'\nf()\n",
        "import json\njson.loads('{')\n",
        "x = (\n",
        "if True:\nx = 1\n",
    ],
)
def test_what_this_python_prints_is_understood(tmp_path: Path, program: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(program)
    output = subprocess.run([sys.executable, str(script)], capture_output=True).stderr
    found = parsed(output)
    assert found is not None
    assert found.calls[0].file == str(script)
    assert all_parsed(*(output[at : at + 1] for at in range(len(output)))) == all_parsed(output)
    assert "Error" in found.error
