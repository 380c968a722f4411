# A worker that was taken over can do nothing; without its sandbox the same
# program can do everything (negative control).
# SPDX-License-Identifier: ISC
import os
import pwd
import signal
import socket
import subprocess
import tempfile

import pytest

from lab import WORKERS

FILES = {"keeper", "proxy", "trace", "mover"}
NETWORK = {"dialer"}
UNIX = {"container"}


@pytest.fixture(scope="module")
def field(build):
    """What the attacks are aimed at, and a directory of the worker's own."""
    with tempfile.TemporaryDirectory(prefix="probe-", dir="/var/tmp") as d, \
            socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix:
        os.chmod(d, 0o711)
        tcp.bind(("127.0.0.1", 0))
        tcp.listen(64)
        unix.bind(f"{d}/unix")
        unix.listen(64)
        os.chmod(f"{d}/unix", 0o777)
        with open(f"{d}/secret", "w", encoding="utf-8") as f:
            f.write("x")
        os.chmod(f"{d}/secret", 0o644)
        os.mkdir(f"{d}/out")
        os.chmod(f"{d}/out", 0o777)
        subprocess.run(["cp", f"{build}/gcc/tests/hostile/probe",
                        f"{d}/probe"], check=True)
        os.chmod(f"{d}/probe", 0o755)
        with open(f"{d}/child", "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\necho done\n")
        os.chmod(f"{d}/child", 0o755)
        yield {"dir": d, "probe": f"{d}/probe",
               "port": tcp.getsockname()[1]}


def victim(user):
    """A process of that user, to be signalled and traced."""
    return subprocess.Popen(["sleep", "60"], user=user.pw_uid,
                            group=user.pw_gid, extra_groups=[])


def attack(field, worker, mode, name):
    user = pwd.getpwnam(f"_agentd-{worker}")
    target = victim(user)
    own = f"{field['dir']}/own-{worker}"
    os.makedirs(own, 0o700, exist_ok=True)
    os.chown(own, user.pw_uid, user.pw_gid)
    arg = {"open": f"{field['dir']}/secret",
           "create": f"{field['dir']}/out/{worker}",
           "readdir": "/", "inet": str(field["port"]),
           "unix": f"{field['dir']}/unix", "exec": f"{field['dir']}/child",
           "kill": str(target.pid), "ptrace": str(target.pid),
           "readmem": str(target.pid)}.get(name, "")
    try:
        p = subprocess.run([field["probe"], worker, mode, name, arg],
                           user=user.pw_uid, group=user.pw_gid,
                           extra_groups=[], capture_output=True, text=True,
                           env={"PROBE_STATE_DIR": own}, timeout=20)
    finally:
        target.kill()
        target.wait()
    return p.returncode == 0 and "done" in p.stdout, p


def attacks(build):
    out = subprocess.run([f"{build}/gcc/tests/hostile/probe", "list"],
                         capture_output=True, text=True, check=True).stdout
    return out.split()


def permitted(worker, name):
    """What a worker's job needs."""
    return (name == "inet" and worker in NETWORK) or \
        (name == "unix" and worker in UNIX)


@pytest.mark.parametrize("worker", WORKERS)
def test_everything_is_refused(build, field, worker):
    for name in attacks(build):
        worked, p = attack(field, worker, "on", name)
        assert worked == permitted(worker, name), (worker, name, p)
        if not worked:
            assert p.returncode in (3, -signal.SIGSYS), (worker, name, p)


def test_without_the_sandbox_it_all_works(build, field):
    for name in attacks(build):
        worked, p = attack(field, "front", "off", name)
        assert worked, (name, p)


def test_release_filter_has_no_rows_of_the_sanitizers(field):
    """A call that only the ASan rows allow kills the release build."""
    user = pwd.getpwnam("_agentd-front")
    p = subprocess.run([field["probe"], "front", "on", "rwx"],
                       user=user.pw_uid, group=user.pw_gid, extra_groups=[],
                       capture_output=True, check=False)
    assert p.returncode == -signal.SIGSYS


