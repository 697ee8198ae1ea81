"""What at least two of head, agent and client need; knows neither gRPC nor protobuf.

A module enters when a second of the three needs it, not before.
"""

from __future__ import annotations
