"""The environment of jobs and their interpreter, as a person meets them: real hub, real agent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.person import TerminalSession
from tests.hub.laptop import Laptop
from tests.servers.box import Box

HOST = '[hosts.box]\nssh = "box"\npath = "~/model"\ntransport = "asyncssh"\n'
SHOW = "import os, sys\nprint(*(os.environ.get(name) for name in sys.argv[1:]))\n"


def python(folder: Path, *modules: str) -> Path:
    """An interpreter that starts, in an environment of its own with these modules."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(os.path.realpath(sys.executable))
    minor = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    for name in modules:
        site = folder / "lib" / minor / "site-packages"
        (site / name).mkdir(parents=True)
        (site / f"{name}-1.5.dist-info").mkdir()
        (site / name / "__init__.py").write_text("")
    return folder


def venv(folder: Path, *modules: str) -> Path:
    python(folder, *modules)
    home = os.path.dirname(os.path.realpath(sys.executable))
    version = ".".join(map(str, sys.version_info[:3]))
    (folder / "pyvenv.cfg").write_text(f"home = {home}\nversion = {version}\n")
    return folder


def conda(folder: Path, *modules: str) -> Path:
    python(folder, *modules)
    (folder / "conda-meta").mkdir()
    return folder


def written(laptop: Laptop) -> str:
    return (laptop.project / "sidecar.local.toml").read_text()


def test_a_job_gets_what_a_login_shell_sets_and_setup_and_env(
    nearby: Laptop, embedded: Box
) -> None:
    for name in (".profile", ".bash_profile", ".zprofile"):
        (embedded.home / name).write_text("echo Welcome\nexport SITE=login\n")
    nearby.configure(
        HOST + 'setup = """\n# modules\nexport CUDA_HOME=/opt/cuda\necho loaded\n"""\n'
        'env = { OMP_NUM_THREADS = "8", SITE = "mine" }\n'
    )
    nearby.write("show.py", SHOW)
    done = nearby.sidecar("run", "show.py", "CUDA_HOME", "OMP_NUM_THREADS", "SITE")
    assert (done.stdout, done.stderr, done.returncode) == ("/opt/cuda 8 mine\n", "", 0)
    nearby.configure(HOST + 'env = ["FROM_HERE", "NOT_SET"]\n')
    done = nearby.sidecar("run", "show.py", "FROM_HERE", "SITE", "NOT_SET", env={"FROM_HERE": "1"})
    assert done.stdout == "1 login None\n"


def test_values_are_in_no_record_log_or_list_of_arguments(nearby: Laptop, embedded: Box) -> None:
    nearby.configure(HOST + 'setup = "export TOKEN=s3cret1"\nenv = { OTHER = "s3cret2" }\n')
    nearby.write("main.py", "print(open('/proc/self/cmdline').read().count('s3' + 'cret'))\n")
    assert nearby.sidecar("run", "main.py").stdout == "0\n"
    for folder in (embedded.home, nearby.home.parent / "state"):
        found = subprocess.run(
            ["grep", "-rl", "s3cret", str(folder)], capture_output=True, text=True, check=False
        )
        assert found.stdout == ""
    assert "s3cret" not in nearby.log


def test_a_setup_that_fails_is_said_with_its_line_in_its_file(nearby: Laptop) -> None:
    nearby.write("main.py", "print(1)\n")
    text = HOST + 'setup = """\nexport A=1\nmodule_that_is_not_there cuda\n"""\n'
    nearby.configure(text)
    done = nearby.sidecar("run", "main.py")
    assert done.returncode == 125
    assert (
        f"sidecar.local.toml:{text[: text.index('module_that')].count(chr(10)) + 1}" in done.stderr
    )
    assert "module_that_is_not_there cuda" in done.stderr
    assert "127" in done.stderr
    assert "not found" in done.stderr
    nearby.configure(HOST + 'setup = "export A=1"\n')
    assert nearby.sidecar("run", "main.py").stdout == "1\n"


def test_a_changed_start_up_file_counts_from_the_next_run_on(nearby: Laptop, embedded: Box) -> None:
    nearby.write("show.py", SHOW)
    nearby.configure(HOST + 'setup = ". ~/env.sh"\n')
    for value in ("one", "another"):
        (embedded.home / "env.sh").write_text(f"export SITE={value}\n")
        assert nearby.sidecar("run", "show.py", "SITE").stdout == f"{value}\n"


def test_the_projects_venv_is_active_and_written_down(nearby: Laptop, embedded: Box) -> None:
    conda(embedded.home / "miniforge3/envs/model")
    nearby.configure(f"# mine\n{HOST}# kept\n")
    nearby.write("show.py", SHOW)
    nearby.sidecar("sync")
    venv(embedded.home / "model/.venv")
    person = TerminalSession(nearby, "run", "show.py", "VIRTUAL_ENV")
    person.expect(".venv in the project's folder")
    person.expect(f"{embedded.home}/model/.venv")
    assert person.wait() == 0
    assert written(nearby).splitlines()[0] == "# mine"
    assert 'python = ".venv/bin/python"' in written(nearby)
    assert "# kept" in written(nearby)


def test_the_conda_environment_of_the_projects_name_comes_next(
    nearby: Laptop, embedded: Box
) -> None:
    ml = conda(embedded.home / "miniforge3/envs/ml")
    (ml / "etc/conda/activate.d").mkdir(parents=True)
    (ml / "etc/conda/activate.d/x.sh").write_text('export GDAL_DATA="$CONDA_PREFIX/share"\n')
    conda(embedded.home / "miniforge3/envs/other")
    nearby.configure(HOST)
    nearby.write("environment.yml", "name: ml\n")
    nearby.write("show.py", SHOW)
    done = nearby.sidecar("run", "show.py", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "GDAL_DATA")
    assert done.stdout == f"{ml} ml {ml}/share\n"
    assert 'python = "conda:ml"' in written(nearby)


def test_then_the_only_one_that_has_what_the_project_imports(nearby: Laptop, embedded: Box) -> None:
    conda(embedded.home / "miniforge3/envs/a", "strangelib")
    conda(embedded.home / "miniforge3/envs/b")
    nearby.configure(HOST)
    nearby.write("main.py", "import strangelib, sys\nprint(strangelib.__file__ is not None)\n")
    nearby.sidecar("run", "main.py")
    assert 'python = "conda:a"' in written(nearby)


def test_where_nobody_can_be_asked_a_run_exits_125_and_names_the_option(
    nearby: Laptop, embedded: Box
) -> None:
    for name in ("a", "b"):
        conda(embedded.home / "miniforge3/envs" / name, "strangelib")
    nearby.configure(HOST)
    nearby.write("main.py", "import strangelib\n")
    done = nearby.sidecar("run", "main.py")
    assert done.returncode == 125
    assert "conda:a, conda:b have what it imports (strangelib)" in done.stderr
    assert "sidecar envs use NAME" in done.stderr
    assert "hosts.box.python" in done.stderr
    assert "python =" not in written(nearby)


def test_a_person_is_asked_once_and_the_answer_is_written_down(
    nearby: Laptop, embedded: Box
) -> None:
    for name in ("a", "b"):
        conda(embedded.home / "miniforge3/envs" / name, "strangelib")
    nearby.configure(HOST)
    nearby.write("main.py", "if 0:\n    pass\nprint('runs')\n")
    nearby.write("used.py", "import strangelib\n")
    person = TerminalSession(nearby, "run", "main.py")
    person.expect("Which Python is to run this project on box?")
    person.expect("conda:b: Python")
    person.expect("Choose", "2\r")
    person.expect("runs")
    assert person.wait() == 0
    assert 'python = "conda:b"' in written(nearby)
    assert nearby.sidecar("run", "main.py").stdout == "runs\n"


def test_envs_lists_what_is_there_and_use_chooses(nearby: Laptop, embedded: Box) -> None:
    nearby.configure(f"{HOST}# mine\n")
    nearby.write("main.py", "import strangelib\n")
    conda(embedded.home / "miniforge3/envs/ml", "strangelib", "torch")
    nearby.sidecar("sync")
    version = embedded.home / "miniforge3/envs/ml/lib"
    (torch,) = version.glob("*/site-packages/torch")
    (torch / "version.py").write_text("cuda: Optional[str] = '12.4'\n")
    venv(embedded.home / "model/.venv")
    dangling = embedded.home / "model/old/bin"
    dangling.mkdir(parents=True)
    (dangling / "python").symlink_to("/no/such/python")
    listed = nearby.sidecar("envs")
    assert listed.returncode == 0, listed.stderr
    lines = listed.stdout.splitlines()
    assert lines[0].split() == ["NAME", "PYTHON", "CUDA", "PATH", "PACKAGES"]
    (used,) = [line for line in lines if line.startswith("*")]
    assert ".venv" in used
    assert "without strangelib" in used
    (ml,) = [line for line in lines if "conda:ml" in line]
    assert "torch 1.5" in ml
    assert "12.4" in ml
    assert any("/no/such/python, which does not exist" in line for line in lines)
    chosen = nearby.sidecar("envs", "use", "ml")
    assert chosen.returncode == 0, chosen.stderr
    assert 'python = "conda:ml"' in written(nearby)
    assert "# mine" in written(nearby)
    result = json.loads(nearby.sidecar("envs", "--json").stdout)
    (in_use,) = [one for one in result["interpreters"] if one["in_use"]]
    assert (in_use["name"], in_use["cuda"], in_use["packages"]["torch"]) == (
        "conda:ml",
        "12.4",
        "1.5",
    )
    assert [one["host"] for one in [result]] == ["box"]


def test_use_takes_a_path_and_refuses_what_is_none(nearby: Laptop, embedded: Box) -> None:
    nearby.configure(HOST)
    own = python(embedded.home / "somewhere")
    assert nearby.sidecar("envs", "use", "~/somewhere/bin/python").returncode == 0
    assert 'python = "~/somewhere/bin/python"' in written(nearby)
    unknown = nearby.sidecar("envs", "use", "nothing")
    assert unknown.returncode == 1
    assert "found: " in unknown.stderr
    missing = nearby.sidecar("envs", "use", "/no/such/python")
    assert missing.returncode == 1
    assert "it does not exist there" in missing.stderr
    assert 'python = "~/somewhere/bin/python"' in written(nearby)
    assert own.exists()


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("conda:nope", "found: ml"),
        ("~/none/bin/python", "it does not exist there. Found there: "),
        ("~/old/bin/python", "it is Python 2.7.18"),
        ("~/dead/bin/python", "a link to /gone/python"),
    ],
)
def test_an_interpreter_that_cannot_be_is_told_with_what_there_is(
    nearby: Laptop, embedded: Box, setting: str, why: str
) -> None:
    conda(embedded.home / "miniforge3/envs/ml")
    (embedded.home / "old/bin").mkdir(parents=True)
    old = embedded.home / "old/bin/python"
    old.write_text(
        "#!/bin/sh\n[ $1 = -E ] || exit 91  # what an agent says that is too old\n"
        f'exec "{os.path.realpath(sys.executable)}" -c '
        '"$(printf %s "$3" | sed "s/import sys;/import sys; sys.version_info = (2, 7, 18);/")"\n'
    )
    old.chmod(0o755)
    (venv(embedded.home / "dead") / "bin/python").unlink()
    (embedded.home / "dead/bin/python").symlink_to("/gone/python")
    nearby.configure(f'{HOST}python = "{setting}"\n')
    nearby.write("main.py", "print(1)\n")
    done = nearby.sidecar("run", "main.py")
    assert done.returncode == 125
    assert why in done.stderr
    assert "sidecar.local.toml:" in done.stderr
    assert "hosts.box.python" in done.stderr


def test_a_run_that_lacks_a_module_is_told_who_has_it(nearby: Laptop, embedded: Box) -> None:
    conda(embedded.home / "miniforge3/envs/a", "strangelib")
    conda(embedded.home / "miniforge3/envs/b")
    nearby.configure(f'{HOST}python = "conda:b"\n')
    nearby.write("main.py", "import strangelib.part\n")
    done = nearby.sidecar("run", "main.py")
    assert done.returncode == 1
    assert "strangelib is not in conda:b; conda:a has it: `sidecar envs use conda:a`" in done.stderr
    nearby.write("main.py", "import strangestlib\n")
    missing = nearby.sidecar("run", "main.py").stderr
    assert "strangestlib is not installed for the Python that runs there (conda:b), nor" in missing


def test_a_shell_there_has_the_environment_of_jobs(nearby: Laptop, embedded: Box) -> None:
    ml = conda(embedded.home / "miniforge3/envs/ml")
    nearby.configure(f'{HOST}python = "conda:ml"\nsetup = "export LOADED=cuda"\n')
    person = TerminalSession(nearby, "shell")
    person.expect("job ")
    person.type("echo it has $LOADED $CONDA_PREFIX; command -v python; exit 4\r")
    person.expect(f"it has cuda {ml}")
    person.expect(f"{ml}/bin/python")
    assert person.wait() == 4


def test_an_environment_that_came_since_is_found_by_the_list(nearby: Laptop, embedded: Box) -> None:
    nearby.configure(HOST)
    nearby.write("main.py", "print(1)\n")
    serve = nearby.serve()  # the hub stays, and with it the connection
    assert nearby.sidecar("run", "main.py").stdout == "1\n"
    venv(embedded.home / "model/.venv")
    used = next(line for line in nearby.sidecar("envs").stdout.splitlines() if line[:1] == "*")
    assert ".venv" in used
    assert serve.poll() is None


def test_launch_stands_before_the_command_of_every_job(nearby: Laptop, embedded: Box) -> None:
    programs = embedded.home / "programs"
    programs.mkdir()
    (programs / "behind").write_text('#!/bin/sh\nexport BEHIND="$1"; shift; exec "$@"\n')
    (programs / "behind").chmod(0o755)
    nearby.configure(f'{HOST}launch = "behind \'a b\'"\nsetup = "PATH={programs}:$PATH"\n')
    nearby.write("main.py", "import os, sys\nprint(os.environ['BEHIND'])\nsys.exit(3)\n")
    done = nearby.sidecar("run", "main.py")
    assert (done.stdout, done.returncode) == ("a b\n", 3)
    nearby.configure(f'{HOST}launch = "behind $WORD"\nsetup = "PATH={programs}:$PATH"\n')
    assert nearby.sidecar("run", "-e", "WORD=later", "main.py").stdout == "later\n"
    nearby.configure(f'{HOST}launch = "no-such-launcher"\n')
    missing = nearby.sidecar("run", "main.py")
    assert missing.returncode == 125
    assert "no-such-launcher" in missing.stderr
