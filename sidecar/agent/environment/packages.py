"""What a Python environment holds, read from its folders: its interpreter is not started.

A package is known by the name of its `.dist-info` (or `.egg-info`), an import by the name of a
folder or file. CUDA by what torch says in its version.py, or by the packages that bring it.
"""

import os
import re
from typing import Dict, Iterable, List, NamedTuple, Sequence

SHOWN = (
    "torch", "jax", "tensorflow", "numpy", "pandas", "scipy", "scikit-learn", "transformers",
    "lightning", "pytorch-lightning", "accelerate", "datasets", "triton", "flash-attn", "deepspeed",
    "vllm", "xgboost", "polars", "matplotlib", "jupyterlab", "ipykernel", "pytest", "debugpy",
)  # fmt: skip
"""What people ask of an environment: "which torch is in it?"."""

MOST_ENTRIES = 20_000
"""Of one folder; an environment has some hundred."""

_DIST = re.compile(r"(.+?)-([^-]+?)(?:-py[\d.]+)?\.(?:dist-info|egg-info)")
_TORCH_CUDA = re.compile(r"^cuda\s*(?::[^=\n]*)?=\s*['\"]([\d.]+)['\"]", re.MULTILINE)
_CUDA_IN_NAME = re.compile(r"(?:jax-cuda|cupy-cuda|nvidia-cuda-runtime-cu)(\d+)")


class Contents(NamedTuple):
    """`packages`: those of SHOWN with versions. `cuda`: the version it was built for, "" for none.
    `lacks`: what was asked for and is not there."""

    packages: Dict[str, str]
    cuda: str
    lacks: List[str]


def contents(folders: Iterable[str], imports: Sequence[str] = ()) -> Contents:
    """What is in these site-packages.

    Args:
        imports: names of modules to look for.
    """
    versions: Dict[str, str] = {}
    modules = set()
    cuda = ""
    for folder in folders:
        for name in _names(folder):
            match = _DIST.fullmatch(name)
            if match:
                versions.setdefault(re.sub(r"[-_.]+", "-", match[1]).lower(), match[2])
            else:
                modules.add(name.partition(".")[0])
        cuda = cuda or _torch_cuda(folder)
    if not cuda:
        found = [match[1] for match in map(_CUDA_IN_NAME.match, versions) if match]
        cuda = max(found, key=int) if found else ""
    # One that is installed "editable" has no folder here, but its name is there.
    lacks = [
        one
        for one in imports
        if one not in modules and one.replace("_", "-").lower() not in versions
    ]
    return Contents({one: versions[one] for one in SHOWN if one in versions}, cuda, lacks)


def installed(folders: Iterable[str]) -> Dict[str, str]:
    """All packages in these site-packages, with their versions."""
    found: Dict[str, str] = {}
    for folder in folders:
        for match in map(_DIST.fullmatch, _names(folder)):
            if match:
                found.setdefault(re.sub(r"[-_.]+", "-", match[1]).lower(), match[2])
    return found


def folders(prefix: str, version: str = "") -> List[str]:
    """The site-packages of the interpreter in `prefix`/bin, and what they stand upon.

    Args:
        version: of the interpreter, as far as it is known.
    """
    settings = venv_settings(prefix)
    found = _site(prefix, version)
    if settings:
        if settings.get("include-system-site-packages", "").lower() != "true":
            return found
        prefix = os.path.dirname(settings.get("home", ""))
        found += _site(prefix, version) if prefix else []
    if prefix == "/usr":
        found += [*_site("/usr/local", version), "/usr/lib/python3/dist-packages"]
    return found + _site(os.path.expanduser("~/.local"), version)


def venv_settings(prefix: str) -> Dict[str, str]:
    """What pyvenv.cfg says; empty where there is none."""
    found: Dict[str, str] = {}
    try:
        with open(os.path.join(prefix, "pyvenv.cfg"), encoding="utf-8", errors="replace") as file:
            for line in file.read(1 << 16).split("\n"):
                key, equals, value = line.partition("=")
                if equals:
                    found[key.strip().lower()] = value.strip()
    except OSError:
        return {}  # no venv
    return found


def _site(prefix: str, version: str) -> List[str]:
    minor = ".".join(version.split(".")[:2])
    found = []
    for library in ("lib", "lib64"):
        folder = os.path.join(prefix, library)
        for name in _names(folder):
            fits = name == "python" + minor if minor else re.fullmatch(r"python3\.\d+t?", name)
            if fits:
                for kind in ("site-packages", "dist-packages"):
                    found.append(os.path.join(folder, name, kind))
    return found


def _names(folder: str) -> List[str]:
    found: List[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                found.append(entry.name)
                if len(found) >= MOST_ENTRIES:
                    break
    except OSError:
        return []  # not every prefix has every folder
    return found


def _torch_cuda(folder: str) -> str:
    try:
        with open(os.path.join(folder, "torch", "version.py"), encoding="utf-8") as file:
            match = _TORCH_CUDA.search(file.read(1 << 14))
    except (OSError, UnicodeDecodeError):
        return ""
    return match[1] if match else ""


def driver() -> str:
    """NVIDIA's driver on this machine: its version, "there" where that cannot be told, or ""."""
    try:
        with open("/proc/driver/nvidia/version", encoding="utf-8", errors="replace") as file:
            match = re.search(r"\s(\d+\.\d+(?:\.\d+)?)\s", file.read(4096))
            return match[1] if match else "there"
    except OSError:
        pass  # no driver, or one that is not the kernel's (WSL)
    for path in ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/usr/lib/wsl/lib/libcuda.so.1"):
        if os.path.exists(path):
            return "there"
    return ""
