"""What both ends of a call share: channels, credentials, metadata and errors.

The lowest place that may import grpc.
"""

from __future__ import annotations
