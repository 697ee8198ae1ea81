"""Filters, sort keys and field masks of lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from hpcsched.api.v1 import listing_pb2
from hpcsched.common.errors import HpcError
from hpcsched.core.listing.conditions import Condition, Operator, condition
from hpcsched.core.listing.ordering import SORT_LIMIT, SortKey, sort_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from google.protobuf.descriptor import Descriptor
    from google.protobuf.field_mask_pb2 import FieldMask
    from google.protobuf.message import Message

    from hpcsched.core.listing.properties import Property

FILTER_LIMIT: Final = 32


class HasFilters(Protocol):
    """A request for a list."""

    @property
    def filters(self) -> Sequence[listing_pb2.Filter]:
        """The conditions."""

    @property
    def sort(self) -> Sequence[listing_pb2.SortKey]:
        """The order."""

    @property
    def read_mask(self) -> FieldMask:
        """The fields."""


def conditions(
    request: HasFilters, properties: Mapping[str, Property]
) -> tuple[Condition, ...]:
    """Return the conditions of a request.

    Raises:
        HpcError: INVALID_FILTER_PROPERTY, INVALID_FIELD, OUT_OF_RANGE, TEXT_TOO_LONG.
    """
    _check_count(len(request.filters), "filters", FILTER_LIMIT)
    found = []
    for at, one in enumerate(request.filters):
        field = f"filters[{at}]"
        if one.operator not in listing_pb2.FilterOperator.values():
            problem = f"{one.operator} is no operator"
            raise HpcError("INVALID_FIELD", field=f"{field}.operator", problem=problem)
        operator = Operator(one.operator - 1) if one.operator else Operator.EQUAL
        texts = list(one.values)
        found.append(condition(properties, one.property, operator, texts, field))
    return tuple(found)


def sort_keys(
    request: HasFilters, properties: Mapping[str, Property]
) -> tuple[SortKey, ...]:
    """Return the sort keys of a request.

    Raises:
        HpcError: INVALID_FILTER_PROPERTY, OUT_OF_RANGE.
    """
    _check_count(len(request.sort), "sort", SORT_LIMIT)
    return tuple(
        sort_key(properties, key.property, descending=key.descending)
        for key in request.sort
    )


def _check_count(count: int, field: str, limit: int) -> None:
    if count > limit:
        raise HpcError(
            "OUT_OF_RANGE", field=field, value=count, limit=f"at most {limit} entries"
        )


def projection(
    mask: FieldMask,
    kind: Descriptor,
    *,
    field: str = "read_mask",
    without: Sequence[str] = (),
) -> Callable[[Any], Any]:
    """Return what leaves only some fields of messages of a kind.

    Args:
        mask: The fields; none: all.
        kind: Of the messages.
        field: How the mask is called in the request.
        without: Fields that lists never have.

    Raises:
        HpcError: INVALID_FIELD, there is no such field.
    """
    tree: dict[str, Any] = {}
    for path in mask.paths:
        _plant(tree, path, kind, field)
        if path.split(".")[0] in without:
            problem = f"{path!r} is not in lists; read one {kind.name} in the FULL view"
            raise HpcError("INVALID_FIELD", field=field, problem=problem)
    if not tree:
        return lambda message: message
    return _pruner(tree, kind)


def _plant(tree: dict[str, Any], path: str, kind: Descriptor, field: str) -> None:
    at: Descriptor | None = kind
    names = path.split(".")
    for name in names:
        known = None if at is None else at.fields_by_name.get(name)
        if known is None:
            problem = f"{path!r} is no field of {kind.name}"
            raise HpcError("INVALID_FIELD", field=field, problem=problem)
        at = None if known.is_repeated else known.message_type
    for name in names[:-1]:
        if name in tree and not tree[name]:
            return  # the whole of it was asked for
        tree = tree.setdefault(name, {})
    tree[names[-1]] = {}


def _pruner(tree: Mapping[str, Any], kind: Descriptor) -> Callable[[Any], Any]:
    drop = [name for name in kind.fields_by_name if name not in tree]
    inner = []
    for name, parts in tree.items():
        message_type = kind.fields_by_name[name].message_type
        if parts and message_type is not None:
            inner.append((name, _pruner(parts, message_type)))

    def prune(message: Message) -> Message:
        for name in drop:
            message.ClearField(name)
        for name, of_field in inner:
            if message.HasField(name):
                of_field(getattr(message, name))
        return message

    return prune
