"""The socket at which a supervisor is reached, and the agents that have come in by it.

Words are few and short (control.py), and nothing here waits: who lets the kernel's buffer fill up
does not listen, and is let go of.
"""

import os
import selectors
import socket
from typing import Any, Callable, Dict, List, Optional

from sidecar.agent.supervisor import control
from sidecar.core import frames

READ = 1 << 16


class Visitor:
    """One agent on the socket. `watches`: the offset of the log beyond which it wants to be woken;
    `wants_taken`: it sent input, and is to hear when the job has it."""

    def __init__(self, accepted: socket.socket) -> None:
        self.socket = accepted
        self.decoder = frames.FrameDecoder()
        self.watches: Optional[int] = None
        self.wants_taken = False


class Doorway:
    """Open until `close`.

    Args:
        name: the socket's, which is short whatever the job is called.
        on_visitor: somebody came in.
        on_leave: somebody has gone.
        on_word: somebody said something; TypeError, ValueError, IndexError from it: with values
            that make no sense, so that nothing further is heard from there.
    Raises:
        OSError, control.ControlError: no socket can be made.
    """

    def __init__(
        self,
        selector: selectors.BaseSelector,
        name: str,
        on_visitor: Callable[[Visitor], None],
        on_word: Callable[[Visitor, control.Word], None],
        on_leave: Callable[[Visitor], None],
    ) -> None:
        self._selector, self._name = selector, name
        self._on_visitor, self._on_word, self._on_leave = on_visitor, on_word, on_leave
        self._visitors: Dict[socket.socket, Visitor] = {}
        self.path = self._bind()

    @property
    def visitors(self) -> List[Visitor]:
        return list(self._visitors.values())

    def restore(self) -> bool:
        """Makes the socket again where somebody has cleared it away; whether that was so. The
        folder in $XDG_RUNTIME_DIR goes when the user's last login ends, and the job must stay
        reachable. Where it cannot be made, the next call tries again."""
        if os.path.lexists(self.path):
            return False
        deaf = self._listener
        try:
            self.path = self._bind()
        except (OSError, control.ControlError):
            return False
        self._selector.unregister(deaf)
        deaf.close()
        return True

    def say(self, visitor: Visitor, name: str, *values: Any) -> None:
        data = control.encode(name, *values)
        try:
            if visitor.socket.send(data) == len(data):
                return
        except OSError:
            pass  # gone, or deaf: both end here
        self.drop(visitor)

    def drop(self, visitor: Visitor) -> None:
        if self._visitors.pop(visitor.socket, None) is not None:
            self._selector.unregister(visitor.socket)
            visitor.socket.close()
            self._on_leave(visitor)

    def close(self) -> None:
        for visitor in self.visitors:
            self.drop(visitor)
        self._listener.close()
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass  # cleared away by the system

    def _bind(self) -> str:
        folder = control.runtime_folder(dict(os.environ))
        path = control.socket_path(folder, self._name)
        self._listener = control.listen(path)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        return path

    def _accept(self) -> None:
        try:
            accepted, _ = self._listener.accept()
        except OSError:
            return  # it went away before we came
        try:
            control.check_peer(accepted)
        except control.ControlError:
            accepted.close()
            return
        accepted.setblocking(False)
        visitor = self._visitors[accepted] = Visitor(accepted)
        self._selector.register(accepted, selectors.EVENT_READ, lambda: self._hear(visitor))
        self._on_visitor(visitor)

    def _hear(self, visitor: Visitor) -> None:
        try:
            data = visitor.socket.recv(READ)
            words = [control.decode(frame) for frame in visitor.decoder.feed(data)]
        except BlockingIOError:
            return
        except (OSError, frames.FrameError, control.ControlError):
            data = b""
        if not data:
            self.drop(visitor)
            return
        for word in words:
            try:
                self._on_word(visitor, word)
            except (TypeError, ValueError, IndexError):
                self.drop(visitor)
                return
