"""What listens on a port, by its command line and, where that says nothing, by the number. Pure.

A name is a hint for people; nothing but the words that are shown depends on it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from typing import NamedTuple


class Named(NamedTuple):
    """`page`: a browser can open it, at `path`."""

    name: str = ""
    page: bool = False
    path: str = ""


_PROGRAMS = {
    "tensorboard": Named("TensorBoard", True),
    "sidecar_tensorboard.py": Named("TensorBoard", True),
    "jupyter": Named("Jupyter", True),
    "jupyter-lab": Named("JupyterLab", True),
    "jupyter-notebook": Named("Jupyter Notebook", True),
    "jupyter-server": Named("Jupyter", True),
    "jupyter_server": Named("Jupyter", True),
    "jupyterlab": Named("JupyterLab", True),
    "notebook": Named("Jupyter Notebook", True),
    "streamlit": Named("Streamlit", True),
    "gradio": Named("Gradio", True),
    "mlflow": Named("MLflow", True),
    "marimo": Named("marimo", True),
    "voila": Named("Voilà", True),
    "panel": Named("Panel", True),
    "bokeh": Named("Bokeh", True),
    "aim": Named("Aim", True),
    "visdom": Named("Visdom", True),
    "optuna-dashboard": Named("Optuna dashboard", True),
    "nvitop-exporter": Named("nvitop exporter", True, "metrics"),
    "dask-scheduler": Named("Dask scheduler"),
    "http.server": Named("Python's http.server", True),
    "uvicorn": Named("uvicorn", True),
    "gunicorn": Named("gunicorn", True),
    "hypercorn": Named("hypercorn", True),
    "flask": Named("Flask", True),
    "label-studio": Named("Label Studio", True),
    "code-server": Named("code-server", True),
    "vllm": Named("vLLM", True, "docs"),
    "ollama": Named("Ollama", True),
    "redis-server": Named("Redis"),
    "postgres": Named("PostgreSQL"),
    "debugpy": Named("debugpy"),
}

_SOMEWHERE = (
    (re.compile(r"ray/dashboard/dashboard\.py|ray\.dashboard"), Named("Ray dashboard", True)),
    (re.compile(r"\bvllm\.entrypoints\b"), Named("vLLM", True, "docs")),
    (re.compile(r"\bwandb(-core|_service)?\b"), Named("wandb")),
    (re.compile(r"\btorch\.distributed\b|\btorchrun\b"), Named("torch.distributed")),
    (re.compile(r"\bipykernel(_launcher)?\b"), Named("a Jupyter kernel")),
    (re.compile(r"\bdebugpy\b|sidecar_debugpy\.py"), Named("debugpy")),
)

_NUMBERS = {
    6006: Named("TensorBoard", True),
    8888: Named("Jupyter", True),
    8889: Named("Jupyter", True),
    7860: Named("Gradio", True),
    7861: Named("Gradio", True),
    8501: Named("Streamlit", True),
    8265: Named("Ray dashboard", True),
    8787: Named("Dask dashboard", True, "status"),
    5006: Named("Bokeh", True),
    6010: Named("wandb", True),
}
"""What a script of one's own most likely has started on these, by the library's default."""

_PYTHON = re.compile(r"python[0-9.]*$|pypy[0-9.]*$")
_ENDING = re.compile(r"\.(exe|py|sh)$")


def of(command: Sequence[str], port: int) -> Named:
    """What it is.

    Args:
        command: the words of its command line; none where it is not known.
        port: that it listens on.
    """
    for word in _telling(command):
        known = _PROGRAMS.get(word) or _PROGRAMS.get(_ENDING.sub("", word))
        if known:
            return known
    whole = " ".join(command[:16])
    for pattern, named in _SOMEWHERE:
        if pattern.search(whole):
            return named
    return _NUMBERS.get(port, Named())


def _telling(command: Sequence[str]) -> list[str]:
    """The names of the program, and of the script or module that an interpreter runs."""
    words = list(command[:16])
    if not words:
        return []
    told = [posixpath.basename(words[0])]
    if _PYTHON.match(told[0]):
        rest = iter(words[1:])
        for word in rest:
            if word == "-m":
                module = next(rest, "")
                told += [module, module.partition(".")[0]]
                break
            if word in ("-X", "-W"):
                next(rest, "")
            elif word == "-c":
                break
            elif not word.startswith("-"):
                told.append(posixpath.basename(word))
                break
    return told


def shown(command: Sequence[str]) -> str:
    """The command as a table has room for it: without folders, and without the interpreter."""
    words = list(command)
    if words and _PYTHON.match(posixpath.basename(words[0])) and len(words) > 1:
        words = words[1:]
    if words:
        words[0] = posixpath.basename(words[0])
    return " ".join(words)


def is_for_people(named: Named, port: int) -> bool:
    """Whether somebody may want to look at it: what programs open for each other (a kernel's
    ports, torch.distributed, numbers that the system gave out) nobody wants to be told of."""
    return named.page or (not named.name and port < EPHEMERAL)


EPHEMERAL = 32768
"""From here on Linux gives out numbers by itself."""
