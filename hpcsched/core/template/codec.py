"""Templates as they are stored: msgpack, by names, missing ones read as defaults."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

import msgpack

from hpcsched.core.template.template import Rule, Template

_PARTS = frozenset(one.name for one in fields(Rule))


def encode_template(template: Template) -> bytes:
    """Return a template without its name."""
    body: dict[str, Any] = {
        "description": template.description,
        "users": template.users,
        "pool": template.pool,
        "revision": template.revision,
        "rules": {
            name: {part: value for part, value in asdict(rule).items() if value}
            for name, rule in template.rules.items()
        },
    }
    return bytes(msgpack.packb(body))


def decode_template(name: str, body: bytes) -> Template:
    """Return the template of such bytes; what a later version has added is left out."""
    found: dict[str, Any] = msgpack.unpackb(body, use_list=False)
    rules = {
        each: Rule(**{part: parts[part] for part in parts if part in _PARTS})
        for each, parts in found.get("rules", {}).items()
    }
    return Template(
        name=name,
        description=found.get("description", ""),
        users=found.get("users", ()),
        pool=found.get("pool", ""),
        rules=rules,
        revision=found.get("revision", 1),
    )
