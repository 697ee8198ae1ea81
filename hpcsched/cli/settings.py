"""Where the head is and how to talk to it: options, environment, config file, ``up``.

Order of precedence: cli.md section 1.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hpcsched.cli.local.served import was_stopped
from hpcsched.cli.problems import NOT_ALLOWED, UNREACHABLE, USAGE, ProblemError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcsched.client import AsyncClient, Target
    from hpcsched.client.blocking import BlockingClient
    from hpcsched.rpc.credentials import TlsFiles

RPC_TIMEOUT_S: Final = 60.0

COLORS: Final = ("auto", "always", "never")

_KEYS: Final = ("address", "token_file", "ca", "cert", "key", "rpc_timeout", "color")


class Options:
    """What was given on the command line; None is "not given"."""

    __slots__ = _KEYS

    def __init__(
        self,
        *,
        address: str | None = None,
        token_file: str | None = None,
        rpc_timeout: float | None = None,
        color: str | None = None,
    ) -> None:
        self.address = address
        self.token_file = token_file
        self.ca: str | None = None
        self.cert: str | None = None
        self.key: str | None = None
        self.rpc_timeout = rpc_timeout
        self.color = color


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to reach the head.

    Attributes:
        address: One or several, comma-separated.
        token_file: Where the secret is; empty for none.
        ca: PEM file of authorities; empty for the system's.
        cert: PEM file of the client's certificate; may be empty.
        key: PEM file of its key; may be empty.
        rpc_timeout_s: One call with its retries.
    """

    address: str
    token_file: str
    ca: str
    cert: str
    key: str
    rpc_timeout_s: float


def config_path(environ: Mapping[str, str]) -> Path:
    """Return where the user's config file is, if there is one."""
    return _base(environ, "XDG_CONFIG_HOME", ".config") / "hpcsched" / "config.toml"


def state_directory(environ: Mapping[str, str]) -> Path:
    """Return where ``hpc up`` keeps its clusters."""
    return _base(environ, "XDG_STATE_HOME", ".local/state") / "hpcsched"


def last_up_path(environ: Mapping[str, str]) -> Path:
    """Return the file that names the cluster which ``hpc up`` started last."""
    return state_directory(environ) / "last-up.json"


def _base(environ: Mapping[str, str], variable: str, default: str) -> Path:
    given = environ.get(variable, "")
    # The XDG specification has relative paths ignored.
    return Path(given) if given.startswith("/") else Path.home() / default


def resolve(given: Options, environ: Mapping[str, str]) -> Settings:
    """Return the settings that hold for this call.

    Raises:
        ProblemError: the config file is malformed, or nothing names a head.
    """
    config = read_config(config_path(environ))
    last_up = read_last_up(last_up_path(environ))
    up_address = last_up.get("address", "")

    def choose(name: str) -> str:
        option: str | None = getattr(given, name)
        return option or environ.get(f"HPC_{name.upper()}", "") or config.get(name, "")

    address = choose("address") or up_address
    if not address:
        raise ProblemError(
            "NO_CLUSTER",
            "no head is named by --address, HPC_ADDRESS or the config file",
            status=UNREACHABLE,
            code="UNAVAILABLE",
            hint="hpc up starts a cluster on this machine",
        )
    if not choose("address") and (stopped := _stopped(last_up.get("dir", ""))):
        raise ProblemError(
            "NO_CLUSTER",
            f"the cluster in {stopped} is not running",
            status=UNREACHABLE,
            code="UNAVAILABLE",
            hint=f"hpc up --detach --dir {_quoted(stopped)}",
            path=stopped,
        )
    token = given.token_file or environ.get("HPC_TOKEN_FILE", "")
    if not token and address == up_address:
        token = last_up.get("token_file", "")
    return Settings(
        address=address,
        token_file=token or config.get("token_file", ""),
        ca=choose("ca"),
        cert=choose("cert"),
        key=choose("key"),
        rpc_timeout_s=_timeout(given, environ, config),
    )


def _quoted(path: Path) -> str:
    import shlex

    return shlex.quote(str(path))


def _timeout(
    given: Options, environ: Mapping[str, str], config: Mapping[str, str]
) -> float:
    if given.rpc_timeout is not None:
        return given.rpc_timeout
    text = environ.get("HPC_RPC_TIMEOUT", "") or config.get("rpc_timeout", "")
    if not text:
        return RPC_TIMEOUT_S
    from hpcsched.common.units import UnitError, parse_duration

    try:
        return parse_duration(text)
    except UnitError as error:
        raise _malformed(f"rpc_timeout: {error.text!r} {error.problem}") from None


def read_config(path: Path) -> Mapping[str, str]:
    """Return the user's config; empty where there is no file.

    Raises:
        ProblemError: it is no TOML, or has keys that nobody knows.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _malformed(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise _malformed(f"{path}: {error}") from None
    from hpcsched.common.toml import TomlError, parse_toml

    try:
        config = parse_toml(text)
    except TomlError as error:
        raise _malformed(f"{path}: {error}") from None
    for name, value in config.items():
        if name not in _KEYS:
            known = ", ".join(_KEYS)
            raise _malformed(f"{path}: no setting is called {name}; there are {known}")
        if not isinstance(value, str):
            raise _malformed(f"{path}: {name} must be text in quotes")
    if config.get("color", "auto") not in COLORS:
        raise _malformed(f"{path}: color must be one of {', '.join(COLORS)}")
    return config


def _malformed(sentence: str) -> ProblemError:
    return ProblemError(
        "CONFIG_INVALID", sentence, status=USAGE, code="INVALID_ARGUMENT"
    )


def read_last_up(path: Path) -> Mapping[str, str]:
    """Return address, token_file and dir of the last ``hpc up``; empty without one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: value for name, value in found.items() if isinstance(value, str)}


def _stopped(directory: str) -> Path | None:
    """Return the directory of the last ``hpc up`` if ``hpc down`` has stopped it."""
    if not directory:
        return None
    root = Path(directory)
    return root if was_stopped(root) else None


def open_client(settings: Settings) -> AsyncClient:
    """Return a client for an event loop; it connects with its first call.

    Raises:
        ProblemError: an address, a token file or a TLS file cannot be used.
    """
    from hpcsched.client.aio import AsyncClient
    from hpcsched.client.patience import Patience

    patience = Patience(call_s=settings.rpc_timeout_s)
    return AsyncClient(_target(settings), patience=patience)


def open_blocking(settings: Settings) -> BlockingClient:
    """Return a client whose calls block; it connects with its first call.

    Raises:
        ProblemError: an address, a token file or a TLS file cannot be used.
    """
    from hpcsched.client.blocking import BlockingClient
    from hpcsched.client.patience import Patience

    patience = Patience(call_s=settings.rpc_timeout_s)
    return BlockingClient(_target(settings), patience=patience)


def _target(settings: Settings) -> Target:
    from hpcsched.client.target import Target
    from hpcsched.common.version import version
    from hpcsched.rpc.addresses import (
        CLIENT_PORT,
        AddressError,
        parse_address,
    )

    tls = _tls_files(settings)
    try:
        return Target(
            addresses=tuple(
                parse_address(one, CLIENT_PORT)
                for one in settings.address.split(",")
                if one.strip()
            ),
            token=read_token(settings.token_file),
            tls=tls,
            client=f"hpc/{version()}",
        )
    except (AddressError, ValueError) as error:
        raise ProblemError(
            "ADDRESS_INVALID", str(error), status=USAGE, code="INVALID_ARGUMENT"
        ) from None


def _tls_files(settings: Settings) -> TlsFiles | None:
    if not (settings.ca or settings.cert or settings.key):
        return None
    from hpcsched.rpc.credentials import (
        CredentialsError,
        TlsFiles,
        channel_credentials,
    )

    tls = TlsFiles(ca=settings.ca, cert=settings.cert, key=settings.key)
    try:
        channel_credentials(tls)
    except CredentialsError as error:
        raise ProblemError(
            "TLS_FILES",
            str(error),
            status=USAGE,
            code="INVALID_ARGUMENT",
            hint="they are named by --ca, --cert and --key, HPC_CA, HPC_CERT and "
            "HPC_KEY, or the config file",
        ) from None
    return tls


def read_token(path: str) -> str:
    """Return the secret in a file; empty where no file is named.

    Raises:
        ProblemError: the file cannot be read, or holds no secret.
    """
    if not path:
        return ""
    try:
        token = Path(path).expanduser().read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        text = getattr(error, "strerror", None) or "it holds no token"
        raise _bad_token(path, text) from None
    if not token or len(token.split()) != 1:
        raise _bad_token(path, "it holds no token")
    return token


def _bad_token(path: str, problem: str) -> ProblemError:
    return ProblemError(
        "TOKEN_FILE",
        f"token file {path}: {problem}",
        status=NOT_ALLOWED,
        code="UNAUTHENTICATED",
        hint="an administrator makes one with hpc token create",
        path=path,
    )


def environment() -> Mapping[str, str]:
    """Return the environment of this process."""
    return os.environ
