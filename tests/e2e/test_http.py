# The HTTP API as a stranger, a friend and a vandal see it.
# SPDX-License-Identifier: ISC
import http.client
import json
import socket
import stat
import time

import os

import pytest

from lab import request, wait_for


def tcp(service, method, path, body=None, headers=None, token=False):
    headers = dict(headers or {})
    if token:
        with open(f"{service.state}/.auth_local_token",
                  encoding="ascii") as f:
            headers["Authorization"] = "Bearer " + f.read().strip()
    conn = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
    return request(conn, method, path, body, headers)


def raw(service, data, wait=5):
    """Sends bytes, returns everything that comes back."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(wait)
        s.connect(service.socket)
        s.sendall(data)
        got = b""
        try:
            while chunk := s.recv(65536):
                got += chunk
        except TimeoutError:
            pass
        return got


def test_token_file(service):
    st = os.stat(f"{service.state}/.auth_local_token")
    assert st.st_uid == 0 and stat.S_IMODE(st.st_mode) == 0o600


def test_who_may(service):
    assert tcp(service, "GET", "/api/health").json["status"] == "ok"
    for path in ("/api/agents", "/api/status", "/api/providers"):
        assert tcp(service, "GET", path).status == 401
        assert tcp(service, "GET", path, token=True).status == 200
        r = tcp(service, "GET", path,
                headers={"Authorization": "Bearer " + "0" * 64})
        assert r.status == 401
        assert "error" in r.json


def test_wrong_token_and_no_token_look_alike(service):
    a = tcp(service, "GET", "/api/agents")
    b = tcp(service, "GET", "/api/agents",
            headers={"Authorization": "Bearer 0123"})
    assert (a.status, a.body) == (b.status, b.body)


def test_foreign_host_and_origin(service):
    r = tcp(service, "GET", "/api/health", headers={"Host": "evil.example"})
    assert r.status == 403
    r = tcp(service, "POST", "/api/agents/deploy", {"name": "x"}, token=True,
            headers={"Origin": "https://evil.example"})
    assert r.status == 403


def test_errors_say_what_is_wrong(service):
    assert service.get("/api/nothing").status == 404
    assert "error" in service.get("/api/nothing").json
    r = service.call("PATCH", "/api/agents")
    assert r.status == 405 and "GET" in r.headers["Allow"]
    r = service.call("POST", "/api/agents/deploy", "name=x",
                     {"Content-Type": "application/x-www-form-urlencoded"})
    assert r.status == 415
    for body, field in (({}, "name"), ({"name": 7}, "name"),
                        ({"name": ""}, "name"),
                        ({"name": "a" * 200}, "name"),
                        ({"name": "a", "cpu_limit": -1}, "cpu_limit"),
                        ({"name": "a", "memory_limit": "lots"},
                         "memory_limit")):
        r = service.call("POST", "/api/agents/deploy",
                         {"framework": "pi", **body})
        assert r.status == 422 and field in r.json["error"], (body, r.body)
    for text in ("{", "[]", "null", '{"name":"a","name":"b"}', "\xff",
                 "{}x", "[" * 100000):
        r = service.call("POST", "/api/agents/deploy", text.encode("latin1"),
                         {"Content-Type": "application/json"})
        assert r.status in (400, 413, 422), (text[:20], r.status)
    r = service.call("POST", "/api/chat/messages",
                     {"channel_id": "0" * 32, "content": "x" * 2_000_000})
    assert r.status == 413


@pytest.mark.parametrize("path", [
    "/api/agents/../status", "/api/agents/%2e%2e/status",
    "/api/agents/..%2fx", "/api/agents/A", "/api/agents/" + "a" * 60,
    "/api/agents/a%00b", "/api/agents/a%zz", "/api/agents/x/trace?limit=0",
    "/api/agents/x/trace?limit=x", "/api/agents/x/trace?limit=1&limit=2"])
def test_bad_paths(service, path):
    assert service.get(path).status in (400, 404, 422)


SMUGGLING = [
    b"GET /api/health HTTP/1.1\r\n\r\n",
    b"GET /api/health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /api/health HTTP/1.1\nHost: localhost\n\n",
    b"GET /api/health HTTP/1.1\r\nHost : localhost\r\n\r\n",
    b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n folded: x\r\n\r\n",
    b"GET  /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /api/health HTTP/9.9\r\nHost: localhost\r\n\r\n",
    b"GET /api/he\x00alth HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /api/agents/deploy HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /api/agents/deploy HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    b"POST /api/agents/deploy HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Length: +2\r\n\r\n{}",
    b"POST /api/agents/deploy HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Length: 0x2\r\n\r\n{}",
    b"POST /api/agents/deploy HTTP/1.1\r\nHost: localhost\r\n"
    b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"POST /api/agents/deploy HTTP/1.1\r\nHost: localhost\r\n"
    b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20000 +
    b"\r\n\r\n",
    b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n" +
    b"X: a\r\n" * 200 + b"\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\x00" * 100 + b"\r\n\r\n",
]


@pytest.mark.parametrize("data", SMUGGLING)
def test_no_smuggling(service, data):
    """400 or its kin, then the connection is closed: no second meaning."""
    got = raw(service, data + b"GET /api/health HTTP/1.1\r\n"
              b"Host: localhost\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 4") or \
        got.startswith(b"HTTP/1.1 5"), got[:200]
    assert got.count(b"HTTP/1.1 ") == 1, got
    assert b'"status":"ok"' not in got.replace(b" ", b"")


def test_slow_head_is_cut_off(service):
    start = time.monotonic()
    got = raw(service, b"GET /api/health HTT", wait=30)
    assert time.monotonic() - start < 20
    assert got == b"" or b" 408 " in got


def test_openapi_comes_from_the_table(service):
    doc = service.get("/api/openapi.json").json
    assert doc["openapi"].startswith("3.")
    for method, path in (("post", "/api/agents/deploy"),
                         ("get", "/api/agents/{slug}/trace"),
                         ("post", "/api/chat/messages"),
                         ("post", "/api/providers"),
                         ("get", "/api/health")):
        assert method in doc["paths"][path], path
    # What it describes is there: no path answers 404 as unknown or 405.
    for path, methods in doc["paths"].items():
        for method in methods:
            url = path.replace("{slug}", "nobody").replace(
                "{id}", "0" * 32).replace("{name}", "nobody").replace(
                "{alias}", "nobody").replace("{worker}", "front")
            if method.upper() in ("DELETE",) or path == "/api/images/{alias}":
                continue
            body = b"{}" if method.upper() in ("POST", "PUT") else None
            r = service.call(method.upper(), url, body,
                             {"Content-Type": "application/json"})
            assert r.status != 405, (method, path)
            if r.status == 404:
                assert "nobody" in r.json["error"] or \
                    "0000" in r.json["error"] or "no " in r.json["error"]


def test_providers_keep_their_secret(service, mock_tcp):
    service.add_provider("quiet", mock_tcp)
    try:
        rows = service.get("/api/providers")
        assert mock_tcp.key not in rows.body.decode()
        assert "quiet" in {p["name"] for p in rows.json}
        r = service.call("POST", "/api/providers", {
            "name": "quiet", "type": "openai", "url": mock_tcp.url,
            "api_key": "x", "allow_private": True})
        assert r.status == 409
        for bad, field in (({"type": "nonsense"}, "type"),
                           ({"url": "ftp://x/"}, "url"),
                           ({"url": "http://example.org/v1",
                             "allow_private": False}, "url"),
                           ({"name": "Bad Name"}, "name")):
            r = service.call("POST", "/api/providers", {
                "name": "other", "type": "openai", "url": mock_tcp.url,
                "api_key": "sk-x", "allow_private": True, **bad})
            assert r.status in (400, 422) and field in r.json["error"], \
                (bad, r.body)
        # Not on disk in clear, not in a log, not in any process's arguments.
        for top in (service.state, service.logs):
            for d, _, files in os.walk(top):
                for name in files:
                    with open(f"{d}/{name}", "rb") as f:
                        assert mock_tcp.key.encode() not in f.read(), name
    finally:
        r = service.call("DELETE", "/api/providers/quiet")
        assert r.status == 200


def test_private_addresses_need_leave(service, mock_tcp):
    """Without allow_private an agent gets an error, and nobody connects."""
    r = service.call("POST", "/api/providers", {
        "name": "ssrf", "type": "openai", "models": ["ssrf-model"],
        "url": mock_tcp.url.replace("http://", "https://"),
        "api_key": "sk-x"})
    assert r.status == 201, r.body
    agent = service.deploy("pi", "ssrf-model")
    try:
        answer = agent.answer(agent.say("hello"), 90)
        assert answer["state"] == "error", answer
        wait_for("refusal in the log", lambda:
                 "address refused: loopback" in
                 service.log("dialer"), 10)
    finally:
        agent.remove()
        service.call("DELETE", "/api/providers/ssrf")


def test_audit_and_json_everywhere(service):
    for verb in (("status",), ("agent", "list"), ("provider", "list")):
        json.loads(service.ctl(*verb, "--json"))
