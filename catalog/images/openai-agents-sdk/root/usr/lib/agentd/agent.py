"""The OpenAI Agents SDK behind agent-link: an agent with a shell, on chat completions.

SPDX-License-Identifier: ISC
"""
import asyncio
import sys

sys.path[:0] = ["/opt/openai-agents-sdk/lib", "/usr/lib/agentd/python"]

from agents import (Agent, OpenAIChatCompletionsModel, Runner,  # noqa: E402
                    function_tool, set_tracing_disabled)
from openai import AsyncOpenAI  # noqa: E402

import acp_agent  # noqa: E402

set_tracing_disabled(True)


def field(item, name):
    return item.get(name) if isinstance(item, dict) else \
        getattr(item, name, None)


class Conversation:
    def __init__(self):
        self.shell = acp_agent.Shell()
        self.history = []
        self.result = self.loop = None

        @function_tool
        async def bash(command: str) -> str:
            """Runs a shell command in the container; gives its output.

            Args:
                command: The command.
            """
            return await asyncio.to_thread(self.shell.run, command)

        self.agent = Agent(
            name="agent", instructions=acp_agent.INSTRUCTIONS, tools=[bash])

    def run(self, text, out):
        asyncio.run(self.turn(text, out))

    async def turn(self, text, out):
        self.loop = asyncio.get_running_loop()
        # Bound to this loop; the link runs a broken turn again.
        client = AsyncOpenAI(base_url=acp_agent.BASE_URL, max_retries=0,
                             api_key=acp_agent.API_KEY, timeout=600)
        self.agent.model = OpenAIChatCompletionsModel(
            model=acp_agent.MODEL, openai_client=client)
        ask = self.history + [{"role": "user", "content": text}]
        self.result = Runner.run_streamed(self.agent, ask,
                                          max_turns=acp_agent.MAX_STEPS)
        try:
            async for ev in self.result.stream_events():
                self.report(ev, out)
            self.history = self.result.to_input_list()
        finally:
            self.result = None
            await client.close()

    @staticmethod
    def report(ev, out):
        if ev.type == "raw_response_event":
            kind = getattr(ev.data, "type", "")
            if kind == "response.output_text.delta":
                out.text(ev.data.delta)
            elif kind in ("response.reasoning_text.delta",
                          "response.reasoning_summary_text.delta"):
                out.thought(ev.data.delta)
        elif ev.type == "run_item_stream_event":
            raw = ev.item.raw_item
            if ev.name == "tool_called":
                args = field(raw, "arguments")
                try:
                    args = acp_agent.json.loads(args)
                except (TypeError, ValueError):
                    pass
                out.tool_call(field(raw, "call_id"), field(raw, "name"), args)
            elif ev.name == "tool_output":
                out.tool_result(field(raw, "call_id"), str(ev.item.output))

    def cancel(self):
        self.shell.stop()
        if self.result is not None:
            self.loop.call_soon_threadsafe(self.result.cancel)


if __name__ == "__main__":
    acp_agent.serve(Conversation)
