from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.tracebacks import MAX_CALLS, Call, Traceback, TracebackParser

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


def parsed(*pieces: bytes) -> Traceback | None:
    parser = TracebackParser()
    for piece in pieces:
        parser.feed(piece)
    return parser.result()


@pytest.mark.parametrize(("output", "expected"), TABLE)
def test_each_form_of_a_traceback_is_found(output: bytes, expected: Traceback | None) -> None:
    assert parsed(output) == expected
    assert parsed(*(output[at : at + 1] for at in range(len(output)))) == expected


LINES = st.lists(
    st.one_of(
        st.sampled_from([line for output, _ in TABLE for line in output.splitlines(keepends=True)]),
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
    at = [0, *sorted(min(cut, len(output)) for cut in cuts), len(output)]
    pieces = [output[start:end] for start, end in itertools.pairwise(at)]
    assert parsed(*pieces) == parsed(output)


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
    assert "Error" in found.error
