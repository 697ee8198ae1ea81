"""The definitions and grants of jobs that are on this node.

The supervisor gets each once. They are kept until the job ends here, because a
supervisor that is started again needs them again.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from hpcsched.common.substitution import (
    Template,
    compile_template,
    is_constant,
    render,
)
from node_agent.core.orders import OWN_VARIABLES, names_of
from node_agent.core.reports import MOST_OUTPUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from node_agent.core.orders import DefineTask, StartAlike

Message: TypeAlias = list[Any]
"""A message to the supervisor (node_agent.supervisor.protocol)."""

DISABLE_CGROUP: Final = "CCP_DISABLE_CGROUP"
NODES: Final = ("CCP_NODES", "CCP_NODES_CORES")
CORES: Final = "CCP_NUMCPUS"
STREAM_VARIABLES: Final = ("CCP_STDIN", "CCP_STDOUT", "CCP_STDERR")


#: What all definitions together may hold, how many there may be, and of how many jobs
#: the cores are kept: a head that never ends a job must not cost a node its memory.
MOST_CHARACTERS: Final = 256 * 1024 * 1024
MOST_DEFINITIONS: Final = 100_000
MOST_GRANTS: Final = 100_000


class DefinitionsFullError(Exception):
    """The head has defined more than any node needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One definition, ready for use.

    Attributes:
        body: What the supervisor was told, but for ``own``.
        job: Whose it is.
        own: Values of the variables by which it differs from those that are alike, in
            the order of OWN_VARIABLES; empty: it is like no other.
        node: Name of this node.
        cores: Cores of a process that gets as many as the definition says.
        variables: Variables whose value differs between elements, as templates.
        stdout: The user's file; None: the node keeps the stream.
        stderr: The same for standard error.
        directory: Where relative paths begin; empty: the account's home.
        size: About how many characters it keeps.
    """

    body: Mapping[str, Any]
    job: int
    own: Sequence[str] = ()
    node: str
    cores: int
    variables: Mapping[str, Template]
    stdout: Template | None
    stderr: Template | None
    directory: str
    size: int

    @property
    def message(self) -> Message:
        """What the supervisor was told, or could have been."""
        if not self.own:
            return ["define", self.body]
        own = dict(zip(OWN_VARIABLES, self.own, strict=True))
        env = {**self.body["env"], **own}
        return ["define", {**self.body, "job": self.job, "env": env}]

    def variables_for(
        self, cores: int, nodes: Sequence[tuple[str, int]] = ()
    ) -> dict[str, str]:
        """Return what a process with other cores, or more nodes, is told.

        Args:
            cores: Those on this node.
            nodes: All of its nodes with their cores; empty: this one alone.
        """
        if nodes:
            total = sum(count for _, count in nodes)
            return {CORES: str(total), **allocation(nodes)}
        if cores in (0, self.cores):
            return {}
        return {CORES: str(cores), **allocation([(self.node, cores)])}

    def writes_files(self) -> bool:
        """Does a stream go to a file of the user's?"""
        return self.stdout is not None or self.stderr is not None

    def user_path(self, value: int | str, *, stderr: bool) -> str | None:
        """Return the user's file of a stream; None if the node keeps the stream.

        A relative path in the account's home, which this program does not know, stays
        relative.
        """
        template = self.stderr if stderr else self.stdout
        if template is None:
            return None
        return posixpath.join(self.directory, render(template, value))


class Definitions:
    """What the supervisor was told about jobs.

    Args:
        node: Name of this node.
        site: Variables that are the same for every task here.
    """

    def __init__(self, node: str, site: Mapping[str, str] | None = None) -> None:
        self._node = node
        self._site = site or {}
        self._jobs: dict[int, dict[tuple[int, int], Definition]] = {}
        self._grants: dict[int, Message] = {}
        self._count = self._characters = 0

    def define(self, order: DefineTask) -> Message | None:
        """Return the message for an order; None if the supervisor knows all of it.

        Raises:
            DefinitionsFullError: there are too many already.
        """
        name = (order.task_id, order.definition)
        before = self.find(order.job_id, *name)
        size = _size(order)
        more = size - (0 if before is None else before.size)
        self._make_room(before is None, more, order)
        definition = self._compile(order, size)
        self._jobs.setdefault(order.job_id, {})[name] = definition
        self._count += before is None
        self._characters += more
        if before is not None and before.message == definition.message:
            return None
        return definition.message

    def define_alike(self, order: StartAlike) -> Message | None:
        """Return the message for jobs that are alike, without its last item, starts.

        None: something of them is known already; they have to be told one by one.

        Raises:
            DefinitionsFullError: there are too many already.
        """
        define, start = order.define, order.start
        name, jobs = (define.task_id, define.definition), []
        if name != (start.task_id, start.definition) or any(
            job_id in self._jobs for job_id in order.job_ids
        ):
            return None
        count, size = len(order.job_ids), _size(define)
        if len(self._grants) + count > MOST_GRANTS:
            return None
        self._make_room(count, count * size, define)
        first = self._compile(define, size)
        if any(variable not in first.body["env"] for variable in OWN_VARIABLES):
            return None
        cores = list(order.grant.cores)
        for job_id in order.job_ids:
            own = names_of(job_id, define.task_id)
            self._jobs[job_id] = {name: replace(first, job=job_id, own=own)}
            self.grant(job_id, cores)
            jobs.append([job_id, *own])
        self._count += count
        self._characters += count * size
        return ["alike", first.body, OWN_VARIABLES, jobs, cores]

    def _make_room(self, count: int, characters: int, order: DefineTask) -> None:
        """See to it that so many more definitions may be kept.

        Raises:
            DefinitionsFullError: they may not.
        """
        count += self._count
        characters += self._characters
        if count > MOST_DEFINITIONS or characters > MOST_CHARACTERS:
            raise DefinitionsFullError(
                f"task {order.job_id}.{order.task_id}: {self._count} definitions with "
                f"{self._characters} characters are here, no more than "
                f"{MOST_DEFINITIONS} with {MOST_CHARACTERS} are taken"
            )

    def grant(self, job_id: int, cores: list[int]) -> Message:
        """Return the message that replaces a job's set of cores.

        Raises:
            DefinitionsFullError: there are those of too many jobs already.
        """
        if cores and job_id not in self._grants and len(self._grants) >= MOST_GRANTS:
            raise DefinitionsFullError(
                f"job {job_id}: {len(self._grants)} jobs have cores here, no more than "
                f"{MOST_GRANTS} are taken"
            )
        message: Message = ["grant", job_id, cores]
        if cores:
            self._grants[job_id] = message
        else:
            self._grants.pop(job_id, None)
        return message

    def find(self, job_id: int, task_id: int, definition: int) -> Definition | None:
        """Return a definition; None if there is none (any more)."""
        return self._jobs.get(job_id, {}).get((task_id, definition))

    def forget(self, job_id: int) -> None:
        """Drop all of a job that has ended here."""
        gone = self._jobs.pop(job_id, {})
        self._count -= len(gone)
        self._characters -= sum(one.size for one in gone.values())
        self._grants.pop(job_id, None)

    def replay(self) -> Iterator[Message]:
        """Yield what a supervisor that knows nothing has to be told."""
        for definitions in self._jobs.values():
            for definition in definitions.values():
                yield definition.message
        yield from self._grants.values()

    def _compile(self, order: DefineTask, size: int) -> Definition:
        def template(text: str) -> Template:
            return compile_template(text) if order.substitute else (text,)

        def path(text: str) -> Template | None:
            return template(text) if text else None

        stdin, stdout, stderr = map(
            path, (order.stdin_path, order.stdout_path, order.stderr_path)
        )
        cores = cores_of(order.environment)
        body: dict[str, Any] = {
            "job": order.job_id,
            "task": order.task_id,
            "def": order.definition,
            "env": {
                **self._site,
                **order.environment,
                **allocation([(self._node, cores)]),
            },
            "cwd": order.work_directory or None,
            "stdin": stdin,
            "stdout": stdout,
            "stderr": stderr,
            "limit_s": order.runtime_ms / 1000 if order.runtime_ms > 0 else None,
            "grace_s": max(0, order.grace_ms) / 1000,
            "signal": order.signal or 15,
            "pin": order.pin,
            "output_limit": min(max(0, order.output_limit), MOST_OUTPUT),
            "cgroup": order.environment.get(DISABLE_CGROUP) != "1",
        }
        if order.arguments:
            body["argv"] = [template(argument) for argument in order.arguments]
        else:
            body["shell"] = template(order.command_line)
        if order.user:
            body["user"] = order.user
        if order.owner:
            body["owner"] = order.owner
        return Definition(
            body=body,
            job=order.job_id,
            node=self._node,
            cores=cores,
            variables=_variables(order, (stdin, stdout, stderr)),
            stdout=stdout,
            stderr=stderr,
            directory=order.work_directory,
            size=size,
        )


def _size(order: DefineTask) -> int:
    """Return about how many characters a definition has to keep."""
    texts = (order.command_line, *order.arguments, *order.environment)
    return sum(map(len, texts)) + sum(map(len, order.environment.values()))


def cores_of(environment: Mapping[str, str]) -> int:
    """Return the cores that the head's variables speak of; 1 where they do not."""
    text = environment.get(CORES, "")
    return int(text) if text.isascii() and text.isdigit() and int(text) else 1


def allocation(nodes: Sequence[tuple[str, int]]) -> dict[str, str]:
    """Return the variables that say which nodes a task has (properties.md 7.2)."""
    words = [str(len(nodes))]
    for node, cores in nodes:
        words += (node, str(cores))
    return dict.fromkeys(NODES, " ".join(words))


def _variables(
    order: DefineTask, paths: tuple[Template | None, ...]
) -> dict[str, Template]:
    """Return the variables that name streams of elements (properties.md 7.2)."""
    return {
        name: path
        for name, path in zip(STREAM_VARIABLES, paths, strict=True)
        if path is not None and name in order.environment and not is_constant(path)
    }
