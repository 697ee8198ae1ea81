"""``hpc job``: the verbs of jobs."""

from __future__ import annotations

from typing import Final

import click

from hpcsched.cli.verbs import VerbGroup

_VERBS: Final = {
    "new": ("hpcsched.cli.job_new", "new", "Make a job to which tasks are added."),
    "add": ("hpcsched.cli.job_new", "add", "Add a task to a job."),
    "submit": ("hpcsched.cli.job_submit", "submit", "Submit a job, or a command."),
    "list": ("hpcsched.cli.job_list", "list_jobs", "List jobs: my active ones."),
    "show": ("hpcsched.cli.job_show", "show", "Show one job."),
    "tasks": ("hpcsched.cli.task", "list_tasks", "List the tasks of a job."),
    "watch": ("hpcsched.cli.job_watch", "watch", "See what happens to a job."),
    "history": ("hpcsched.cli.job_watch", "history", "What has happened to a job."),
    "output": ("hpcsched.cli.job_output", "output", "What its tasks wrote."),
    "why": ("hpcsched.cli.job_show", "why", "Why a job waits, or ended so."),
    "wait": ("hpcsched.cli.job_watch", "wait", "Wait until jobs have ended."),
    "cancel": ("hpcsched.cli.job_change", "cancel", "Cancel jobs."),
    "finish": ("hpcsched.cli.job_change", "finish", "End jobs as Finished."),
    "modify": ("hpcsched.cli.modify", "modify", "Change properties of a job."),
    "hold": ("hpcsched.cli.job_change", "hold", "Hold queued jobs back."),
    "release": ("hpcsched.cli.job_change", "release", "Let held jobs go."),
    "requeue": ("hpcsched.cli.job_change", "requeue", "Queue jobs again."),
    "configure": ("hpcsched.cli.job_change", "configure", "Take jobs back to edit."),
    "clone": ("hpcsched.cli.job_change", "clone", "Copy jobs into new ones."),
    "export": ("hpcsched.cli.job_export", "export", "Write a job as a job file."),
    "forget": ("hpcsched.cli.job_change", "forget", "Delete records of ended jobs."),
}


@click.command("job", cls=VerbGroup, lazy=_VERBS)
def job() -> None:
    """Jobs: make, submit, watch and end them."""
