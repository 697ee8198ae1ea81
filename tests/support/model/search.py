"""The search: every state that can be reached, and what must hold in each."""

from __future__ import annotations

from array import array
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.support.model import node as at_node
from tests.support.model.head import LOST, UNREACHABLE, finish, turn_of
from tests.support.model.session import close_session
from tests.support.model.supervisor import inner_steps
from tests.support.model.values import (
    BUDGETS,
    EXITED,
    LIVE,
    MAIN,
    NOT_STARTED,
    OVER,
    QUEUED,
    RELEASE,
    WITH_PROCESS,
    beginning,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.model.values import (
        Config,
        Ghost,
        Job,
        Mail,
        Node,
        State,
        Step,
        Turn,
    )

Next = tuple[str, bool, "State"]
"""A label, whether it is a fault, the state after it."""


class BrokenPromise(Exception):  # noqa: N818  it is what is found, not an error of ours
    """A state breaks a promise."""


class Found(NamedTuple):
    """What a search has seen.

    Attributes:
        states: How many different ones.
        complete: Every reachable one was seen.
        broken: The promise that was broken; empty: none.
        trace: The steps that lead there.
    """

    states: int
    complete: bool
    broken: str = ""
    trace: tuple[str, ...] = ()


class Model:
    """The successors of a state, with what repeats remembered."""

    def __init__(self, config: Config) -> None:
        self.config = config

        @cache
        def steps(node: Node, at: int, known: int) -> list[Step]:
            return at_node.steps(config, node, at, known)

        @cache
        def inner(node: Node) -> tuple[Step, ...]:
            return tuple(inner_steps(config, node))

        @cache
        def turn(job: Job, mail: tuple[Mail, ...]) -> Turn:
            return turn_of(config, job, mail)

        @cache
        def faults(node: Node) -> tuple[tuple[str, int, Node], ...]:
            return tuple(
                (label, BUDGETS.index(name), after)
                for label, name, after in at_node.faults(config, node)
            )

        self._steps: Callable[[Node, int, int], list[Step]] = steps
        self._inner: Callable[[Node], tuple[Step, ...]] = inner
        self._turn: Callable[[Job, tuple[Mail, ...]], Turn] = turn
        self._faults: Callable[[Node], tuple[tuple[str, int, Node], ...]] = faults

    def successors(self, state: State) -> Iterator[Next]:
        """Yield what can happen next.

        Raises:
            BrokenPromise: what happens must not.
        """
        for at, node in enumerate(state.nodes):
            if self._inner(node):  # nobody else sees what lies between these
                yield from self._of_node(state, at, node)
                yield from self._broken_node(state, at, node, inner=True)
                return
        for at, node in enumerate(state.nodes):
            yield from self._of_node(state, at, node)
        yield from self._of_head(state)
        for at, node in enumerate(state.nodes):
            yield from self._broken_node(state, at, node, inner=False)
        yield from self._faults_of_head(state)

    # -- what happens anyway

    def _of_node(self, state: State, at: int, node: Node) -> Iterator[Next]:
        for step in self._steps(node, at, state.known[at]):
            ghost = state.ghost
            if step.fact:
                ghost = self._noted(state, at, step.fact)
            after = state._replace(
                nodes=_with(state.nodes, at, step.node),
                mail=state.mail + step.mail if step.mail else state.mail,
                ghost=ghost,
            )
            yield f"n{at}: {step.label}", False, after

    def _of_head(self, state: State) -> Iterator[Next]:
        job = state.job
        if state.turn is not None:
            yield self._committed(state, state.turn)
        elif state.mail:
            turn = self._turn(job, state.mail)
            after = state._replace(mail=(), turn=turn)
            if self.config.mutant == "act_before_commit":
                nodes = finish(self.config, turn, state.nodes)
                after = after._replace(nodes=nodes)
            yield f"decide {state.mail}", False, after
        for at, node in enumerate(state.nodes):
            if node.compared and state.known[at] != node.told_boot:
                known = _with(state.known, at, node.told_boot)
                yield f"n{at}: boot recorded", False, state._replace(known=known)
            idle = job.tasks[MAIN].state == QUEUED and not any(job.uses)
            if node.compared and idle and state.turn is None and not state.mail:
                mail = (*state.mail, ("grant", at))
                yield f"n{at}: grant", False, state._replace(mail=mail)

    def _committed(self, state: State, turn: Turn) -> Next:
        ghost = state.ghost
        for task, attempt, at, kind in turn.verdicts:
            ghost = _judged(state, ghost, (task, attempt), at, kind)
        if any(mail[0] == "cancel" for mail in turn.answered):
            attempt = turn.job.tasks[MAIN].attempt
            ghost = ghost._replace(canceled=attempt)
        nodes = state.nodes
        if self.config.mutant != "act_before_commit":
            nodes = finish(self.config, turn, nodes)
        after = state._replace(job=turn.job, turn=None, nodes=nodes, ghost=ghost)
        return "commit", False, after

    # -- what goes wrong, as often as the budget allows

    def _broken_node(
        self, state: State, at: int, node: Node, *, inner: bool
    ) -> Iterator[Next]:
        if not any(state.budget):
            return
        for label, which, after in self._faults(node):
            if state.budget[which]:
                nodes = _with(state.nodes, at, after)
                spent = _spent(state.budget, which)
                yield f"n{at}: {label}", True, state._replace(nodes=nodes, budget=spent)
        which = BUDGETS.index("losses")
        if not inner and state.budget[which]:
            nodes = _with(state.nodes, at, close_session(node))
            mail = (*state.mail, ("lose", at))
            yield (
                f"n{at}: unreachable",
                True,
                state._replace(
                    nodes=nodes, mail=mail, budget=_spent(state.budget, which)
                ),
            )

    def _faults_of_head(self, state: State) -> Iterator[Next]:
        which = BUDGETS.index("head_crashes")
        if state.budget[which]:
            nodes = tuple(close_session(node) for node in state.nodes)
            yield (
                "head crashes",
                True,
                state._replace(
                    nodes=nodes, mail=(), turn=None, budget=_spent(state.budget, which)
                ),
            )
        which = BUDGETS.index("cancels")
        if state.budget[which] and state.job.tasks[MAIN].state not in OVER:
            spent = _spent(state.budget, which)
            mail = (*state.mail, ("cancel",))
            yield "cancel", False, state._replace(mail=mail, budget=spent)
        which = BUDGETS.index("evictions")
        if state.budget[which]:
            for at, use in enumerate(state.job.uses):
                if use:
                    spent = _spent(state.budget, which)
                    mail = (*state.mail, ("evict", at))
                    after = state._replace(mail=mail, budget=spent)
                    yield f"n{at}: evict", True, after

    # -- what is watched

    def _noted(self, state: State, at: int, fact: tuple[object, ...]) -> Ghost:
        word, task, attempt = fact
        ghost = state.ghost
        if word == "forget":
            _check_known(state, at, task)
            return ghost
        assert isinstance(task, int)
        assert isinstance(attempt, int)
        key = (task, attempt)
        if word == "exit":
            return ghost._replace(exits=tuple(sorted({*ghost.exits, key})))
        if key in ghost.execs:
            raise BrokenPromise(f"P3: attempt {key} was started twice")
        if key in ghost.void:
            raise BrokenPromise(f"P5: attempt {key} started, and was said never to")
        if task == MAIN and 0 <= ghost.canceled < attempt:
            raise BrokenPromise(f"P10: attempt {key} started after the cancel")
        if task == RELEASE:
            self._check_release(state, at)
        return ghost._replace(execs=tuple(sorted({*ghost.execs, key})))

    def _check_release(self, state: State, at: int) -> None:
        ghost = state.ghost
        if any(task == RELEASE for task, _ in ghost.execs):
            raise BrokenPromise("P10: the release of a node ran twice")
        for task, attempt, how, _ in state.nodes[at].disk.alive:
            mine = (task, attempt)
            if task == MAIN and how in WITH_PROCESS and mine not in ghost.excused:
                raise BrokenPromise(f"P10: release while {mine} lives there")

    def check(self, state: State) -> None:
        """Raise BrokenPromise where a process lives of which the head knows nothing."""
        for at, node in enumerate(state.nodes):
            for task, attempt, how, _ in node.disk.alive:
                if how not in WITH_PROCESS or (task, attempt) in state.ghost.excused:
                    continue
                one = state.job.tasks[task]
                if one[1:3] != (attempt, at) or one.state not in LIVE:
                    raise BrokenPromise(
                        f"P4: {(task, attempt)} lives on node {at}; the head says {one}"
                    )

    def is_done(self, state: State) -> bool:
        """Is everything told, ended and forgotten?"""
        over = state.job.tasks[MAIN].state in OVER and not any(state.job.uses)
        release = state.job.tasks[RELEASE].state in (QUEUED, *OVER)
        return (
            over
            and release
            and state.turn is None
            and not any(
                node.disk.alive or node.disk.queued or node.disk.reports
                for node in state.nodes
            )
        )


def _check_known(state: State, at: int, ends: Any) -> None:
    """The node forgets ends: the head must have recorded them, durably."""
    for task, attempt in ends:
        one = state.job.tasks[task]
        if (one.node, one.attempt) == (at, attempt) and one.state in LIVE:
            key = (task, attempt)
            raise BrokenPromise(f"P5: the end of {key} is forgotten before it is known")


def _judged(
    state: State, ghost: Ghost, key: tuple[int, int], at: int, kind: str
) -> Ghost:
    """Hold what the head records of an attempt against what is true."""
    if kind == UNREACHABLE:
        return ghost._replace(excused=tuple(sorted({*ghost.excused, key})))
    if key in ghost.excused:
        return ghost
    if kind == EXITED and key not in ghost.exits:
        raise BrokenPromise(f"P5: {key} has not exited, and is recorded so")
    if kind == NOT_STARTED:
        if key in ghost.execs:
            raise BrokenPromise(f"P5: {key} has run, and is recorded as never started")
        return ghost._replace(void=tuple(sorted({*ghost.void, key})))
    if kind == LOST:
        for _, told, *rest in state.nodes[at].disk.reports:
            if tuple(rest) == key and told == EXITED:
                raise BrokenPromise(f"P5: {key} is given up, its node knows its end")
    return ghost


def _with(values: tuple, at: int, value: object) -> tuple:  # type: ignore[type-arg]
    return (*values[:at], value, *values[at + 1 :])


def _spent(budget: tuple[int, ...], which: int) -> tuple[int, ...]:
    return _with(budget, which, budget[which] - 1)


def search(config: Config, limit: int = 10_000_000, *, live: bool = False) -> Found:
    """Visit every state, breadth first.

    Args:
        config: What may happen.
        limit: Most states.
        live: Prove as well that each state can come to rest without another fault.
    """
    model = Model(config)
    start = beginning(config)
    numbers: dict[State, int] = {start: 0}
    order = [start]
    parents = array("l", [-1])
    labels: list[str] = [""]
    edges = array("l")
    at = seen = 0
    try:
        while at < len(order):
            seen = at
            for label, fault, after in model.successors(order[at]):
                number = numbers.get(after)
                if number is None:
                    if len(order) >= limit:
                        return Found(len(order), complete=False)
                    number = numbers[after] = len(order)
                    order.append(after)
                    parents.append(at)
                    labels.append(label)
                    seen = number
                    model.check(after)
                    seen = at
                if live and not fault:
                    edges.extend((number, at))
            at += 1
    except BrokenPromise as broken:
        trace = _trace(parents, labels, seen)
        return Found(len(order), complete=False, broken=str(broken), trace=trace)
    if live and (stuck := _stuck(model, order, edges)) is not None:
        trace = _trace(parents, labels, stuck)
        text = f"P13: stuck for ever: {order[stuck]}"
        return Found(len(order), complete=True, broken=text, trace=trace)
    return Found(len(order), complete=True)


def _trace(parents: array[int], labels: list[str], at: int) -> tuple[str, ...]:
    steps = []
    while at > 0:
        steps.append(labels[at])
        at = parents[at]
    return tuple(reversed(steps))


def _stuck(model: Model, order: list[State], edges: array[int]) -> int | None:
    """Return a state from which rest cannot be reached without a fault."""
    into: dict[int, list[int]] = {}
    for place in range(0, len(edges), 2):
        into.setdefault(edges[place], []).append(edges[place + 1])
    rests = [number for number, state in enumerate(order) if model.is_done(state)]
    seen = bytearray(len(order))
    for number in rests:
        seen[number] = 1
    while rests:
        for before in into.get(rests.pop(), ()):
            if not seen[before]:
                seen[before] = 1
                rests.append(before)
    found = seen.find(0)
    return None if found < 0 else found
