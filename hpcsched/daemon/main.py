"""``hpcschedd``: the head of a cluster.

Exit statuses: 0 stopped, or nothing was found; 2 usage; 65 what was checked is not
sound; 71 the disk is full, or the machine lacks something else (start again later);
74 the disk fails, or the store is broken (do not restart on the same files); 75 another
head has the state directory, or a port is taken; 78 the configuration cannot be used.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = (
    "0"  # before grpc is imported: this process never forks
)

from hpcsched.common import logs
from hpcsched.daemon.config import (
    Config,
    ConfigError,
    as_toml,
    read_cluster,
    read_config,
)
from hpcsched.daemon.statuses import EX_CONFIG
from hpcsched.daemon.upkeep import accept_rollback, check, restore, rewrite_store
from hpcsched.daemon.wiring import run

_OPTIONS = {
    "state_dir": ("cluster", "state_dir"),
    "name": ("cluster", "name"),
    "listen": ("listen", "clients"),
    "agent_listen": ("listen", "agents"),
    "insecure_loopback": ("listen", "insecure_loopback"),
    "log_level": ("log", "level"),
    "bootstrap_node_token": ("tokens", "node_file"),
}


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="hpcschedd",
        description="The head of an hpcsched cluster.",
        epilog=(__doc__ or "").partition("\n\n")[2],
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="TOML configuration"
    )
    parser.add_argument("--state-dir", metavar="DIR", help="directory of the store")
    parser.add_argument("--name", help="name of the cluster")
    parser.add_argument(
        "--listen", metavar="HOST:PORT", help="address for clients; port 0: a free one"
    )
    parser.add_argument(
        "--agent-listen", metavar="HOST:PORT", help="address for agents"
    )
    parser.add_argument(
        "--insecure-loopback",
        action="store_true",
        default=None,
        help="no TLS; on loopback addresses only",
    )
    parser.add_argument(
        "--log-level", metavar="LEVEL", help="DEBUG, INFO, WARNING or ERROR"
    )
    parser.add_argument(
        "--ready-file",
        type=Path,
        metavar="FILE",
        help="write the bound addresses here, as JSON, when serving",
    )
    parser.add_argument(
        "--bootstrap-admin-token",
        nargs=2,
        metavar=("FILE", "USER"),
        help="make an administrator's token once; its secret goes to FILE, mode 0600",
    )
    parser.add_argument(
        "--bootstrap-node-token",
        metavar="FILE",
        help="make a token with which agents join, once",
    )
    parser.add_argument(
        "--check-config", action="store_true", help="check the configuration and exit"
    )
    parser.add_argument(
        "--print-config",
        action="store_true",
        help="print the configuration in force and exit",
    )
    _add_upkeep(parser)
    return parser.parse_args(argv)


def _add_upkeep(parser: argparse.ArgumentParser) -> None:
    """Add what is done with the store instead of serving it."""
    group = parser.add_argument_group("upkeep of the store, instead of serving it")
    group.add_argument(
        "--check",
        nargs="?",
        const="",
        metavar="FILE",
        help="look for damage and contradictions in the store, or in FILE, such as a "
        "backup; changes nothing, and a head may be running",
    )
    group.add_argument(
        "--restore",
        type=Path,
        metavar="FILE",
        help="put a backup in the place of the store, in restore mode; the store that "
        "was there is kept beside it",
    )
    group.add_argument(
        "--rewrite-store",
        action="store_true",
        help="after an error of the disk: write the store to new files and look "
        "through them",
    )
    group.add_argument(
        "--accept-rollback",
        action="store_true",
        help="after safe mode: go on from a store that is older than what nodes have "
        "seen, in restore mode",
    )
    group.add_argument("--json", action="store_true", help="what these tell, as JSON")


def _keep_up(args: argparse.Namespace) -> int | None:
    """Do what is asked of the store; return the exit status, None: to serve it.

    Raises:
        ConfigError: the configuration cannot be used.
    """
    asked = [
        args.check is not None,
        args.restore is not None,
        args.rewrite_store,
        args.accept_rollback,
    ]
    if not any(asked):
        return None
    if sum(asked) > 1:
        problem = "one of --check, --restore, --rewrite-store, --accept-rollback"
        print(f"hpcschedd: {problem}", file=sys.stderr)  # noqa: T201
        return 2
    state = Path(read_cluster(args.config, _overrides(args)).state_dir)
    if args.check is not None:
        return check(Path(args.check or state), as_json=args.json)
    with logs.setup("WARNING", json=False):
        if args.restore is not None:
            return restore(state, args.restore, as_json=args.json)
        if args.rewrite_store:
            return rewrite_store(state, as_json=args.json)
        return accept_rollback(state, as_json=args.json)


def configuration(args: argparse.Namespace) -> Config:
    """Return the configuration: the file's, with the command line's on top.

    Raises:
        ConfigError: it cannot be used.
    """
    return read_config(args.config, _overrides(args))


def _overrides(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    overrides: dict[str, dict[str, Any]] = {}
    for option, (table, key) in _OPTIONS.items():
        value = getattr(args, option)
        if value is not None:
            overrides.setdefault(table, {})[key] = value
    if args.bootstrap_admin_token is not None:
        path, user = args.bootstrap_admin_token
        overrides.setdefault("tokens", {}).update(admin_file=path, admin_user=user)
    return overrides


def main(argv: list[str] | None = None) -> None:
    """Run the daemon; exits with the statuses above."""
    args = arguments(argv)
    try:
        status = _keep_up(args)
        if status is not None:
            sys.exit(status)
        config = configuration(args)
    except ConfigError as error:
        print(f"hpcschedd: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2 if args.check_config else EX_CONFIG)
    if args.print_config:
        print(as_toml(config))  # noqa: T201
        return
    if args.check_config:
        print("OK")  # noqa: T201
        return
    with logs.setup(config.log.level.upper(), json=config.log.json) as lines:
        status = run(config, args.ready_file)
    lines.end_if_stuck(status)
    sys.exit(status)


if __name__ == "__main__":
    main()
