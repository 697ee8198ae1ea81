"""Job files: the reference's XML, JSON and TOML, to and from the API's messages.

Pure: text in, messages out. The command line reads and writes files with it, the head
speaks to its filter programs with it.
"""

from __future__ import annotations
