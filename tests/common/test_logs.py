from __future__ import annotations

import io
import json
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest

from hpcsched.common import logs
from tests.support.polling import PATIENCE_S, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger("hpcsched.test")


@pytest.fixture(autouse=True)
def root_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


class SlowStream(io.StringIO):
    """A stream whose first write waits until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.let_go = threading.Event()

    def write(self, text: str) -> int:
        self.entered.set()
        self.let_go.wait(PATIENCE_S)
        return super().write(text)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_is_one_line_of_json_with_its_extras() -> None:
    stream = io.StringIO()
    with logs.setup("info", json=True, stream=stream):
        log.info("job %d\nstarted", 42, extra={"job_id": 42, "node": {"n1"}})

    (line,) = lines(stream)
    assert line["message"] == "job 42\nstarted"
    assert (line["level"], line["logger"]) == ("INFO", "hpcsched.test")
    assert (line["job_id"], line["node"]) == (42, "{'n1'}")


def test_times_are_rfc_3339_in_utc_with_milliseconds() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "text", None, None)
    record.created, record.msecs = 1_800_000_000.0625, 62.5

    entry = json.loads(logs.JsonFormatter().format(record))

    assert entry["time"] == "2027-01-15T08:00:00.062Z"


def test_an_exception_is_one_string_with_its_traceback() -> None:
    stream = io.StringIO()
    with logs.setup(logging.INFO, json=True, stream=stream):
        try:
            int("a bad thing")
        except ValueError:
            log.exception("it broke", stack_info=True)

    (line,) = lines(stream)
    assert line["message"] == "it broke"
    assert line["exception"].endswith("'a bad thing'")
    assert "Traceback" in line["exception"]
    assert line["stack"].startswith("Stack")


def test_an_extra_cannot_forge_the_time_or_the_level() -> None:
    stream = io.StringIO()
    with logs.setup("INFO", json=True, stream=stream):
        log.info("hello", extra={"level": "DEBUG", "time": "never"})

    (line,) = lines(stream)
    assert (line["level"], line["level_"], line["time_"]) == ("INFO", "DEBUG", "never")


def test_lines_for_people_have_the_same_facts() -> None:
    stream = io.StringIO()
    with logs.setup("INFO", json=False, stream=stream):
        log.warning("slow disk", extra={"took_s": 3})
        log.debug("not shown")

    (line,) = stream.getvalue().splitlines()
    assert line.endswith("WARNING hpcsched.test: slow disk took_s=3")


def test_arguments_are_read_when_the_record_is_made() -> None:
    stream = SlowStream()
    changing = ["before"]
    with logs.setup("INFO", json=True, stream=stream):
        log.info("state %s", changing)
        changing[0] = "after"
        stream.let_go.set()

    assert lines(stream)[0]["message"] == "state ['before']"


def test_a_blocked_output_drops_records_counts_them_and_says_so() -> None:
    stream = SlowStream()
    pipeline = logs.setup("INFO", json=True, stream=stream, capacity=5)
    log.info("first")
    assert stream.entered.wait(PATIENCE_S)
    for number in range(12):
        log.info("number %d", number)

    assert pipeline.dropped == 7
    stream.let_go.set()
    pipeline.close()

    written = lines(stream)
    assert [w["message"] for w in written[:6]] == [
        "first",
        *(f"number {n}" for n in range(5)),
    ]
    assert written[6]["message"].startswith("log records dropped")
    assert (written[6]["level"], written[6]["dropped"]) == ("WARNING", 7)
    assert len(written) == 7


def test_a_gap_is_told_while_the_program_runs_on() -> None:
    stream = SlowStream()
    with logs.setup("INFO", json=True, stream=stream, capacity=1):
        log.info("first")
        assert stream.entered.wait(PATIENCE_S)
        log.info("second")
        log.info("lost")
        stream.let_go.set()

        wait_for(lambda: "log records dropped" in stream.getvalue())


def test_closing_gives_up_on_an_output_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logs, "CLOSE_TIMEOUT_S", 0.05)
    stream = SlowStream()
    pipeline = logs.setup("INFO", json=True, stream=stream)
    log.info("stuck")
    assert stream.entered.wait(PATIENCE_S)

    pipeline.close()
    pipeline.close()

    assert stream.getvalue() == ""
    stream.let_go.set()
    wait_for(stream.getvalue)


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="LOUD"):
        logs.setup("loud", json=True)
