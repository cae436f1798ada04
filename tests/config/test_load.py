"""Layers: which wins, what is refused, and how it is said."""

from __future__ import annotations

import stat

import pytest

from sidecar.config.load import load
from sidecar.errors import ConfigError
from tests.config.conftest import Desk


def test_without_any_file_there_are_defaults_and_no_host(desk: Desk) -> None:
    loaded = desk.load()
    assert loaded.config.sync.mode == "push"
    assert loaded.config.sync.pull_max == 100_000_000
    assert loaded.origins == {}
    with pytest.raises(ConfigError) as caught:
        loaded.host()
    assert caught.value.code == "no-host"
    assert "sidecar init" in caught.value.fix


def test_the_persons_own_file_alone_does_without_a_project(desk: Desk) -> None:
    desk.write("config.toml", 'linger = "10 min"\n')
    assert load(None, environ={}).config.linger == 600.0


def test_each_layer_wins_over_the_one_before(desk: Desk) -> None:
    layers = ["config.toml", "sidecar.toml", "sidecar.local.toml"]
    for number, name in enumerate(layers):
        desk.write(name, f'[hosts.gpu1]\npath = "/{number}"\n')
        loaded = desk.load()
        assert loaded.config.hosts["gpu1"].path == f"/{number}"
        assert loaded.origins["hosts.gpu1.path"].endswith(f"{name}:2")
    desk.environ["SIDECAR_HOSTS_GPU1_PATH"] = "/3"
    assert desk.load().config.hosts["gpu1"].path == "/3"
    assert desk.load().origins["hosts.gpu1.path"] == "SIDECAR_HOSTS_GPU1_PATH"
    loaded = desk.load(hosts__gpu1__path="/4")
    assert loaded.config.hosts["gpu1"].path == "/4"
    assert loaded.origins["hosts.gpu1.path"] == "option"


def test_layers_are_merged_key_by_key(desk: Desk) -> None:
    desk.write("sidecar.toml", '[sync]\nmode = "mirror"\nignore = ["data/"]\n')
    desk.write("sidecar.local.toml", '[sync]\nignore = ["*.ckpt"]\n')
    sync = desk.load().config.sync
    assert sync.mode == "mirror"
    assert sync.ignore == ["*.ckpt"]


def test_pyproject_serves_as_the_shared_file(desk: Desk) -> None:
    desk.write("pyproject.toml", '[project]\nname = "x"\n\n[tool.sidecar.sync]\nmode = "mirror"\n')
    loaded = desk.load()
    assert loaded.config.sync.mode == "mirror"
    assert loaded.origins["sync.mode"] == "pyproject.toml:5"


def test_a_pyproject_of_other_tools_is_no_configuration(desk: Desk) -> None:
    desk.write("pyproject.toml", "[tool.ruff]\nline-length = 100\n")
    desk.write("sidecar.toml", '[sync]\nmode = "mirror"\n')
    assert desk.load().config.sync.mode == "mirror"


def test_two_shared_files_are_an_error(desk: Desk) -> None:
    desk.write("pyproject.toml", "[tool.sidecar]\n")
    desk.write("sidecar.toml", "")
    with pytest.raises(ConfigError, match="configured twice"):
        desk.load()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[hosts.gpu1]\npyhton = 'x'\n", ["sidecar.local.toml:2", "hosts.gpu1.pyhton", "'python'"]),
        ("[sycn]\n", ["sidecar.local.toml:1", "sycn", "'sync'"]),
        ("required_version = '>=0.1'\n", ["required_version", "'required-version'"]),
        ("[sync]\nmode = 'miror'\n", [":2", 'sync.mode is "miror"', '"push" or "mirror"']),
        ("[sync]\npull_max = 'lots'\n", [":2", "sync.pull_max", '"100 MB"']),
        ("[sync]\nask_above = true\n", ["sync.ask_above is true", "a size"]),
        ("sync = 3\n", ["sync is 3", "[sync]"]),
        ("[hosts]\ngpu1 = 'gpu1'\n", ['hosts.gpu1 is "gpu1"', "[hosts.gpu1]"]),
        ("[hosts.gpu1]\npath = 'code'\n", [":2", 'hosts.gpu1.path is "code"', '"~"']),
        ("[hosts.gpu1]\ngit = 'yes'\n", ["hosts.gpu1.git", "true or false"]),
        ("[hosts.gpu1]\nforward = [0]\n", ["hosts.gpu1.forward", "65535"]),
        ("[hosts.gpu1]\nforward = ['0.0.0.0:80:x:80']\n", ["hosts.gpu1.forward"]),
        ("[hosts.gpu1]\nenv = { A = 1 }\n", ["hosts.gpu1.env", "A is not in quotes"]),
        ("[hosts.gpu1]\nenv = ['A=1']\n", ["hosts.gpu1.env", "no variable's name"]),
        ("[hosts.gpu1]\nssh = '-oProxyCommand=x'\n", ["hosts.gpu1.ssh", "never begins with '-'"]),
        ("[hosts.gpu1]\nssh = 'gpu1 -v'\n", ["hosts.gpu1.ssh"]),
        ("[hosts.'-x']\n", ["hosts.-x", "a name of letters"]),
        ("[hosts.'a/b']\n", ['hosts."a/b"', "a name of letters"]),
        ("[hosts.'']\n", ["a name of letters"]),
        ("[sync\n", ["sidecar.local.toml:1", "no TOML"]),
        ("host = 'a'\nhost = 'b'\n", ["sidecar.local.toml:2", "no TOML"]),
        ("linger = 'soon'\n", ["linger", '"10 min"']),
        ("linger = 2020-01-01\n", ["linger is 2020-01-01"]),
        ("required-version = 'new'\n", ["required-version", '">=0.1,<2"']),
        ("required-version = '>=99'\n", ["version 0.", ">=99", "update"]),
    ],
)
def test_a_mistake_is_named_with_place_key_and_what_was_expected(
    desk: Desk, text: str, parts: list[str]
) -> None:
    desk.write("sidecar.local.toml", text)
    with pytest.raises(ConfigError) as caught:
        desk.load()
    message = f"{caught.value.what} | {caught.value.why} | {caught.value.fix}"
    for part in parts:
        assert part in message
    assert caught.value.fix


def test_a_file_that_is_not_utf8_is_named(desk: Desk) -> None:
    desk.write("sidecar.toml", "").write_bytes(b"host = '\xff'")
    with pytest.raises(ConfigError, match=r"sidecar\.toml is not in UTF-8"):
        desk.load()


def test_a_huge_file_is_not_read(desk: Desk) -> None:
    desk.write("sidecar.toml", "#" * (1 << 21))
    with pytest.raises(ConfigError, match="larger than"):
        desk.load()


def test_a_folder_in_the_place_of_a_file_is_said(desk: Desk) -> None:
    (desk.root / "sidecar.toml").mkdir()
    with pytest.raises(ConfigError, match=r"sidecar\.toml cannot be read"):
        desk.load()


def test_the_only_host_needs_no_choice_and_is_filled_in(desk: Desk) -> None:
    desk.write("sidecar.local.toml", "[hosts.gpu1]\n")
    name, host = desk.load().host()
    assert (name, host.ssh, host.path) == ("gpu1", "gpu1", "~/digits")


def test_folder_in_a_path_stands_for_the_projects_own(desk: Desk) -> None:
    desk.write("sidecar.local.toml", '[hosts.gpu1]\npath = "$SCRATCH/{folder}"\n')
    assert desk.load().host()[1].path == "$SCRATCH/digits"


def test_of_several_hosts_one_must_be_chosen(desk: Desk) -> None:
    desk.write("sidecar.local.toml", "[hosts.a]\n[hosts.b]\n")
    with pytest.raises(ConfigError) as caught:
        desk.load().host()
    assert caught.value.code == "which-host"
    assert "-H a" in caught.value.fix
    assert desk.load().host("b")[0] == "b"
    assert desk.load(host="b").host()[0] == "b"
    desk.environ["SIDECAR_HOST"] = "a"
    assert desk.load().host()[0] == "a"


def test_a_launch_that_is_empty_is_not_one_that_is_left_out(desk: Desk) -> None:
    desk.write(
        "sidecar.local.toml", '[hosts.a]\nlaunch = ""\n[hosts.b]\n[hosts.c]\nlaunch = "srun"\n'
    )
    launches = {name: host.launch for name, host in desk.load().config.hosts.items()}
    assert launches == {"a": "", "b": None, "c": "srun"}


def test_a_launch_whose_quotes_do_not_close_is_refused(desk: Desk) -> None:
    desk.write("sidecar.local.toml", '[hosts.a]\nlaunch = "srun \'--x"\n')
    with pytest.raises(ConfigError) as caught:
        desk.load()
    assert "No closing quotation" in caught.value.why


def test_a_shared_file_may_not_say_that_jobs_run_on_a_login_node(desk: Desk) -> None:
    desk.write("sidecar.toml", '[hosts.a]\nlaunch = ""\n')
    assert 'hosts.a.launch = ""' in desk.load().untrusted


def test_an_unknown_host_names_the_nearest_and_how_to_add_it(desk: Desk) -> None:
    desk.write("sidecar.local.toml", "[hosts.gpu1]\n")
    with pytest.raises(ConfigError) as caught:
        desk.load().host("gpu2")
    assert caught.value.code == "unknown-host"
    assert "gpu1" in caught.value.fix
    assert "sidecar init gpu2" in caught.value.fix


def test_a_chosen_host_that_is_nowhere_names_the_file_that_chose_it(desk: Desk) -> None:
    desk.write("sidecar.toml", 'host = "gpu2"\n')
    desk.write("sidecar.local.toml", "[hosts.gpu1]\n")
    with pytest.raises(ConfigError, match=r"sidecar\.toml:1"):
        desk.load().host()


def test_forwards_are_texts_whatever_they_were_written_as(desk: Desk) -> None:
    desk.write("sidecar.local.toml", '[hosts.a]\nforward = [6006, "8888", "9000:127.0.0.1:9001"]\n')
    assert desk.load().host()[1].forward == ["6006", "8888", "9000:127.0.0.1:9001"]


def test_names_in_env_are_passed_on_where_they_are_set(desk: Desk) -> None:
    desk.write("sidecar.local.toml", '[hosts.a]\nenv = ["WANDB_API_KEY", "ABSENT"]\n')
    host = desk.load().host()[1]
    assert host.environment({"WANDB_API_KEY": "k", "HOME": "/"}) == {"WANDB_API_KEY": "k"}
    desk.write("sidecar.local.toml", '[hosts.a]\nenv = { OMP_NUM_THREADS = "8" }\n')
    assert desk.load().host()[1].environment({}) == {"OMP_NUM_THREADS": "8"}


def test_every_value_is_listed_with_its_origin(desk: Desk) -> None:
    desk.write("sidecar.local.toml", '[hosts.gpu1]\npath = "/x"\n\n[sync]\nmode = "mirror"\n')
    listed = {value.key: value for value in desk.load().values()}
    assert listed["sync.mode"].origin == "sidecar.local.toml:5"
    assert listed["hosts.gpu1.path"].value == "/x"
    assert listed["hosts.gpu1.git"] == ("hosts.gpu1.git", True, "default", False)
    assert listed["required-version"].value == ""


def test_a_home_folder_cannot_be_a_project(desk: Desk) -> None:
    desk.root = desk.home
    desk.write("sidecar.toml", "")
    with pytest.raises(ConfigError) as caught:
        desk.load()
    assert caught.value.code == "root-refused"
    desk.root = desk.home.parent
    with pytest.raises(ConfigError):
        desk.load()


@pytest.mark.parametrize(
    ("variables", "part"),
    [
        ({"SIDECAR_SYNC_MODEE": "push"}, "SIDECAR_SYNC_MODE,"),
        ({"SIDECAR_SYNC_MODE": "x"}, "SIDECAR_SYNC_MODE: sync.mode"),
        ({"SIDECAR_HOSTS_GPU1_GIT": "maybe"}, "hosts.gpu1.git"),
        ({"SIDECAR_SYNC_PULL": "[1"}, "SIDECAR_SYNC_PULL"),
    ],
)
def test_a_wrong_variable_is_named(desk: Desk, variables: dict[str, str], part: str) -> None:
    desk.environ.update(variables)
    with pytest.raises(ConfigError) as caught:
        desk.load()
    assert part in str(caught.value)


def test_variables_are_read_as_their_settings_are_meant(desk: Desk) -> None:
    desk.write("sidecar.local.toml", "[hosts.gpu-1]\n")
    desk.environ.update(
        SIDECAR_SYNC_IGNORE="data/, *.ckpt",
        SIDECAR_SYNC_PULL='["runs/"]',
        SIDECAR_SYNC_PULL_MAX="1 GiB",
        SIDECAR_LINGER="30",
        SIDECAR_HOSTS_GPU_1_GIT="no",
        SIDECAR_HOSTS_GPU_1_FORWARD="6006,8888",
        SIDECAR_HOSTS_GPU_1_ENV='{ A = "1" }',
        SIDECAR_HOSTS_GPU_1_PYTHON="",
        SIDECAR_STATE_DIR="/elsewhere",
        SIDECAR_OF_SOMEBODY_ELSE="x",
    )
    config = desk.load().config
    assert config.sync.ignore == ["data/", "*.ckpt"]
    assert config.sync.pull == ["runs/"]
    assert config.sync.pull_max == 1 << 30
    assert config.linger == 30.0
    host = config.hosts["gpu-1"]
    assert (host.git, host.forward, host.env, host.python) == (
        False, ["6006", "8888"], {"A": "1"}, "",
    )  # fmt: skip


def test_sizes_and_times_have_units(desk: Desk) -> None:
    for text, size in [("100 MB", 10**8), ("1.5kb", 1500), ("2 GiB", 2 << 30), ("7", 7), ("0", 0)]:
        desk.write("sidecar.local.toml", f"[sync]\npull_max = '{text}'\n")
        assert desk.load().config.sync.pull_max == size
    for text, seconds in [("90 s", 90.0), ("1.5h", 5400.0), ("2 d", 172800.0)]:
        desk.write("sidecar.local.toml", f"linger = '{text}'\n")
        assert desk.load().config.linger == seconds


def test_reading_changes_nothing_on_disk(desk: Desk) -> None:
    desk.write("sidecar.toml", "[hosts.gpu1]\n")
    before = sorted((path, path.stat().st_mtime_ns) for path in desk.root.iterdir())
    desk.load()
    assert sorted((path, path.stat().st_mtime_ns) for path in desk.root.iterdir()) == before
    assert stat.S_ISREG((desk.root / "sidecar.toml").stat().st_mode)
