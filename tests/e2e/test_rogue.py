# Workers that break the rules: killed, named in the log, and replaced.
# SPDX-License-Identifier: ISC
import contextlib
import os
import re
import shutil
import signal
import subprocess

import pytest

from lab import Agentd, wait_for

ROGUES = ("dialer", "trace", "proxy", "container", "front", "gateway")


@pytest.fixture(scope="module")
def log(build):
    """The log of a supervisor with one honest worker among rogues."""
    d = Agentd(build, None)
    libexec = f"{d.dir}/libexec"
    os.makedirs(libexec)
    for worker in ROGUES:
        shutil.copy(f"{build}/gcc/tests/hostile/rogue",
                    f"{libexec}/agentd-{worker}")
    shutil.copy(f"{build}/inst/libexec/agentd/agentd-upstream", libexec)
    with open(d.config, "a", encoding="utf-8") as f:
        f.write(f"libexec_dir: {libexec}\n")
    proc = subprocess.Popen(
        [f"{d.inst}/sbin/agentd", "-d", "-f", d.config, "-w",
         ",".join((*ROGUES, "upstream"))],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for("three deaths of each", lambda: all(
            len(re.findall(f"worker {w} died", d.log("supervisor"))) >= 3
            for w in ROGUES), 30)
        text = d.log("supervisor")
        print(text)
        yield text
    finally:
        proc.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            proc.wait(20)
        proc.kill()
        d.remove()


def test_the_sender_dies_and_not_the_receiver(log):
    assert "worker upstream reports dialer: bad unknown: " in log
    assert "worker dialer died: killed by agentd: it sent a bad unknown to " \
        "upstream" in log
    assert "worker upstream died" not in log


def test_bad_frame_to_the_supervisor(log):
    assert re.search("worker trace died: killed by agentd: it sent a bad "
                     "unknown: ", log)


def test_another_build(log):
    assert "worker proxy died: killed by agentd: it is of another build " \
        "than the running supervisor" in log
    assert "worker proxy runs" not in log


def test_forbidden_system_call(log):
    named = "seccomp: syscall 101 (ptrace)"
    # Without the kernel's log nobody can know which call it was.
    expected = "seccomp" if "/dev/kmsg cannot be read" in log else named
    assert f"worker container died: {expected}" in log


def test_plain_end(log):
    assert "worker front died: exit 3" in log


def test_closed_channel(log):
    assert "worker gateway died: killed by agentd: it closed its channel " \
        "and went on" in log


def test_each_is_started_again(log):
    """With a growing delay, and an alarm for who dies at once each time."""
    for worker in ROGUES:
        assert log.count(f"worker {worker} starts as pid") >= 3, worker
