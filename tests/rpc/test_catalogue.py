"""The catalogue of refusals as a part of the public protocol."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from hpcsched.api.v1 import error_pb2
from hpcsched.common.errors import REASONS

ROOT = Path(__file__).parents[2]
PROTO = ROOT / "protos/hpcsched/api/v1/error.proto"
VALUES = error_pb2.ErrorReason.DESCRIPTOR.values_by_name
PREFIX = "ERROR_REASON_"


def test_the_protocol_names_every_reason_of_the_catalogue_and_no_other() -> None:
    names = {
        name.removeprefix(PREFIX)
        for name in error_pb2.ErrorReason.DESCRIPTOR.values_by_name
    }

    assert names == {"UNSPECIFIED", *REASONS}


def test_the_protocol_tells_status_number_and_sentence_of_every_reason() -> None:
    told = {
        name: comment
        for comment, name in re.findall(
            rf"  // (.*)\n  {PREFIX}(\w+) = \d+;", PROTO.read_text()
        )
    }

    for name, reason in REASONS.items():
        number = f" ({reason.hresult})" if reason.hresult else ""
        assert told[name] == f"{reason.status}{number}: {reason.text}."


def test_the_protos_are_free_of_lint() -> None:
    buf = Path(sys.executable).with_name("buf")

    done = subprocess.run(
        [buf, "lint", "protos"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, "")
