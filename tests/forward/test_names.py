"""What listens, by its command line."""

from __future__ import annotations

import pytest

from sidecar.config import forwards
from sidecar.config.forwards import End, Rule
from sidecar.forward import names


@pytest.mark.parametrize(
    ("command", "port", "name"),
    [
        ("/env/bin/python /env/bin/tensorboard --logdir runs", 6007, "TensorBoard"),
        ("/env/bin/python -m tensorboard.main --logdir runs", 6007, "TensorBoard"),
        ("/env/bin/python3.11 /env/bin/jupyter-lab --no-browser", 9999, "JupyterLab"),
        ("python -X utf8 -m jupyter_server", 9999, "Jupyter"),
        ("python -m ipykernel_launcher -f kernel.json", 41000, "a Jupyter kernel"),
        ("python /env/bin/streamlit run app.py", 8502, "Streamlit"),
        ("python -u /env/lib/ray/dashboard/dashboard.py", 1, "Ray dashboard"),
        ("python /env/bin/mlflow ui", 5000, "MLflow"),
        ("python app.py", 7860, "Gradio"),
        ("python -m http.server 8000", 8000, "Python's http.server"),
        ("python -m torch.distributed.run train.py", 29500, "torch.distributed"),
        ("/env/bin/redis-server *:6379", 6379, "Redis"),
        ("python app.py", 8000, ""),
        ("python -c pass", 8000, ""),
        ("", 6006, "TensorBoard"),
    ],
)  # fmt: skip
def test_a_command_line_tells_what_listens(command: str, port: int, name: str) -> None:
    assert names.of(command.split(), port).name == name


def test_what_programs_open_for_each_other_is_not_told() -> None:
    def told(command: str, port: int) -> bool:
        return names.is_for_people(names.of(command.split(), port), port)

    assert told("python app.py", 8000)
    assert told("python /env/bin/tensorboard --port 0", 41000)
    assert not told("python train.py", 41000)
    assert not told("python -m ipykernel_launcher", 9001)
    assert not told("torchrun train.py", 29500)


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("6006 [localhost]:6006", Rule(End(port=6006), End("localhost", 6006))),
        ("[127.0.0.1]:88 [127.0.0.1]:89", Rule(End(port=88), End("127.0.0.1", 89))),
        ("[*]:9000 [db]:5432", Rule(End("0.0.0.0", 9000), End("db", 5432))),
        ("[::1]:9001 [::1]:5432", Rule(End(port=9001), End("::1", 5432))),
        ("/tmp/a.sock /run/b.sock", Rule(End(path="/tmp/a.sock"), End(path="/run/b.sock"))),
        ("7000 /run/b.sock", Rule(End(port=7000), End(path="/run/b.sock"))),
        ("/tmp/c.sock [localhost]:99", Rule(End(path="/tmp/c.sock"), End("localhost", 99))),
        ("1080", None),
        ("70000 [a]:1", None),
        ("1 [a]:0", None),
        ("", None),
    ],
)
def test_a_local_forward_is_read_as_ssh_prints_it(line: str, rule: Rule | None) -> None:
    assert forwards.printed(line) == rule


@pytest.mark.parametrize(
    ("text", "here", "there"),
    [
        ("6006", "127.0.0.1:6006", "127.0.0.1:6006"),
        ("9000:9001", "127.0.0.1:9000", "127.0.0.1:9001"),
        ("9000:db:9001", "127.0.0.1:9000", "db:9001"),
        ("9000:[::1]:9001", "127.0.0.1:9000", "[::1]:9001"),
        ("9000:/run/x.sock", "127.0.0.1:9000", "/run/x.sock"),
        ("/tmp/x.sock:9001", "/tmp/x.sock", "127.0.0.1:9001"),
    ],
)
def test_a_rule_is_written_from_here_to_there(text: str, here: str, there: str) -> None:
    rule = forwards.parse(text)
    assert (str(rule.here), str(rule.there)) == (here, there)


@pytest.mark.parametrize(
    "text", ["0", "70000", "a", "", "/tmp/x", "80:h:/x", "1:2:3:4", "/" + "x" * 101 + ":1"]
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        forwards.parse(text)
