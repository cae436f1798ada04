"""The main job: save, run, cancel and debug there, as if it were here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from lsprotocol import types

from tests.debug.client import DapClient
from tests.hub.laptop import COMMAND, PATIENCE, Laptop
from tests.lsp.editor import Editor
from tests.lsp.test_run import said
from tests.servers.box import Box
from tests.whole import traces
from tests.whole.waiting import eventually, soon

PROGRAM = """\
import sys

def double(n):
    twice = n * 2
    return twice

print(double(21))
print("and aside", file=sys.stderr)
sys.exit(3)
"""

STUBBORN = """\
import os, signal, subprocess, sys, time

def note(number, frame):
    print(signal.Signals(number).name, flush=True)
    if number == signal.SIGTERM:
        sys.exit(0)

signal.signal(signal.SIGINT, note)
signal.signal(signal.SIGTERM, note)
# A worker of the same group, as a data loader is one. Its line is one write.
WORKER = "import os, time; os.write(1, b'worker\\\\n'); time.sleep(99)"
subprocess.Popen([sys.executable, "-c", WORKER])
while True:
    time.sleep(0.05)
"""


async def test_a_day_with_an_editor(connected: Laptop, editor: Editor, box: Box) -> None:
    """One session from the first save to the last: each step stands on the one before."""
    there = box.home / "model"
    main = connected.write("main.py", "print('not this one')\n")
    await editor.start()
    await editor.ready()

    # Save.
    editor.open(main)
    editor.save(main, PROGRAM)
    await editor.wait("sidecar/synced", lambda note: note.paths == ["main.py"])
    assert (there / "main.py").read_text() == PROGRAM

    # Create, as the editor tells of it; create from outside, in a new folder.
    new = connected.write("new.py", "x = 1\n")
    created = types.CreateFilesParams([types.FileCreate(editor.uri(new))])
    editor.client.workspace_did_create_files(created)
    connected.write("from/outside/tool.py", "y = 1\n")
    await soon(lambda: (there / "new.py").exists(), "created by the editor")
    await soon(lambda: (there / "from/outside/tool.py").exists(), "created from outside")

    # Rename: by the editor, and a whole folder from outside.
    renamed = new.with_name("renamed.py")
    new.rename(renamed)
    moved = types.FileRename(editor.uri(new), editor.uri(renamed))
    editor.client.workspace_did_rename_files(types.RenameFilesParams([moved]))
    (connected.project / "from").rename(connected.project / "to")
    await soon(
        lambda: (there / "renamed.py").exists() and not (there / "new.py").exists(),
        "renamed by the editor",
    )
    await soon(
        lambda: (there / "to/outside/tool.py").exists() and not (there / "from").exists(),
        "renamed from outside",
    )

    # Delete, by the editor and from outside.
    renamed.unlink()
    gone = types.DeleteFilesParams([types.FileDelete(editor.uri(renamed))])
    editor.client.workspace_did_delete_files(gone)
    (connected.project / "to/outside/tool.py").unlink()
    await soon(lambda: not (there / "renamed.py").exists(), "deleted by the editor")
    await soon(lambda: not (there / "to/outside/tool.py").exists(), "deleted from outside")

    # Run, right behind a save.
    editor.save(main, PROGRAM.replace("21", "4"))
    job = await editor.request("sidecar/run", target=str(main))
    end = await editor.wait("sidecar/exited", lambda one: one.job == job.job)
    assert (end.status, end.signal) == (3, "")
    assert said(editor, job.job) == "8\n"
    assert said(editor, job.job, "stderr") == "and aside\n"

    # Break.
    debug = await editor.request("sidecar/debug", target=str(main))
    async with DapClient.connected(debug.port) as debugger:
        frames = await debugger.stop_at(str(main), 5)
        assert [(one["name"], one["source"]["path"], one["line"]) for one in frames] == [
            ("double", str(main), 5),
            ("<module>", str(main), 7),
        ]
        assert await debugger.variables(frames[0]) == {"n": "4", "twice": "8"}
        await debugger.ask("continue", threadId=1)
        assert (await debugger.event("exited"))["exitCode"] == 3
    await editor.wait("sidecar/debugEnded", lambda one: one.port == debug.port)

    # Look around.
    status = await editor.request("sidecar/status", project=str(connected.project))
    (health,) = status.sessions
    assert (health.state, health.text, health.transport) == ("ready", "in step", box.transport)
    assert health.conflicts == 0
    jobs = (await editor.request("sidecar/jobs")).jobs
    assert [(one.id, one.state, one.exitStatus) for one in jobs] == [(job.job, "exited", 3)]
    synced = await editor.request("sidecar/sync")
    assert (synced.sent, synced.removed, synced.notes) == (0, 0, [])
    assert await editor.quit() == 0


async def test_cancel_sends_int_then_term_to_the_whole_group(
    connected: Laptop, editor: Editor, box: Box
) -> None:
    path = connected.write("stubborn.py", STUBBORN)
    await editor.start()
    job = await editor.request("sidecar/run", target=str(path))
    await editor.wait("sidecar/output", lambda part: "worker" in part.data)
    assert [pid for pid, name in traces.there(box).items() if "time.sleep(99)" in name]
    await editor.request("sidecar/signal", job=job.job)
    end = await editor.wait("sidecar/exited", lambda one: one.job == job.job)
    assert end.status == 0
    assert said(editor, job.job) == "worker\nSIGINT\nSIGTERM\n"
    await soon(
        lambda: not [one for one in traces.there(box).values() if "time.sleep(99)" in one],
        "the end of the worker",
    )


def test_a_run_in_a_shell_is_as_a_run_here(connected: Laptop, box: Box) -> None:
    connected.write(
        "both.py",
        "import os, signal, sys\n"
        "data = sys.stdin.buffer.read()\n"
        "sys.stdout.buffer.write(data)\n"
        "sys.stdout.flush()\n"
        "sys.stderr.buffer.write(bytes(255 - byte for byte in data))\n"
        "sys.stderr.flush()\n"
        "how = sys.argv[1]\n"
        "if how == 'TERM':\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.exit(int(how))\n",
    )
    # One hub for all of them, as in a shell beside an editor.
    keeper = connected.start("sync", "--watch")
    assert keeper.stderr is not None
    for line in keeper.stderr:
        if b"watching" in line:
            break
    data = bytes(range(256)) * 300
    for how, status in (("0", 0), ("3", 3), ("TERM", 128 + signal.SIGTERM)):
        done = subprocess.run(
            [*COMMAND, "run", "both.py", how],
            input=data,
            capture_output=True,
            cwd=connected.project,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == status, done.stderr
        assert done.stdout == data
        assert done.stderr == bytes(255 - byte for byte in data)
    assert connected.sidecar("run", "sh", "-c", "exit 9").returncode == 9
    rows = json.loads(connected.sidecar("jobs", "--json").stdout)
    assert [(row["exit_status"], row["signal"]) for row in rows] == [
        (9, ""),
        (-1, "TERM"),
        (3, ""),
        (0, ""),
    ]
    keeper.send_signal(signal.SIGINT)
    assert keeper.wait(PATIENCE) == 0


def test_ctrl_c_twice_says_that_the_job_lives_on_and_how_to_end_it(connected: Laptop) -> None:
    connected.write(
        "deaf.py",
        "import signal, time\n"
        "signal.signal(signal.SIGINT, lambda *_: print('no', flush=True))\n"
        "print('begun', flush=True)\n"
        "while True:\n"
        "    time.sleep(0.05)\n",
    )
    running = connected.start("run", "deaf.py")
    assert running.stdout is not None
    assert running.stderr is not None
    assert running.stdout.readline() == b"begun\n"
    for _ in range(2):
        running.send_signal(signal.SIGINT)
        assert running.stdout.readline() == b"no\n"
    said = running.stderr.readline().decode()
    assert "still runs" in said
    assert "sidecar stop" in said
    job = said.partition("`sidecar stop ")[2].partition("`")[0]
    assert connected.sidecar("stop", job).returncode == 0
    assert running.wait(PATIENCE) == 128 + signal.SIGTERM
    running.stdout.close()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("run", "-m", "no_such_module"), ("No module named no_such_module",)),
        (("run", "no-such-program"), ("No program no-such-program", "full path")),
        (("attach", "nothing"), ("There is no job nothing", "sidecar jobs")),
    ],
)
def test_a_target_that_is_not_there_is_told(
    nearby: Laptop, command: tuple[str, ...], words: tuple[str, ...]
) -> None:
    nearby.write("main.py", "print(1)\n")
    done = nearby.sidecar(*command)
    # Python itself says that there is no module, as it does here.
    assert done.returncode == (1 if "-m" in command else 125), done
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    for word in words:
        assert word in done.stderr


def test_a_script_that_is_not_there_is_told_and_by_python_where_it_is_to_run_as_it_is(
    nearby: Laptop, embedded: Box
) -> None:
    done = nearby.sidecar("run", "missing.py")
    assert done.returncode == 125
    assert "missing.py" in done.stderr
    assert "--as-is" in done.stderr
    done = nearby.sidecar("run", "--as-is", "missing.py")
    assert done.returncode == 2
    assert f"{embedded.home}/model/missing.py" in done.stderr
    assert "No such file" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_interpreter_that_is_not_there_is_told_with_those_that_are(
    connected: Laptop, box: Box
) -> None:
    with (connected.project / "sidecar.local.toml").open("a") as settings:
        settings.write('python = "~/envs/ml/bin/python"\n')
    connected.write("main.py", "print(1)\n")
    done = connected.sidecar("run", "main.py")
    assert done.returncode == 125, done
    assert done.stdout == ""
    assert "envs/ml/bin/python (sidecar.local.toml:" in done.stderr
    assert "it does not exist there. Found there: python3" in done.stderr
    assert "hosts.box.python" in done.stderr
    # The files are there all the same.
    assert (box.home / "model/main.py").exists()


def test_the_remotes_environment_is_the_programs(connected: Laptop, box: Box) -> None:
    """Nothing of the laptop's environment leaks there, and nothing of ours."""
    connected.write("env.py", "import json, os\nprint(json.dumps(dict(os.environ)))\n")
    done = subprocess.run(
        [*COMMAND, "run", "-e", "ASKED=yes", "env.py"],
        capture_output=True,
        text=True,
        cwd=connected.project,
        env={**os.environ, "SECRET_OF_THE_LAPTOP": "x"},
        timeout=PATIENCE,
        check=True,
    )
    environment = json.loads(done.stdout)
    assert environment["ASKED"] == "yes"
    assert environment["HOME"] == str(box.home)
    assert "SECRET_OF_THE_LAPTOP" not in environment
    assert "SIDECAR_RUNTIME_DIR" not in environment
    assert not [name for name in environment if name.startswith("sidecar_agent")]


def test_much_output_on_both_streams_arrives_whole_and_in_order(connected: Laptop) -> None:
    connected.write(
        "much.py",
        "import sys\n"
        "for n in range(30_000):\n"
        "    print('out', n)\n"
        "    print('err', n, file=sys.stderr)\n",
    )
    done = connected.sidecar("run", "much.py")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [f"out {n}" for n in range(30_000)]
    assert done.stderr.splitlines() == [f"err {n}" for n in range(30_000)]


def test_what_git_and_the_configuration_leave_out_stays_here(connected: Laptop, box: Box) -> None:
    connected.write(".gitignore", "data/\n*.ckpt\n")
    connected.write("data/big.bin", "x")
    connected.write("last.ckpt", "x")
    connected.write("keep.py", "x = 1\n")
    connected.write("__pycache__/keep.pyc", "x")
    assert connected.sidecar("sync").returncode == 0
    found = sorted(
        str(path.relative_to(box.home / "model"))
        for path in (box.home / "model").rglob("*")
        if ".sidecar" not in path.parts
    )
    assert found == [".gitignore", "keep.py"]


def test_a_folder_that_is_removed_and_made_again_is_the_new_one(
    connected: Laptop, box: Box, tmp_path: Path
) -> None:
    # Something that stays: all of a project at once is not removed there without a word.
    connected.write("main.py", "import pkg\n")
    connected.write("pkg/a.py", "old\n")
    watching = connected.start("sync", "--watch")
    there = box.home / "model/pkg"
    eventually((there / "a.py").exists, "the first version")
    for _ in range(3):
        (connected.project / "pkg").rename(tmp_path / "aside")
        connected.write("pkg/b.py", "new\n")
        eventually(lambda: (there / "b.py").exists() and not (there / "a.py").exists(), "the new")
        (connected.project / "pkg/b.py").unlink()
        (connected.project / "pkg").rmdir()
        (tmp_path / "aside").rename(connected.project / "pkg")
        eventually(lambda: (there / "a.py").exists() and not (there / "b.py").exists(), "the old")
    assert watching.poll() is None
