"""A Slurm cluster of one node, on this machine: munged, slurmctld and slurmd as children of the
test's process, with every file, port and secret of their own.

`sbatch` must not be on the PATH of the tests: a machine that has it is a login node to the sidecar,
and no other test would run anything there. `.ci/run` puts it aside.
"""

from __future__ import annotations

import os
import select
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.programs import need_program

PATIENCE = 60.0

_CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmctldPort={controller}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
KillWait=2
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={node} CPUs=4 State=UNKNOWN
PartitionName=debug Nodes=n1 Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""


class Cluster:
    """Up when it is made.

    Attributes:
        conf: what SLURM_CONF is to be for its clients.
    """

    def __init__(self, folder: Path) -> None:
        for program in ("munged", "slurmctld", "slurmd", "srun"):
            need_program(program)
        if os.geteuid() != 0:
            pytest.skip("only on accounts that are root")
        self._children: list[subprocess.Popen[bytes]] = []
        self._folder = folder
        for name in ("state", "spool"):
            (folder / name).mkdir()
        key = folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        self.conf = folder / "slurm.conf"
        self.conf.write_text(
            _CONF.format(
                host=socket.gethostname().partition(".")[0],
                user="root",
                folder=folder,
                controller=_free_port(),
                node=_free_port(),
            )
        )
        try:
            self._start(
                "munged", "--foreground", "--force", f"--socket={folder}/munge.sock",
                f"--key-file={key}", f"--pid-file={folder}/munged.pid",
                f"--log-file={folder}/munged.log", f"--seed-file={folder}/munged.seed",
            )  # fmt: skip
            self._until(lambda: (folder / "munge.sock").exists(), "munged")
            self._start("slurmctld", "-D", "-f", str(self.conf))
            self._start("slurmd", "-D", "-f", str(self.conf), "-N", "n1")
            self._until(lambda: self.ask("sinfo", "-h", "-o", "%D", "-t", "idle") == "1", "a node")
        except BaseException:
            self.close()
            raise

    def ask(self, *command: str) -> str:
        """What one of Slurm's own commands prints."""
        done = subprocess.run(
            command,
            env={**os.environ, "SLURM_CONF": str(self.conf)},
            capture_output=True,
            check=False,
            timeout=PATIENCE,
        )
        return done.stdout.decode().strip()

    def until_idle(self) -> None:
        """Waits until no job is left."""
        self._until(lambda: not self.ask("squeue", "-h"), "end of all jobs")

    def close(self) -> None:
        for child in reversed(self._children):
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def _start(self, *command: str) -> None:
        with (self._folder / f"{command[0]}.out").open("wb") as log:
            path = shutil.which(command[0]) or command[0]
            child = subprocess.Popen(
                [path, *command[1:]], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._children.append(child)

    def _until(self, found: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not found():
            said = "".join(path.read_text()[-500:] for path in self._folder.glob("*.out"))
            assert time.monotonic() < deadline, f"no {what}: {said}"
            assert all(child.poll() is None for child in self._children), said
            select.select([], [], [], 0.05)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
