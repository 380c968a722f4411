#!/usr/bin/env python3
"""A child that speaks pi's rpc records, for the faults that pi cannot be made to show.

SPDX-License-Identifier: ISC

usage: fake_rpc_runtime.py LLM_PORT STATE_DIR

The text of a prompt chooses what happens: "crash" dies in the middle, "hang" never ends, "long" says much,
"tool" reports a tool call; all else asks the LLM on 127.0.0.1:LLM_PORT and streams its answer.
"""
import http.client
import json
import os
import sys
import threading
import time

PORT, STATE = int(sys.argv[1]), sys.argv[2]
lock = threading.Lock()
aborted = threading.Event()


def emit(**record):
    with lock:
        sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")
        sys.stdout.flush()


def delta(text):
    emit(type="message_update", usage={}, assistantMessageEvent={
        "type": "text_delta", "contentIndex": 0, "delta": text})


def end(text, reason="stop", error=None):
    message = {"role": "assistant", "stopReason": reason,
               "content": [{"type": "text", "text": text}] if text else []}
    if error:
        message["errorMessage"] = error
    emit(type="message_end", message=message)


def ask_llm(text):
    """Streams the model's answer; returns it, or raises."""
    conn = http.client.HTTPConnection("127.0.0.1", PORT, timeout=20)
    conn.request("POST", "/v1/chat/completions", json.dumps(
        {"model": "default", "stream": True,
         "messages": [{"role": "user", "content": text}]}),
        {"Content-Type": "application/json", "Authorization": "Bearer dummy",
         "X-Agentd-Turn": "forged"})
    reply = conn.getresponse()
    if reply.status != 200:
        raise OSError(f"{reply.status}: {reply.read().decode()}")
    said, done = "", False
    for line in reply:
        line = line.decode().strip()
        if line == "data: [DONE]":
            done = True
        elif line.startswith("data: "):
            piece = json.loads(line[6:])["choices"][0]["delta"].get("content", "")
            said += piece
            delta(piece)
    if not done:
        raise OSError("Connection error.")
    return said


def run(text):
    emit(type="agent_start")
    emit(type="message_start", message={"role": "assistant", "content": []})
    if text == "crash":
        delta("half an ")
        os._exit(3)
    if text == "hang":
        delta("thinking")
        aborted.wait(60)
        end("", "aborted", "aborted by the user")
    elif text == "long":
        for _ in range(300):
            delta("x" * 1000)
        end("x" * 300000)
    elif text == "endless":
        while not aborted.is_set():
            delta("y" * 4000)
        end("", "aborted", "aborted by the user")
    elif text == "silent":
        end("")
    elif text == "unicode":
        delta("gr\u00fc\u00df \u2028 \U0001f600")
        end("gr\u00fc\u00df \u2028 \U0001f600")
    elif text == "tool":
        emit(type="tool_execution_start", toolCallId="call_1",
             toolName="bash", args={"command": "echo hi"})
        time.sleep(0.05)
        emit(type="tool_execution_end", toolCallId="call_1", toolName="bash",
             result={"content": [{"type": "text", "text": "hi\n"}]},
             isError=False)
        emit(type="message_start",
             message={"role": "assistant", "content": []})
        delta("done")
        end("done")
    else:
        try:
            end(ask_llm(text))
        except (OSError, http.client.HTTPException) as err:
            end("", "error", str(err) or "Connection error.")
    emit(type="agent_end", messages=[], willRetry=False)
    emit(type="agent_settled")


def main():
    with open(os.path.join(STATE, "starts"), "a", encoding="ascii") as f:
        f.write(f"{os.getpid()}\n")
    if os.path.exists(os.path.join(STATE, "never-ready")):
        time.sleep(60)
    print("not a record", flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        kind = command["type"]
        if kind == "prompt":
            aborted.clear()
            emit(id=command["id"], type="response", command=kind,
                 success=True)
            threading.Thread(target=run, args=(command["message"],),
                             daemon=True).start()
        elif kind == "abort":
            aborted.set()
            time.sleep(0.1)
            emit(id=command["id"], type="response", command=kind,
                 success=True)
        elif kind == "get_state":
            emit(id=command["id"], type="response", command=kind,
                 success=True, data={"sessionId": "main"})


main()
