"""What a list chooses, in which order, and how much it tells of each entry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf import field_mask_pb2
    from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

    from hpcsched.api.v1 import listing_pb2


class Request(Protocol):
    """A request for a list."""

    @property
    def filters(self) -> RepeatedCompositeFieldContainer[listing_pb2.Filter]:
        """The conditions."""

    @property
    def sort(self) -> RepeatedCompositeFieldContainer[listing_pb2.SortKey]:
        """The order."""

    @property
    def read_mask(self) -> field_mask_pb2.FieldMask:
        """The fields."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Conditions, order and fields of a list.

    Attributes:
        filters: All must hold.
        sort: The first is the primary key.
        fields: Only these of each entry, such as ``id`` or ``task_counts.running``;
            empty: all.
    """

    filters: Sequence[listing_pb2.Filter] = ()
    sort: Sequence[listing_pb2.SortKey] = ()
    fields: Sequence[str] = ()

    def put_into(self, request: Request) -> None:
        """Ask for it."""
        request.filters.extend(self.filters)
        request.sort.extend(self.sort)
        if self.fields:
            from google.protobuf import field_mask_pb2  # noqa: PLC0415 - on first use

            mask = field_mask_pb2.FieldMask(paths=self.fields)
            request.read_mask.CopyFrom(mask)


EVERYTHING = Choice()
