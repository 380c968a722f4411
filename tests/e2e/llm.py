# The pair upstream and dialer with a provider that a test plays.
# SPDX-License-Identifier: ISC
import contextlib
import json
import os
import socket
import ssl
import threading

import pytest

import wire

PROVIDER = "a" * 32
DEMO = "d" * 32
CREDIT = 256 * 1024
KEY = "sk-provider-0123456789"


class Provider:
    """A server on loopback whose every connection is handled by a function
    that gets the socket and the number of the connection."""

    def __init__(self, handle, tls=None, address="127.0.0.1"):
        self.handle = handle
        self.tls = tls
        self.count = 0
        self.sock = socket.create_server((address, 0))
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, host="localhost"):
        scheme = "https" if self.tls else "http"
        return f"{scheme}://{host}:{self.port}/v1"

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.sock.accept()
                self.count += 1
                threading.Thread(target=self._serve, args=(sock, self.count),
                                 daemon=True).start()

    def _serve(self, sock, number):
        with contextlib.suppress(OSError, ssl.SSLError):
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            self.handle(sock, number)
        with contextlib.suppress(OSError):
            sock.close()

    def close(self):
        self.sock.close()


def read_request(sock):
    """(head, body) of one request, None at the end."""
    data = b""
    while b"\r\n\r\n" not in data:
        got = sock.recv(65536)
        if not got:
            return None
        data += got
    head, body = data.split(b"\r\n\r\n", 1)
    need = 0
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            need = int(line[15:])
    body = bytearray(body)
    while len(body) < need:
        got = sock.recv(65536)
        if not got:
            return None
        body += got
    return head, bytes(body)


def ok(body=b"{}", more=b""):
    return (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + more +
            b"Content-Length: %d\r\n\r\n" % len(body) + body)


def answers(*replies):
    """Serves connections that answer request after request with these."""
    def handle(sock, _number):
        for reply in replies:
            if read_request(sock) is None:
                return
            sock.sendall(reply)
    return handle


class Call:
    """One LLM_OPEN that the test leads frame by frame."""

    def __init__(self, pair, body, provider, stream, window, path):
        self.gw = pair.gw
        self.body = body
        self.sent = 0
        self.credit = CREDIT
        self.head = None
        self.data = bytearray()
        self.end = None
        self.id = self.gw.ask("LLM_OPEN", {
            "provider_id": provider, "agent_id": "b" * 32, "path": path,
            "length": len(body), "stream": stream, "window": window})

    def push(self):
        """Sends what the credit allows of the body."""
        while self.sent < len(self.body) and self.credit > 0:
            part = self.body[self.sent:self.sent + min(self.credit, 61440)]
            self.gw.send("LLM_BODY", {"data": part}, self.id)
            self.sent += len(part)
            self.credit -= len(part)

    def step(self, timeout=15):
        """Takes one frame; False at the end."""
        name, f, rid, _ = self.gw.recv(timeout)
        if rid != self.id:
            return True
        if name == "LLM_WINDOW":
            self.credit += f["bytes"]
        elif name == "LLM_HEAD":
            assert self.head is None
            self.head = f
        elif name == "LLM_DATA":
            assert self.head is not None
            self.data += f["data"]
        elif name == "LLM_END":
            self.end = f
            return False
        return True

    def grant(self, n):
        self.gw.send("LLM_WINDOW", {"bytes": n}, self.id)

    def run(self, timeout=15):
        seen = 0
        while True:
            self.push()
            if not self.step(timeout):
                return self
            if len(self.data) > seen:
                self.grant(len(self.data) - seen)
                seen = len(self.data)

    @property
    def error(self):
        return json.loads(self.data)["error"]["message"]


class Pair:
    """upstream and dialer, joined; the test is gateway, proxy, keeper."""

    def __init__(self, libexec, ca=None):
        self.up = wire.Worker(libexec, "upstream",
                              fds={"ca": ca} if ca else {})
        self.dialer = wire.Worker(libexec, "dialer")
        self.up.join(self.dialer)
        self.gw = self.up.edge("gateway")
        self.proxy = self.up.edge("proxy")
        self.keeper = self.up.edge("keeper")

    def route(self, url, **more):
        row = {"provider_id": PROVIDER, "name": "mock", "type": "openai",
               "url": url, "allow_private": 1, **more}
        key = self.keeper.call("SECRET_PUT", {
            "provider_id": row["provider_id"], "api_key": KEY})
        assert key["status"] == 200
        return self.proxy.call("ROUTE_PUT", row)

    def open(self, body=b"{}", provider=PROVIDER, stream=0, window=CREDIT,
             path="/chat/completions"):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        return Call(self, body, provider, stream, window, path)

    def call(self, body=b"{}", timeout=15, **more):
        return self.open(body, **more).run(timeout)

    def alive(self):
        return self.up.proc.poll() is None and \
            self.dialer.proc.poll() is None

    def close(self):
        assert self.alive()
        self.up.stop()
        self.dialer.stop()


def serve(pair_, handle, tls=None, host="localhost", **route):
    """A provider of that kind, made known to upstream."""
    provider = Provider(handle, tls)
    res = pair_.route(provider.url(host), **route)
    assert res["status"] == 200, res
    return provider


@pytest.fixture(scope="module")
def pair(request):
    p = Pair(libexec(request))
    yield p
    p.close()


def libexec(request):
    """Where the workers are: installed by ./check, or a build directory."""
    path = os.environ.get("AGENTD_BUILD")
    if path:
        return path
    build = os.path.abspath(request.config.getoption("--agentd-build"))
    return f"{build}/inst/libexec/agentd"
