"""The configuration as it holds for a project: all layers, merged key by key.

Later wins: the person's `config.toml` < `sidecar.toml` or `[tool.sidecar]` in `pyproject.toml` <
`sidecar.local.toml` < `SIDECAR_…` variables < options. Any error ends the loading: nothing starts
with half of what was meant.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

import sidecar
from sidecar.config import environment, layers, places, trust, version
from sidecar.config.git import came_along
from sidecar.config.layers import Key, Layer, Setting, dotted
from sidecar.config.model import Config, Host
from sidecar.config.project import LOCAL, PYPROJECT, SHARED, TABLE, Project
from sidecar.config.ssh_hosts import ssh_hosts
from sidecar.errors import ConfigError

DEFAULT_PATH = "~/{folder}"


class Value(NamedTuple):
    """One line of `sidecar config`. `origin`: "sidecar.toml:3", a variable, "option" or "default";
    `withheld`: the shared file says it and the person has not trusted it."""

    key: str
    value: object
    origin: str
    withheld: bool = False


class Loaded(msgspec.Struct, frozen=True):
    """A whole configuration and where each part of it comes from.

    Attributes:
        config: all values in effect; what was not trusted is left out.
        origins: dotted key → place, for every value that is no default.
        untrusted: settings of the shared file without effect, as "key = value".
    """

    project: Project | None
    config: Config
    origins: dict[str, str]
    untrusted: list[str] = []
    _withheld: dict[Key, Setting] = {}

    @property
    def host_names(self) -> list[str]:
        """Configured hosts, also those of which something waits for trust."""
        return sorted(self.config.hosts)

    @property
    def chosen(self) -> str:
        """The host that is used where none is named; "" where that is not clear, or none is."""
        names = self.host_names
        return self.config.host or (names[0] if len(names) == 1 else "")

    def path_of(self, name: str) -> str:
        """The project's place on a configured host."""
        folder = self.project.folder if self.project else ""
        return (self.config.hosts[name].path or DEFAULT_PATH).replace("{folder}", folder)

    def host(self, name: str = "") -> tuple[str, Host]:
        """The host to use, with `ssh` and `path` filled in.

        Args:
            name: what the person asked for; "" is the configured choice, or the only one.
        Raises:
            ConfigError: there is none ("no-host"), more than one ("which-host"), none by that name
                ("unknown-host"), or what the shared file says of it is not trusted ("untrusted").
        """
        chosen = name or self.chosen or self._only()
        if chosen not in self.host_names:
            raise self._unknown(chosen, asked=bool(name))
        waiting = [
            trust.statement(key, one.value)
            for key, one in self._withheld.items()
            if key[1] == chosen
        ]
        if waiting:
            raise ConfigError(
                f"{chosen} waits for your trust",
                "the project's shared configuration says " + "; ".join(waiting),
                "read it, then run `sidecar trust`",
                code="untrusted",
            )
        host = self.config.hosts[chosen]
        return chosen, msgspec.structs.replace(
            host,
            ssh=host.ssh or chosen,
            path=self.path_of(chosen),
        )

    def values(self) -> Iterator[Value]:
        """Every setting with the value in effect, defaults too, or the one that waits for trust."""
        for key in _keys(self.host_names):
            waiting = self._withheld.get(key)
            if waiting is not None:
                yield Value(dotted(key), waiting.value, waiting.origin, True)
            else:
                origin = self.origins.get(dotted(key), "default")
                yield Value(dotted(key), _at(self.config, key), origin)

    def _only(self) -> str:
        names = self.host_names
        if len(names) == 1:
            return names[0]
        if names:
            raise ConfigError(
                "No host is chosen", f"there are {', '.join(names)}",
                f'say `-H {names[0]}`, or write `host = "{names[0]}"` in {LOCAL}',
                code="which-host",
            )  # fmt: skip
        raise ConfigError(
            "No host is configured", "no configuration file has a [hosts.NAME]",
            "run `sidecar init` in the project's folder", code="no-host",
        )  # fmt: skip

    def _unknown(self, name: str, *, asked: bool) -> ConfigError:
        names = self.host_names
        near = layers.nearest(name, names)
        said = (
            "" if asked else f'{self.origins.get("host", "configuration")} says host = "{name}"; '
        )
        return ConfigError(
            f"There is no host {name} in the configuration",
            said + (f"there are {', '.join(names)}" if names else "it has no [hosts.NAME]"),
            f"write {near!r}, if that is what was meant; or add it by `sidecar init {name}`"
            if near
            else f"add it by `sidecar init {name}`",
            code="unknown-host",
        )


def load(
    project: Project | None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Loaded:
    """Reads all layers.

    Args:
        project: None for what is the person's own alone.
        environ: variables; the process's own by default.
        overrides: options, by dotted key: {"host": "gpu1", "sync.mode": "mirror"}.
    Raises:
        ConfigError: the first thing that is wrong, in the order of the layers.
    """
    environ = os.environ if environ is None else environ
    own = places.config_dir() / "config.toml"
    personal = layers.read_file(own, _shown(own)) or {}
    shared: Layer = {}
    local: Layer = {}
    if project is not None:
        _refuse_home(project)
        shared = _shared(project)
        local = layers.read_file(project.root / LOCAL, LOCAL) or {}
        if local and came_along(project.root / LOCAL):
            # Its name says "yours", but somebody else wrote it: one more shared file.
            shared, local = {**shared, **local}, {}
    named = layers.hosts({**personal, **shared, **local})
    local |= environment.variables(environ, named) | _options(overrides or {})
    merged = {**personal, **shared, **local}
    _check_version(merged)
    withheld: dict[Key, Setting] = {}
    if project is not None:
        for name in layers.hosts(shared) - layers.hosts(personal) - layers.hosts(local):
            _imply_destination(name, merged, shared)
        withheld = _withheld(project, merged, shared, ssh_hosts(environ))
    for key in withheld:
        del merged[key]
        if key in personal:
            merged[key] = personal[key]
    return Loaded(
        project,
        layers.build(merged),
        {dotted(key): setting.origin for key, setting in merged.items()},
        [trust.statement(key, setting.value) for key, setting in withheld.items()],
        withheld,
    )


def _shared(project: Project) -> Layer:
    file = layers.read_file(project.root / SHARED, SHARED)
    table = layers.read_file(project.root / PYPROJECT, PYPROJECT, TABLE)
    if file is not None and table is not None:
        raise ConfigError(
            "The project is configured twice",
            f"there are {SHARED} and [tool.sidecar] in {PYPROJECT}, in {project.root}",
            "keep one of them",
            code="config-twice",
        )
    return file or table or {}


def _options(overrides: Mapping[str, Any]) -> Layer:
    layer: Layer = {}
    for name, value in overrides.items():
        tree: Any = value
        for part in reversed(name.split(".")):
            tree = {part: tree}
        layer.update(layers.flatten(tree, lambda key: "option"))
    return layer


def _imply_destination(name: str, merged: Layer, shared: Layer) -> None:
    """Only the shared file knows this host: without `ssh`, its table's name is what it would have
    dialled, and is asked about like any other destination."""
    key = ("hosts", name, "ssh")
    if key not in merged or not merged[key].value:
        merged[key] = shared[key] = Setting(name, shared["hosts", name].origin)


def _withheld(
    project: Project, merged: Layer, shared: Layer, own_hosts: Collection[str]
) -> dict[Key, Setting]:
    """What is in effect only because the shared file says so, needs trust, and lacks it."""
    asked = {
        trust.statement(key, setting.value): (key, setting)
        for key, setting in merged.items()
        if shared.get(key) is setting and trust.needs_trust(key, setting.value, own_hosts)
    }
    known = trust.trusted(project, asked)
    return dict(found for statement, found in asked.items() if statement not in known)


def _check_version(merged: Layer) -> None:
    setting = merged.get(("required-version",))
    if setting is None:
        return
    try:
        satisfied = version.satisfies(sidecar.__version__, setting.value)
    except ValueError as error:
        raise ConfigError(
            f'{setting.origin}: required-version is "{setting.value}"',
            f'expected comparisons such as ">=0.1,<2"; "{error}" is none',
            "change its value",
            code="config-value",
        ) from None
    if not satisfied:
        raise ConfigError(
            f"This sidecar is version {sidecar.__version__}",
            f"{setting.origin} asks for {setting.value}",
            "update it, for example by `uv tool upgrade remote-sidecar`",
            code="required-version",
        )


def _refuse_home(project: Project) -> None:
    home = os.path.realpath(os.path.expanduser("~"))
    if Path(home).is_relative_to(project.root):
        raise ConfigError(
            f"{project.root} cannot be a project",
            "it holds far more than a project, keys and passwords too",
            "move the configuration into the folder of one project",
            code="root-refused",
        )


def _keys(hosts: Collection[str]) -> Iterator[Key]:
    """Every setting's key: the general ones in the order of the Structs, then host by host."""
    keys = [key for key, _ in layers.fields()]
    yield from (key for key in keys if "*" not in key)
    for host in hosts:
        yield from ((key[0], host, key[2]) for key in keys if "*" in key)


def _at(config: Config, key: Key) -> object:
    value: Any = config
    for part in key:
        value = value[part] if isinstance(value, dict) else getattr(value, part.replace("-", "_"))
    return value


def _shown(path: Path) -> str:
    home = os.path.expanduser("~")
    text = str(path)
    return "~" + text[len(home) :] if text.startswith(home + os.sep) else text
