"""Fixtures for all tests: a user of one's own, remote machines, and no silent skips in CI.

Remote machines cost a session one server each; a test gets them with an empty home, the line up,
and SIDECAR_SSH_CONFIG set to an ssh_config that reaches them.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.servers.box import Box
from tests.servers.embedded import EmbeddedBox
from tests.servers.loop_thread import LoopThread
from tests.servers.openssh import SshdBox
from tests.servers.programs import everything_is_required, need_program

# A skip that begins so is no missing program: the test is for another system.
pytest_plugins = ["pytester"]

OTHER_SYSTEM = "only on "


# How long one example takes says how busy the machine is, and nothing of what is tested.
hypothesis.settings.register_profile(
    "sidecar", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("sidecar")


def pytest_configure() -> None:
    """A shell that starts us in the background has SIGINT ignored, and so had every program that
    the tests start and end by it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _must_not_skip(report: Any) -> bool:
    if not (everything_is_required() and report.skipped) or hasattr(report, "wasxfail"):
        return False
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if reason.removeprefix("Skipped: ").startswith(OTHER_SYSTEM):
        return False
    report.outcome = "failed"
    report.longrepr = f"skipped, but SIDECAR_REQUIRE_ALL is set: {reason}"
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _must_not_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _must_not_skip(report)
    return report


@pytest.fixture
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user of one's own: HOME and every folder of ours are fresh, the SSH agent is gone.

    Yields:
        The new home folder, which is empty.
    """
    home = tmp_path / "laptop"
    home.mkdir()
    # Sockets live in the runtime folder, and their paths must be short.
    runtime = Path(tempfile.mkdtemp(prefix="sc-"))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("SIDECAR_RUNTIME_DIR", str(runtime))
    for name, folder in (("STATE", "state"), ("CONFIG", "config")):
        monkeypatch.setenv(f"SIDECAR_{name}_DIR", str(tmp_path / folder))
    for name in ("SSH_AUTH_SOCK", "SSH_ASKPASS", "SSH_ASKPASS_REQUIRE", "SIDECAR_SSH_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    for name in ("CONFIG_HOME", "STATE_HOME", "DATA_HOME", "CACHE_HOME", "RUNTIME_DIR"):
        monkeypatch.delenv(f"XDG_{name}", raising=False)
    yield home
    shutil.rmtree(runtime, ignore_errors=True)


@pytest.fixture(scope="session")
def server_thread() -> Iterator[LoopThread]:
    """Where servers and lines of the session run."""
    thread = LoopThread("test servers")
    yield thread
    thread.stop()


@pytest.fixture(scope="session")
def _embedded_box(
    server_thread: LoopThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedBox]:
    box = EmbeddedBox(server_thread, tmp_path_factory.mktemp("embedded"))
    yield box
    box.close()


@pytest.fixture(scope="session")
def _sshd_box(
    server_thread: LoopThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SshdBox]:
    need_program("ssh")
    box = SshdBox(server_thread, tmp_path_factory.mktemp("sshd"))
    yield box
    box.close()


def _lend(box: Box, transport: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    box.transport = transport
    box.fresh()
    if shutil.which("sbatch"):
        # A machine of a cluster: as if in an allocation, for a login node runs nothing unasked.
        (box.home / ".profile").write_text("export SLURM_JOB_ID=1\n")
    monkeypatch.setenv("SIDECAR_SSH_CONFIG", str(box.ssh_config))
    yield box
    box.end_jobs()
    box.cut()


@pytest.fixture
def embedded(
    _embedded_box: EmbeddedBox, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[EmbeddedBox]:
    """A remote machine that needs no program: asyncssh in this process."""
    yield from _lend(_embedded_box, "asyncssh", monkeypatch)


@pytest.fixture
def sshd(_sshd_box: SshdBox, isolated: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SshdBox]:
    """A remote machine served by OpenSSH, with a jump host; skipped where there is no sshd."""
    yield from _lend(_sshd_box, "", monkeypatch)


@pytest.fixture(
    params=[
        "embedded-asyncssh",
        pytest.param("sshd-asyncssh", marks=pytest.mark.real),
        pytest.param("sshd-openssh", marks=pytest.mark.real),
    ]
)
def box(
    request: pytest.FixtureRequest, isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Box]:
    """A remote machine over every server and transport; dial it with `box.transport`."""
    server, transport = request.param.split("-")
    yield from _lend(request.getfixturevalue(f"_{server}_box"), transport, monkeypatch)
