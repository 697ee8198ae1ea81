"""The program that ``hpc demo`` runs on its nodes: the Mandelbrot set, tile by tile.

    demo_tile.py prepare DIR            a node's preparation: the palette
    demo_tile.py tile DIR NUMBER        one tile, from 1
    demo_tile.py join DIR PICTURE       all tiles into one PNG
    demo_tile.py clean DIR              a node's release: its palette goes

Standard library only, and a program of its own: it stands for a user's.
"""

from __future__ import annotations

import math
import os
import struct
import sys
import zlib
from pathlib import Path
from typing import Final

WIDTH: Final = 640
HEIGHT: Final = 400
TILES: Final = 40
ROWS: Final = HEIGHT // TILES
DEPTH: Final = 256
COLOURS: Final = 512

#: The part of the plane that is shown.
LEFT, RIGHT = -2.2, 0.9
TOP = (RIGHT - LEFT) * HEIGHT / WIDTH / 2


def palette_of(directory: Path) -> Path:
    """Return this node's palette: a node cleans up after itself only."""
    _, node, *_ = os.environ["CCP_NODES"].split()
    return directory / f"palette-{node}"


def prepare(directory: Path) -> None:
    """Compute the palette."""
    colours = bytearray()
    for index in range(COLOURS):
        angle = 6 * index / COLOURS
        colours += bytes(
            round(127.5 * (1 - math.cos(angle * speed))) for speed in (1.0, 0.6, 2.2)
        )
    _replace(palette_of(directory), bytes(colours))


def tile(directory: Path, number: int) -> None:
    """Compute one tile: some rows of the picture, as PNG wants them."""
    palette = palette_of(directory).read_bytes()
    rows = bytearray()
    for row in range((number - 1) * ROWS, number * ROWS):
        rows.append(0)  # no filter
        y = TOP - 2 * TOP * row / HEIGHT
        for column in range(WIDTH):
            x = LEFT + (RIGHT - LEFT) * column / WIDTH
            index = colour_of(x, y)
            rows += b"\0\0\0" if index < 0 else palette[3 * index : 3 * index + 3]
    _replace(directory / f"tile-{number:03d}", bytes(rows))
    sys.stdout.write(
        f"tile {number}: rows {(number - 1) * ROWS} to {number * ROWS - 1}\n"
    )


def colour_of(x: float, y: float) -> int:
    """Return the index of a point's colour; -1 for a point of the set."""
    q = (x - 0.25) ** 2 + y * y
    if q * (q + x - 0.25) <= y * y / 4 or (x + 1) ** 2 + y * y <= 1 / 16:
        return -1  # in the two large bulbs
    c = complex(x, y)
    z = 0j
    for step in range(DEPTH):
        z = z * z + c
        size = z.real * z.real + z.imag * z.imag
        if size > 64:  # noqa: PLR2004 - far out, so that colours blend
            smooth = step + 1 - math.log2(math.log2(size) / 2)
            return int(70 * math.log2(1 + max(0.0, smooth))) % COLOURS
    return -1


def join(directory: Path, picture: Path) -> None:
    """Put the tiles together."""
    data = b"".join(
        (directory / f"tile-{number:03d}").read_bytes()
        for number in range(1, TILES + 1)
    )
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(data, 9)), (b"IEND", b"")]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)
    _replace(picture, png)
    sys.stdout.write(f"{picture}: {WIDTH} x {HEIGHT}, {len(png)} bytes\n")


def _chunk(name: bytes, data: bytes) -> bytes:
    check = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)


def clean(directory: Path) -> None:
    """Remove what the preparation made on this node."""
    palette_of(directory).unlink(missing_ok=True)


def _replace(path: Path, data: bytes) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_bytes(data)
    draft.replace(path)


def main(arguments: list[str]) -> None:
    """Do one of the four."""
    what, directory, *rest = arguments
    match what:
        case "prepare":
            prepare(Path(directory))
        case "tile":
            tile(Path(directory), int(rest[0]))
        case "join":
            join(Path(directory), Path(rest[0]))
        case "clean":
            clean(Path(directory))
        case _:
            sys.exit(f"demo_tile.py: no step is called {what}")


if __name__ == "__main__":
    main(sys.argv[1:])
