"""Configuration of hpcschedd: TOML tables as values; unknown keys are refused."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, get_type_hints

from hpcsched.common.limits import CallLimits
from hpcsched.common.toml import TomlError, parse_toml
from hpcsched.rpc.addresses import (
    AGENT_PORT,
    CLIENT_PORT,
    Address,
    AddressError,
    parse_address,
)

LARGEST_LIMIT: Final = 1_000_000
LONGEST: Final = 1_000  # characters of what a ConfigError says
LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")


class ConfigError(ValueError):
    """A setting cannot be used; the message names it."""

    def __init__(self, problem: str) -> None:
        # It may quote what it is about, which may be long.
        super().__init__(
            problem if len(problem) <= LONGEST else problem[:LONGEST] + "…"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """The ``[cluster]`` table.

    Attributes:
        name: Name of the cluster, at most 80 characters (CCP_CLUSTER_NAME of tasks).
        state_dir: Directory of the store and its lock, on a local disk.
        backup_dir: Where backups go, better on another disk; empty: ``backups`` in the
            state directory.
    """

    name: str = "hpcsched"
    state_dir: str = "/var/lib/hpcsched"
    backup_dir: str = ""

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= 80:  # noqa: PLR2004
            raise ConfigError("cluster.name: 1 to 80 characters are needed")
        if not self.state_dir:
            raise ConfigError("cluster.state_dir: must not be empty")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenConfig:
    """The ``[listen]`` table.

    Attributes:
        clients: HOST:PORT for clients; port 0 takes a free one.
        agents: HOST:PORT for agents.
        insecure_loopback: Serve without TLS; allowed on loopback addresses only.
    """

    clients: str = "127.0.0.1:7470"
    agents: str = "127.0.0.1:7471"
    insecure_loopback: bool = False

    def __post_init__(self) -> None:
        if self.client_address == self.agent_address and self.client_address.port:
            raise ConfigError("listen.agents: clients and agents need a port each")

    @property
    def client_address(self) -> Address:
        """Where clients are served."""
        return _address("listen.clients", self.clients, CLIENT_PORT)

    @property
    def agent_address(self) -> Address:
        """Where agents are served."""
        return _address("listen.agents", self.agents, AGENT_PORT)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsConfig:
    """The ``[tls]`` table: PEM files.

    Attributes:
        cert: The head's certificate with its chain.
        key: Its private key.
        client_ca: Authorities of client certificates; empty: none are asked for.
    """

    cert: str = ""
    key: str = ""
    client_ca: str = ""

    def __post_init__(self) -> None:
        if bool(self.cert) != bool(self.key):
            raise ConfigError(
                "tls.key: certificate and key belong together; one is missing"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """The ``[log]`` table.

    Attributes:
        level: DEBUG, INFO, WARNING or ERROR.
        json: One JSON object a line, for machines; otherwise text.
    """

    level: str = "INFO"
    json: bool = True

    def __post_init__(self) -> None:
        if self.level.upper() not in LEVELS:
            raise ConfigError(
                f"log.level: {self.level!r} is not one of {', '.join(LEVELS)}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenConfig:
    """The ``[tokens]`` table: tokens that are made once, at the first start.

    Attributes:
        admin_file: Where the first administrator's secret is written, mode 0600;
            empty: nowhere.
        admin_user: Name of that administrator.
        node_file: Where the secret with which any agent may join is written;
            empty: nowhere.
    """

    admin_file: str = ""
    admin_user: str = "admin"
    node_file: str = ""

    def __post_init__(self) -> None:
        if not 1 <= len(self.admin_user) <= 80:  # noqa: PLR2004
            raise ConfigError("tokens.admin_user: 1 to 80 characters are needed")


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsConfig(CallLimits):
    """The ``[limits]`` table: what may be under way at a time."""

    def __post_init__(self) -> None:
        for one in fields(self):
            if not 1 <= getattr(self, one.name) <= LARGEST_LIMIT:
                raise ConfigError(f"limits.{one.name}: must be 1 to {LARGEST_LIMIT}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole file."""

    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    listen: ListenConfig = field(default_factory=ListenConfig)
    tls: TlsConfig = field(default_factory=TlsConfig)
    log: LogConfig = field(default_factory=LogConfig)
    tokens: TokenConfig = field(default_factory=TokenConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)

    def __post_init__(self) -> None:
        if not self.tls.cert and not self.listen.insecure_loopback:
            raise ConfigError(
                "tls.cert: a certificate is needed (or "
                "listen.insecure_loopback = true, for a cluster that only this "
                "machine can reach)"
            )
        if self.tls.cert:
            return
        for name, address in (
            ("clients", self.listen.client_address),
            ("agents", self.listen.agent_address),
        ):
            if not address.is_loopback:
                raise ConfigError(
                    f"listen.{name}: {address} is not a loopback address: without TLS "
                    "a token could be read on the way"
                )


_KINDS: Final = {str: "a text", bool: "true or false", int: "a whole number"}
_TABLES: Final = {
    "cluster": ClusterConfig,
    "listen": ListenConfig,
    "tls": TlsConfig,
    "log": LogConfig,
    "tokens": TokenConfig,
    "limits": LimitsConfig,
}


def read_config(path: Path | None, overrides: dict[str, dict[str, Any]]) -> Config:
    """Return the configuration of a file, with what the command line sets on top.

    Raises:
        ConfigError: the file cannot be read, or a setting cannot be used.
    """
    merged = _read_tables(path, overrides)
    return Config(**{name: _table(name, values) for name, values in merged.items()})


def read_cluster(
    path: Path | None, overrides: dict[str, dict[str, Any]]
) -> ClusterConfig:
    """Return the ``[cluster]`` table alone: who serves nobody needs no certificate.

    Raises:
        ConfigError: as of ``read_config``.
    """
    found: ClusterConfig = _table("cluster", _read_tables(path, overrides)["cluster"])
    return found


def _read_tables(
    path: Path | None, overrides: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    tables: dict[str, Any] = {}
    if path is not None:
        try:
            tables = parse_toml(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from None
        except (TomlError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: {error}") from None
    for name in tables:
        if name not in _TABLES:
            raise ConfigError(f"{name}: no such table; there are {', '.join(_TABLES)}")
        if not isinstance(tables[name], dict):
            raise ConfigError(f"{name}: must be a table, [{name}]")
    return {
        name: {**tables.get(name, {}), **overrides.get(name, {})} for name in _TABLES
    }


def _table(name: str, values: dict[str, Any]) -> Any:
    kind = _TABLES[name]
    known = {one.name for one in fields(kind)}
    hints = get_type_hints(kind)
    for key, value in values.items():
        if key not in known:
            raise ConfigError(
                f"{name}.{key}: no such setting; there are {', '.join(sorted(known))}"
            )
        if type(value) is not hints[key]:
            wanted = _KINDS[hints[key]]
            raise ConfigError(f"{name}.{key}: must be {wanted}")
    return kind(**values)


def as_toml(config: Config) -> str:
    """Return the configuration in force as a file."""
    lines = []
    for name in _TABLES:
        lines.append(f"[{name}]")
        table = getattr(config, name)
        for one in fields(table):
            value = getattr(table, one.name)
            is_text = isinstance(value, str)
            text = _quoted(value) if is_text else str(value).lower()
            lines.append(f"{one.name} = {text}")
        lines.append("")
    return "\n".join(lines)


def _quoted(text: str) -> str:
    # A text of JSON is one of TOML, but for the character 127.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def _address(name: str, text: str, default_port: int) -> Address:
    try:
        return parse_address(text, default_port)
    except AddressError as error:
        raise ConfigError(f"{name}: {error}") from None
