"""The submission filter: jobs in ExternalValidation wait for its verdict (J5 to J7).

What runs follows from the jobs' states: a job that is found waiting is asked about, be
it new or loaded after a restart; one that has left is asked about no more, and what its
filter says then is nobody's. Programs run beside the loop, a few at a time.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from hpcsched.common.errors import HpcError
from hpcsched.core.job.commands import Rewrite, TakeVerdict
from hpcsched.core.job.states import JobState
from hpcsched.runtime.filter_documents import snapshot_of, variables_of
from hpcsched.runtime.filter_program import FilterCall, FilterOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hpcsched.core.job.model import Job
    from hpcsched.core.job.spec import JobSpec
    from hpcsched.runtime.filter_documents import FilterDocuments, JobSnapshot
    from hpcsched.runtime.filter_program import FilterPrograms
    from hpcsched.runtime.world import World

log = logging.getLogger(__name__)
AT_ONCE: Final = 8
"""Submission filters that run at the same time."""
ACCEPT: Final = 0
ACCEPT_CHANGED: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterKit:
    """What it takes to ask filters."""

    programs: FilterPrograms
    documents: FilterDocuments


@dataclass(slots=True)
class _Together:
    """Jobs of one call: all of them are queued, or none (lifecycle.md 4.3).

    Attributes:
        open: Those that are still asked about.
        verdicts: Of the others, as far as they have not gone.
    """

    open: set[int]
    verdicts: dict[int, TakeVerdict] = field(default_factory=dict)


@dataclass(slots=True)
class _Asked:
    """A question that is open."""

    validation: int
    running: asyncio.Task[None] | None = None


class SubmissionFilters:
    """See the module.

    Args:
        world: The head's actors.
        kit: Runs the programs; None: this head can run none, and refuses.
        check: Refuses what a job asks for and the cluster has not.
    """

    def __init__(
        self,
        world: World,
        kit: FilterKit | None,
        check: Callable[[JobSpec], None],
    ) -> None:
        self._check = check
        self._world = world
        self._kit = kit
        self._asked: dict[int, _Asked] = {}
        self._together: dict[int, _Together] = {}
        self._waiters: dict[int, list[asyncio.Future[None]]] = {}
        self._places = asyncio.Semaphore(AT_ONCE)

    def note(self, job: Job) -> None:
        """A job says where it stands: ask about it, or no more."""
        job_id = job.job_id
        asked = self._asked.get(job_id)
        if job.state is JobState.EXTERNAL_VALIDATION:
            if asked is not None and asked.validation == job.validation:
                return
            self._forget(job_id)
            if not self._world.stopping:
                new = self._asked[job_id] = _Asked(job.validation)
                snapshot = snapshot_of(job, self._world.name_of)
                self._world.spawn(self._ask(snapshot, new))
            return
        if asked is not None:
            self._forget(job_id)
            self._leave(job_id)
        for future in self._waiters.pop(job_id, ()):
            if not future.done():
                future.set_result(None)

    def _forget(self, job_id: int) -> None:
        """Kill the filter that is asked about a job, if there is one."""
        asked = self._asked.pop(job_id, None)
        if asked is not None and asked.running is not None:
            asked.running.cancel()

    async def left(self, job_id: int) -> bool:
        """Return when a job is not being validated (any more); was it?

        Raises:
            HpcError: JOB_NOT_FOUND.
        """
        future: asyncio.Future[None] = self._world.loop.create_future()
        self._waiters.setdefault(job_id, []).append(future)
        try:
            state = await self._world.jobs.look(job_id, lambda job: job.state)
            if state is not JobState.EXTERNAL_VALIDATION:
                return False
            await future
        finally:
            waiting = self._waiters.get(job_id)
            if waiting is not None and future in waiting:
                waiting.remove(future)
                if not waiting:
                    del self._waiters[job_id]
        return True

    def together(self, job_ids: Sequence[int]) -> None:
        """These jobs are about to be submitted in one call: all or none."""
        if self._world.settings.submission_filter and len(job_ids) > 1:
            together = _Together(set(job_ids))
            self._together |= dict.fromkeys(job_ids, together)

    def apart(self, job_ids: Sequence[int]) -> None:
        """They could not be made."""
        for job_id in job_ids:
            self._together.pop(job_id, None)

    # Asking

    async def _ask(self, snapshot: JobSnapshot, asked: _Asked) -> None:
        if self._asked.get(snapshot.job.job_id) is not asked:
            return
        async with asyncio.TaskGroup() as tasks:
            # A task of its own, for it may be cancelled while the head lives on.
            asked.running = tasks.create_task(self._carry_out(snapshot, asked))

    async def _carry_out(self, snapshot: JobSnapshot, asked: _Asked) -> None:
        job_id = snapshot.job.job_id
        async with self._places:
            verdict = await self._verdict(snapshot, asked.validation)
        if self._asked.get(job_id) is not asked:
            return  # it has left meanwhile
        together = self._together.get(job_id)
        if together is None:
            self._tell(job_id, verdict)
        else:
            together.verdicts[job_id] = verdict
            self._leave(job_id)

    def _leave(self, job_id: int) -> None:
        """One less to wait for in its call; the last one lets them all go."""
        together = self._together.pop(job_id, None)
        if together is None:
            return
        together.open.discard(job_id)
        if together.open:
            return
        refused = {n: v for n, v in together.verdicts.items() if v.refusal is not None}
        for other, verdict in together.verdicts.items():
            if refused and other not in refused:
                first, why = next(iter(refused.items()))
                problem = f"job {first} of the same call was refused: {why.refusal}"
                verdict = replace(verdict, refusal=_refused(other, problem))  # noqa: PLW2901
            self._tell(other, verdict)

    def _tell(self, job_id: int, verdict: TakeVerdict) -> None:
        asked = self._asked.get(job_id)

        def answered(_: Any, error: BaseException | None) -> None:
            if self._asked.get(job_id) is asked:
                # A verdict that was not written is asked for again with the job.
                self._asked.pop(job_id, None)
            if error is not None and verdict.refusal is None:
                log.warning("job %d: its verdict was not taken: %s", job_id, error)

        self._world.jobs.tell(job_id, verdict, answered)

    async def _verdict(self, snapshot: JobSnapshot, validation: int) -> TakeVerdict:
        world, job_id = self._world, snapshot.job.job_id
        program = world.settings.submission_filter
        if not program:
            return TakeVerdict(validation=validation)  # there is none any more
        if self._kit is None:
            none = _refused(job_id, "this head cannot run filter programs")
            return TakeVerdict(validation=validation, refusal=none)
        documents = self._kit.documents
        call = FilterCall(
            program=program,
            document=lambda: documents.write(snapshot),
            environment=variables_of(snapshot, world.scene.cluster, world.scene.head),
            timeout_s=world.settings.submission_timeout_s,
        )
        outcome = await self._kit.programs.run(call)
        refusal = _refusal(job_id, outcome, call.timeout_s)
        rewrite: Rewrite | None = None
        if refusal is None and outcome.exit_code == ACCEPT_CHANGED:
            try:
                rewrite = await self._rewrite(snapshot, outcome.document)
            except (HpcError, ValueError) as problem:
                text = "the submission filter left an XML that cannot be used"
                refusal = _refused(job_id, f"{text}: {problem}")
            except Exception as fault:  # a fault of ours, and the job must not wait
                log.exception("job %d: the XML of its filter was not read", job_id)
                text = "a fault of the head while it read the XML of the filter"
                refusal = _refused(job_id, f"{text}: {type(fault).__name__}")
        if refusal is not None:
            log.info("job %d: refused by the submission filter: %s", job_id, refusal)
        return TakeVerdict(validation=validation, refusal=refusal, rewrite=rewrite)

    async def _rewrite(self, snapshot: JobSnapshot, document: bytes) -> Rewrite:
        """Return the job as the filter has left it.

        Raises:
            ValueError: the XML is malformed.
            HpcError: it says what no job can be asked for.
        """
        assert self._kit is not None  # noqa: S101  it has just run a program
        read = self._kit.documents.read
        found = await asyncio.to_thread(read, document, snapshot)
        for warning in found.warnings:
            log.warning(
                "job %d: in the XML of the submission filter: %s",
                snapshot.job.job_id,
                warning,
            )
        self._check(found.spec)
        return Rewrite(spec=found.spec, tasks=found.tasks, added=found.added)


def _refusal(job_id: int, outcome: FilterOutcome, timeout_s: float) -> HpcError | None:
    """Return what a filter's outcome means; None: accepted."""
    if outcome.timed_out:
        return HpcError(
            "SUBMISSION_FILTER_TIMEOUT", job_id=job_id, timeout=f"{timeout_s:g}"
        )
    if outcome.problem:
        text = f"the submission filter could not be run: {outcome.problem}"
        return _refused(job_id, text)
    if outcome.exit_code in {ACCEPT, ACCEPT_CHANGED}:
        return None
    text = f"the submission filter refused the job (exit code {outcome.exit_code})"
    return _refused(job_id, outcome.message or text)


def _refused(job_id: int, problem: str) -> HpcError:
    return HpcError("SUBMISSION_FILTER_FAILED", job_id=job_id, problem=problem)
