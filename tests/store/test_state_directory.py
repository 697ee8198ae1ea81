"""The state directory is made, tried out, and used by one head at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpcsched.store.errors import StateDirectoryError, StateLockedError
from hpcsched.store.state_directory import (
    file_system_of,
    lock_state_directory,
    prepare_state_directory,
)

ROOT = Path(__file__).parents[2]

HOLDER = """
import sys
from pathlib import Path
from hpcsched.store.state_directory import lock_state_directory
lock = lock_state_directory(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


def test_it_is_made_for_its_owner_alone_and_left_empty(tmp_path: Path) -> None:
    path = tmp_path / "a" / "state"
    prepare_state_directory(path)
    prepare_state_directory(path)

    assert path.stat().st_mode & 0o777 == 0o700
    assert list(path.iterdir()) == []


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()

    with pytest.raises(StateDirectoryError, match="file"):
        prepare_state_directory(path)


MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:30 / /srv rw - nfs4 server:/srv rw
31 30 0:31 / /srv/fast\\040disk rw shared:3 master:1 - xfs /dev/vdb rw
32 22 0:32 / /over rw - ext4 /dev/vdc rw
33 32 0:33 / /over rw - cifs //server/over rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/hpcsched", "ext4"),
        ("/srv/hpcsched", "nfs4"),
        ("/srvother", "ext4"),
        ("/srv/fast disk/x", "xfs"),
        ("/over/x", "cifs"),
    ],
)
def test_the_file_system_of_a_path_is_that_of_its_mount(
    tmp_path: Path, path: str, kind: str
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)

    assert file_system_of(Path(path), mounts) == kind


def test_a_network_file_system_is_refused_unless_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "hpcsched.store.state_directory.file_system_of", lambda path: "nfs4"
    )

    with pytest.raises(StateDirectoryError, match="nfs4"):
        prepare_state_directory(tmp_path)
    prepare_state_directory(tmp_path, allow_network=True)


def test_a_locked_directory_names_the_process_that_has_it(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(StateLockedError) as refused:
            lock_state_directory(tmp_path)
        holder.kill()
    lock = lock_state_directory(tmp_path)

    assert refused.value.pid == holder.pid
    assert str(holder.pid) in str(refused.value)
    assert (tmp_path / "head.lock").read_text() == f"{os.getpid()}\n"
    lock.close()
    lock.close()
    lock_state_directory(tmp_path).close()
