"""``hpc job export``: a job as a job file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from hpcsched.cli.choosing import job_id_of
from hpcsched.cli.selectors import JOB
from hpcsched.cli.verbs import Verb, pass_app

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcsched.api.v1 import job_pb2, task_pb2
    from hpcsched.cli.app import App
    from hpcsched.client.api import Api

FORMATS: Final = ("xml", "toml", "json")


@click.command("export", cls=Verb)
@click.argument("job", type=JOB, metavar="JOB")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="xml",
    show_default=True,
    help="XML also tells state and results; a submit passes over them.",
)
@click.option("--output", metavar="FILE", help="Write it here; default: stdout.")
@pass_app
def export(app: App, job: int, form: str, output: str | None) -> None:
    """Write a job with its tasks as a job file.

    \b
    `hpc job submit --file` takes it again:
      hpc job export 42 > job.xml
      hpc job export last --format toml --output job.toml
      hpc job export 42 --format json | hpc job submit --file -
    """
    text = exported(app, job, form)
    if output is None:
        app.print(text.removesuffix("\n"))
        return
    try:
        with click.open_file(output, "w", encoding="utf-8", atomic=True) as file:
            file.write(text)
    except OSError as error:
        raise click.UsageError(f"{output}: {error.strerror}") from None


def exported(app: App, job: int, form: str) -> str:
    """Return a job as the text of a job file.

    Raises:
        HpcError: PERMISSION_DENIED: it is another's; JOB_NOT_FOUND.
    """
    from hpcsched.jobfile.plain import write_json, write_toml
    from hpcsched.jobfile.writing import write_xml

    async def work(
        client: Api,
    ) -> tuple[job_pb2.Job, Sequence[task_pb2.Task]]:
        job_id = await job_id_of(client, job)
        shown = await client.jobs.get(job_id, full=True)
        page = await client.tasks.list(job_id, full=True)
        return shown, page.items

    shown, tasks = app.call(work)
    spec = shown.spec
    del spec.tasks[:]
    spec.tasks.extend(task.spec for task in tasks)
    if form == "xml":
        return write_xml(spec, job=shown, tasks=tasks).decode()
    written: Any = write_toml if form == "toml" else write_json
    return str(written(spec))
