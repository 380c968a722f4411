# Every framework that the catalog says works: deployed, asked, answered, with
# a tool round in the trace; and what becomes of it when things break.
# SPDX-License-Identifier: ISC
import json
import subprocess

import pytest

from lab import wait_for
from test_first_light import check_turn, whole_trace

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


def test_answers_by_a_provider(service, mock_tcp, agent):
    framework = agent.record["framework"]
    provider = f"tcp-{framework}"
    model = service.add_provider(provider, mock_tcp)
    other = service.deploy(framework, model)
    try:
        check_turn(other, provider)
    finally:
        other.remove()
        r = service.call("DELETE", f"/api/providers/{provider}")
        assert r.status == 200


def test_remembers_the_conversation(agent):
    """The second message's call of the model holds the first one."""
    first = agent.say("The word is persimmon.")
    agent.answer(first, 120)
    second = agent.say("What was the word?")
    agent.answer(second, 120)
    calls = [e for e in whole_trace(agent, second) if e["kind"] == "llm_call"]
    assert any("persimmon" in json.dumps(c["payload"]["request"])
               for c in calls) or all(
        c["payload"]["request"].get("new_from", 0) > 0 for c in calls)


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
