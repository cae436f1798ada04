"""Where a key stands, in files as people write them."""

from __future__ import annotations

import pytest

from sidecar.config.lines import line_of

TEXT = '''\
# a comment = with an equals sign
host = "a"

[hosts.gpu1]           # the big one
setup = """
path = "not here"
[sync]
"""
path = "~/x"
forward = [
  6006,   # path = 3
  "9000:127.0.0.1:9001",
]
git = true

[hosts."odd.name"]
ssh = 'x'
[[other.list]]
mode = "not here"
[sync]
mode = "push"
hosts.x.path = "no"
'''


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("host", 2),
        ("hosts gpu1", 4),
        ("hosts gpu1 setup", 5),
        ("hosts gpu1 path", 9),
        ("hosts gpu1 forward", 10),
        ("hosts gpu1 git", 14),
        ("hosts odd.name ssh", 17),
        ("sync mode", 21),
        ("hosts gpu1 absent", 4),
        ("absent", 0),
    ],
)
def test_a_key_is_found_at_its_line_or_its_tables(key: str, line: int) -> None:
    assert line_of(TEXT, key.split()) == line
