"""The agent's modules, imported from memory.

The first stage runs this file's text as the module `sidecar.agent.loader` and calls `install` with
the sources of part one and the names of the others, which come by `add`. The agent works before all
of it has arrived: whoever imports a module of a later part calls `wait` before. (The import itself
must not wait: it would hold the interpreter's import lock, and whoever receives the rest may need
that.)

Who starts another process that needs our modules (the supervisor of a job) hands them on without
touching the disk: give the child `sources()`, the text of this module among them, and let it do
what `first.begin` does::

    loader = types.ModuleType("sidecar.agent.loader")
    exec(compile(sources[loader.__name__], "sidecar/agent/loader.py", "exec"), loader.__dict__)
    sys.modules[loader.__name__] = loader
    loader.install(sources)

On the laptop, and in tests, nothing is installed; `sources` then reads the files of the package.
"""

import importlib
import sys
import threading
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Dict, Iterable, Optional, Sequence

PATIENCE = 60.0
"""Seconds that an import waits for announced modules; a link that slow is dead."""


class _MemoryImporter:
    """Finder and loader in one, for everything named sidecar: a package of that name on the
    remote (there is one on PyPI) is never looked at. Not derived from importlib.abc, which takes
    longer to import than all of ours."""

    def __init__(self, sources: Dict[str, str], later: Iterable[str]) -> None:
        self.sources = dict(sources)
        self.later = tuple(later)
        self._arrived = threading.Condition()

    def add(self, sources: Dict[str, str]) -> None:
        with self._arrived:
            self.sources.update(sources)
            self._arrived.notify_all()

    def wait(self, names: Sequence[str]) -> None:
        with self._arrived:
            if not self._arrived.wait_for(lambda: self.has(names), PATIENCE):
                raise ImportError("the rest of the agent did not arrive in %d s" % PATIENCE)

    def has(self, names: Sequence[str]) -> bool:
        return all(name in self.sources for name in names)

    def find_spec(
        self, name: str, path: Optional[Sequence[Any]], target: Optional[ModuleType] = None
    ) -> Optional[ModuleSpec]:
        if name.partition(".")[0] != "sidecar":
            return None
        loader: Any = self
        if self.is_package(name):
            return ModuleSpec(name, loader, is_package=True)
        if name not in self.sources:
            raise ModuleNotFoundError("%s is not among the modules that were sent" % name)
        return ModuleSpec(name, loader, origin=_file(name))

    def is_package(self, name: str) -> bool:
        """Packages are not sent: whatever a module's name stands below is one."""
        return any(one.startswith(name + ".") for one in (*self.sources, *self.later))

    def get_source(self, name: str) -> str:
        """For tracebacks that show our lines, too (linecache asks)."""
        return self.sources.get(name, "")

    def get_code(self, name: str) -> Any:
        return compile(self.get_source(name), _file(name), "exec", dont_inherit=True)

    def create_module(self, spec: ModuleSpec) -> None:
        """None: the usual kind of module."""

    def exec_module(self, module: ModuleType) -> None:
        code = self.get_code(module.__name__)
        exec(code, module.__dict__)  # noqa: S102 - that is what a loader does


def _file(name: str) -> str:
    """What tracebacks call it. Not in angle brackets: linecache asks nobody for such."""
    return name.replace(".", "/") + ".py"


_importer: Optional[_MemoryImporter] = None


def install(sources: Dict[str, str], later: Iterable[str] = ()) -> None:
    """Makes the modules importable in this process.

    Args:
        sources: module name to source text.
        later: names of modules that will come by `add`, before those that import them.
    """
    global _importer
    _importer = _MemoryImporter(sources, later)
    sys.meta_path.insert(0, _importer)


def add(sources: Dict[str, str]) -> bool:
    """Announced modules have come. Returns whether these were the last."""
    if _importer is None:
        return False
    _importer.add(sources)
    return _importer.has(_importer.later)


def wait(name: str) -> None:
    """Returns when that module, and so all that it imports, can be imported.

    Raises:
        ImportError: it did not come.
    """
    if _importer is not None:
        _importer.wait([name])


def sources() -> Dict[str, str]:
    """Module name to source text of all that travels; waits for what is still on its way.

    Raises:
        ImportError: it did not come.
    """
    if _importer is not None:
        _importer.wait(_importer.later)
        return dict(_importer.sources)
    # Not sent by anybody, so this is a checkout or an installed package: its own files serve.
    import pkgutil

    found = {}
    for package in ("sidecar.core", "sidecar.agent"):
        place = importlib.import_module(package).__path__
        for entry in pkgutil.walk_packages(place, package + "."):
            room, _, module = entry.name.rpartition(".")
            text = None if entry.ispkg else pkgutil.get_data(room, module + ".py")
            if text is not None:
                found[entry.name] = text.decode("utf-8")
    return found
