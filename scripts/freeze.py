"""Print the exact version of each package in this environment, for constraints.txt.

Names and versions only: where a package came from is the business of whoever installs.
"""

from __future__ import annotations

from importlib import metadata

LEFT_OUT = frozenset({"hpcsched", "pip", "setuptools", "wheel"})


def main() -> None:
    """Print ``name==version`` lines, sorted by name."""
    pins = {
        distribution.name.lower().replace("_", "-"): distribution.version
        for distribution in metadata.distributions()
    }
    print("# Written by `make constraints`; tested together.")
    for name in sorted(pins.keys() - LEFT_OUT):
        print(f"{name}=={pins[name]}")


if __name__ == "__main__":
    main()
