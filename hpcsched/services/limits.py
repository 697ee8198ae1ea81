"""Limits of the wire. Each refusal names the field and the limit."""

from __future__ import annotations

from typing import Final

#: A job's specification with its tasks, or the tasks of one call, bytes.
MAX_SPEC_BYTES: Final = 4 * 1024 * 1024
#: Jobs of one SubmitJobs, tasks of one AddTasks or SubmitTasks.
MAX_BATCH: Final = 100_000
#: Jobs, tasks, nodes or tokens that one call acts on: the answer tells of each.
MAX_TARGETS: Final = 10_000
#: A request id, characters: a UUID in its canonical form.
MAX_REQUEST_ID: Final = 36
#: A user's name, characters (api.md section 1).
MAX_USER_NAME: Final = 80

#: An answer is cut into pages below this, bytes: clients of any language take 4 MiB.
MAX_PAGE_BYTES: Final = 3 * 1024 * 1024
#: Events, and jobs of a snapshot, in one message of a watch.
MAX_EVENTS_PER_MESSAGE: Final = 1_024
MAX_JOBS_PER_MESSAGE: Final = 500
#: Bytes in one message of an output stream.
MAX_OUTPUT_BYTES: Final = 64 * 1024

#: All Hello frames of one agent, bytes; a million attempts are some 25 MB.
MAX_HELLO_BYTES: Final = 64 * 1024 * 1024
#: Attempts that one node may tell of in its Hello frames.
MAX_LIVE_ATTEMPTS: Final = 1_000_000

#: Longest wait of one WaitJob, seconds: proxies cut calls of a minute.
MAX_WAIT_S: Final = 55.0
#: Deadline of a unary call that came without one, seconds.
DEFAULT_DEADLINE_S: Final = 60.0
#: A stream's reader that takes nothing for so long is let go, seconds.
WRITE_DEADLINE_S: Final = 60.0
#: How long a status waits behind messages that the peer does not take, seconds.
ABORT_DEADLINE_S: Final = 2.0
#: How often the token of an open stream is looked at again, seconds.
REAUTHENTICATE_S: Final = 15.0
#: An agent that has opened a stream says Hello within, seconds.
HELLO_DEADLINE_S: Final = 30.0

#: Drafts that one call submits.
MAX_DRAFTS: Final = 1000
