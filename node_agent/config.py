"""What the administrator says about a node: arguments, and a file behind them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.toml import TomlError, parse_toml
from hpcsched.rpc.addresses import AGENT_PORT, Address, AddressError, parse_address

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_CORES: Final = 1 << 16
LONGEST_NAME: Final = 253
LONGEST: Final = 1_000  # characters of what a ConfigError says
LEVELS: Final = ("debug", "info", "warning", "error")

#: Keys of the file and the kind of their values; the arguments' names with ``_``.
KEYS: Final[Mapping[str, type]] = {
    "dir": str,
    "head": list,
    "token_file": str,
    "name": str,
    "cores": int,
    "groups": list,
    "ca": str,
    "insecure_loopback": bool,
    "tls_server_name": str,
    "supervisor_socket": str,
    "output_dir": str,
    "log_level": str,
    "mpi_network": str,
}


class ConfigError(ValueError):
    """A setting is missing or wrong; the text names it."""

    def __init__(self, problem: str) -> None:
        # It may quote what it is about, which may be long.
        super().__init__(
            problem if len(problem) <= LONGEST else problem[:LONGEST] + "…"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """The settings of ``hpc-node-agent``.

    Attributes:
        dir: The agent's directory: its lock, the highest term, by default the socket.
        heads: Addresses of heads, in the order in which they are tried.
        token_file: Holds the node's token; read at each connect.
        name: Of the node.
        cores: How many the node promises; 0: as many as there are.
        groups: Node groups that this node belongs to.
        ca: Authorities of the heads' certificates; None: the system's.
        insecure_loopback: Plain text, to heads on this machine only.
        tls_server_name: Name in the heads' certificates; empty: the host.
        supervisor_socket: Where the supervisor listens.
        output_dir: Where the supervisor keeps outputs.
        version: Of this program.
        mpi_network: What CCP_MPI_NETMASK says to tasks; empty: it is not set.
    """

    dir: Path
    heads: tuple[Address, ...]
    token_file: Path
    name: str
    cores: int
    groups: tuple[str, ...]
    ca: Path | None
    insecure_loopback: bool
    tls_server_name: str
    supervisor_socket: Path
    output_dir: Path
    log_level: str
    version: str
    mpi_network: str = ""


def site_variables(config: AgentConfig) -> dict[str, str]:
    """Return the variables of every task that the node alone knows."""
    folder = str(config.dir)
    variables = {
        "CCP_HOME": sys.prefix,
        "CCP_DATA": folder,
        "CCP_LOGROOT_SYS": folder,
        "CCP_LOGROOT_USR": folder,
    }
    if config.mpi_network:
        network = ip_network(config.mpi_network)
        variables["CCP_MPI_NETMASK"] = f"{network.network_address}/{network.netmask}"
    return variables


def read_file(path: Path) -> dict[str, Any]:
    """Return the settings of a TOML file.

    Raises:
        ConfigError: it cannot be read, has a key that is not known, or a value of the
            wrong kind.
    """
    try:
        found = parse_toml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (TomlError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    for key, value in found.items():
        kind = KEYS.get(key)
        if kind is None:
            known = ", ".join(sorted(KEYS))
            raise ConfigError(f"{path}: {key}: no such setting; there are {known}")
        if key == "head" and isinstance(value, str):
            continue
        texts = value if kind is list and isinstance(value, list) else ()
        if type(value) is not kind or not all(isinstance(t, str) for t in texts):
            wanted = "a list of strings" if kind is list else kind.__name__
            raise ConfigError(f"{path}: {key}: must be {wanted}, not {value!r}")
    return found


def build(settings: Mapping[str, Any], *, host_name: str, version: str) -> AgentConfig:
    """Return the configuration in a mapping of KEYS; None counts as not given.

    Args:
        settings: As ``read_file`` returns them, with the arguments on top.
        host_name: Of this machine; its first label is the node's name by default.
        version: Of this program.

    Raises:
        ConfigError: a setting is missing or out of range.
    """
    given = {key: value for key, value in settings.items() if value is not None}
    folder = Path(_needed(given, "dir")).absolute()
    ca = given.get("ca") or None
    insecure = bool(given.get("insecure_loopback"))
    heads = _heads(_needed(given, "head"))
    if ca is not None and insecure:
        raise ConfigError("ca, insecure_loopback: give one of them, not both")
    if insecure and (beyond := [h for h in heads if not h.is_loopback]):
        raise ConfigError(f"insecure_loopback: {beyond[0]} is not on this machine")
    return AgentConfig(
        dir=folder,
        heads=heads,
        token_file=Path(_needed(given, "token_file")).absolute(),
        name=_name(given.get("name") or host_name.partition(".")[0]),
        cores=_cores(given.get("cores", 0)),
        groups=tuple(_group(group) for group in given.get("groups", ())),
        ca=None if ca is None else Path(ca).absolute(),
        insecure_loopback=insecure,
        tls_server_name=given.get("tls_server_name", ""),
        supervisor_socket=Path(
            given.get("supervisor_socket") or folder / "supervisor.sock"
        ).absolute(),
        output_dir=Path(given.get("output_dir") or folder / "output").absolute(),
        log_level=_level(given.get("log_level", "info")),
        version=version,
        mpi_network=_network(given.get("mpi_network", "")),
    )


def _needed(given: Mapping[str, Any], key: str) -> Any:
    value = given.get(key)
    if not value:
        raise ConfigError(f"{key} is required")
    return value


def _heads(value: str | list[str]) -> tuple[Address, ...]:
    texts = value.split(",") if isinstance(value, str) else value
    try:
        heads = tuple(parse_address(text, AGENT_PORT) for text in texts if text.strip())
    except AddressError as error:
        raise ConfigError(f"head: {error}") from error
    if not heads:
        raise ConfigError("head is required")
    if any(head.port == 0 for head in heads):
        raise ConfigError("head: the port must be a number from 1 to 65535")
    return heads


def _name(name: str) -> str:
    fit = all(c.isalnum() or c in "-_." for c in name) and name.isascii()
    if not (0 < len(name) <= LONGEST_NAME and fit):
        raise ConfigError(
            f"name: {name!r}: must be 1 to {LONGEST_NAME} letters, digits and -_."
        )
    return name


def _group(group: str) -> str:
    if not group.strip() or "," in group:
        raise ConfigError(f"groups: {group!r} is no name of a group")
    return group.strip()


def _network(text: str) -> str:
    try:
        return str(ip_network(text)) if text else ""
    except ValueError as error:
        raise ConfigError(f"mpi_network: {error}; it is written 10.0.0.0/24") from error


def _cores(cores: int) -> int:
    if not 0 <= cores <= MOST_CORES:
        raise ConfigError(f"cores: {cores}: must be 1 to {MOST_CORES}, or 0 for all")
    return cores


def _level(level: str) -> str:
    if level.lower() not in LEVELS:
        raise ConfigError(f"log_level: {level!r}: must be one of {', '.join(LEVELS)}")
    return level.lower()
