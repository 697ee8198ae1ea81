"""What may be wrong with the head: its mode, its disk, its load, its store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hpcsched.core.diagnosis.finding import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcsched.core.diagnosis.facts import ClusterFacts

LATE_S: Final = 1.0
"""A loop that was later than this in a minute has too much to do."""
BACKLOG: Final = 10_000
"""So many queued jobs are worth a word."""
DAY_S: Final = 86_400.0
BACKUP_S: Final = 7 * DAY_S
"""A backup that is older is no help, and so is none at all of a store that is older."""
SOON_S: Final = 14 * DAY_S
"""Tokens and certificates that end within this are told."""
_SHOWN: Final = 20


def head_findings(facts: ClusterFacts) -> Iterator[Finding]:
    """Say what is wrong with the head itself."""
    if facts.safe_mode:
        yield Finding(
            severity=Severity.ERROR,
            rule="safe_mode",
            text=f"the head is in safe mode: {facts.safe_mode}",
            why="nothing is started or stopped, and no node is connected",
            action="stop the head and give it the newest store; only where that is "
            "lost let it go on from this one, on the head's machine",
            command="hpcschedd --accept-rollback",
        )
    if facts.restore_mode:
        yield Finding(
            severity=Severity.WARNING,
            rule="restore_mode",
            text="the cluster is in restore mode",
            why="nothing is started and no new work is taken",
            action="cancel what should not run a second time, then end the mode",
            command="hpc cluster set RestoreMode=False",
        )
    if facts.disk_problem:
        yield Finding(
            severity=Severity.ERROR,
            rule="disk_low",
            text=f"the head's disk is nearly full: {facts.disk_problem}",
            why="no new work is taken, and at the end nothing can be recorded",
            action="make room on that disk; old backups are the quickest",
            command="hpc cluster backup --list",
        )
    if facts.lag_s >= LATE_S:
        yield Finding(
            severity=Severity.WARNING,
            rule="head_late",
            text=f"the head was late by up to {facts.lag_s:.1f} s in the last minute",
            why="requests wait that long, and nodes may be taken for lost",
            action="look what keeps it busy: its log names what took more than a "
            "second; see to other programs on its machine",
            command="journalctl -u hpcschedd --since -10min",
        )
    for text in facts.alarms:
        yield Finding(
            severity=Severity.ERROR,
            rule="node_alarm",
            text=text,
            why="a node is refused, or what it says cannot be trusted",
            action="mend what the sentence names; it is shown for 15 minutes after it "
            "was last seen",
            command="hpc node list",
        )
    if facts.queued >= BACKLOG:
        yield Finding(
            severity=Severity.NOTE,
            rule="backlog",
            text=f"{facts.queued} jobs are queued",
            why="it may be a program that submits in a loop",
            action="look whose they are",
            command="hpc cluster usage",
        )


def store_findings(facts: ClusterFacts) -> Iterator[Finding]:
    """Say what is wrong with the store and its backups."""
    yield from _backup(facts)
    if facts.store is None:
        return
    for text in facts.store.problems[:_SHOWN]:
        yield Finding(
            severity=Severity.ERROR,
            rule="store_damaged",
            text=f"the store contradicts itself: {text}",
            why="what it holds may be lost at the head's next start",
            action="keep a copy of the state directory, look at all of it on the "
            "head's machine, and restore a backup if that is sound",
            command="hpcschedd --check",
        )
    if not facts.store.whole:
        yield Finding(
            severity=Severity.NOTE,
            rule="store_not_all_checked",
            text="there was no time to look through the whole store",
            why="there may be damage in the rest",
            action="look at all of it, on the head's machine; it may go on serving",
            command="hpcschedd --check",
        )


def _backup(facts: ClusterFacts) -> Iterator[Finding]:
    when = facts.backup_time
    if when is None and facts.age_s < BACKUP_S:
        return
    if when is not None and facts.now - when < BACKUP_S:
        return
    text = "there has never been a backup of the store"
    if when is not None:
        days = int((facts.now - when) // DAY_S)
        text = f"the newest backup of the store is {days} days old"
    yield Finding(
        severity=Severity.WARNING,
        rule="no_recent_backup",
        text=text,
        why="a lost disk takes every job and its history with it",
        action="make one now, and one a day from a timer; keep it on another machine",
        command="hpc cluster backup --keep 7",
    )


def expiry_findings(facts: ClusterFacts) -> Iterator[Finding]:
    """Say what has ended, or ends soon, of tokens and the head's certificate."""
    end = facts.certificate_end
    if end is not None and end - facts.now < SOON_S:
        over = end <= facts.now
        yield Finding(
            severity=Severity.ERROR if over else Severity.WARNING,
            rule="certificate_expires",
            text=f"the head's certificate {_ends(end, facts.now)}",
            why="no client and no node can connect with one that has ended",
            action="put a new one in its place and start the head again",
            command="systemctl restart hpcschedd",
        )
    for token in facts.tokens:
        left = token.expire_time - facts.now
        # A token for an afternoon is meant to end.
        long_lived = token.expire_time - token.create_time > 2 * SOON_S
        if left >= SOON_S or not long_lived or token.role not in _NEEDED:
            continue
        wanted = f"--user '{token.user}' --role {token.role} --out FILE"
        yield Finding(
            severity=Severity.WARNING,
            rule="token_expires",
            text=f"token {token.token_id} of {token.user} ({token.role}) "
            f"{_ends(token.expire_time, facts.now)}",
            why="nodes with it can no longer connect"
            if token.role == "node"
            else "who uses it can no longer administer the cluster",
            action="make a new one, put it in the place of the old, revoke that",
            command=f"hpc token create {wanted}",
        )


_NEEDED: Final = frozenset({"node", "administrator"})
"""Roles whose tokens other machines or programs live on."""


def _ends(end: float, now: float) -> str:
    if end <= now:
        return "has ended"
    days = int((end - now) // DAY_S)
    return f"ends in {days} days" if days > 1 else "ends within two days"
