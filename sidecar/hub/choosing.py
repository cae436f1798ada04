"""The interpreters of a host for faces: the list of them, and the choice by name."""

from __future__ import annotations

from sidecar import api
from sidecar.errors import SidecarError, UsageError
from sidecar.hub.client import Client
from sidecar.hub.interpreters import NOT_NOW, Row, described
from sidecar.hub.registry import Registry
from sidecar.hub.sessions import Session
from sidecar.questions import Choice


class Choosing:
    """For all clients."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def interpreters(
        self, client: Client, params: api.InterpretersParams
    ) -> api.InterpretersResult:
        session = await self._registry.session(client, params.project, params.host)
        with session.speaking():
            told, _ = await session.interpreters.survey()
            used, source, problem = await _in_use(session)
        return api.InterpretersResult(
            host=session.name,
            interpreters=[_shown(row, row.path == used) for row in told.interpreters],
            driver=told.driver,
            source=source,
            problem=problem,
        )

    async def select(
        self, client: Client, params: api.SelectInterpreterParams
    ) -> api.SelectInterpreterResult:
        session = await self._registry.session(client, params.project, params.host)
        with session.speaking():
            told, _ = await session.interpreters.survey()
            rows = told.interpreters
            if params.name:
                setting = _setting(params.name, rows)
            else:
                setting = await _asked(client, session.name, rows)
            found = await session.interpreters.use(setting)
        return api.SelectInterpreterResult(
            host=session.name, python=setting, path=found.path, version=found.version
        )


async def _in_use(session: Session) -> tuple[str, str, str]:
    """Path and source of the one that jobs get, or why there is none. Nobody is asked here: the
    list is what they would choose from."""
    try:
        with session.speaking():
            found = await session.interpreters.known()
    except SidecarError as error:
        return "", "", str(error)
    return found.path, found.source, ""


def _shown(row: Row, in_use: bool) -> api.Interpreter:
    return api.Interpreter(
        name=row.name,
        path=row.path,
        kind=row.kind,
        version=row.version,
        packages=row.packages,
        cuda=row.cuda,
        lacks=row.lacks,
        in_use=in_use,
        problem=row.problem,
    )


def _setting(name: str, rows: list[Row]) -> str:
    """What `python` becomes for what the person typed: a listed name, a path, "conda:NAME".

    Raises:
        UsageError: it is none of them.
    """
    for row in rows:
        if name in (row.name, row.setting, row.path):
            return row.setting
    # A conda environment by its bare name is what people type.
    for row in rows:
        if row.kind == "conda" and row.name == f"conda:{name}":
            return row.setting
    if "/" in name or name.startswith("conda:"):
        return name
    names = ", ".join(row.name for row in rows) or "none"
    raise UsageError(
        f"There is no Python {name} there", f"found: {names}", "use one of them, or a path there"
    )


async def _asked(client: Client, host: str, rows: list[Row]) -> str:
    labels = {described(row): row.setting for row in rows if not row.problem}
    question = Choice(
        f"Which Python is to run this project on {host}?",
        (*labels, NOT_NOW),
        "sidecar envs use NAME",
    )
    answer = await client.choose(question)
    if answer is None or answer not in labels:
        raise UsageError("No Python was chosen", "", "name one: `sidecar envs use NAME`")
    return labels[answer]
