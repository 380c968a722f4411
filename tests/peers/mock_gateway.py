"""A gateway for tests of agent-link alone: agentd's agent socket with faults on demand.

SPDX-License-Identifier: ISC

It speaks HTTP/1.1 on a Unix socket, keeps an outbox and redelivers what was not acked, checks the order of the
replies, and can die, refuse, answer errors, break a reply in the middle or forget the key. The real gateway is
tested on real containers elsewhere; this one exists for the faults that the real one cannot be made to show.
"""
import json
import os
import secrets
import socket
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler


class Handler(BaseHTTPRequestHandler):
    """One connection of the link."""

    protocol_version = "HTTP/1.1"
    wbufsize = 0

    def log_message(self, *args):
        pass

    def address_string(self):
        return "unix"

    def answer(self, status, doc, headers=()):
        body = json.dumps(doc).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            data = b""
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                data += self.rfile.read(size)
                self.rfile.readline()
                if size == 0:
                    return data
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def reset(self):
        """Ends the connection at once, without a word."""
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except (ConnectionError, ValueError, OSError):
            self.close_connection = True

    def authorized(self):
        gw = self.server.gw
        with gw.lock:
            gw.requests.append((self.command, self.path, dict(self.headers)))
            good = self.headers.get("Authorization") == "Bearer " + gw.key
        if not good:
            self.body() if self.command == "POST" else None
            self.answer(401, {"error": "unknown key"})
        return good

    def do_GET(self):
        gw = self.server.gw
        if not self.authorized():
            return
        if self.path.startswith("/api/openclaw/sessions/demo/events"):
            gw.stream(self)
        elif self.path == "/v1/models":
            self.answer(200, {"object": "list", "data": [{"id": "default"}]})
        else:
            self.answer(404, {"error": "no such path"})

    def do_POST(self):
        gw = self.server.gw
        if self.path == "/api/agent/hello":
            gw.hello(self)
            return
        if not self.authorized():
            return
        if self.path == "/v1/chat/completions":
            gw.llm(self)
            return
        body = self.body()
        if self.path == "/api/openclaw/sessions/demo/reply":
            gw.reply(self, json.loads(body))
        elif self.path == "/api/openclaw/sessions/demo/ack":
            gw.ack(self, json.loads(body))
        elif self.path == "/api/openclaw/sessions/demo/prepared":
            gw.was_prepared(self, json.loads(body))
        elif self.path == "/api/echo":
            self.answer(200, {"length": len(body)})
        else:
            self.answer(404, {"error": "no such path"})


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def get_request(self):
        conn, addr = super().get_request()
        with self.gw.lock:
            self.gw.conns.add(conn)
        return conn, addr

    def shutdown_request(self, request):
        with self.gw.lock:
            self.gw.conns.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request, client_address):
        pass


class MockGateway:
    """State survives kill() and start(), as the host's databases do."""

    def __init__(self, path):
        self.path = path
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.conns = set()
        self.key = "none"
        self.hellos = []
        self.requests = []
        self.outbox = {}            # event id -> (type, document)
        self.acked = 0
        self.prepared = []
        self.prepared_faults = []
        self.next_id = 1
        self.subscribers = 0
        self.current = None         # token of the live event stream
        self.replies = []           # accepted, in order of arrival
        self.done = set()           # trace ids with a final or an error
        self.hello_faults = []      # statuses to answer before a 200
        self.hold_ms = None         # the runtime is to wait so long
        self.reply_faults = []      # statuses or "reset", used up one by one
        self.llm_faults = []        # "refuse" (503), "cut", "reset"; used up
        self.reply_delay = 0.0
        self.llm_calls = []         # (turn, attempt)
        self.server = None

    # life

    def start(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.server = Server(self.path, Handler)
        self.server.gw = self
        os.chmod(self.path, 0o666)
        threading.Thread(target=self.server.serve_forever, args=(0.02,),
                         daemon=True).start()
        return self

    def kill(self):
        """Dies as a killed worker does: listener and connections close."""
        server, self.server = self.server, None
        if server is None:
            return
        server.shutdown()
        server.server_close()
        os.unlink(self.path)
        with self.lock:
            self.current = None
            conns = list(self.conns)
            self.changed.notify_all()
        for conn in conns:
            try:
                conn.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def rotate_key(self):
        """Forgets the key, as after a restored database."""
        with self.lock:
            self.key = "gone-" + secrets.token_hex(8)

    def drop_stream(self):
        with self.lock:
            self.current = None
            self.changed.notify_all()

    # what a test does

    def send(self, text, channel="c" * 32, trace=None):
        """Queues one message; returns its trace id."""
        trace = trace or secrets.token_hex(16)
        doc = {"id": trace, "trace_id": trace, "channel_id": channel,
               "from": "user", "text": text, "created_at": time.time()}
        self.push("user_message", doc)
        return trace

    def abort(self, trace):
        self.push("abort", {"trace_id": trace})

    def push(self, kind, doc):
        with self.lock:
            self.outbox[self.next_id] = (kind, doc)
            self.next_id += 1
            self.changed.notify_all()

    def wait(self, cond, timeout=10.0, what="condition"):
        """Waits until cond() is true; every change wakes it."""
        end = time.monotonic() + timeout
        with self.lock:
            while not cond():
                left = end - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"timeout: {what}; replies="
                                         f"{self.replies[-5:]}")
                self.changed.wait(min(left, 0.1))

    def wait_done(self, trace, timeout=10.0):
        """The final or error reply of one turn."""
        self.wait(lambda: trace in self.done, timeout, "end of the turn")
        return self.of(trace)[-1]

    def wait_connected(self, timeout=10.0):
        self.wait(lambda: self.current is not None, timeout, "event stream")

    def of(self, trace):
        with self.lock:
            return [r for r in self.replies if r["trace_id"] == trace]

    def text(self, trace):
        """The answer as the host would show it."""
        buf, attempt, final = "", 0, None
        for r in self.of(trace):
            if r["kind"] == "delta":
                if r["attempt"] > attempt:
                    buf, attempt = "", r["attempt"]
                buf += r["content"]
            elif r["kind"] == "final":
                final = r["content"] or buf
        return buf if final is None else final

    # the protocol

    def hello(self, h):
        doc = json.loads(h.body())
        with self.lock:
            self.hellos.append(doc)
            fault = self.hello_faults.pop(0) if self.hello_faults else None
            if fault is None:
                self.key = "sk-agentd-" + secrets.token_hex(32)
            key = self.key
        if fault is not None:
            h.answer(fault, {"error": "not now"})
            return
        doc = {"agent_id": "a" * 32, "slug": "demo", "key": key,
               "events_url": "/api/openclaw/sessions/demo/events"}
        if self.hold_ms is not None:
            doc["hold_ms"] = self.hold_ms
        h.answer(200, doc)

    def stream(self, h):
        token = object()
        with self.lock:
            self.current = token
            self.subscribers += 1
            self.changed.notify_all()
        h.send_response(200)
        h.send_header("Content-Type", "text/event-stream")
        h.send_header("Connection", "close")
        h.end_headers()
        h.close_connection = True
        h.wfile.write(b": connected\n\n")
        sent = 0
        while True:
            with self.lock:
                while self.current is token and not any(
                        i > max(sent, self.acked) for i in self.outbox):
                    self.changed.wait(1.0)
                if self.current is not token:
                    break
                due = [(i, *self.outbox[i]) for i in sorted(self.outbox)
                        if i > max(sent, self.acked)]
            for i, kind, doc in due:
                frame = f"id: {i}\nevent: {kind}\ndata: {json.dumps(doc)}\n\n"
                h.wfile.write(frame.encode())
                sent = i
        h.reset()

    def reply(self, h, doc):
        with self.lock:
            fault = self.reply_faults.pop(0) if self.reply_faults else None
        if self.reply_delay:
            time.sleep(self.reply_delay)
        if fault == "reset":
            h.reset()
            return
        if fault is not None:
            h.answer(fault, {"error": "injected"}, [("Retry-After", "1")])
            return
        with self.lock:
            old = [r for r in self.replies if r["trace_id"] ==
                   doc["trace_id"] and r["seq"] == doc["seq"]]
            if doc["kind"] in ("final", "error"):
                if doc["trace_id"] in self.done and not old:
                    h.answer(409, {"error": "answered"})
                    return
            if not old:
                self.replies.append(doc)
                if doc["kind"] in ("final", "error"):
                    self.done.add(doc["trace_id"])
            self.changed.notify_all()
        h.answer(202, {"accepted": True})

    def ack(self, h, doc):
        with self.lock:
            self.acked = max(self.acked, doc["up_to"])
            for i in [i for i in self.outbox if i <= self.acked]:
                del self.outbox[i]
            self.changed.notify_all()
        h.answer(200, {"ok": True})

    def was_prepared(self, h, doc):
        with self.lock:
            self.prepared.append(doc["id"])
            fault = self.prepared_faults.pop(0) if self.prepared_faults \
                else None
            self.changed.notify_all()
        h.answer(fault or 200, {"ok": fault is None})

    def llm(self, h):
        turn = h.headers.get("x-agentd-turn")
        attempt = h.headers.get("x-agentd-attempt")
        with self.lock:
            self.llm_calls.append((turn, attempt))
            fault = self.llm_faults.pop(0) if self.llm_faults else None
            self.changed.notify_all()
        if fault == "reset":
            h.reset()
            return
        doc = json.loads(h.body())
        if fault == "refuse":
            h.answer(503, {"error": "no route"})
            return
        said = doc["messages"][-1]["content"]
        if isinstance(said, list):
            said = "".join(part.get("text", "") for part in said)
        words = (["echo:"] + said.split()) if not said.startswith("count ") \
            else [f"w{i}" for i in range(int(said.split()[1]))]
        h.send_response(200)
        h.send_header("Content-Type", "text/event-stream")
        h.send_header("Transfer-Encoding", "chunked")
        h.end_headers()
        for n, word in enumerate(words):
            if fault == "cut" and n == 1:
                h.reset()
                return
            chunk = {"choices": [{"index": 0, "delta":
                                  {"content": word + " "}}]}
            self.chunk(h, f"data: {json.dumps(chunk)}\n\n")
        end = {"choices": [{"index": 0, "delta": {},
                            "finish_reason": "stop"}]}
        self.chunk(h, f"data: {json.dumps(end)}\n\ndata: [DONE]\n\n")
        h.wfile.write(b"0\r\n\r\n")

    @staticmethod
    def chunk(h, text):
        data = text.encode()
        h.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
