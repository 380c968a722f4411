# Every framework that the catalog says works: deployed, asked, answered, with
# a tool round in the trace; and what becomes of it when things break.
# SPDX-License-Identifier: ISC
import os
import subprocess

import pytest

from lab import MockUpstream, wait_for
from test_first_light import check_turn

# pi and openclaw have test_first_light.py.
NAMES = ("opencode", "qwen", "smolagents", "openai-agents-sdk", "pocketflow")
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def imported(service, images):
    """Imports an image when the first test needs it."""
    done = set()

    def need(name):
        if name not in done:
            service.import_image(f"taos-{name}-base", images.path(name))
            done.add(name)
        return name
    return need


@pytest.fixture(scope="module", params=NAMES)
def agent(request, service, imported):
    one = service.deploy(imported(request.param), "demo")
    yield one
    one.remove()


def inside(incus, service, agent, *argv):
    """The output of a command in an agent's container."""
    return subprocess.run(
        ["incus", "exec", "--project", service.project,
         agent.record["container"], "--", *argv], capture_output=True,
        text=True, timeout=60, check=False).stdout


def test_answers_with_a_tool_round(agent):
    """W24: what the catalog offers can be deployed, and answers."""
    check_turn(agent, "demo")
    check_turn(agent, "demo")


def test_answers_by_a_provider_and_remembers(service, tmp_path, agent):
    """With a provider's model; and the second message's call of the model
    holds the first message."""
    framework = agent.record["framework"]
    provider = f"tcp-{framework}"
    mock = MockUpstream(None, "--capture-dir", str(tmp_path))
    try:
        other = service.deploy(framework,
                               service.add_provider(provider, mock))
        try:
            check_turn(other, provider)
            other.answer(other.say("The word is persimmon."), 120)
            before = set(os.listdir(tmp_path))
            other.answer(other.say("What was the word?"), 120)
            asked = [(tmp_path / n).read_text(encoding="utf-8")
                     for n in set(os.listdir(tmp_path)) - before
                     if ".resp." not in n]
            assert any("What was the word?" in a and "persimmon" in a
                       for a in asked), asked
        finally:
            other.remove()
            r = service.call("DELETE", f"/api/providers/{provider}")
            assert r.status == 200
    finally:
        mock.stop()


def test_survives_a_killed_gateway(service, agent):
    """The turn is run again, and answered once."""
    turn = agent.say("Please run a harmless command.")
    wait_for("the turn", lambda: agent.trace(turn, kind="llm_call"), 60)
    subprocess.run(["kill", "-KILL", str(service.pids()["gateway"])],
                   check=True)
    assert agent.answer(turn, 120)["content"].strip()
    again = agent.say("And once more.")
    assert agent.answer(again, 120)["state"] == "complete"
    assert len(agent.answers(turn)) == 1


def test_survives_a_killed_runtime(service, incus, agent):
    """The next message is answered by the next process."""
    main = inside(incus, service, agent, "systemctl", "show", "-p",
                  "MainPID", "--value", "agentd-link").strip()
    children = inside(incus, service, agent, "pgrep", "-P", main).split()
    for pid in children:
        inside(incus, service, agent, "kill", "-KILL", pid)
    check_turn(agent, "demo")
