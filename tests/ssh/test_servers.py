"""The servers that other tests stand on."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.servers.box import Box
from tests.servers.embedded import EmbeddedBox
from tests.servers.openssh import SshdBox
from tests.servers.programs import need_program


def ssh(box: Box, *arguments: str, alias: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [need_program("ssh"), "-F", str(box.ssh_config), "-o", "BatchMode=yes"]
        + [alias or box.alias, *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=30,
    )


def test_a_command_runs_in_the_empty_home_there(box: Box) -> None:
    done = ssh(box, "pwd; echo $HOME; ls -A; exit 3")
    assert (done.stdout, done.returncode) == (f"{box.home}\n{box.home}\n", 3), done.stderr


@pytest.mark.parametrize("alias", ["jump", "box-jumped", "box-piped", "box-nc"])
def test_every_way_to_the_box_works_with_ssh(sshd: SshdBox, alias: str) -> None:
    before = sshd.jump_line.accepted
    assert ssh(sshd, "echo in", alias=alias).stdout == "in\n"
    assert (sshd.jump_line.accepted > before) == (alias != "box-nc")


def test_a_cut_is_seen_by_the_client(embedded: EmbeddedBox) -> None:
    with subprocess.Popen(
        [need_program("ssh"), "-F", str(embedded.ssh_config), "box", "echo up; cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        embedded.cut()
        assert child.wait(30) == 255


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux")
def test_a_job_that_a_test_left_is_ended_and_nothing_else(embedded: EmbeddedBox) -> None:
    with subprocess.Popen(
        [need_program("ssh"), "-F", str(embedded.ssh_config), "box"]
        # The first is no job's, and tells how the job ended.
        + ["env SIDECAR_JOB=1 sh -c 'echo up; exec sleep 100'; echo $?"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        embedded.end_jobs()
        assert child.stdout.readline() == b"137\n"
        assert child.wait(30) == 0


def test_the_user_of_a_test_is_nobody_real(isolated: Path, tmp_path: Path) -> None:
    assert isolated == Path.home()
    assert list(isolated.iterdir()) == []
    assert tmp_path in isolated.parents


def test_a_skip_is_a_failure_where_all_is_required(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(__file__).parents[2]
    pytester.makeconftest(
        textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(root)!r})
        from tests.conftest import pytest_make_collect_report, pytest_runtest_makereport
        """)
    )
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makepyfile(
        test_a="""
        import pytest
        def test_one(): pytest.skip("needs the program nothing")
        def test_two(): pytest.skip("only on another system")
        @pytest.mark.xfail
        def test_three(): assert False
        """,
        test_b="import pytest\npytest.importorskip('no_such_module_here')\n",
    )
    monkeypatch.setenv("SIDECAR_REQUIRE_ALL", "1")
    strict = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    strict.stdout.fnmatch_lines(["*skipped, but SIDECAR_REQUIRE_ALL is set*"])
    assert strict.ret == pytest.ExitCode.INTERRUPTED
    strict = pytester.runpytest_inprocess("test_a.py")
    strict.assert_outcomes(failed=1, skipped=1, xfailed=1)
    monkeypatch.delenv("SIDECAR_REQUIRE_ALL")
    pytester.runpytest_inprocess("test_a.py").assert_outcomes(skipped=2, xfailed=1)
