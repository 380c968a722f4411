"""smolagents behind agent-link: a ToolCallingAgent with a shell.

SPDX-License-Identifier: ISC
"""
import ast
import json
import os
import sys

sys.path[:0] = ["/opt/smolagents/lib", "/usr/lib/agentd/python"]

from rich.console import Console  # noqa: E402 (found by the line above)
from smolagents import OpenAIModel, Tool, ToolCallingAgent  # noqa: E402
from smolagents.memory import FinalAnswerStep, ToolCall  # noqa: E402
from smolagents.agents import ToolOutput  # noqa: E402
from smolagents.models import (REMOVE_PARAMETER, ChatMessageStreamDelta,  # noqa: E402
                               ChatMessageToolCall, ChatMessageToolCallFunction,
                               MessageRole)
from smolagents.monitoring import AgentLogger, LogLevel  # noqa: E402

import acp_agent  # noqa: E402

CALLS = "Calling tools:\n"
ANSWER = "answer"           # id of a call that the model did not make


class Bash(Tool):
    name = "bash"
    description = "Runs a shell command in the container; gives its output."
    inputs = {"command": {"type": "string", "description": "The command."}}
    output_type = "string"

    def __init__(self, shell):
        super().__init__()
        self.shell = shell

    def forward(self, command: str) -> str:
        return self.shell.run(command)


def text_of(message):
    content = message.content
    if isinstance(content, list):
        return "".join(p.get("text", "") for p in content)
    return content or ""


class Model(OpenAIModel):
    """Chat completions as providers know them: smolagents writes calls and
    results as text, and takes an answer in plain words for an error."""

    def _prepare_completion_kwargs(self, messages, **kwargs):
        wire, calls = [], []
        for m in messages:
            text = text_of(m)
            if m.role == MessageRole.TOOL_CALL and text.startswith(CALLS):
                calls = ast.literal_eval(text[len(CALLS):])
                if calls[0]["id"] == ANSWER:
                    continue    # parse_tool_calls() made it up
                for c in calls:
                    args = c["function"]["arguments"]
                    c["function"]["arguments"] = args \
                        if isinstance(args, str) else json.dumps(args)
                if not wire or wire[-1]["role"] != "assistant":
                    wire.append({"role": "assistant", "content": None})
                wire[-1]["tool_calls"] = calls
            elif m.role == MessageRole.TOOL_RESPONSE and calls:
                if calls[0]["id"] == ANSWER:
                    calls = []
                    continue
                # One text for all calls of a step.
                for c in calls:
                    wire.append({"role": "tool", "tool_call_id": c["id"],
                                 "content": text})
                    text = "(as above)"
                calls = []
            else:
                role = {MessageRole.TOOL_CALL: "assistant",
                        MessageRole.TOOL_RESPONSE: "user"}.get(m.role, m.role)
                wire.append({"role": str(getattr(role, "value", role)),
                             "content": text})
        done = super()._prepare_completion_kwargs(messages=[], **kwargs)
        done["messages"] = wire
        return done

    def parse_tool_calls(self, message):
        answer = text_of(message)
        message.tool_calls = [ChatMessageToolCall(
            id=ANSWER, type="function",
            function=ChatMessageToolCallFunction(
                name="final_answer", arguments={"answer": answer}))]
        return message


class Conversation:
    def __init__(self):
        self.shell = acp_agent.Shell()
        self.agent = ToolCallingAgent(
            tools=[Bash(self.shell)], max_steps=acp_agent.MAX_STEPS,
            model=Model(acp_agent.MODEL, api_base=acp_agent.BASE_URL,
                        api_key=acp_agent.API_KEY, retry=False,
                        client_kwargs={"max_retries": 0, "timeout": 600},
                        tool_choice="auto", stop=REMOVE_PARAMETER),
            instructions=acp_agent.INSTRUCTIONS, stream_outputs=True,
            logger=AgentLogger(LogLevel.OFF, Console(
                file=open(os.devnull, "w", encoding="utf-8"))))

    def run(self, text, out):
        said = ""
        for ev in self.agent.run(text, stream=True, reset=False):
            if isinstance(ev, ChatMessageStreamDelta):
                out.text(ev.content)
                said += ev.content or ""
            elif isinstance(ev, ToolCall) and ev.name != "final_answer":
                said = ""
                out.tool_call(ev.id, ev.name, ev.arguments)
            elif isinstance(ev, ToolOutput) and not ev.is_final_answer:
                out.tool_result(ev.id, str(ev.output))
            elif isinstance(ev, FinalAnswerStep):
                # Unless it is what was streamed already.
                if str(ev.output).strip() != said.strip():
                    out.text(str(ev.output))

    def cancel(self):
        self.agent.interrupt()
        self.shell.stop()


if __name__ == "__main__":
    acp_agent.serve(Conversation)
