# SIGKILL at every state of a deploy, and during stop, start and delete.
# SPDX-License-Identifier: ISC
import os
import random

import pytest

from crash import STATES, VICTIMS, Crash
from lab import Agentd

# The long form: crash_run.py.
KILLS = int(os.environ.get("AGENTD_CRASH_KILLS", "12"))
SEED = int(os.environ.get("AGENTD_CRASH_SEED", "0")) or os.getpid()


@pytest.fixture(scope="module")
def crash(build, incus, images):
    daemon = Agentd(build, incus)
    daemon.start()
    try:
        daemon.import_image("taos-pi-base", images.path("pi"))
        yield Crash(daemon, random.Random(SEED))
    finally:
        daemon.stop()
        daemon.remove()


@pytest.mark.parametrize("victim", [
    pytest.param(v, marks=() if v == "all" else pytest.mark.long)
    for v in VICTIMS])
@pytest.mark.parametrize("state", STATES)
def test_deploy(crash, state, victim):
    """W60, W61: whatever is killed at whatever state, the agent answers or
    nothing is left: no instance, key, directory, socket, channel, row."""
    agent, ident = crash.cut_deploy(state, victim)
    if agent is not None:
        crash.remove(agent, ident)


@pytest.mark.long
@pytest.mark.parametrize("victim", VICTIMS)
def test_stop_start_delete(crash, victim):
    agent = crash.daemon.deploy("pi")
    ident = agent.record["id"]
    for verb in ("stop", "start"):
        crash.cut_power(agent, ident, verb, victim, hold=True)
    crash.cut_delete(agent, ident, victim, hold=True)


@pytest.mark.long
def test_at_random(crash, capsys):
    try:
        crash.storm(KILLS)
    finally:
        with capsys.disabled():
            print(crash.report())
    assert not crash.leftovers
