"""What a client in JavaScript needs, installed once."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HERE = ROOT / "tests" / "clients" / "node"


def installed() -> Path:
    """Return a directory with the client and its packages, kept between runs."""
    node = shutil.which("node")
    npm = shutil.which("npm")
    if node is None or npm is None:
        if os.environ.get("CI"):
            pytest.fail("node and npm are needed: scripts/ci-packages installs them")
        pytest.skip("node and npm are not installed")
    package = HERE / "package.json"
    digest = hashlib.sha256(package.read_bytes()).hexdigest()[:12]
    folder = ROOT / "build" / f"node-client-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests in other processes want it, too
        if not (folder / "done").exists():
            shutil.copy(package, folder)
            quiet = ["--no-audit", "--no-fund", "--no-package-lock"]
            subprocess.run([npm, "install", *quiet], cwd=folder, check=True)
            (folder / "done").touch()
        shutil.copy(HERE / "client.js", folder)
    return folder
