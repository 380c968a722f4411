# What container tells of instances that change by themselves or by another
# hand.
# SPDX-License-Identifier: ISC
import os
import shutil
import tempfile

import pytest

from test_container import AGENT, make_image, put_image, request, start_worker

PROJECT = f"agentd-test-ev{os.getpid()}"
NAME = "agentd-" + AGENT[:12]


@pytest.fixture(scope="module")
def top():
    path = tempfile.mkdtemp(prefix="ev-", dir="/var/tmp")
    os.chmod(path, 0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def project(incus):
    yield incus
    incus.purge_project(PROJECT)


@pytest.fixture
def worker(build, project, top):
    w = start_worker(build, project.socket, incus_project=PROJECT)
    path = f"{top}/polite.tar"
    if not os.path.exists(path):
        make_image(top, "polite")
    assert put_image(w, "polite", path)["status"] == 200
    assert w.call("keeper", "CT_CREATE", request(top))["status"] == 200
    yield w
    w.call("keeper", "CT_ACTION", {"agent_id": AGENT, "instance": NAME,
                                   "verb": "destroy", "timeout": 0})
    w.close()


def event(w, status, instance=NAME, timeout=20):
    """Waits for the event that says so."""
    return w.take(lambda m: m.get("type") == "CT_EVENT" and
                  m["f"]["status"] == status and
                  m["f"]["instance"] == instance, timeout)["f"]


def by_hand(incus, action):
    r = incus.call("PUT", f"/1.0/instances/{NAME}/state?project={PROJECT}",
                   {"action": action, "force": True, "timeout": 10})
    assert r.get("error_code", 0) in (0, 200), r


def test_another_hand(worker, project):
    """Whatever is done with incus itself is known within seconds."""
    w = worker
    # At first, and after every gap: list all.
    event(w, "", instance="")
    got = event(w, "Running")
    assert got["agent_id"] == AGENT and got["uid_count"] >= 65536
    for action, status in (("freeze", "Frozen"), ("unfreeze", "Running"),
                           ("stop", "Stopped"), ("start", "Running"),
                           ("stop", "Stopped")):
        w.held.clear()
        by_hand(project, action)
        assert event(w, status)["agent_id"] == AGENT
    w.held.clear()
    project.call("DELETE", f"/1.0/instances/{NAME}?project={PROJECT}")
    assert event(w, "Gone")["agent_id"] == ""


def test_keeper_comes_back(worker):
    """A new keeper is told to list; nothing is kept for the old one."""
    w = worker
    event(w, "Running")
    w.held.clear()
    w.control("keeper", "close")
    w.control("keeper", "open")
    event(w, "", instance="")


def test_many_events_are_few_messages(worker, project):
    w = worker
    event(w, "Running")
    w.held.clear()
    for _ in range(15):
        by_hand(project, "freeze")
        by_hand(project, "unfreeze")
    by_hand(project, "stop")
    event(w, "Stopped")
    rows = [m for m in w.held if m.get("type") == "CT_EVENT"]
    assert len(rows) <= 31, rows
