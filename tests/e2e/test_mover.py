# The mover with keeper played: what it must stand from those it serves.
# SPDX-License-Identifier: ISC
import os
import pwd
import shutil
import tempfile

import pytest

from driver import Worker
from lab import wait_for

ID = "0123456789abcdef0123456789abcde%d"


@pytest.fixture
def mover(build):
    user = pwd.getpwnam("_agentd-mover")
    top = tempfile.mkdtemp(prefix="mv-", dir="/var/tmp")
    os.chmod(top, 0o711)
    os.mkdir(f"{top}/state", 0o700)
    os.chown(f"{top}/state", user.pw_uid, user.pw_gid)
    os.environ["AGENTD_BUILD"] = f"{build}/gcc"
    w = Worker("mover", {"generation": 1, "log_level": 2, "node_id": ID % 0,
                         "state_dir": f"{top}/state",
                         "import_limit": 1 << 62}, ["keeper"],
               uid=user.pw_uid, gid=user.pw_gid, group=user.pw_gid)
    w.top = top
    yield w
    w.close()
    shutil.rmtree(top)


def peak(w):
    with open(f"/proc/{w.pid()}/status", encoding="ascii") as f:
        return int(next(x for x in f if x.startswith("VmHWM")).split()[1])


def test_a_reader_who_talks(mover):
    """What the reader of an export says is not kept."""
    path = f"{mover.top}/noise"
    with open(path, "wb") as f:
        f.truncate(64 << 20)
    before = peak(mover)
    r = mover.call("keeper", "MOVE_OUT", {"id": ID % 1}, pipe=path)
    assert r["status"] == 200, r
    wait_for("end of it", lambda: mover.call(
        "keeper", "MOVE_LIST", {"id": ID % 1})["status"] == 502)
    assert peak(mover) < before + 8192


def test_imports_share_the_room(mover):
    """Two that fit one by one do not fit together."""
    st = os.statvfs(mover.top)
    size = st.f_bavail * st.f_frsize * 6 // 10
    os.mkfifo(f"{mover.top}/fifo")
    os.chmod(f"{mover.top}/fifo", 0o600)
    first = mover.ask("keeper", "MOVE_IN", {"id": ID % 1, "size": size},
                      fdw=f"{mover.top}/fifo")
    r = mover.call("keeper", "MOVE_IN", {"id": ID % 2, "size": size},
                   fdw=f"{mover.top}/fifo")
    assert r["status"] == 507 and "not enough room" in r["error"], r
    mover.send("keeper", "MOVE_DROP", {"id": ID % 1})
    assert mover.answer(first)[-1]["f"]["status"] == 410
    second = mover.ask("keeper", "MOVE_IN", {"id": ID % 2, "size": size},
                       fdw=f"{mover.top}/fifo")
    mover.send("keeper", "MOVE_DROP", {"id": ID % 2})
    assert mover.answer(second)[-1]["f"]["status"] == 410
