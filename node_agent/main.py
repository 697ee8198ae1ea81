"""``hpc-node-agent``: connects this node's supervisor with the head.

It starts no process and ends none. SIGTERM says goodbye to the head and stops within
seconds; the node's tasks go on, and what they do meanwhile is in the supervisor's
journal.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import gc
import logging
import os
import signal
import socket
import sys
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

# First of ours: it switches gRPC's handlers for forks off before gRPC is imported.
from node_agent import link  # noqa: F401  isort: skip

from hpcsched.common import logs
from hpcsched.common.clock import SystemClock
from hpcsched.common.rng import SystemIds
from hpcsched.common.sdnotify import Notifier
from hpcsched.rpc.credentials import CredentialsError, TlsFiles, channel_credentials
from node_agent.agent import Agent
from node_agent.config import AgentConfig, ConfigError, build, read_file
from node_agent.link.heads import Heads, HeadsConfig
from node_agent.probes.machine import probe
from node_agent.term import TermError, TermFile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hpcsched.common.clock import Clock

log = logging.getLogger(__name__)

PROGRAM: Final = "hpc-node-agent"

#: As of the head: what waits in the spool must not be looked through again and again.
GC_THRESHOLDS: Final = (50_000, 20, 10)

EXIT_OK: Final = 0
EXIT_USAGE: Final = 2
EXIT_FAILED: Final = 1
#: Another agent serves this directory (the unit does not restart on it).
EXIT_LOCKED: Final = 75


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the agent; return its exit status.

    Exit status: 0 after a stop, 1 if it cannot run, 2 for a wrong configuration, 75 if
    another agent serves the directory.
    """
    options = _parser().parse_args(arguments)
    try:
        config = _configure(options)
    except ConfigError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)  # noqa: T201 - before any log
        return EXIT_USAGE
    if options.check_config:
        return EXIT_OK
    with logs.setup(config.log_level, json=True) as lines:
        status = _run_locked(config)
    lines.end_if_stuck(status)
    return status


def _run_locked(config: AgentConfig) -> int:
    try:
        config.dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _lock(config.dir / "agent.lock")
        if lock is None:
            log.error("another agent is running", extra={"dir": str(config.dir)})
            return EXIT_LOCKED
        try:
            term = TermFile(config.dir / "term")
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(serve(config, SystemClock(), term, Notifier()))
        finally:
            os.close(lock)
    except (OSError, TermError):
        log.exception("the agent cannot run")
        return EXIT_FAILED
    return EXIT_OK


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return the faster loop where it is installed: it saves a quarter of our time."""
    try:
        uvloop = import_module("uvloop")
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def serve(
    config: AgentConfig, clock: Clock, term: TermFile, notifier: Notifier
) -> None:
    """Serve until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    agent = Agent(config, probe(), clock, term)
    heads = Heads(
        _heads_config(config),
        agent,
        clock,
        SystemIds(clock),
        ready=agent.ready,
        term=lambda: agent.term,
        on_status=notifier.status,
    )
    agent.on_interrupt(heads.interrupt)
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        async with asyncio.TaskGroup() as tasks:
            services = [
                tasks.create_task(agent.supervisor.run()),
                tasks.create_task(heads.run()),
                tasks.create_task(_tell_manager(agent, clock, notifier)),
            ]
            await stopped.wait()
            notifier.stopping()
            log.info("stopping")
            await heads.leave()
            for service in services:
                service.cancel()
    finally:
        agent.shelf.close()


async def _tell_manager(agent: Agent, clock: Clock, notifier: Notifier) -> None:
    """Say that the agent is ready once it knows its tasks, then that it lives."""
    notifier.status("waiting for the supervisor")
    await agent.ready.wait()
    notifier.ready("connected to the supervisor")
    interval = notifier.watchdog_interval_s
    while interval is not None:
        notifier.watchdog()
        await clock.sleep(interval)


def _heads_config(config: AgentConfig) -> HeadsConfig:
    return HeadsConfig(
        heads=config.heads,
        token_file=config.token_file,
        tls=_tls(config),
        authority=config.tls_server_name,
        client=f"{PROGRAM}/{config.version}",
    )


def _tls(config: AgentConfig) -> TlsFiles | None:
    if config.insecure_loopback:
        return None
    return TlsFiles(ca="" if config.ca is None else str(config.ca))


def _lock(path: Path) -> int | None:
    """Return a descriptor that holds the lock, None if another process has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _configure(options: argparse.Namespace) -> AgentConfig:
    """Return the configuration: the arguments, then the file, then defaults.

    Raises:
        ConfigError: something is missing or wrong.
    """
    settings = {} if options.config is None else read_file(options.config)
    given = {
        key: value
        for key, value in vars(options).items()
        if value is not None and key not in {"config", "check_config"}
    }
    config = build(
        {**settings, **given}, host_name=socket.gethostname(), version=_version()
    )
    tls = _tls(config)
    if tls is not None:
        try:
            channel_credentials(tls)
        except CredentialsError as error:
            raise ConfigError(f"ca: {error}") from error
    return config


def _version() -> str:
    try:
        return metadata.version("hpcsched")
    except metadata.PackageNotFoundError:
        return "0"


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description="Connects this node's task supervisor with the head."
    )
    add = parser.add_argument
    add("--dir", help="directory for the agent's own state")
    add("--head", metavar="HOST:PORT[,…]", help="heads, in the order to try them")
    add("--token-file", metavar="FILE", help="file with the node's token")
    add("--name", help="name of the node (default: the short host name)")
    add("--cores", type=int, metavar="N", help="cores to offer (default: all)")
    add("--groups", type=_words, metavar="A,B", help="node groups it belongs to")
    add("--ca", metavar="FILE", help="authorities of the head's certificate")
    add(
        "--insecure-loopback",
        action="store_const",
        const=True,
        help="no TLS; for a head on this machine only",
    )
    add("--tls-server-name", metavar="NAME", help="name in the head's certificate")
    add("--supervisor-socket", metavar="PATH", help="default: DIR/supervisor.sock")
    add("--output-dir", metavar="DIR", help="the supervisor's; default: DIR/output")
    add("--mpi-network", metavar="NET/BITS", help="what CCP_MPI_NETMASK says to tasks")
    add("--log-level", metavar="LEVEL", help="debug, info (default), warning, error")
    add("--config", type=Path, metavar="FILE", help="settings; arguments win over it")
    add("--check-config", action="store_true", help="check the settings and end")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
