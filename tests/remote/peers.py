"""Broken peers, each with the name of what is wrong with it."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.remote.local_transport import LocalTransport

HELLO = """
import json, os, signal, sys, time
from sidecar.agent.first import MARK, describe
from sidecar.core import frames, messages as m

def write(data):
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()

def hello(protocol=frames.VERSION):
    write(MARK + json.dumps(describe(protocol)).encode() + b"\\n")

def frame(message, lane=0):
    return frames.encode(m.encode(message, lane))
"""


class ScriptedPeer(LocalTransport):
    """In place of a login shell, a Python program that gets the command as its argument."""

    script = ""

    def __init__(self, home: Path) -> None:
        super().__init__(home, (sys.executable, "-c", HELLO + self.script))


class AgentThatDiesMidFrame(ScriptedPeer):
    script = """
hello()
write(frame(m.Pong(1, 1))[:7])
sys.stderr.write("out of memory\\n")
sys.exit(94)
"""


class AgentThatClosesItsInputAndCrashes(ScriptedPeer):
    script = """
hello()
os.close(0)
time.sleep(0.3)
sys.stderr.write("Traceback: no luck\\n")
sys.exit(94)
"""


class AgentThatTalksGarbage(ScriptedPeer):
    script = """
hello()
write(b"Segmentation fault (core dumped), or so\\n" * 10)
sys.stdin.buffer.read()
"""


class AgentThatSaysNothingMore(ScriptedPeer):
    script = "hello(); sys.stdin.buffer.read()"


class AgentThatKnowsNoWindow(ScriptedPeer):
    """It opens whatever stream is asked for, and sends on without being asked."""

    script = """
hello()
while True:
    for number in range(1, 10):
        write(frame(m.Connected(number, 1)) + frame(m.Data(number, 1, bytes(32768)), 2))
"""


class AgentOfAnotherVersion(ScriptedPeer):
    script = "hello(99); sys.stdin.buffer.read()"


class AgentThatReadsNothing(ScriptedPeer):
    script = "hello(); signal.pause()"


class AgentThatAcknowledgesTooMuch(ScriptedPeer):
    script = "hello(); write(frame(m.Ack(3, 1 << 40))); sys.stdin.buffer.read()"


class ShellThatIsNoShell(ScriptedPeer):
    """A menu that waits for a choice."""

    script = "write(b'Welcome! 1) mail 2) news\\n'); sys.stdin.buffer.read()"


class ShellThatPrintsForEver(ScriptedPeer):
    script = """
while True:
    write(b"maintenance on Sunday\\n" * 1000)
"""


class ShellThatRefuses(ScriptedPeer):
    script = "write(b'This account is \\x1b[1mnot available\\n'); sys.exit(1)"


class ShellThatPrintsABanner(LocalTransport):
    """Login files that talk: before the command, on both ways, without a newline at the end."""

    def __init__(self, home: Path) -> None:
        noise = 'echo "Welcome to gpu1"; echo warn >&2; printf "disk 91%% \\0\\1sidecar"; '
        super().__init__(home, ("/bin/sh", "-c", f'{noise}exec /bin/sh -c "$1"', "login"))
