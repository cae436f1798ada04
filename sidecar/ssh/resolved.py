"""What ssh would do for one destination, as values. Pure.

`ssh -G` prints every option as `name value`; asyncssh's parser gives fewer. Both come here as
lists of texts by option name, and leave as one Resolved that says nothing twice.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sidecar.ssh.codes import connect_error
from sidecar.ssh.destination import Destination, jump_of_command, parse_jumps
from sidecar.ssh.tokens import expand, tokens_for

Options = Mapping[str, Sequence[str]]

SSH_PORT = 22

# Noticing a dead peer takes this long where the configuration does not say: a save that seems to
# hang for longer is what people call "frozen". OpenSSH itself would wait for TCP, many minutes.
ALIVE_INTERVAL, ALIVE_COUNT = 5.0, 3

# For one address, and then again until the server has said who it is. Slow login nodes exist.
CONNECT_TIMEOUT = 20.0

# Options that asyncssh cannot follow and that change whether or how one gets in at all.
_ONLY_OPENSSH = {
    "pkcs11provider": "none",
    "knownhostscommand": "none",
    "proxyusefdpass": "no",
    "bindinterface": "none",
}

# Named algorithms count only where the person named them; `ssh -G` prints its defaults too.
_ALGORITHMS = ("ciphers", "macs", "kexalgorithms", "hostkeyalgorithms")

# Between two files of one line: a space before something that begins as an absolute path does.
_BETWEEN_FILES = re.compile(r"\s+(?=[/~%$]|[A-Za-z]:[\\/])")


@dataclass(frozen=True)
class Resolved:
    """Everything that is needed to get to one host, or to one hop on the way."""

    destination: Destination
    host: str
    """The name or address to connect to."""
    port: int
    user: str
    host_key_alias: str = ""
    identity_files: tuple[str, ...] = ()
    certificate_files: tuple[str, ...] = ()
    identities_only: bool = False
    agent: str = ""
    """The agent's socket; empty for none."""
    known_hosts: tuple[str, ...] = ()
    """The person's own files; a new key goes into the first."""
    global_known_hosts: tuple[str, ...] = ()
    strict: str = "ask"
    """StrictHostKeyChecking: "yes", "ask", "accept-new" or "no"."""
    hash_known_hosts: bool = False
    jumps: tuple[Destination, ...] = ()
    """Hops in front of it, the nearest to us first."""
    proxy_command: str = ""
    """Ready for a shell; never set together with `jumps`."""
    batch: bool = False
    password_prompts: int = 3
    preferred: tuple[str, ...] = ()
    """Authentication methods in order; empty for the usual order."""
    publickey: bool = True
    password: bool = True
    keyboard_interactive: bool = True
    gssapi: bool = False
    """Kerberos; works in asyncssh where the library `gssapi` is installed."""
    connect_timeout: float = CONNECT_TIMEOUT
    alive_interval: float = ALIVE_INTERVAL
    alive_count: int = ALIVE_COUNT
    address_family: str = "any"
    """"any", "inet" or "inet6"."""
    bind_address: str = ""
    ciphers: tuple[str, ...] = ()
    macs: tuple[str, ...] = ()
    key_exchanges: tuple[str, ...] = ()
    host_key_algorithms: tuple[str, ...] = ()
    compression: bool = False
    tcp_keepalive: bool = True
    set_env: tuple[tuple[str, str], ...] = ()
    send_env: tuple[str, ...] = ()
    forward_agent: bool = False
    local_forwards: tuple[str, ...] = ()
    """LocalForward lines as ssh prints them (config/forwards.py)."""
    control_path: str = ""
    control_persist: float = 0.0
    """Seconds for which a connection that nobody uses is kept; `inf` for ever."""
    local_command: str = ""
    """Run by ssh after signing in; empty unless PermitLocalCommand."""
    only_openssh: tuple[str, ...] = ()
    """Options in force that only the ssh program can follow."""

    @property
    def name(self) -> str:
        """What the person calls it."""
        return self.destination.name

    @property
    def address(self) -> str:
        """For messages: the host, with its port where that is not the usual one."""
        if self.port == SSH_PORT:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_options(printed: str) -> dict[str, list[str]]:
    """The output of `ssh -G`: every line an option in lower case, a space, its value."""
    options: dict[str, list[str]] = {}
    for line in printed.splitlines():
        name, _, value = line.strip().partition(" ")
        if name:
            options.setdefault(name.lower(), []).append(value)
    return options


def build(
    destination: Destination,
    options: Options,
    *,
    defaults: Options,
    environment: Mapping[str, str],
    home: str,
    local_user: str,
    local_host: str,
    uid: int,
    config_files: Sequence[str] = (),
) -> Resolved:
    """A Resolved from options.

    Args:
        options: for this destination.
        defaults: what an empty configuration gives: equal values were not named by anybody.
        config_files: ways to spell the configuration in use, for `ProxyCommand ssh -F …`.

    Raises:
        ConnectError: `bad-config`, with the option's name.
    """

    def one(name: str, default: str = "") -> str:
        values = options.get(name)
        return values[0].strip() if values else default

    def named(name: str, default: str = "") -> str:
        value = one(name, default)
        return "" if value.lower() == "none" else value

    def flag(name: str, default: bool) -> bool:
        value = one(name).lower()
        return value in ("yes", "true") if value else default

    def number(name: str) -> float:
        value = named(name)
        try:
            return float(value) if value else 0.0
        except ValueError:
            raise connect_error(
                f"{name} in the ssh configuration is wrong",
                f"{value!r} is no number",
                "correct it in the ssh configuration",
                "bad-config",
            ) from None

    def chosen(name: str) -> tuple[str, ...]:
        value = one(name)
        if not value or list(options[name]) == list(defaults.get(name, ())):
            return ()
        return tuple(part.strip() for part in value.split(",") if part.strip())

    host = one("hostname") or destination.name
    port = int(number("port")) or destination.port or SSH_PORT
    user = one("user") or destination.user or local_user
    alias = named("hostkeyalias")
    proxy_command = named("proxycommand")
    jumps = parse_jumps(named("proxyjump"))
    jump = one("proxyjump") if jumps else ""
    tokens = tokens_for(
        original=destination.name,
        host=host,
        port=port,
        user=user,
        host_key_alias=alias,
        local_user=local_user,
        local_host=local_host,
        home=home,
        uid=uid,
        jump=jump,
    )
    hop = jump_of_command(proxy_command, config_files) if proxy_command and not jumps else None
    if hop is not None:
        jumps, proxy_command = (hop,), ""
    elif jumps:
        proxy_command = ""
    elif proxy_command:
        proxy_command = expand("ProxyCommand", proxy_command, tokens, tilde=False)

    def files(option: str, values: Sequence[str]) -> tuple[str, ...]:
        kept = (value for value in values if value and value.lower() != "none")
        return tuple(expand(option, value, tokens, environment) for value in kept)

    def one_line_of_files(option: str) -> tuple[str, ...]:
        return files(option, _split_files(" ".join(options.get(option.lower(), ()))))

    strict = one("stricthostkeychecking", "ask").lower()
    strict = {"true": "yes", "false": "no", "off": "no"}.get(strict, strict)
    persist = {"yes": math.inf, "true": math.inf, "no": 0.0, "false": 0.0}.get(
        one("controlpersist", "no").lower()
    )
    beyond = tuple(
        name
        for name, idle in _ONLY_OPENSSH.items()
        if one(name, idle).lower() not in (idle, "none", "false", "")
    )
    return Resolved(
        destination=destination,
        host=host,
        port=port,
        user=user,
        host_key_alias=alias,
        identity_files=files("IdentityFile", options.get("identityfile", ())),
        certificate_files=files("CertificateFile", options.get("certificatefile", ())),
        identities_only=flag("identitiesonly", False),
        agent=_agent(options.get("identityagent", ()), tokens, environment),
        known_hosts=one_line_of_files("UserKnownHostsFile"),
        global_known_hosts=one_line_of_files("GlobalKnownHostsFile"),
        strict=strict if strict in ("yes", "ask", "accept-new", "no") else "ask",
        hash_known_hosts=flag("hashknownhosts", False),
        jumps=jumps,
        proxy_command=proxy_command,
        batch=flag("batchmode", False),
        password_prompts=max(int(number("numberofpasswordprompts")), 1)
        if one("numberofpasswordprompts")
        else 3,
        preferred=tuple(part for part in named("preferredauthentications").split(",") if part),
        publickey=one("pubkeyauthentication", "yes").lower() not in ("no", "false"),
        password=flag("passwordauthentication", True),
        keyboard_interactive=flag("kbdinteractiveauthentication", True),
        gssapi=flag("gssapiauthentication", False),
        connect_timeout=number("connecttimeout") or CONNECT_TIMEOUT,
        alive_interval=number("serveraliveinterval") or ALIVE_INTERVAL,
        alive_count=int(number("serveralivecountmax")) or ALIVE_COUNT,
        address_family=one("addressfamily", "any").lower(),
        bind_address=named("bindaddress"),
        ciphers=chosen("ciphers"),
        macs=chosen("macs"),
        key_exchanges=chosen("kexalgorithms"),
        host_key_algorithms=chosen("hostkeyalgorithms"),
        compression=flag("compression", False),
        tcp_keepalive=flag("tcpkeepalive", True),
        set_env=tuple(
            (name, value)
            for name, _, value in (text.partition("=") for text in options.get("setenv", ()))
            if name
        ),
        send_env=tuple(options.get("sendenv", ())),
        forward_agent=one("forwardagent", "no").lower() in ("yes", "true"),
        local_forwards=()
        if flag("clearallforwardings", False)
        else tuple(options.get("localforward", ())),
        control_path=named("controlpath"),
        control_persist=persist if persist is not None else number("controlpersist"),
        local_command=named("localcommand") if flag("permitlocalcommand", False) else "",
        only_openssh=beyond,
    )


def _agent(values: Sequence[str], tokens: Mapping[str, str], environment: Mapping[str, str]) -> str:
    """IdentityAgent: a socket, "none", the literal SSH_AUTH_SOCK, or `$NAME`."""
    value = values[0].strip() if values else "SSH_AUTH_SOCK"
    if value.lower() == "none":
        return ""
    if value == "SSH_AUTH_SOCK":
        return environment.get("SSH_AUTH_SOCK", "")
    if value.startswith("$") and not value.startswith("${"):
        return environment.get(value[1:], "")
    return expand("IdentityAgent", value, tokens, environment)


def _split_files(line: str) -> list[str]:
    """Files on one line. `ssh -G` does not quote them, so a space inside a name is told from one
    between two names by what follows."""
    parts = _BETWEEN_FILES.split(line.strip())
    return [part.strip().strip('"') for part in parts if part.strip()]
