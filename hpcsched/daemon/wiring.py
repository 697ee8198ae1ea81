"""The only place that knows every class: makes, connects, runs and stops them."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import logging
import os
import re
import signal
import socket
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.certificate import certificate_end
from hpcsched.common.clock import SystemClock
from hpcsched.common.errors import HpcError
from hpcsched.common.rng import SystemIds
from hpcsched.common.sdnotify import Notifier
from hpcsched.daemon.config import ConfigError
from hpcsched.daemon.statuses import (
    EX_BROKEN,
    EX_CONFIG,
    EX_TAKEN,
    reason_of,
    status_of,
)
from hpcsched.rpc.credentials import TlsFiles
from hpcsched.runtime.blobs import KEY_BYTES
from hpcsched.runtime.checking import check_store
from hpcsched.runtime.filter_process import FilterProcesses, prepare_filters
from hpcsched.runtime.head import Head
from hpcsched.runtime.submission import FilterKit
from hpcsched.services.filter_documents import XmlDocuments
from hpcsched.services.server import Servers
from hpcsched.store.errors import (
    StateDirectoryError,
    StateLockedError,
    StoreBrokenError,
    StoreFormatError,
    StoreTakenError,
)
from hpcsched.store.opener import open_store
from hpcsched.store.state_directory import (
    BLOB_KEY_FILE,
    lock_state_directory,
    prepare_state_directory,
    secret_file,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcsched.daemon.config import Config
    from hpcsched.rpc.addresses import Address
    from hpcsched.store.sql.store import SqlStore

_log = logging.getLogger("hpcschedd")
FILTERS: Final = "filters"
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
"""Where the state directory has what filter programs are given."""
STOP_GRACE_S: Final = 1.0
SWITCH_S: Final = 0.0005
GC_THRESHOLDS: Final = (50_000, 20, 10)
"""Almost nothing of ours is a cycle: jobs that pile up must not be looked through again
and again. Cycles that become garbage wait for a few megabytes more of allocations."""
_LEVELS: Final = {
    "Off": logging.CRITICAL + 1,
    "Critical": logging.CRITICAL,
    "Error": logging.ERROR,
    "Warning": logging.WARNING,
    "Information": logging.INFO,
    "Verbose": logging.DEBUG,
    "ActivityTracing": logging.DEBUG,
    "All": logging.DEBUG,
}
"""The reference's levels of EventLogLevel as ours."""


def run(config: Config, ready_file: Path | None) -> int:
    """Run the head until it is told to stop; return the exit status."""
    state = Path(config.cluster.state_dir)
    try:
        prepare_state_directory(state)
        lock = lock_state_directory(state)
        prepare_filters(state.absolute() / FILTERS)
    except OSError as error:
        _log.error("%s", error)
        return status_of(error) or EX_CONFIG
    except (StateLockedError, StateDirectoryError) as error:
        return _refused(error)
    if ready_file is not None:
        ready_file.unlink(missing_ok=True)  # of a head that was killed
    # The writer thread drops the interpreter's lock at every step of SQLite; with the
    # default interval a busy loop would make it wait 5 ms each time.
    sys.setswitchinterval(SWITCH_S)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_Daemon(config, state, ready_file).main())
    except (StoreBrokenError, StoreFormatError) as error:
        _log.critical("the store cannot be used: %s", error)
        return EX_BROKEN
    except Exception as error:  # noqa: BLE001 - raised again unless it has a status
        return _refused(reason_of(error))
    finally:
        lock.close()


def _refused(error: Exception) -> int:
    """Say what keeps the head from going on; return the exit status.

    Raises:
        Exception: the error, where it is a fault of ours.
    """
    status = status_of(error)
    if status is None:
        raise error
    _log.error("%s", error)
    return status


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if os.environ.get("HPCSCHED_LOOP") == "asyncio":
        return None
    try:
        import uvloop  # noqa: PLC0415  not there on every Python
    except ImportError:
        return None
    return uvloop.new_event_loop


class _Daemon:
    """One run of the head."""

    def __init__(self, config: Config, state: Path, ready_file: Path | None) -> None:
        self._config = config
        self._state = state
        self._ready_file = ready_file
        backups = config.cluster.backup_dir
        self._backups = Path(backups).absolute() if backups else None
        self._notifier = Notifier()
        self._clock = SystemClock()
        self._broken: BaseException | None = None

    async def main(self) -> int:
        """Recover, serve, stop."""
        config, loop = self._config, asyncio.get_running_loop()
        stop = asyncio.Event()

        def broken(error: BaseException) -> None:
            self._broken = error
            stop.set()

        clients = config.listen.client_address
        agents = config.listen.agent_address
        tls = None
        if config.tls.cert:
            files = config.tls
            tls = TlsFiles(cert=files.cert, key=files.key, ca=files.client_ca)
        filters = FilterProcesses(self._state.absolute() / FILTERS, self._clock, loop)
        store = open_store(
            self._state, loop=loop, on_broken=broken, backups=self._backups
        )
        try:
            await self._lead(store, filters, (clients, agents), tls, stop)
        except Exception:
            # Whatever it was: with a store that takes nothing nobody gets further.
            if self._broken is None:
                raise
        finally:
            await store.close()
            filters.close()
        if isinstance(self._broken, StoreTakenError):
            _log.critical("this head ends: %s", self._broken)
            return EX_TAKEN
        if self._broken is not None:
            _log.critical("the store is broken: %s", self._broken)
            return EX_BROKEN
        return 0

    async def _lead(
        self,
        store: SqlStore,
        filters: FilterProcesses,
        addresses: tuple[Address, Address],
        tls: TlsFiles | None,
        stop: asyncio.Event,
    ) -> None:
        config, ids = self._config, SystemIds(self._clock)
        head = Head(
            store=store,
            clock=self._clock,
            ids=ids,
            name=config.cluster.name,
            version=version("hpcsched"),
            filters=FilterKit(programs=filters, documents=XmlDocuments()),
            on_log_level=self._log_at,
            blob_key=secret_file(self._state / BLOB_KEY_FILE, KEY_BYTES, ids),
            check_store=lambda enough: check_store(self._state, enough),
            certificate_end=lambda: _end_of(config.tls.cert),
            boot_id=_boot_id(),
        )
        servers = Servers(head, self._clock, ids, config.limits)
        bound = servers.bind(*addresses, tls)
        head.listens_at(str(bound[0].as_seen(socket.gethostname())))
        await head.recover()
        await self._bootstrap(head)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await self._serve(head, servers, bound, stop)

    async def _serve(
        self, head: Head, servers: Servers, bound: Any, stop: asyncio.Event
    ) -> None:
        async with asyncio.TaskGroup() as tasks:
            living = tasks.create_task(head.run())
            feeding = tasks.create_task(self._feed_watchdog())
            await servers.start()
            await self._clock.sleep(0)  # lets head.run begin to serve
            servers.serving()
            gc.collect()
            gc.freeze()
            gc.set_threshold(*GC_THRESHOLDS)
            self._tell(bound)
            await stop.wait()
            _log.info("stopping")
            self._notifier.stopping()
            head.stopping()
            servers.not_serving()
            if self._broken is None:
                await head.drain()
            await servers.stop(STOP_GRACE_S)
            living.cancel()
            feeding.cancel()

    def _log_at(self, level: str) -> None:
        """Log from a level of EventLogLevel on; empty: as the configuration says."""
        least = _LEVELS[level] if level else self._config.log.level.upper()
        logging.getLogger().setLevel(least)

    async def _feed_watchdog(self) -> None:
        interval = self._notifier.watchdog_interval_s
        if interval is None:
            return
        while True:
            self._notifier.watchdog()
            await self._clock.sleep(interval)

    def _tell(self, bound: Any) -> None:
        clients, agents = bound
        _log.info("serving clients at %s, agents at %s", clients, agents)
        if self._ready_file is not None:
            body = {
                "address": str(clients),
                "agent_address": str(agents),
                "pid": os.getpid(),
            }
            _write(self._ready_file, json.dumps(body) + "\n", 0o644)
        self._notifier.ready(f"serving at {clients}")

    def _secret(self) -> str:
        raw = SystemIds(self._clock).token_bytes(32)
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    def _token_of(self, path: Path, role: str) -> str:
        """Return a file's secret; makes both if there are none.

        Raises:
            ConfigError: the file cannot be written or read, or holds no token.
        """
        try:
            if not path.exists():
                _write(path, self._secret() + "\n", 0o600)
                _log.info("made a token of role %s in %s", role, path)
            secret = path.read_bytes().decode("ascii", "replace").strip()
        except OSError as error:
            raise ConfigError(f"tokens: {path}: {error.strerror}") from error
        if not re.fullmatch("[!-~]+", secret):
            raise ConfigError(
                f"tokens: {path}: holds no token, which is one word of ASCII; "
                "delete it to have one made"
            )
        return secret

    async def _bootstrap(self, head: Head) -> None:
        """Make the first tokens; a file that is there already is taken as it is."""
        tokens = self._config.tokens
        wanted = (
            (tokens.admin_file, tokens.admin_user, "administrator"),
            (tokens.node_file, "*", "node"),
        )
        for name, user, role in wanted:
            if not name:
                continue
            path = Path(name)
            try:
                await head.adopt_token(user, role, self._token_of(path, role))
            except HpcError as error:
                if error.reason != "UNAUTHENTICATED":
                    raise
                _log.warning("%s: %s; delete the file to have one made", path, error)


def _boot_id() -> str:
    """Return which boot of this machine it is; empty where the kernel does not say."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def _end_of(certificate: str) -> float | None:
    """Return when the head's certificate ends; None: that is not known."""
    if not certificate:
        return None
    try:
        return certificate_end(Path(certificate).read_text())
    except (OSError, ValueError) as error:
        _log.warning("%s: %s", certificate, error)
        return None


def _write(path: Path, text: str, mode: int) -> None:
    """Write a file so that it is there as a whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        try:
            os.fsync(file.fileno())
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error
    part.replace(path)
