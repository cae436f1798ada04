"""A run that misses what is here but ignored says so, with the rule."""

from __future__ import annotations

from tests.hub.laptop import Laptop


def test_a_file_that_a_rule_keeps_here_is_named_with_the_rule(nearby: Laptop) -> None:
    nearby.write(".gitignore", "# big\n\ndata/\n")
    nearby.write("data/mini.csv", "1\n")
    nearby.write("train.py", "open('data/mini.csv')\n")
    done = nearby.sidecar("run", "train.py")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "sidecar: data/mini.csv exists here; .gitignore:3 `data/` keeps it from box; "
        'add include = ["data/mini.csv"] to [sync]'
    )
    config = nearby.project / "sidecar.local.toml"
    config.write_text(config.read_text() + '[sync]\ninclude = ["data/mini.csv"]\n')
    assert nearby.sidecar("run", "train.py").returncode == 0


def test_a_module_that_a_rule_keeps_here_is_named_also_from_a_folder_below(nearby: Laptop) -> None:
    nearby.write(".gitignore", "data/\n")
    nearby.write("data/__init__.py", "")
    nearby.write("data/loader.py", "")
    script = nearby.write(
        "tools/train.py", "import sys\nsys.path.append('..')\nimport data.loader\n"
    )
    done = nearby.sidecar("run", "train.py", cwd=script.parent)
    assert "sidecar: data/ exists here; .gitignore:1 `data/` keeps it from box" in done.stderr
    assert 'add include = ["/data/"] to [sync]' in done.stderr
    config = nearby.project / "sidecar.local.toml"
    config.write_text(config.read_text() + '[sync]\ninclude = ["/data/"]\n')
    assert nearby.sidecar("run", "train.py", cwd=script.parent).returncode == 0


def test_what_is_not_here_either_is_the_programs_own_affair(nearby: Laptop) -> None:
    nearby.write(".gitignore", "data/\n")
    nearby.write(
        "a.py", "try:\n    import nothing_of_the_kind\nexcept ImportError:\n    open('/etc/none')\n"
    )
    done = nearby.sidecar("run", "a.py")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("FileNotFoundError")
