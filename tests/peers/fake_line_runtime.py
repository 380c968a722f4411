#!/usr/bin/env python3
"""A child that speaks the Agent Client Protocol, or a command of kind exec, for faults that no stock runtime shows.

SPDX-License-Identifier: ISC

usage: fake_line_runtime.py acp|jsonl|text LLM_PORT STATE_DIR [--session CHANNEL] [-- TEXT]

The text of a prompt chooses what happens: "crash" dies in the middle, "hang" never ends, "flood" is hostile; all else
asks the LLM on 127.0.0.1:LLM_PORT and streams its answer.
"""
import http.client
import json
import os
import subprocess
import sys
import threading
import time

MODE, PORT, STATE = sys.argv[1], int(sys.argv[2]), sys.argv[3]
REST = sys.argv[4:]
lock = threading.Lock()
aborted = threading.Event()
session = None


def put(line):
    with lock:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def record(**doc):
    put(json.dumps(doc, ensure_ascii=False))


def update(kind, **more):
    record(jsonrpc="2.0", method="session/update",
           params={"sessionId": session,
                   "update": {"sessionUpdate": kind, **more}})


def delta(text):
    if MODE == "acp":
        update("agent_message_chunk", content={"type": "text", "text": text})
    elif MODE == "jsonl":
        record(type="delta", text=text)
    else:
        sys.stdout.write(text)
        sys.stdout.flush()


def think(text):
    if MODE == "acp":
        update("agent_thought_chunk", content={"type": "text", "text": text})
    else:
        record(type="reasoning", text=text)


def tool():
    """One call, as stock agents announce it: first without arguments."""
    if MODE == "acp":
        update("tool_call", toolCallId="call_1", title="bash",
               status="pending", rawInput={})
        permission()
        for _ in range(2):
            update("tool_call_update", toolCallId="call_1",
                   status="in_progress", title="echo hi",
                   rawInput={"command": "echo hi"})
        time.sleep(0.05)
        update("tool_call_update", toolCallId="call_1", status="completed",
               content=[{"type": "content",
                         "content": {"type": "text", "text": "hi\n"}}])
        return
    record(type="tool_call", id="call_1", tool="bash",
           args={"command": "echo hi"})
    time.sleep(0.05)
    record(type="tool_result", id="call_1", tool="bash", result="hi\n",
           success=True)


answers = {}
answered = threading.Condition()


def ask(method, ident, **params):
    """A request to the link; its whole answer."""
    record(jsonrpc="2.0", id=ident, method=method, params=params)
    with answered:
        answered.wait_for(lambda: ident in answers, 10)
        return answers.pop(ident)


def permission():
    got = ask("session/request_permission", "perm-1", sessionId=session,
              toolCall={"toolCallId": "call_1"},
              options=[{"optionId": "no", "kind": "reject_once"},
                       {"optionId": "ever", "kind": "allow_always"},
                       {"optionId": "yes", "kind": "allow_once"}])
    assert got["result"]["outcome"] == {"outcome": "selected",
                                        "optionId": "yes"}, got
    got = ask("fs/read_text_file", 77, sessionId=session, path="/etc/passwd")
    assert got["error"]["code"] == -32601, got


class Failed(Exception):
    pass


def ask_llm(text):
    try:
        stream_llm(text)
    except (OSError, http.client.HTTPException) as err:
        raise Failed(str(err) or "Connection error.") from err


def stream_llm(text):
    """Streams the model's answer, or raises."""
    conn = http.client.HTTPConnection("127.0.0.1", PORT, timeout=20)
    conn.request("POST", "/v1/chat/completions", json.dumps(
        {"model": "default", "stream": True,
         "messages": [{"role": "user", "content": text}]}),
        {"Content-Type": "application/json", "Authorization": "Bearer dummy",
         "X-Agentd-Turn": "forged"})
    reply = conn.getresponse()
    if reply.status != 200:
        raise Failed(f"{reply.status}: {reply.read().decode()}")
    for line in reply:
        line = line.decode().strip()
        if line == "data: [DONE]":
            return
        if line.startswith("data: "):
            delta(json.loads(line[6:])["choices"][0]["delta"]
                  .get("content", ""))
    raise Failed("Connection error.")


def flood():
    """All that a hostile or broken runtime may write."""
    put("not a record")
    put('{"jsonrpc":"2.0"')
    put("[" * 100000)
    put('{"type":"delta","text":"' + "z" * (9 << 20) + '"}')
    put('{"jsonrpc":"2.0","id":' + "9" * 100 + ',"result":{}}')
    put('{"jsonrpc":"2.0","id":1e999,"result":[]}')
    put('{"jsonrpc":"2.0","id":{"a":1},"method":"session/request_permission",'
        '"params":{}}')
    put('{"jsonrpc":"2.0","id":"' + "i" * 5000 + '","method":"x"}')
    put('{"type":"delta"}')
    put('{"type":"tool_result","id":"","result":7}')
    put('{"type":"tool_call","id":"q","tool":"","args":[1]}')
    put('{"type":17,"text":null}')
    sys.stdout.buffer.write(b'{"type":"delta","text":"\xff\xfe"}\n\0\0\n')
    sys.stdout.flush()
    for kind in ("agent_message_chunk", "agent_thought_chunk", "tool_call",
                 "tool_call_update", "plan", "x" * 3000):
        for more in ({}, {"content": []}, {"content": {"type": "text"}},
                     {"content": {"type": "image", "data": "AAAA"}},
                     {"toolCallId": 5}, {"toolCallId": "t" * 3000},
                     {"toolCallId": "u", "status": "completed",
                      "content": [{"content": {"text": 3}}]}):
            if MODE == "acp":
                update(kind, **more)
    for n in range(200):        # more than may run at one time
        if MODE == "acp":
            update("tool_call", toolCallId=f"n{n}", title="t",
                   status="in_progress", rawInput={"n": n})
        else:
            record(type="tool_call", id=f"n{n}", tool="t", args={"n": n})


def run(text):
    """Raises Failed; returns why the turn ended."""
    if text == "crash":
        delta("half an ")
        os._exit(3)
    elif text == "hang":
        if MODE != "acp":       # the group must go, not just the leader
            with open(os.path.join(STATE, "helper"), "w",
                      encoding="ascii") as f:
                f.write(str(subprocess.Popen(["sleep", "60"]).pid))
        delta("thinking")
        aborted.wait(60)
        return "cancelled"
    elif text == "deaf":        # takes no notice of a cancel
        delta("deaf")
        time.sleep(60)
    elif text == "long":
        for _ in range(300):
            delta("x" * 1000)
    elif text == "endless":
        while not aborted.is_set():
            delta("y" * 4000)
        return "cancelled"
    elif text == "silent":
        pass
    elif text == "unicode":
        delta("gr\u00fc\u00df \u2028 \U0001f600")
    elif text == "think":
        for piece in ("I ", "do ", "think"):
            think(piece)
        delta("so")
    elif text == "tool":
        delta("before")
        tool()
        delta("after")
    elif text == "flood":
        flood()
        delta("sane")
    elif text == "refuse":
        return "refusal"
    elif text == "which":
        delta(f"{session} {os.getpid()}")
    else:
        ask_llm(text)
    return "end_turn"


def prompt(ident, text):
    try:
        record(jsonrpc="2.0", id=ident, result={"stopReason": run(text)})
    except Failed as err:
        record(jsonrpc="2.0", id=ident, error={
            "code": -32603, "message": "Internal error",
            "data": {"message": str(err)}})


def acp():
    global session
    count = 0
    put("starting up, please wait")
    for line in sys.stdin:
        doc = json.loads(line)
        assert doc["jsonrpc"] == "2.0"
        method, ident = doc.get("method"), doc.get("id")
        params = doc.get("params", {})
        if method is None:
            with answered:
                answers[ident] = doc
                answered.notify_all()
        elif method == "initialize":
            assert params["protocolVersion"] == 1
            load = os.path.exists(os.path.join(STATE, "can-load"))
            old = os.path.exists(os.path.join(STATE, "old-protocol"))
            record(jsonrpc="2.0", id=ident, result={
                "protocolVersion": 0 if old else 1,
                "agentCapabilities": {"loadSession": load}})
        elif method == "session/new":
            if os.path.exists(os.path.join(STATE, "no-session")):
                record(jsonrpc="2.0", id=ident, error={
                    "code": -32000, "message": "Authentication required"})
                continue
            count += 1
            session = f"s{count}-{os.getpid()}"
            record(jsonrpc="2.0", id=ident, result={"sessionId": session})
        elif method == "session/load":
            if os.path.exists(os.path.join(STATE, "lost-session")):
                record(jsonrpc="2.0", id=ident, error={
                    "code": -32602, "message": "no such session"})
                continue
            session = params["sessionId"]
            update("agent_message_chunk",
                   content={"type": "text", "text": "what was said"})
            record(jsonrpc="2.0", id=ident, result=None)
        elif method == "session/cancel":
            aborted.set()
        elif method == "session/prompt":
            aborted.clear()
            session = params["sessionId"]
            text = "".join(p["text"] for p in params["prompt"])
            threading.Thread(target=prompt, args=(ident, text),
                             daemon=True).start()


def command():
    global session
    if "--session" in REST:
        session = REST[REST.index("--session") + 1]
    text = REST[REST.index("--") + 1] if "--" in REST else sys.stdin.read()
    try:
        if run(text) == "end_turn" and MODE == "jsonl":
            record(type="final", text="")
    except Failed as err:
        if MODE == "jsonl":
            record(type="error", message=str(err))
        else:
            sys.exit(1)


def main():
    with open(os.path.join(STATE, "starts"), "a", encoding="ascii") as f:
        f.write(f"{os.getpid()}\n")
    if os.path.exists(os.path.join(STATE, "never-ready")):
        time.sleep(60)
    if MODE == "acp":
        acp()
    else:
        command()


main()
