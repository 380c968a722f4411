#!/usr/bin/env python3
"""A runtime with a chat endpoint, for the faults that stock ones cannot be made to show.

SPDX-License-Identifier: ISC

usage: fake_http_runtime.py PORT LLM_PORT [READY_DELAY]

It asks the LLM on 127.0.0.1:LLM_PORT and streams its answer. "plain" answers without a stream, "die" ends the
process in the middle, "fail" answers 500, "swallow x" takes a stream that was cut for a whole answer.
"""
import http.client
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, LLM_PORT = int(sys.argv[1]), int(sys.argv[2])
READY_AT = time.monotonic() + float(sys.argv[3] if len(sys.argv) > 3 else 0)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 0

    def log_message(self, *args):
        pass

    def answer(self, status, doc):
        body = json.dumps(doc).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        ready = time.monotonic() >= READY_AT
        self.answer(200 if ready else 503, {"ready": ready})

    def event(self, doc):
        text = doc if isinstance(doc, str) else json.dumps(doc)
        data = f"data: {text}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def delta(self, text):
        self.event({"choices": [{"index": 0, "delta": {"content": text}}]})

    def do_POST(self):
        doc = json.loads(self.rfile.read(int(
            self.headers["Content-Length"])))
        text = doc["messages"][-1]["content"]
        if self.headers.get("Authorization") != "Bearer runtime-token":
            self.answer(401, {"error": {"message": "wrong token"}})
            return
        if text == "plain":
            self.answer(200, {"choices": [{"message": {
                "role": "assistant", "content": "user " + doc["user"]}}]})
            return
        if text == "fail":
            self.answer(500, {"error": {"message": "it broke"}})
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.event({"choices": [{"index": 0,
                                 "delta": {"role": "assistant"}}]})
        if text == "die":
            self.delta("half")
            os._exit(1)
        try:
            self.ask_llm(text.removeprefix("swallow "))
        except (OSError, http.client.HTTPException) as err:
            if not text.startswith("swallow "):
                self.event({"error": {"message": str(err)}})
        self.event("[DONE]")
        try:
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            pass                # who has read [DONE] may leave

    def ask_llm(self, text):
        conn = http.client.HTTPConnection("127.0.0.1", LLM_PORT, timeout=20)
        conn.request("POST", "/v1/chat/completions", json.dumps(
            {"model": "default", "stream": True,
             "messages": [{"role": "user", "content": text}]}),
            {"Content-Type": "application/json"})
        reply = conn.getresponse()
        if reply.status != 200:
            raise OSError(f"upstream said {reply.status}")
        for line in reply:
            line = line.decode().strip()
            if line.startswith("data: {"):
                self.delta(json.loads(line[6:])["choices"][0]["delta"]
                           .get("content", ""))


ThreadingHTTPServer.allow_reuse_address = True
ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
