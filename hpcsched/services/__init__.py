"""gRPC services: convert, authorize, ask the runtime, convert back."""

from __future__ import annotations
