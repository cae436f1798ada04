"""`sidecar pull`, and what comes by itself, with the real command line and hub over a real line."""

from __future__ import annotations

import json
import os

from tests.hub.laptop import Laptop
from tests.servers.box import Box
from tests.whole.waiting import eventually


def test_files_and_folders_are_fetched_by_hand_and_not_sent_back(
    connected: Laptop, box: Box
) -> None:
    connected.write("a.py", "x = 1\n")
    assert connected.sidecar("sync").returncode == 0
    there = box.home / "model"
    (there / "runs/1").mkdir(parents=True)
    (there / "runs/1/best.pt").write_bytes(bytes(300_000))
    (there / "runs/1/loss.png").write_text("plot")
    before = (there / "runs/1/best.pt").stat().st_ctime_ns
    done = connected.sidecar("pull", "runs/*/*.pt", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["pulled"], result["notes"]) == (1, [])
    assert (connected.project / "runs/1/best.pt").read_bytes() == bytes(300_000)
    assert not (connected.project / "runs/1/loss.png").exists()
    done = connected.sidecar("pull", "runs", cwd=connected.project)
    assert "1 pulled" in done.stderr
    assert (connected.project / "runs/1/loss.png").read_text() == "plot"
    assert connected.sidecar("sync").returncode == 0
    assert (there / "runs/1/best.pt").stat().st_ctime_ns == before


def test_a_pull_says_what_it_cannot_and_will_not_do(nearby: Laptop, embedded: Box) -> None:
    nearby.write("a.py", "base\n")
    nearby.sidecar("sync")
    outside = nearby.sidecar("pull", "/etc/passwd")
    assert outside.returncode != 0
    assert "outside the project" in outside.stderr
    nothing = nearby.sidecar("pull", "nothing")
    assert "nothing is there" in nothing.stderr
    (embedded.home / "model/a.py").write_text("theirs, longer\n")
    nearby.write("a.py", "mine\n")
    kept = nearby.sidecar("pull", "a.py")
    assert kept.returncode == 1
    assert "--prefer remote" in kept.stderr
    assert (nearby.project / "a.py").read_text() == "mine\n"
    dry = nearby.sidecar("pull", "-n", "--prefer", "remote", "a.py")
    assert "pull a.py" in dry.stdout
    assert (nearby.project / "a.py").read_text() == "mine\n"
    taken = nearby.sidecar("pull", "--prefer", "remote", "a.py")
    assert taken.returncode == 0, taken.stderr
    assert (nearby.project / "a.py").read_text() == "theirs, longer\n"


def test_a_first_sync_brings_what_the_patterns_name(nearby: Laptop, embedded: Box) -> None:
    local = nearby.project / "sidecar.local.toml"
    local.write_text(local.read_text() + '\n[sync]\npull = ["figures/"]\npull_max = "1 KB"\n')
    figures = embedded.home / "model/figures"
    figures.mkdir(parents=True)
    (figures / "loss.png").write_text("plot")
    (figures / "huge.png").write_bytes(bytes(5000))
    nearby.write("a.py", "x\n")
    done = nearby.sidecar("sync", "--prefer", "local")
    assert (nearby.project / "figures/loss.png").read_text() == "plot", done.stderr
    assert not (nearby.project / "figures/huge.png").exists()
    assert "sidecar pull figures/huge.png" in done.stderr
    assert nearby.sidecar("pull", "figures/huge.png").returncode == 0
    assert os.path.getsize(nearby.project / "figures/huge.png") == 5000


def test_a_plot_comes_while_somebody_watches(nearby: Laptop, embedded: Box) -> None:
    local = nearby.project / "sidecar.local.toml"
    local.write_text(local.read_text() + '\n[sync]\npull = ["figures/"]\n')
    nearby.write("a.py", "x\n")
    watching = nearby.start("sync", "--watch")
    there = embedded.home / "model/figures"
    eventually((embedded.home / "model/a.py").exists, "sent")
    there.mkdir()
    (there / "loss.png").write_text("plot")
    here = nearby.project / "figures/loss.png"
    eventually(lambda: here.exists() and here.read_text() == "plot", "here")
    assert watching.poll() is None
