"""A project with several hosts: each with its own state, one of them in use."""

from __future__ import annotations

import json

import pytest

from tests.hub.laptop import Laptop
from tests.servers.box import Box


@pytest.fixture
def two_hosts(nearby: Laptop, embedded: Box) -> Laptop:
    """Two names for one machine, with a folder each."""
    nearby.configure(
        'host = "gpu1"\nlinger = "30 s"\n'
        f'[hosts.gpu1]\nssh = "{embedded.alias}"\npath = "~/one"\n'
        f'[hosts.gpu2]\nssh = "{embedded.alias}"\npath = "~/two"\n'
    )
    return nearby


def hosts(laptop: Laptop) -> dict[str, dict[str, object]]:
    done = laptop.sidecar("hosts", "--json")
    assert done.returncode == 0, done
    return {one["name"]: one for one in json.loads(done.stdout)}


def test_a_run_goes_to_the_host_that_is_named_and_each_has_its_own_folder(
    two_hosts: Laptop, embedded: Box
) -> None:
    two_hosts.write("where.py", "import os\nprint(os.getcwd())\n")
    assert two_hosts.sidecar("run", "where.py").stdout == f"{embedded.home}/one\n"
    assert two_hosts.sidecar("run", "-H", "gpu2", "where.py").stdout == f"{embedded.home}/two\n"
    two_hosts.write("where.py", "print('new')\n")
    assert two_hosts.sidecar("run", "-H", "gpu2", "where.py").stdout == "new\n"
    done = two_hosts.sidecar("run", "-H", "gpu9", "where.py")
    assert done.returncode == 125
    assert "gpu9" in done.stderr


def test_hosts_are_listed_with_how_they_are_and_switched(two_hosts: Laptop, embedded: Box) -> None:
    two_hosts.write("where.py", "import os\nprint(os.getcwd())\n")
    before = embedded.accepted
    found = hosts(two_hosts)
    assert [one["in_use"] for one in found.values()] == [True, False]
    assert found["gpu2"]["path"] == "~/two"
    assert embedded.accepted == before  # it dials nothing
    two_hosts.sidecar("sync")
    found = hosts(two_hosts)
    assert (found["gpu1"]["state"], found["gpu2"]["state"]) == ("ready", "idle")
    assert found["gpu1"]["last_sync"]
    done = two_hosts.sidecar("hosts", "use", "gpu2")
    assert (done.returncode, "go to gpu2" in done.stderr) == (0, True), done
    assert two_hosts.sidecar("run", "where.py").stdout == f"{embedded.home}/two\n"
    assert [one["in_use"] for one in hosts(two_hosts).values()] == [False, True]
    shown = two_hosts.sidecar("hosts").stdout.splitlines()
    assert [line.split()[:2] for line in shown[1:]] == [["gpu1", "ready"], ["*", "gpu2"]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("use", "gpu9"), "gpu9"),
        (("use",), "hosts use NAME"),
        (("take", "gpu2"), "hosts use NAME"),
    ],
)
def test_what_is_no_host_is_not_chosen(
    two_hosts: Laptop, words: tuple[str, ...], said: str
) -> None:
    done = two_hosts.sidecar("hosts", *words)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert hosts(two_hosts)["gpu1"]["in_use"]


def test_a_variable_that_names_the_host_is_not_overruled(two_hosts: Laptop) -> None:
    done = two_hosts.sidecar("hosts", "use", "gpu2", env={"SIDECAR_HOST": "gpu1"})
    assert done.returncode == 1
    assert "SIDECAR_HOST" in done.stderr


def test_two_hosts_that_show_one_folder_are_one(nearby: Laptop, embedded: Box) -> None:
    nearby.configure(
        'host = "gpu1"\nlinger = "30 s"\n'
        f'[hosts.gpu1]\nssh = "{embedded.alias}"\npath = "~/model"\n'
        f'[hosts.gpu2]\nssh = "{embedded.alias}"\npath = "~/model"\n'
    )
    for number in range(3):
        nearby.write("main.py", f"print({number})\n")
        assert nearby.sidecar("run", "main.py").stdout == f"{number}\n"
        nearby.write("main.py", f"print({number}, 'again')\n")
        assert nearby.sidecar("run", "-H", "gpu2", "main.py").stdout == f"{number} again\n"
    assert hosts(nearby)["gpu2"]["text"] == "kept in step through gpu1"


def test_a_host_that_waits_for_trust_says_so(two_hosts: Laptop) -> None:
    two_hosts.write("sidecar.toml", '[hosts.gpu3]\nssh = "ada@elsewhere.example"\n')
    found = hosts(two_hosts)["gpu3"]
    assert found["state"] == "question"
    assert "trust" in str(found["text"])
    assert "sidecar trust" in str(found["fix"])
