"""Use cases of cluster parameters and of the cluster's environment."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.codec import pack, unpack
from hpcsched.core.job.commands import Tick
from hpcsched.core.job.environment import is_protected
from hpcsched.core.job.validation import check_environment
from hpcsched.core.parameters import PARAMETERS, TEXT_LIMIT, check, known
from hpcsched.core.settings import Settings
from hpcsched.runtime.durable import written
from hpcsched.runtime.turns import request_row
from hpcsched.store.base import Delta

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping, Sequence

    from hpcsched.core.caller import Caller
    from hpcsched.runtime.front import Request
    from hpcsched.runtime.ledger import Ledgers
    from hpcsched.runtime.mail import Ledger
    from hpcsched.runtime.world import World

log = logging.getLogger(__name__)
RECONNECT_MS: Final = 100
OWN: Final = "a parameter of your own: it means nothing to the scheduler"
OWN_LIMIT: Final = 1000
"""Parameters that administrators may define."""
VARIABLES_LIMIT: Final = 2048
"""Characters of all names and values of the cluster's environment (properties.md 7)."""
VARIABLE: Final = "variable"
"""Kind of the store's entries that hold them."""
_OWN_NAME: Final = re.compile(r"[A-Za-z_][\w.-]{0,79}", re.ASCII)


class ParameterCalls:
    """The part of ``runtime.front.ClusterFront`` about parameters and environment."""

    _world: World
    _ledgers: Ledgers
    _texts: dict[str, str]
    _variable_lock: asyncio.Lock
    _on_log_level: Callable[[str], None]

    async def parameters(
        self, caller: Caller, names: Sequence[str]
    ) -> Sequence[tuple[str, str, str, str]]:
        """Return (name, value, default, description) by name.

        Raises:
            HpcError: PARAMETER_NOT_FOUND.
        """
        del caller
        if names:
            return sorted(self._parameter(name) for name in names)
        own = [name for name in self._texts if known(name) is None]
        return sorted(self._parameter(p) for p in [p.name for p in PARAMETERS] + own)

    def _parameter(self, name: str) -> tuple[str, str, str, str]:
        system = known(name)
        if system is not None:
            value = self._texts.get(system.name, system.default)
            return (system.name, value, system.default, system.description)
        own = self._own(name)
        if own is None:
            raise HpcError("PARAMETER_NOT_FOUND", name=name)
        return (own, self._texts[own], "", OWN)

    def _own(self, name: str) -> str | None:
        """Return a parameter that an administrator defined, as it is spelled."""
        for there in self._texts:
            if there.lower() == name.lower() and known(there) is None:
                return there
        return None

    async def set_parameters(
        self, caller: Caller, values: Mapping[str, str], request: Request
    ) -> Sequence[tuple[str, str, str, str]]:
        """Set parameters, all or none; names in any case.

        An empty value restores the default of a system's own, and deletes one that an
        administrator has defined, as any name that the system has not is.

        Raises:
            HpcError: PERMISSION_DENIED, REQUIRED_FIELD, PARAMETER_INVALID,
                PARAMETER_NOT_FOUND: what is to be deleted is not there.
        """
        caller.require_administrator("set cluster parameters")
        if not values:
            raise HpcError("REQUIRED_FIELD", field="values")
        chosen = self._chosen(values)

        async def act(ledger: Ledger | None) -> Any:
            rows = []
            if ledger is not None:
                rows = [request_row(ledger, None, self._world.clock.wall())]
            await written(self._world, Delta(parameters=chosen, requests=rows))
            for name, text in chosen.items():
                if text is None:
                    self._texts.pop(name, None)
                else:
                    self._texts[name] = text
            log.info("%s has set %s", caller.user, ", ".join(sorted(chosen)))
            now = self._world.settings
            settings = Settings.from_texts(self._texts, now.templates)
            self._obey(replace(settings, restored=now.restored))

        await self._ledgers.once(caller, request, act)
        there = [name for name in chosen if known(name) or name in self._texts]
        return await self.parameters(caller, there) if there else []

    def _chosen(self, values: Mapping[str, str]) -> dict[str, str | None]:
        """Return what is to be stored: spelled as it is kept; None deletes."""
        chosen: dict[str, str | None] = {}
        for name, text in values.items():
            system = known(name)
            spelled = self._check_own(name, text) if system is None else system.name
            if spelled in chosen:
                problem = "it is given twice"
                raise HpcError("PARAMETER_INVALID", name=spelled, problem=problem)
            if system is not None and text:
                check(system, text)
            chosen[spelled] = text or None
        return chosen

    def _check_own(self, name: str, text: str) -> str:
        own = self._own(name)
        if own is None and not text:
            raise HpcError("PARAMETER_NOT_FOUND", name=name)
        problem = ""
        if not _OWN_NAME.fullmatch(name):
            problem = "a name is 1 to 80 letters, digits, '_', '-', '.'; a letter first"
        elif len(text) > TEXT_LIMIT or not text.isprintable():
            problem = f"not at most {TEXT_LIMIT} printable characters"
        elif own is None and len(self._texts) >= OWN_LIMIT:
            problem = f"there are {OWN_LIMIT} already"
        if problem:
            raise HpcError("PARAMETER_INVALID", name=name[:80], problem=problem)
        return own or name

    def _obey(self, settings: Settings) -> None:
        """Let new settings be in force everywhere at once."""
        world = self._world
        before, world.settings = world.settings, settings
        if before.log_level != settings.log_level:
            self._on_log_level(settings.log_level)
        world.jobs.refresh()
        world.scheduler.wake()
        if before.restore_mode and not settings.restore_mode:
            world.jobs.post_all(Tick())
        if before.heartbeat_s != settings.heartbeat_s or (
            before.restore_mode and not settings.restore_mode
        ):
            # Agents learn their interval when they connect, and what was held back.
            world.nodes.goodbye(retry_ms=RECONNECT_MS)

    # The environment of all tasks

    def _restore_variables(self, entries: Mapping[tuple[str, str], bytes]) -> None:
        self._set_scene(
            {name: unpack(e) for (kind, name), e in entries.items() if kind == VARIABLE}
        )

    def _set_scene(self, variables: Mapping[str, str]) -> None:
        self._world.scene = replace(self._world.scene, variables=variables)

    async def variables(self, caller: Caller) -> Mapping[str, str]:
        """Return the variables that every task gets, by name."""
        del caller
        return dict(sorted(self._world.scene.variables.items()))

    async def set_variables(
        self, caller: Caller, values: Mapping[str, str], request: Request
    ) -> Mapping[str, str]:
        """Set variables of all tasks that start from now on, all or none; return all.

        An empty value deletes. Names that the scheduler provides are passed over (D19).

        Raises:
            HpcError: PERMISSION_DENIED, REQUIRED_FIELD, ENVIRONMENT_NAME_INVALID,
                INVALID_FIELD, TEXT_TOO_LONG: over 2,048 characters in sum.
        """
        caller.require_administrator("set the cluster's environment")
        if not values:
            raise HpcError("REQUIRED_FIELD", field="values")
        check_environment("values", values)
        ignored = sorted(name for name in values if is_protected(name))
        if ignored:
            names = ", ".join(ignored)
            log.warning("%s may not be set: the scheduler provides them", names)
        chosen = {k: v for k, v in values.items() if k not in ignored}

        async def act(ledger: Ledger | None) -> Any:
            async with self._variable_lock:
                after = {**self._world.scene.variables, **chosen}
                after = {name: value for name, value in after.items() if value}
                length = sum(len(name) + len(value) for name, value in after.items())
                if length > VARIABLES_LIMIT:
                    raise HpcError(
                        "TEXT_TOO_LONG",
                        field="values",
                        length=length,
                        limit=VARIABLES_LIMIT,
                    )
                rows = []
                if ledger is not None:
                    rows = [request_row(ledger, None, self._world.clock.wall())]
                entries = {
                    (VARIABLE, name): pack(value) if value else None
                    for name, value in chosen.items()
                }
                await written(self._world, Delta(entries=entries, requests=rows))
                self._set_scene(after)

        await self._ledgers.once(caller, request, act)
        return await self.variables(caller)
