"""A job file in the reference's XML, as a job's specification (properties.md 9)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from hpcsched.api.v1 import job_pb2, task_pb2
from hpcsched.common.errors import HpcError
from hpcsched.jobfile import names
from hpcsched.jobfile.attributes import Attributes, Warnings, read_pairs
from hpcsched.jobfile.command import shown_command
from hpcsched.jobfile.elements import Element, parse
from hpcsched.jobfile.groups import dependencies, resolve
from hpcsched.jobfile.priority import NORMAL, priority_of
from hpcsched.jobfile.problems import JobFileError
from hpcsched.jobfile.runtimes import v1_seconds
from hpcsched.jobfile.texts import exact, fields_of, moment, truth, whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from google.protobuf.message import Message

COMMAND_LIMIT: Final = 480
ENVIRONMENT_LIMIT: Final = 2048
NO_TIME: Final = datetime(1970, 1, 1)  # noqa: DTZ001  UTC, as ``moment`` has it
"""The reference writes its own beginning of time, 1899, for no time."""
_UNITS: Final = {"core": "Cores", "socket": "Sockets", "node": "Nodes"}
_PER_NODE: Final = (task_pb2.TASK_TYPE_NODE_PREP, task_pb2.TASK_TYPE_NODE_RELEASE)
_OF_SWEEPS: Final = ("StartValue", "EndValue", "IncrementValue")
_NOT_PER_NODE: Final = (
    *("MinCores", "MaxCores", "MinSockets", "MaxSockets", "MinNodes", "MaxNodes"),
    *("RequiredNodes", "IsExclusive", "IsRerunnable", "DependsOn"),
    *("FailJobOnFailure", "FailJobOnFailureCount"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFile:
    """What a file says.

    Attributes:
        spec: The job with its tasks.
        warnings: What was left out, a sentence each.
        hold_until: HoldUntil: a call of its own, so no part of the specification.
        nice_ids: The tasks' numbers in the job that the file was made of; 0: none.
        given: Fields of the job that the file sets, be it to their default.
        task_given: The same of each task.
        lines: Where each task begins.
    """

    spec: job_pb2.JobSpec
    warnings: tuple[str, ...] = ()
    hold_until: Timestamp | None = None
    nice_ids: tuple[int, ...] = ()
    given: tuple[str, ...] = ()
    task_given: tuple[tuple[str, ...], ...] = ()
    lines: tuple[int, ...] = ()


def read_xml(text: bytes) -> JobFile:
    """Return the job in a file of either generation of the reference's XML.

    A file that we wrote has the native limits; one of the reference's own has the
    reference's: 480 characters of command line, 2,048 of environment.

    Raises:
        JobFileError: it is malformed; the text says where.
        HpcError: TEXT_TOO_LONG, a limit of the reference.
    """
    root = parse(text)
    spaces = {names.V2, names.V1}
    if root.name != "Job" or root.space not in spaces:
        raise JobFileError(
            f"the root is {root.name!r} of namespace {root.space!r}; "
            f"a job file has Job of {names.V2!r}, or of {names.V1!r}",
            root.line,
        )
    return _Reading(root).file()


def _other_units(unit: str) -> list[str]:
    """Return the sizes that mean nothing where the unit is this one."""
    return [
        f"{end}{name}"
        for one, name in _UNITS.items()
        for end in ("Min", "Max")
        if one != unit and unit in _UNITS
    ]


def _built_in(spec: job_pb2.JobSpec, given: Iterable[str]) -> Iterator[str]:
    """Yield what a file gives although it is the built-in value.

    Whoever wrote it meant it: a template's default does not take its place.
    """
    if spec.priority == NORMAL:
        yield "priority"
    fields = fields_of(spec)
    for name in given:
        if name in names.NOT_OF_TEMPLATES:
            continue
        zero = exact(spec, fields[name]) in {"0", "0s", "false"}
        if zero or (name, spec.valid_exit_codes) == ("valid_exit_codes", "0"):
            yield name


def _sections(element: Element) -> Iterator[str]:
    """Yield the maps that an element has, be they empty."""
    for field, (section, _) in names.PAIRS.items():
        if any(True for _ in element.all(section)):
            yield field


def _all_given(message: Message, said: Iterable[str]) -> tuple[str, ...]:
    """Return the fields that are set: those named, and what follows from them."""
    have = (field.name for field, _ in message.ListFields())
    return tuple(dict.fromkeys((*said, *have)))


def _set_hold(spec: Any, until: Timestamp) -> None:
    if "hold_until" in spec.DESCRIPTOR.fields_by_name:
        spec.hold_until.CopyFrom(until)


def _set_group(task: Any, group: int) -> None:
    if "group_id" in task.DESCRIPTOR.fields_by_name and abs(group) < 1 << 31:
        task.group_id = group


class _Reading:
    """One file on its way."""

    def __init__(self, root: Element) -> None:
        self._root = root
        self._v1 = root.space == names.V1
        self._native = (names.OURS, "Version") in root.foreign
        found = {name.lower(): value for name, value in root.attributes.items()}
        self._unit = found.get("unittype", "Core").strip().lower()
        self._warnings = Warnings()
        self._given: list[list[str]] = []

    def file(self) -> JobFile:
        root, spec = self._root, job_pb2.JobSpec()
        self._check_version()
        attributes = self._attributes(
            root, spec, names.JOB, names.JOB_READ_ONLY, names.V1_JOB
        )
        hold = attributes.take("HoldUntil", moment)
        if hold is not None and hold.year <= NO_TIME.year:
            hold = None
        self._runtime(attributes, spec)
        priority = priority_of(attributes)
        if priority is not None:
            spec.priority = priority
        if not self._native:
            attributes.drop(*_other_units(self._unit))
        self._pairs(root, spec)
        given = attributes.fill()
        said = [*given, *attributes.ours, *_sections(root)]
        if not self._native:
            spec.explicit.extend(_built_in(spec, given))
        groups, nice_ids = [], []
        elements = [task for tasks in root.all("Tasks") for task in tasks.all("Task")]
        for element in elements:
            group, nice_id = self._task(element, spec.tasks.add())
            groups.append(group)
            nice_ids.append(nice_id)
        if not self._native:
            # What we wrote says it in DependsOn; the groups are there for others.
            resolve(spec.tasks, groups, dependencies(root))
        self._foreign_elements(root)
        until = None
        if hold is not None:
            until = Timestamp()
            until.FromDatetime(hold)
            _set_hold(spec, until)
        return JobFile(
            spec=spec,
            warnings=self._warnings.texts,
            hold_until=until,
            nice_ids=tuple(nice_ids),
            given=_all_given(spec, said),
            task_given=tuple(map(_all_given, spec.tasks, self._given)),
            lines=tuple(element.line for element in elements),
        )

    def _check_version(self) -> None:
        version = self._root.attributes.get("Version", names.VERSION).strip()
        if not version.startswith(names.VERSIONS):
            known = "1.0, 2.0 and 3.000"
            raise JobFileError(f"Version {version!r}: {known} are known", 1)

    def _attributes(
        self,
        element: Element,
        message: Any,
        known: Mapping[str, str],
        read_only: frozenset[str],
        v1: Mapping[str, str],
    ) -> Attributes:
        return Attributes(
            element,
            message,
            known=known,
            read_only=read_only,
            renamed=v1 if self._v1 else {},
            warnings=self._warnings,
        )

    def _runtime(self, attributes: Attributes, message: Any) -> None:
        """Read V1's Runtime; a V2 file has RuntimeSeconds, and may have both."""
        seconds = attributes.take("Runtime", v1_seconds)
        if seconds:
            message.runtime.seconds = seconds

    def _pairs(self, element: Element, message: Any) -> None:
        read_pairs(element, message)
        if self._native:
            return
        used = sum(len(n) + len(v) for n, v in message.environment.items())
        if used > ENVIRONMENT_LIMIT:
            where = f"{element.name} in line {element.line}: EnvironmentVariables"
            raise HpcError(
                "TEXT_TOO_LONG", field=where, length=used, limit=ENVIRONMENT_LIMIT
            )

    def _task(self, element: Element, task: task_pb2.TaskSpec) -> tuple[int, int]:
        """Read one task; return the numbers of its group and of itself."""
        attributes = self._attributes(
            element, task, names.TASK, names.TASK_READ_ONLY, names.V1_TASK
        )
        group = attributes.take("GroupId", whole) or 0
        if not self._native:
            _set_group(task, group)
        nice_id = attributes.take("NiceId", whole) or 0
        self._runtime(attributes, task)
        sweep = attributes.take("IsParametric", truth)
        kind = task_pb2.TaskSpec()
        attributes.read_into(kind, "Type")
        if sweep and kind.type in {0, task_pb2.TASK_TYPE_BASIC}:
            kind.type = task_pb2.TASK_TYPE_PARAMETRIC_SWEEP
        if not self._native:
            self._reference_defaults(attributes, kind.type)
        self._pairs(element, task)
        given = attributes.fill()
        self._given.append([*given, *attributes.ours, *_sections(element)])
        task.type = kind.type
        self._command(element, task)
        self._foreign_elements(element)
        return group, nice_id

    def _reference_defaults(self, attributes: Attributes, kind: int) -> None:
        """Leave out what the reference writes for every task, and means for few."""
        attributes.drop(*_other_units(self._unit))
        if kind != task_pb2.TASK_TYPE_PARAMETRIC_SWEEP:
            attributes.drop(*_OF_SWEEPS)
        if kind in _PER_NODE:
            attributes.drop(*_NOT_PER_NODE)
        elif kind == task_pb2.TASK_TYPE_SERVICE:
            attributes.drop("IsRerunnable")

    def _command(self, element: Element, task: task_pb2.TaskSpec) -> None:
        """An argument vector holds as long as the line beside it was not edited."""
        line = task.command_line
        if task.arguments and shown_command(task.arguments) == line:
            task.command_line = ""
        else:
            del task.arguments[:]
        if not self._native and len(line) > COMMAND_LIMIT:
            where = f"Task in line {element.line}: CommandLine"
            raise HpcError(
                "TEXT_TOO_LONG", field=where, length=len(line), limit=COMMAND_LIMIT
            )

    def _foreign_elements(self, element: Element) -> None:
        known = {"customproperties", "environmentvariables", "extendedterms"}
        if element is self._root:
            known |= {"dependencies", "tasks"}
        for child in element.children:
            if child.space != element.space or child.name.lower() not in known:
                self._warnings.add(child, f"is not known in {element.name}; left out")
