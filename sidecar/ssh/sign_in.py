"""One sign-in to one hop: what asyncssh asks of us while it connects, answered by files, the
agent and the person.

The host key is checked before anything is told to the host. asyncssh wants that answer at once,
so an unknown key ends the attempt; `dial` asks the person and connects again. Passwords and codes
are asked while the host waits, in its own words, and a question that nobody answers ends it all:
the next method would only ask again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import asyncssh

from sidecar.errors import ConnectError
from sidecar.questions import Person, Secret
from sidecar.ssh import known_hosts
from sidecar.ssh.codes import connect_error
from sidecar.ssh.failures import loss_in_words
from sidecar.ssh.keys import Keyring
from sidecar.ssh.known_hosts import Entry, Known
from sidecar.ssh.last_words import escaped
from sidecar.ssh.line_end import tell_late
from sidecar.ssh.resolved import Resolved

# What ssh says after a wrong password; the protocol has no words for it.
DENIED = "Permission denied, please try again"

# A banner, and instructions, are for people; a screenful is enough.
WORDS_LIMIT = 4096


class SignIn(asyncssh.SSHClient):
    """Made for one attempt.

    Args:
        known: what the known_hosts files say about this hop.
        trusted: a key that the person accepted for this connection, in wire form.
        progress: shown what the host says without asking anything.
    """

    def __init__(
        self,
        hop: Resolved,
        person: Person,
        known: Known,
        trusted: bytes,
        progress: Callable[[str], None],
    ) -> None:
        self._hop = hop
        self._progress = progress
        self._person = person
        self._known = known
        self._trusted = trusted
        self._connection: asyncssh.SSHClientConnection | None = None
        self._keyring = Keyring(hop, self._passphrase)
        self._offers: AsyncIterator[asyncssh.SSHKeyPair] | None = None
        self._problem = ""
        self._attempts = {"password": 0, "keyboard-interactive": 0}
        self._methods: Sequence[str] = ()
        self._refused: ConnectError | None = None
        self._questions = 0
        self.presented: asyncssh.SSHKey | None = None
        """The host's key, where it is not known and was not trusted."""
        self.asked = False
        """A person was asked for a secret, or had to touch a key or another device."""
        self.authenticating = False
        """The host has said who it is, and is being told who we are."""
        self.last_sign = asyncio.get_running_loop().time()
        """When the host, or the person, was heard last."""
        self.closed: asyncio.Future[tuple[str, str]] = asyncio.get_running_loop().create_future()
        """Why the connection ended: words and a code of Disconnected."""

    @property
    def waits_for_person(self) -> bool:
        return self._questions > 0

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        self._connection = conn
        tell_late(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        self._keyring.close()
        if not self.closed.done():
            self.closed.set_result(loss_in_words(exc))

    def auth_completed(self) -> None:
        self._keyring.close()

    # The host's key

    def validate_host_public_key(
        self, host: str, addr: str, port: int, key: asyncssh.SSHKey
    ) -> bool:
        """Asked for keys that no file knows under the name of this host."""
        data = key.public_data
        if data == self._trusted:
            return True
        if not self._known.same_kind(key.get_algorithm()) and any(
            entry.key == data for entry in self._known.elsewhere
        ):
            return True
        self.presented = key
        return False

    def validate_host_ca_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        return False

    # Methods, in the order in which asyncssh tries them; None means: the next one, please

    async def public_key_auth_requested(self) -> asyncssh.SSHKeyPair | None:
        self._heard()
        if not self._hop.publickey or self._refused is not None:
            return None
        if self._offers is None:
            self._offers = self._keyring.offers()
        async for pair in self._offers:
            if pair.get_algorithm().startswith("sk-"):
                # A token wants a finger on it, whoever holds the key.
                self.asked = True
            return pair
        return None

    async def password_auth_requested(self) -> str | None:
        self._heard()
        if not self._may_ask("password"):
            return None
        prompt = f"{self._hop.user}@{self._hop.host}'s password: "
        return await self._ask(prompt)

    async def password_change_requested(self, prompt: str, lang: str) -> tuple[str, str]:
        self._refused = self._refused or connect_error(
            f"The password on {self._hop.name} has to be changed",
            _clean(prompt),
            f"run `ssh {self._hop.name}` in a terminal once",
            "auth-failed",
        )
        return NotImplemented  # type: ignore[no-any-return]

    async def kbdint_auth_requested(self) -> str | None:
        self._heard()
        return "" if self._may_ask("keyboard-interactive") else None

    async def kbdint_challenge_received(
        self, name: str, instructions: str, lang: str, prompts: Sequence[tuple[str, bool]]
    ) -> list[str] | None:
        self._heard()
        said = _clean(" ".join(part for part in (name, instructions) if part))
        if not prompts:
            # A message only: why the last answer was wrong, or that a telephone wants a look.
            if said:
                self.asked = True
                self._problem = said
                self._progress(f"{self._hop.name} says: {said}")
            return []
        answers: list[str] = []
        for prompt, echo in prompts:
            text = self._attributed(_clean(prompt, keep_end=True))
            if said and not answers:
                text = f"{said}\n{text}"
            answer = await self._ask(text, echo=echo)
            if answer is None:
                return None
            answers.append(answer)
        return answers

    def auth_banner_received(self, msg: str, lang: str) -> None:
        self._heard()

    def failure(self) -> ConnectError | None:
        """Why signing in failed, where asyncssh says only that permission was denied."""
        if self._refused is not None:
            return self._refused
        hop = self._hop
        tried = [f"offered {', '.join(self._keyring.notes)}"] if self._keyring.notes else []
        if any(self._attempts.values()):
            tried.append("what was typed was not accepted")
        elif hop.batch and {"password", "keyboard-interactive"} & set(self._methods):
            tried.append("BatchMode forbids to ask for a password")
        if self._methods:
            tried.append(f"it accepts {', '.join(self._methods)}")
        fix = f"check User and IdentityFile of {hop.name}, or add a key with `ssh-add`"
        if any(method.startswith("gssapi") for method in self._methods):
            fix += ', or set `transport = "openssh"` for its Kerberos login'
        return connect_error(
            f"{hop.name} does not let {hop.user} in", "; ".join(tried), fix, "auth-failed"
        )

    def turned_away(self, problem: BaseException) -> ConnectError | None:
        """The failure where the host ended the sign-in itself, such as after too many keys;
        None for any other. It counts as a refusal: more tries may lock an account."""
        if not self.authenticating or not isinstance(problem, asyncssh.DisconnectError):
            return None
        if isinstance(problem, asyncssh.ConnectionLost):
            return None
        return connect_error(
            f"{self._hop.name} ended the sign-in of {self._hop.user}",
            _clean(problem.reason).rstrip("."),
            f"check User and IdentityFile of {self._hop.name}; where an agent offers many keys, "
            "set IdentitiesOnly",
            "auth-failed",
        )

    # Asking

    def _may_ask(self, method: str) -> bool:
        wanted = self._hop.password if method == "password" else self._hop.keyboard_interactive
        if not wanted or self._hop.batch or self._refused is not None:
            return False
        if self._attempts[method] >= self._hop.password_prompts:
            return False
        if any(self._attempts.values()) and not self._problem:
            self._problem = DENIED
        self._attempts[method] += 1
        return True

    async def _ask(self, prompt: str, *, echo: bool = False) -> str | None:
        """One secret from the person; None ends the sign-in."""
        problem, self._problem = self._problem, ""
        question = Secret(self._hop.name, prompt, echo, problem)
        self.asked = True
        self._questions += 1
        try:
            answer = await self._person.secret(question)
        finally:
            self._questions -= 1
            self._heard()
        if answer is None:
            self._refused = connect_error(
                f"{self._hop.name} asks for {_noun(prompt)}, and nobody answered",
                f"it says {question.prompt.strip()!r}",
                f"connect again, or add a key for {self._hop.name} with `ssh-add`",
                "cancelled",
            )
        return answer

    def _attributed(self, prompt: str) -> str:
        """The host's own words, with its name right before the place where the answer is typed:
        it may ask for the passphrase of a key in the very words that we use for that, and what
        is typed goes to the host. OpenSSH does the same since 8.4."""
        before, newline, last = prompt.rpartition("\n")
        return f"{before}{newline}({self._hop.user}@{self._hop.host}) {last}"

    async def _passphrase(self, file: str, problem: str) -> str | None:
        if self._hop.batch or self._refused is not None:
            return None
        self._problem = problem
        return await self._ask(f"Enter passphrase for key '{file}': ")

    def _heard(self) -> None:
        self.authenticating = True
        self.last_sign = asyncio.get_running_loop().time()
        if self._connection is not None:
            offered = self._connection.get_server_auth_methods()
            self._methods = offered or self._methods


def host_key_failure(
    hop: Resolved, known: Known, presented: asyncssh.SSHKey
) -> ConnectError | None:
    """Why a presented key must be refused whatever the person says; None where they may choose."""
    kind, data = presented.get_algorithm(), presented.public_data
    print_ = known_hosts.fingerprint(data)
    name = known_hosts.host_name(hop.host, hop.port, hop.host_key_alias)
    before = known.same_kind(kind)
    if before:
        return _changed(
            f"The host key of {hop.name} has changed",
            f"it shows {kind} {print_}, and {before[0].place} has "
            f"{known_hosts.fingerprint(before[0].key)}: it was installed anew, or somebody is in "
            "between",
            f"ask who runs that machine whether {print_} is right; if it is, remove the old key "
            f"with `{forget_command(name, before[0])}` and connect again",
        )
    if hop.strict == "yes":
        return connect_error(
            f"The host key of {hop.name} is not known",
            f"it shows {kind} {print_}, and StrictHostKeyChecking is on",
            f"add the key to {(hop.known_hosts or ('known_hosts',))[0]}, or connect once with ssh",
            "host-key-unknown",
        )
    return None


def untrusted(hop: Resolved, known: Known, problem: asyncssh.HostKeyNotVerifiable) -> ConnectError:
    """The failure of a key or certificate that asyncssh judged by itself."""
    if known.revoked and "revoked" in str(problem):
        return _changed(
            f"The host key of {hop.name} was revoked",
            f"it is marked @revoked in {', '.join(entry.place for entry in known.revoked[:3])}",
            "ask who runs that machine; do not connect",
        )
    return connect_error(
        f"The host certificate of {hop.name} cannot be verified",
        str(problem),
        f"see what `ssh {hop.name}` says",
        "host-key-unknown",
    )


def forget_command(name: str, entry: Entry) -> str:
    """What removes a key that is known."""
    return f"ssh-keygen -R '{name}' -f '{entry.file}'"


def _changed(what: str, why: str, fix: str) -> ConnectError:
    return connect_error(what, why, fix, "host-key-changed")


def _noun(prompt: str) -> str:
    """What a prompt asks for, in a word; the prompt itself is shown beside it."""
    lowered = prompt.lower()
    for word in ("passphrase", "password", "code", "token"):
        if word in lowered:
            return f"a {word}"
    return "something"


def _clean(text: str, *, keep_end: bool = False) -> str:
    shown = escaped(text[:WORDS_LIMIT].encode("utf-8", "surrogateescape"))
    return shown if keep_end else shown.strip()
