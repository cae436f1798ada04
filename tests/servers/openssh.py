"""Real sshd processes, each a child of the tests with a port, keys and a log of its own.

None needs root: an unprivileged sshd serves the user who runs it. HOME is set by `SetEnv`, so
that nothing there reads or writes the person's own home folder.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.servers.box import Box, Options
from tests.servers.keys import KeyFile, make_key
from tests.servers.loop_thread import LoopThread
from tests.servers.programs import need_program
from tests.servers.relay import Relay

# Where a privileged sshd insists on an empty folder for the part that has not signed in yet.
PRIVILEGE_SEPARATION = Path("/run/sshd")

START_TRIES = 5

NETCAT = Path(__file__).with_name("netcat.py")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Sshd:
    """One sshd, from its making until `close`.

    Args:
        options: further lines of its configuration.
        prefix: a program and its arguments that run sshd, such as one that enters a namespace.
    """

    def __init__(
        self,
        folder: Path,
        home: Path,
        host_key: KeyFile,
        client_key: KeyFile,
        options: Sequence[str] = (),
        prefix: Sequence[str] = (),
    ) -> None:
        self._program = need_program("sshd")
        self._prefix = list(prefix)
        self._folder = folder
        self.log = folder / "sshd.log"
        if os.geteuid() == 0:
            PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        authorized = folder / "authorized_keys"
        authorized.write_text(client_key.public + "\n")
        path = ["/usr/local/bin", "/usr/bin", "/bin", os.path.dirname(sys.executable)]
        # A line that is given first wins, so a test's own come before these.
        self._lines = [
            *options,
            "ListenAddress 127.0.0.1",
            f"HostKey {host_key.path}",
            f"AuthorizedKeysFile {authorized}",
            "PidFile none",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            "LogLevel VERBOSE",
            "PrintMotd no",
            "MaxStartups 100",
            # sshd starts in the home folder of the password file, which is the person's own.
            'ForceCommand cd && eval "$SSH_ORIGINAL_COMMAND"',
            f'SetEnv "HOME={home}" "PATH={":".join(path)}" LANG=C.UTF-8',
        ]
        self.port = 0
        self._child = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        """A port found free may be taken a moment later: then another one is tried."""
        for _ in range(START_TRIES):
            self.port = free_port()
            config = self._folder / "sshd_config"
            config.write_text("\n".join([f"Port {self.port}", *self._lines]) + "\n")
            with self.log.open("ab") as log:
                child = subprocess.Popen(
                    [*self._prefix, self._program, "-D", "-e", "-f", str(config)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            if self._listens(child):
                return child
        raise RuntimeError(f"sshd does not start: {self.log.read_text()}")

    def _listens(self, child: subprocess.Popen[bytes]) -> bool:
        """sshd tells nobody when it is ready, so its port is tried until it answers."""
        deadline = time.monotonic() + 30
        while child.poll() is None and time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return True
            time.sleep(0.01)
        if child.poll() is None:
            child.kill()
            child.wait()
        return False

    def close(self) -> None:
        self._child.terminate()
        try:
            self._child.wait(10)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


class SshdBox(Box):
    """A remote machine served by OpenSSH, and a second sshd in front of it as a jump host.

    Further Hosts of its ssh_config: `jump`; `box-jumped` (ProxyJump jump); `box-piped`
    (ProxyCommand ssh -W %h:%p jump); `box-nc` (another ProxyCommand).
    """

    def __init__(self, thread: LoopThread, folder: Path) -> None:
        host_key, client_key = make_key(folder / "host_key"), make_key(folder / "client_key")
        home, jump_folder = folder / "home", folder / "jump"
        home.mkdir()
        jump_folder.mkdir()
        self.server = Sshd(folder, home, host_key, client_key)
        self.jump_key = make_key(jump_folder / "host_key")
        self.jump_server = Sshd(jump_folder, home, self.jump_key, client_key)
        self.jump_line = Relay(thread, ("127.0.0.1", self.jump_server.port))
        line = Relay(thread, ("127.0.0.1", self.server.port))
        super().__init__(folder, home, line, getpass.getuser(), host_key, client_key)

    def hosts(self) -> dict[str, Options]:
        box = self.options()
        jump: dict[str, str | int | Path | Sequence[str]] = {
            **box,
            "Port": self.jump_line.port,
        }
        ssh = f"ssh -F {self.ssh_config}"
        return {
            self.alias: box,
            "jump": jump,
            "box-jumped": {**box, "ProxyJump": "jump"},
            "box-piped": {**box, "ProxyCommand": f"{ssh} -W %h:%p jump"},
            "box-nc": {**box, "ProxyCommand": f"{sys.executable} {NETCAT} %h %p"},
        }

    def fresh(self) -> None:
        self.jump_line.flow()
        self.jump_line.cut()
        super().fresh()
        with self.known_hosts.open("a") as known:
            known.write(f"[127.0.0.1]:{self.jump_line.port} {self.jump_key.public}\n")

    def close(self) -> None:
        super().close()
        self.jump_line.close()
        self.jump_server.close()
        self.server.close()


class AccountBox(Box):
    """A real sshd with PAM and an account of its own that has a password.

    The account exists in a mount namespace of this sshd alone; nothing on the machine changes.
    That takes root, and skips where even root may not make one.
    """

    user_name = "tester"
    password = "open sesame"  # not a secret
    _HASH = (
        "$6$sidecar$Jodu1Ld/Iv41hyl6pwpTB2LCLwbhaRDBXGxBZ9."
        "pZgBnn6nxbIOaz35cUTZ6NENCnzqMp6XG0J5PJ2tBzCKj71"
    )
    _UID, _GID = 61234, 65534

    def __init__(self, thread: LoopThread, options: Sequence[str]) -> None:
        unshare = need_program("unshare")
        if os.geteuid() != 0 or subprocess.run([*self._namespace(unshare), "true"]).returncode:
            pytest.skip("only on machines where the tests may make mount namespaces")
        # Outside of pytest's folders, which only their owner may enter.
        self._root = Path(tempfile.mkdtemp(prefix="sidecar-account-"))
        self._root.chmod(0o711)
        home = self._root / "home"
        home.mkdir()
        os.chown(home, self._UID, self._GID)
        accounts = Path("/etc/passwd").read_text()
        passwd, shadow = self._root / "passwd", self._root / "shadow"
        passwd.write_text(f"{accounts}{self.user_name}:x:{self._UID}:{self._GID}::{home}:/bin/sh\n")
        shadow.write_text(f"{self.user_name}:{self._HASH}:20000::::::\n")
        shadow.chmod(0o600)
        bind = (
            'mount --bind "$1" /etc/passwd && mount --bind "$2" /etc/shadow && shift 2 && exec "$@"'
        )
        host_key, client_key = (
            make_key(self._root / "host_key"),
            make_key(self._root / "client_key"),
        )
        self.server = Sshd(
            self._root,
            home,
            host_key,
            client_key,
            ["UsePAM yes", "PubkeyAuthentication no", *options],
            [*self._namespace(unshare), "sh", "-c", bind, "sh", str(passwd), str(shadow)],
        )
        line = Relay(thread, ("127.0.0.1", self.server.port))
        super().__init__(self._root, home, line, self.user_name, host_key, client_key)

    @staticmethod
    def _namespace(unshare: str) -> list[str]:
        return [unshare, "--mount", "--propagation", "private"]

    def close(self) -> None:
        super().close()
        self.server.close()
        shutil.rmtree(self._root)
