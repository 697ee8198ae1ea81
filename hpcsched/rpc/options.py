"""Channel options of both ends of a connection, with their reasons.

Numbers come from measurements: RELIABILITY, section 6.1 (rows named below).
"""

from __future__ import annotations

from typing import Final, TypeAlias

Options: TypeAlias = list[tuple[str, int | str]]

#: Largest message on the wire, bytes. Above every limit of ours, so that our own
#: refusal, which names field and limit, is what the caller sees (G12).
MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024

#: Largest metadata of a call, bytes (G12).
MAX_METADATA_BYTES: Final = 16 * 1024

#: HTTP/2 pings are only a backstop: liveness is the application's own heartbeat. All
#: three are needed: without the third a frozen peer is noticed after a minute (G2).
KEEPALIVE_INTERVAL_MS: Final = 20_000
KEEPALIVE_TIMEOUT_MS: Final = 10_000

#: How often a peer may ping us: strictly below its interval, or the server answers
#: with GOAWAY and all streams of the connection end (G3).
MIN_PING_INTERVAL_MS: Final = 10_000

#: A connection of a client without calls is closed after; its next call opens another.
IDLE_MS: Final = 600_000
#: A connection that is no HTTP/2 (and TLS) by then is closed.
HANDSHAKE_MS: Final = 10_000
#: Calls at once on one connection of a client (RELIABILITY 5.5, limits).
MAX_CLIENT_STREAMS: Final = 256
#: Calls at once on one connection of an agent: its stream, and the next one.
MAX_AGENT_STREAMS: Final = 8

_BOTH_ENDS: Final[Options] = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", 2 * MAX_METADATA_BYTES),
    ("grpc.keepalive_time_ms", KEEPALIVE_INTERVAL_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
]

_SERVER: Final[Options] = [
    *_BOTH_ENDS,
    # Otherwise a second head takes half of the first one's calls in silence (G4).
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
    ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
]

_CLIENT: Final[Options] = [
    *_BOTH_ENDS,
    # The default grows to two minutes, which is what users wait after an outage (G17).
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    # A head is never behind the proxy that a site sets for the web.
    ("grpc.enable_http_proxy", 0),
]

#: People wait for what they typed; a thousand agents must not all come back at once.
CLIENT_BACKOFF_MS: Final = 2_000
AGENT_BACKOFF_MS: Final = 10_000


def client_server_options(connections: int) -> Options:
    """Return the options of the server that clients call.

    Args:
        connections: Most at a time; further ones are closed as they come.
    """
    return [
        *_SERVER,
        ("grpc.max_allowed_incoming_connections", connections),
        ("grpc.max_connection_idle_ms", IDLE_MS),
        ("grpc.max_concurrent_streams", MAX_CLIENT_STREAMS),
    ]


def agent_server_options(connections: int) -> Options:
    """Return the options of the agents' server: their pings never end a stream.

    Args:
        connections: Most at a time; further ones are closed as they come.
    """
    return [
        *_SERVER,
        ("grpc.max_allowed_incoming_connections", connections),
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.max_concurrent_streams", MAX_AGENT_STREAMS),
    ]


def client_options(*, authority: str = "") -> Options:
    """Return the options of a client's channel.

    Args:
        authority: Name that the head's certificate must have, where it is not the
            host of the address (G18); empty: the host.
    """
    return [
        *_CLIENT,
        ("grpc.max_reconnect_backoff_ms", CLIENT_BACKOFF_MS),
        *_authority(authority),
    ]


def agent_options(*, authority: str = "") -> Options:
    """Return the options of an agent's channel, which shares no connection (G16)."""
    return [
        *_CLIENT,
        ("grpc.max_reconnect_backoff_ms", AGENT_BACKOFF_MS),
        ("grpc.use_local_subchannel_pool", 1),
        *_authority(authority),
    ]


def _authority(authority: str) -> Options:
    return [("grpc.default_authority", authority)] if authority else []
