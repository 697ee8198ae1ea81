"""One module per change of the schema. A released one is never edited."""

from __future__ import annotations
