"""The agent's side of the Agent Client Protocol, for Python libraries that bring no program of their own.

SPDX-License-Identifier: ISC

A runner gives serve() a function that makes a conversation: an object with run(text, out), which says what happens
through out and returns when the turn is over, and cancel(). One turn at a time; one conversation for each session.
"""
import json
import os
import signal
import subprocess
import sys
import threading

MODEL = "default"
BASE_URL = "http://127.0.0.1:4000/v1"
API_KEY = "agentd-link"     # the link puts the real one in its place
MAX_STEPS = 50
INSTRUCTIONS = (
    "You are a helpful agent in a Debian container of your own. You may do "
    "anything in it; the tool bash runs a command there. The container may "
    "have no network. When nothing is left to do, answer in plain text.")

OUTPUT_MAX = 32768          # bytes of a command that the model sees
COMMAND_SECONDS = 120
SESSIONS_MAX = 32


class Shell:
    """Runs commands; the one that runs can be stopped."""

    def __init__(self):
        self.proc = None

    def run(self, command):
        """What it printed, and its status when that is not 0."""
        with subprocess.Popen(
                ["/bin/bash", "-c", command], stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                start_new_session=True) as proc:
            self.proc = proc
            late = threading.Timer(COMMAND_SECONDS, self.stop)
            late.start()
            try:
                # Only what may be shown is kept; the rest is read away.
                data = proc.stdout.read(OUTPUT_MAX)
                more = 0
                while piece := proc.stdout.read(65536):
                    more += len(piece)
                status = proc.wait()
            finally:
                late.cancel()
                self.proc = None
        text = data.decode(errors="replace")
        if more:
            text += f"\n[{more} more bytes]"
        if status != 0:
            text += f"\n[status {status}]"
        return text

    def stop(self):
        proc = self.proc
        if proc is not None:
            try:
                os.killpg(proc.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


class Out:
    """Where a conversation says what happens."""

    def __init__(self, send, session):
        self._send, self._session = send, session

    def _update(self, kind, **more):
        self._send({"method": "session/update", "params": {
            "sessionId": self._session,
            "update": {"sessionUpdate": kind, **more}}})

    def text(self, text):
        if text:
            self._update("agent_message_chunk",
                         content={"type": "text", "text": text})

    def thought(self, text):
        if text:
            self._update("agent_thought_chunk",
                         content={"type": "text", "text": text})

    def tool_call(self, call, name, args):
        if not isinstance(args, dict):
            args = {"input": args}
        self._update("tool_call", toolCallId=call, title=name,
                     status="in_progress", rawInput=args or {"": None})

    def tool_result(self, call, text, success=True):
        self._update("tool_call_update", toolCallId=call,
                     status="completed" if success else "failed",
                     content=[{"type": "content", "content": {
                         "type": "text", "text": text}}])


class Server:
    def __init__(self, make, pipe):
        self.make, self.pipe = make, pipe
        self.lock = threading.Lock()
        self.sessions = {}
        self.count = 0
        self.cancelled = set()

    def send(self, doc):
        line = json.dumps({"jsonrpc": "2.0", **doc}) + "\n"
        with self.lock:
            self.pipe.write(line.encode())
            self.pipe.flush()

    def error(self, ident, code, message):
        self.send({"id": ident, "error": {"code": code, "message": message}})

    def prompt(self, ident, session, text):
        talk = self.sessions[session]
        try:
            talk.run(text, Out(self.send, session))
            reason = "end_turn"
        except Exception as err:  # whatever a library raises is the answer
            if session not in self.cancelled:
                self.error(ident, -32603, one_line(err))
                return
        if session in self.cancelled:
            reason = "cancelled"
        self.send({"id": ident, "result": {"stopReason": reason}})

    def new_session(self):
        self.count += 1
        name = f"s{self.count}"
        self.sessions[name] = self.make()
        while len(self.sessions) > SESSIONS_MAX:
            del self.sessions[next(iter(self.sessions))]
        return name

    def handle(self, doc):
        method, ident = doc.get("method"), doc.get("id")
        params = doc.get("params") or {}
        session = params.get("sessionId")
        if method == "initialize":
            self.send({"id": ident, "result": {
                "protocolVersion": 1, "authMethods": [],
                "agentCapabilities": {"loadSession": False}}})
        elif method == "session/new":
            self.send({"id": ident, "result": {
                "sessionId": self.new_session()}})
        elif method == "session/prompt" and session in self.sessions:
            self.cancelled.discard(session)
            text = "".join(p.get("text", "") for p in params["prompt"])
            threading.Thread(target=self.prompt, daemon=True,
                             args=(ident, session, text)).start()
        elif method == "session/cancel" and session in self.sessions:
            self.cancelled.add(session)
            self.sessions[session].cancel()
        elif ident is not None and method is not None:
            self.error(ident, -32602 if session else -32601,
                       "no such session" if session else "no such method")


def one_line(err):
    """What a library's error says, without its colours and line breaks."""
    words = "".join(c if c.isprintable() else " " for c in str(err)).split()
    return " ".join(words)[:300] or type(err).__name__


def serve(make):
    """Speaks on stdin and stdout until stdin ends."""
    # Whatever a library prints goes to the journal, not between records.
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    server = Server(make, pipe)
    for line in sys.stdin.buffer:
        try:
            doc = json.loads(line)
        except ValueError:
            continue
        if isinstance(doc, dict):
            server.handle(doc)
    os._exit(0)
