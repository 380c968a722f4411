"""PocketFlow behind agent-link: a graph of two nodes, the model and its shell.

SPDX-License-Identifier: ISC

usage: agent.py [--conversation ID], the message on stdin; prints the records of kind exec.

One process for each message: what was said is kept in a file of the conversation.
"""
import argparse
import http.client
import json
import os
import re
import sys

sys.path[:0] = ["/opt/pocketflow/lib", "/usr/lib/agentd/python"]

from pocketflow import Flow, Node  # noqa: E402 (found by the line above)

import acp_agent  # noqa: E402

STATE = "/root/.local/state/pocketflow"
HISTORY_MAX = 200           # messages that are kept
TOOL = {"type": "function", "function": {
    "name": "bash",
    "description": "Runs a shell command in the container; gives its output.",
    "parameters": {"type": "object", "required": ["command"], "properties": {
        "command": {"type": "string", "description": "The command."}}}}}


def say(**record):
    print(json.dumps(record), flush=True)


def complete(messages):
    """One streamed call of the model; the message that it makes."""
    conn = http.client.HTTPConnection("127.0.0.1", 4000, timeout=600)
    conn.request("POST", "/v1/chat/completions", json.dumps({
        "model": acp_agent.MODEL, "stream": True, "tools": [TOOL],
        "messages": messages}), {
        "Content-Type": "application/json",
        "Authorization": "Bearer " + acp_agent.API_KEY})
    reply = conn.getresponse()
    if reply.status != 200:
        raise RuntimeError(f"{reply.status}: {reply.read(2000).decode()}")
    text, calls, done = "", {}, False
    for line in reply:
        line = line.strip()
        if line == b"data: [DONE]":
            done = True
            break
        if not line.startswith(b"data: "):
            continue
        doc = json.loads(line[6:])
        if "error" in doc:
            raise RuntimeError(json.dumps(doc["error"]))
        for choice in doc.get("choices", []):
            delta = choice.get("delta", {})
            if delta.get("reasoning_content"):
                say(type="reasoning", text=delta["reasoning_content"])
            if delta.get("content"):
                text += delta["content"]
                say(type="delta", text=delta["content"])
            for piece in delta.get("tool_calls") or []:
                call = calls.setdefault(piece.get("index", 0), {
                    "id": "", "type": "function",
                    "function": {"name": "", "arguments": ""}})
                call["id"] += piece.get("id") or ""
                fn = piece.get("function") or {}
                call["function"]["name"] += fn.get("name") or ""
                call["function"]["arguments"] += fn.get("arguments") or ""
    if not done:
        raise RuntimeError("the connection to the model broke")
    message = {"role": "assistant", "content": text or None}
    if calls:
        message["tool_calls"] = [calls[i] for i in sorted(calls)]
    return message


class Think(Node):
    def prep(self, shared):
        return shared["messages"]

    def exec(self, prep_res):
        system = {"role": "system", "content": acp_agent.INSTRUCTIONS}
        return complete([system, *prep_res])

    def post(self, shared, prep_res, exec_res):
        shared["messages"].append(exec_res)
        shared["steps"] += 1
        if shared["steps"] > acp_agent.MAX_STEPS:
            raise RuntimeError(f"over {acp_agent.MAX_STEPS} steps")
        return "act" if exec_res.get("tool_calls") else "answer"


class Act(Node):
    def prep(self, shared):
        return shared["messages"][-1]["tool_calls"]

    def exec(self, prep_res):
        return [self.call(c) for c in prep_res]

    @staticmethod
    def call(call):
        fn, ident = call["function"], call["id"]
        try:
            args = json.loads(fn["arguments"] or "{}")
            command = args["command"]
        except (ValueError, KeyError, TypeError):
            args, command = {}, None
        say(type="tool_call", id=ident, tool=fn["name"], args=args)
        if fn["name"] != "bash" or not isinstance(command, str):
            text, good = "error: call bash with a command", False
        else:
            text, good = acp_agent.Shell().run(command), True
        say(type="tool_result", id=ident, tool=fn["name"], result=text,
            success=good)
        return {"role": "tool", "tool_call_id": ident, "content": text}

    def post(self, shared, prep_res, exec_res):
        shared["messages"].extend(exec_res)
        return "think"


def load(path):
    try:
        with open(path, encoding="utf-8") as f:
            return json.load(f)
    except (OSError, ValueError):
        return []


def save(path, messages):
    # From a message of the user on: a result needs its call.
    while len(messages) > HISTORY_MAX or \
            messages and messages[0]["role"] != "user":
        del messages[0]
    os.makedirs(STATE, mode=0o700, exist_ok=True)
    with open(path + ".new", "w", encoding="utf-8") as f:
        json.dump(messages, f)
    os.rename(path + ".new", path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--conversation", default="main")
    name = re.sub(r"[^A-Za-z0-9-]", "_", parser.parse_args().conversation)
    path = f"{STATE}/{name}.json"
    messages = load(path)
    messages.append({"role": "user", "content": sys.stdin.buffer.read()
                     .decode(errors="replace")})
    think, act = Think(), Act()
    think - "act" >> act
    act - "think" >> think
    try:
        Flow(start=think).run({"messages": messages, "steps": 0})
    except Exception as err:  # whatever broke is the answer
        say(type="error", message=acp_agent.one_line(err))
        return
    save(path, messages)
    say(type="final", text="")


if __name__ == "__main__":
    main()
