"""What a task runs, as the agent defined it: templates, environment, limits.

A template is a list of segments; a string stands for itself, a number w for the
element's value, padded with zeros to w digits (properties.md 6.4). What does not
depend on the value is made once per definition, so that a start of a million-element
sweep costs a copy of a dictionary.
"""

from __future__ import annotations

import os
import pwd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from node_agent.supervisor.pinned import Vector

MAX_SIGNAL = 64
MAX_BYTES = 1024 * 1024
DEFAULT_OUTPUT_LIMIT = 4096
DEFAULT_GRACE_S = 15.0
DEFAULT_SIGNAL = 15

Segment = str | int
Template = list[Segment]
Value = int | str | None


class FieldError(ValueError):
    """A field of a message is wrong; the text names the field and what it may be."""


def encoded(text: str) -> bytes:
    """Return the bytes of a string that may hold surrogate escapes."""
    return text.encode("utf-8", "surrogateescape")


def render(template: Template, value: Value) -> bytes:
    """Return the template with the element's value in its places."""
    text = "" if value is None else str(value)
    padded = isinstance(value, int)
    return encoded(
        "".join(
            [
                segment
                if isinstance(segment, str)
                else (text.zfill(segment) if padded else text)
                for segment in template
            ]
        )
    )


def constant(template: Template) -> bytes | None:
    """Return what the template stands for if no value is in it, else None."""
    if all(isinstance(segment, str) for segment in template):
        return render(template, None)
    return None


class User:
    """Whose processes the tasks are: the supervisor's own user, or the jobs' owners.

    Attributes:
        is_owner: Tasks run as the account that the job names, or its owner; of
            that one ``name`` and ``home`` are not known here.
        defaults: Variables that a task gets unless its definition sets them.
        home: Where a task runs that names no directory.
        name: Of the account.
        shell: The program that runs shell lines: bash, or sh where there is no bash.
    """

    __slots__ = ("defaults", "home", "is_owner", "name", "shell")

    def __init__(self, *, is_owner: bool = False) -> None:
        self.is_owner = is_owner
        try:
            entry = pwd.getpwuid(os.getuid())
            name, home = entry.pw_name, entry.pw_dir or "/"
        except KeyError:
            name, home = str(os.getuid()), "/"
        path = os.environ.get("PATH") or os.defpath
        self.home = encoded(home)
        self.name = name
        self.defaults: Mapping[bytes, bytes] = {
            b"PATH": os.fsencode(path),
            b"HOME": self.home,
            b"USER": encoded(name),
            b"LOGNAME": encoded(name),
        }
        folders = [*path.split(":"), "/bin", "/usr/bin"]
        if is_owner:
            self.defaults = {b"PATH": os.fsencode(path)}
        found = [
            os.path.join(folder, shell)
            for shell in ("bash", "sh")
            for folder in folders
            if os.access(os.path.join(folder, shell), os.X_OK)
        ]
        self.shell = os.fsencode(found[0] if found else "/bin/sh")


class Common:
    """What is made once for definitions that differ in their variables alone.

    Attributes:
        program_path: Where the program was found that does not depend on the value.
        words: All other variables that are the same for every attempt, as a process
            gets them; None: not made yet, see environment.py.
    """

    __slots__ = ("program_path", "words")

    def __init__(self) -> None:
        self.program_path: bytes | None = None
        self.words: Vector | None = None


class Definition:
    """One version of a task's definition. Never changed; a new version replaces it.

    Attributes:
        account: As which a task runs, empty: the supervisor's own. ``cwd`` is then
            below a home that is not known yet.
        common: What it has with those that are like it.
        given: Variables but those of one start, and ``own`` in place of some of them.
        own: Variables that differ from those of the one that it is like.
        refusal: Why no process of it may be started here; empty: it may.
        shell: Whether the one template is a line for the shell.
        stdin: Template of the file, None: none is given; so ``stdout``, ``stderr``.
    """

    __slots__ = (
        "_arguments",
        "_constants",
        "_raw",
        "account",
        "cgroup",
        "common",
        "cwd",
        "given",
        "grace_s",
        "job",
        "limit_s",
        "number",
        "output_limit",
        "own",
        "pin",
        "refusal",
        "shell",
        "signal",
        "stderr",
        "stdin",
        "stdout",
        "tag_prefix",
        "task",
    )

    def __init__(self, raw: Mapping[str, Any], user: User) -> None:
        self._raw = raw
        self.job: int = _number(raw, "job")
        self.task: int = _number(raw, "task")
        self.number: int = _number(raw, "def")
        self.shell = raw.get("shell") is not None
        self._arguments = _arguments(raw)
        if self.shell:
            self._arguments = [[_text(user.shell)], ["-c"], *self._arguments]
        self._constants = [constant(template) for template in self._arguments]
        self.given = _environment(raw, user)
        self.own: dict[bytes, bytes] = {}
        self.account = _account(raw) if user.is_owner else ""
        home = b"" if user.is_owner else user.home
        self.cwd = _directory(raw, self.given.get(b"HOME", home))
        if not (self.cwd or user.is_owner):
            self.cwd = b"/"
        self.stdin = _template(raw, "stdin")
        self.stdout = _template(raw, "stdout")
        self.stderr = _template(raw, "stderr")
        self.limit_s = _seconds(raw, "limit_s", None)
        self.grace_s: float = _seconds(raw, "grace_s", DEFAULT_GRACE_S) or 0.0
        self.signal: int = _number(raw, "signal", DEFAULT_SIGNAL)
        if not 0 < self.signal <= MAX_SIGNAL:
            raise FieldError(f"define: signal: {self.signal} is not from 1 to 64")
        self.pin = bool(raw.get("pin", False))
        self.output_limit: int = _number(raw, "output_limit", DEFAULT_OUTPUT_LIMIT)
        if not 0 <= self.output_limit <= MAX_BYTES:
            raise FieldError(f"define: output_limit: not from 0 to {MAX_BYTES} bytes")
        self.cgroup = bool(raw.get("cgroup", True))
        self.common = Common()
        self.tag_prefix = f"{self.job}.{self.task}."
        self.refusal = _refusal(raw, user)

    def like(self, job: int, own: dict[bytes, bytes]) -> Definition:
        """Return the definition of another job, with other values of some variables."""
        made = Definition.__new__(Definition)
        for name in _ALIKE:
            setattr(made, name, getattr(self, name))
        made.job = job
        made.own = own
        made.tag_prefix = f"{job}.{self.task}."
        return made

    @property
    def environment(self) -> dict[bytes, bytes]:
        """All variables but those of one start."""
        return {**self.given, **self.own}

    @property
    def raw(self) -> Mapping[str, Any]:
        """The message that defines it, for the journal."""
        if not self.own and self.job == self._raw["job"]:
            return self._raw
        own = {_text(name): _text(value) for name, value in self.own.items()}
        env = {**(self._raw.get("env") or {}), **own}
        return {**self._raw, "job": self.job, "env": env}

    def arguments(self, value: Value) -> list[bytes]:
        """Return the argument vector for an element."""
        return [
            render(template, value) if ready is None else ready
            for ready, template in zip(self._constants, self._arguments, strict=True)
        ]

    @property
    def program_is_constant(self) -> bool:
        """Whether every element runs the same program."""
        return self._constants[0] is not None


_ALIKE = sorted({*Definition.__slots__} - {"job", "own", "tag_prefix"})


def _refusal(raw: Mapping[str, Any], user: User) -> str:
    """Return why a task of another account cannot run here.

    It never runs as somebody else than was asked for (node-agent.md 3).
    """
    if user.is_owner:
        return "" if _account(raw) else "the head does not say whose task it is"
    wanted = raw.get("user")
    if wanted is None or wanted == user.name:
        return ""
    return f"this node runs tasks as {user.name} only"


def _account(raw: Mapping[str, Any]) -> str:
    """Return the account that a job names, or its owner's."""
    for name in ("user", "owner"):
        value = raw.get(name)
        if value is not None and not isinstance(value, str):
            raise FieldError(f"define: {name}: must be a string, not {value!r:.40}")
        if value:
            return str(value)
    return ""


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _number(raw: Mapping[str, Any], name: str, default: int | None = None) -> int:
    value = raw.get(name, default)
    if type(value) is not int:
        raise FieldError(f"define: {name}: must be an integer, not {value!r:.40}")
    return value


def _seconds(raw: Mapping[str, Any], name: str, default: float | None) -> float | None:
    value = raw.get(name)
    if value is None:
        return default
    if type(value) not in {int, float} or value < 0:
        raise FieldError(f"define: {name}: must be seconds from 0, not {value!r:.40}")
    return float(value)


def _is_template(value: object) -> bool:
    return isinstance(value, list) and all(
        type(segment) is str or (type(segment) is int and 0 <= segment <= MAX_SIGNAL)
        for segment in value
    )


def _template(raw: Mapping[str, Any], name: str) -> Template | None:
    value = raw.get(name)
    if value is None:
        return None
    if not _is_template(value) or not value:
        raise FieldError(f"define: {name}: must be segments: strings and widths 0-64")
    template: Template = value
    return template


def _arguments(raw: Mapping[str, Any]) -> list[Template]:
    line, vector = raw.get("shell"), raw.get("argv")
    if (line is None) == (vector is None):
        raise FieldError("define: argv, shell: exactly one of them must be given")
    if line is not None:
        vector = [line]
    if not isinstance(vector, list) or not vector or not all(map(_is_template, vector)):
        name = "argv" if line is None else "shell"
        raise FieldError(f"define: {name}: must be segments: strings and widths 0-64")
    return list(vector)


def _environment(raw: Mapping[str, Any], user: User) -> dict[bytes, bytes]:
    given = raw.get("env") or {}
    return {**user.defaults, **variables(given, "define: env")}


def variables(given: object, field: str) -> dict[bytes, bytes]:
    """Return environment variables as bytes.

    Raises:
        FieldError: no mapping of names without ``=`` to strings, neither with a NUL.
    """
    if not isinstance(given, dict):
        raise FieldError(f"{field}: must map names to strings")
    for name, value in given.items():
        if not isinstance(value, str) or "\0" in value:
            raise FieldError(f"{field}: {name!r:.40}: must be a string without NUL")
        if not name or "=" in name or "\0" in name:
            raise FieldError(f"{field}: {name!r:.40} is no name of a variable")
    return {encoded(name): encoded(value) for name, value in given.items()}


def _directory(raw: Mapping[str, Any], home: bytes) -> bytes:
    value = raw.get("cwd")
    if value is None or value == "":
        return home
    if not isinstance(value, str):
        raise FieldError(f"define: cwd: must be a string, not {value!r:.40}")
    return os.path.join(home, encoded(value))
