# The main job: a stock runtime in a real container answers, and the trace
# of the turn is complete.
# SPDX-License-Identifier: ISC
import json
import subprocess
import threading

import pytest

from lab import UnixHTTP, wait_for

KINDS = {"message_in", "llm_call", "tool_call", "tool_result", "message_out"}


def whole_trace(agent, turn):
    """The events of a turn, once the last of them is there."""
    def complete():
        events = agent.trace(turn)
        return events if KINDS <= {e["kind"] for e in events} else None
    return wait_for("complete trace", complete, 15)


def check_turn(agent, provider):
    turn = agent.say("Please run a harmless command.")
    answer = agent.answer(turn, 120)
    assert answer["state"] == "complete"
    assert answer["content"].strip()
    events = whole_trace(agent, turn)
    assert {e["trace_id"] for e in events} == {turn}
    assert {e["agent_name"] for e in events} == {agent.slug}
    assert all(e["v"] == 1 for e in events)
    by = {k: [e for e in events if e["kind"] == k] for k in KINDS}
    assert len(by["message_in"]) == 1
    assert len(by["message_out"]) == 1
    assert len(by["llm_call"]) >= 2
    # Once each, though gateway and runtime both saw them.
    assert len(by["tool_call"]) == len(by["tool_result"]) == 1
    assert by["message_out"][0]["payload"]["content"] == answer["content"]
    assert {e["backend_name"] for e in by["llm_call"]} == {provider}
    assert all(e["tokens_in"] > 0 for e in by["llm_call"])
    assert all(e["duration_ms"] >= 0 for e in by["llm_call"])
    # In the order of what happened.
    order = [e["kind"] for e in sorted(events, key=lambda e: e["created_at"])]
    assert order[0] == "message_in" and order[-1] == "message_out"
    assert order.index("tool_call") < order.index("tool_result")


@pytest.mark.parametrize("framework", ["pi", "openclaw"])
def test_turns(service, mock_tcp, mock_tls, framework):
    """demo, then openai over TCP, then openai over TLS."""
    agent = service.deploy(framework, "demo")
    try:
        check_turn(agent, "demo")
        check_turn(agent, "demo")
    finally:
        agent.remove()
    for name, mock in (("tcp", mock_tcp), ("tls", mock_tls)):
        provider = f"{name}-{framework}"
        model = service.add_provider(provider, mock)
        agent = service.deploy(framework, model)
        try:
            check_turn(agent, provider)
        finally:
            agent.remove()
            r = service.call("DELETE", f"/api/providers/{provider}")
            assert r.status == 200


def test_agentctl_shows_it(service, pi):
    out = service.ctl("chat", pi.slug, "hello there")
    assert out.strip()
    turn = [m for m in pi.history() if m["author_type"] == "user"][-1]["id"]
    whole_trace(pi, turn)
    text = service.ctl("trace", pi.slug)
    for kind in KINDS:
        assert kind in text
    rows = json.loads(service.ctl("trace", pi.slug, "--json"))
    assert KINDS <= {e["kind"] for e in rows["events"]}
    for verb in (("status",), ("agent", "list"), ("agent", "show", pi.slug),
                 ("provider", "list"), ("image", "list"),
                 ("framework", "list")):
        assert service.ctl(*verb).strip(), verb
        json.loads(service.ctl(*verb, "--json"))


def test_tokens_stream(service, pi):
    """Deltas reach a watcher of the channel before the answer is whole."""
    channel = pi.record["channel_id"]
    conn = UnixHTTP(service.socket, 60)
    conn.request("GET", f"/api/chat/channels/{channel}/events",
                 headers={"Accept": "text/event-stream"})
    response = conn.getresponse()
    assert response.status == 200
    seen = []

    def watch():
        kind = None
        for raw in response:
            line = raw.decode().rstrip("\r\n")
            if line.startswith("event: "):
                kind = line[7:]
            elif line.startswith("data: "):
                seen.append((kind, json.loads(line[6:])))
                if kind == "message_state" and \
                        seen[-1][1]["state"] == "complete":
                    return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    turn = pi.say("stream, please")
    answer = pi.answer(turn)
    thread.join(15)
    kinds = [k for k, _ in seen]
    assert kinds.count("message_delta") >= 3
    done = next(i for i, (k, d) in enumerate(seen)
                if k == "message_state" and d["state"] == "complete")
    assert kinds.index("message_delta") < done
    assert "".join(d["delta"] for k, d in seen
                   if k == "message_delta").endswith(answer["content"])
    conn.close()


def test_live_trace(service, pi):
    conn = UnixHTTP(service.socket, 60)
    conn.request("GET", f"/api/agents/{pi.slug}/trace",
                 headers={"Accept": "text/event-stream"})
    response = conn.getresponse()
    assert response.status == 200
    turn = pi.say("trace me")
    kinds = set()
    for raw in response:
        line = raw.decode()
        if line.startswith("data: "):
            event = json.loads(line[6:])
            if event["trace_id"] == turn:
                kinds.add(event["kind"])
        if KINDS <= kinds:
            break
    conn.close()
    assert KINDS <= kinds


def test_messages_wait_for_a_stopped_agent(service, pi):
    assert service.call("POST", f"/api/agents/{pi.slug}/stop").status == 200
    assert pi.record["status"] == "stopped"
    turn = pi.say("are you there?")
    assert pi.answers(turn) == []
    assert service.call("POST", f"/api/agents/{pi.slug}/start").status == 200
    assert pi.answer(turn)["state"] == "complete"
    assert len(pi.answers(turn)) == 1


def test_nothing_left_after_delete(service):
    agent = service.deploy("pi")
    record = agent.record
    turn = agent.say("one turn")
    agent.answer(turn)
    assert agent.remove().status == 200
    assert service.get(f"/api/agents/{agent.slug}").status == 404
    assert record["container"] not in \
        [i["name"] for i in service.incus.instances()]
    assert not subprocess.run(
        ["find", f"{service.state}/agents", "-name", record["id"]],
        capture_output=True, check=True).stdout
    # Trace and audit stay.
    r = service.get(f"/api/agents/{record['id']}/trace?trace_id={turn}")
    assert r.status == 200
    assert {e["kind"] for e in r.json["events"]} >= KINDS
