"""Exit statuses of the agent's command: an interface, since they may be all that arrives.

They stay clear of what shells (126, 127, 128 + n), ssh (255) and `run` (125) use. What each means
to a person, and what to do, is said in remote/failures.py.
"""

ENDED = 0
"""The link was closed in order: `Bye`, or the end of stdin."""

NO_PYTHON = 90
"""The shell found no interpreter of a supported version."""

TOO_OLD = 91
"""The interpreter that the shell found first is older than 3.8."""

CUT_OFF = 92
"""Stdin ended before the agent's own code had arrived."""

PROTOCOL = 93
"""A frame or a message could not be read."""

CRASHED = 94
"""The agent's loop ended by an error of ours; its traceback is on stderr."""

UNHEARD = 95
"""Stdout broke: nobody reads us."""

QUIET = 96
"""Nothing came for so long that the other side must be gone."""
