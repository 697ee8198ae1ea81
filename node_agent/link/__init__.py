"""The stream to the head: the only part of the agent that knows gRPC and protobuf."""

from __future__ import annotations

import os

# A process that speaks gRPC must never fork, and ours does not. gRPC's own handlers for
# forks are switched off before its first import (RELIABILITY 0, fact 1).
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
