"""Specifications that were read of late are not read again."""

from __future__ import annotations

from hpcsched.api.v1 import job_pb2, task_pb2
from hpcsched.services import known_specs
from hpcsched.services.known_specs import KnownSpecs


def spec(name: str = "one", **more: object) -> job_pb2.JobSpec:
    task = task_pb2.TaskSpec(arguments=["true"], **more)  # type: ignore[arg-type]
    return job_pb2.JobSpec(name=name, tasks=[task])


def value(known: KnownSpecs, message: job_pb2.JobSpec) -> object:
    return known.value(message, message.SerializeToString(deterministic=True), "spec")


def test_of_the_same_bytes_there_is_one_value() -> None:
    known = KnownSpecs()
    assert value(known, spec()) is value(known, spec())
    assert value(known, spec()) != value(known, spec("two"))


def test_large_ones_and_secrets_are_not_kept() -> None:
    known = KnownSpecs()
    large = spec(name="x" * known_specs.LARGEST)
    assert value(known, large) is not value(known, large)
    secret = spec(user_blob=b"secret")
    assert value(known, secret) is not value(known, secret)


def test_only_the_last_ones_are_kept() -> None:
    known = KnownSpecs()
    first = value(known, spec())
    for number in range(known_specs.KEPT):
        value(known, spec(str(number)))
    assert value(known, spec()) is not first
