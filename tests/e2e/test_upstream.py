# upstream as it is installed, against friendly and hostile providers.
# SPDX-License-Identifier: ISC
import json
import select
import socket
import threading
import time

import pytest

import llm
from llm import (DEMO, KEY, PROVIDER, answers, ok, pair, read_request,  # noqa
                 serve)

TOOLS = [{"type": "function", "function": {
    "name": name, "parameters": {"type": "object", "required": ["command"],
                                 "properties": {"command": {
                                     "type": "string"}}}}}
    for name in ("read", "bash", "exec")]
USER = {"role": "user", "content": "hi"}


def test_head_of_the_request(pair):
    seen = []

    def handle(sock, _n):
        seen.append(read_request(sock))
        sock.sendall(ok(b'{"a":1}'))

    provider = serve(pair, handle)
    call = pair.call({"model": "m"}, stream=1)
    assert call.head["status"] == 200 and call.data == b'{"a":1}'
    assert call.end == {"ok": 1, "error": ""}
    head, body = seen[0]
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /v1/chat/completions HTTP/1.1"
    fields = dict(line.split(": ", 1) for line in lines[1:])
    assert fields.pop("User-Agent").startswith("agentd/")
    assert fields == {
        "Host": f"localhost:{provider.port}",
        "Authorization": f"Bearer {KEY}", "Content-Type": "application/json",
        "Content-Length": str(len(body)), "Accept-Encoding": "identity",
        "Accept": "text/event-stream, application/json"}


def test_connections_are_kept(pair):
    provider = serve(pair, answers(*[ok()] * 50))
    for _ in range(50):
        assert pair.call().end["ok"] == 1
    assert provider.count == 1


def test_stale_connection_is_replaced(pair):
    def handle(sock, number):
        if number == 1:
            # Says nothing of closing, takes the second request and goes.
            read_request(sock)
            sock.sendall(ok(b'"one"'))
            read_request(sock)
            return
        answers(ok(b'"two"'))(sock, number)

    provider = serve(pair, handle)
    assert pair.call().data == b'"one"'
    call = pair.call({"x": "y" * 100000})
    assert (call.head["status"], call.data) == (200, b'"two"')
    assert provider.count == 2


def test_a_call_is_sent_twice_at_most(pair):
    def handle(sock, number):
        read_request(sock)
        if number == 1:
            sock.sendall(ok())
            read_request(sock)

    provider = serve(pair, handle)
    assert pair.call().end["ok"] == 1
    call = pair.call()
    assert call.head["status"] == 502
    assert "without a reply" in call.error
    assert provider.count == 2


def test_unasked_bytes_close_a_kept_connection(pair):
    def handle(sock, number):
        read_request(sock)
        sock.sendall(ok(b'"%d"' % number))
        if number == 1:
            time.sleep(0.1)
            sock.sendall(ok(b'"poison"'))
        sock.recv(1)

    serve(pair, handle)
    assert pair.call().data == b'"1"'
    time.sleep(0.3)
    assert pair.call().data == b'"2"'


def test_reply_in_single_bytes(pair):
    body = b"".join(b"data: {\"n\":%d}\n\n" % i for i in range(20))
    reply = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" \
        b"Transfer-Encoding: chunked\r\n\r\n"
    for i in range(0, len(body), 7):
        part = body[i:i + 7]
        reply += b"%x\r\n%s\r\n" % (len(part), part)
    reply += b"0\r\n\r\n"

    def handle(sock, _n):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        read_request(sock)
        for i in range(len(reply)):
            sock.send(reply[i:i + 1])

    serve(pair, handle)
    call = pair.call()
    assert call.data == body and call.end["ok"] == 1


BAD = {
    "redirect": (b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/"
                 b"\r\nContent-Length: 0\r\n\r\n", "redirect"),
    "gzip": (ok(b"\x1f\x8b\x08", b"Content-Encoding: gzip\r\n"), "encoding"),
    "not http": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not valid HTTP"),
    "both lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
                     b"Transfer-Encoding: chunked\r\n\r\n{}", "not valid"),
    "two lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
                    b"Content-Length: 3\r\n\r\n{}", "not valid"),
    "negative length": (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}",
                        "not valid"),
    "upgrade": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
                "not valid"),
    "endless head": (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200000, "not valid"),
    "many fields": (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 5000, "not valid"),
    "nothing": (b"", "without a reply"),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-", "cut short"),
    "key refused": (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 30\r\n\r\n"
                    b"bad key " + KEY.encode(), "refused agentd's key"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_replies_are_our_502(pair, name):
    reply, words = BAD[name]
    serve(pair, answers(reply))
    call = pair.call()
    assert call.head["status"] == 502
    assert call.head["content_type"] == "application/json"
    assert words in call.error and KEY not in call.error
    assert call.end["ok"] == 1 and words in call.end["error"]


CUT = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
    "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
             b"64\r\nhalf",
    "no last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                     b"4\r\nhalf\r\n",
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                 b"4\r\nhalf\r\nzz\r\n",
}


@pytest.mark.parametrize("name", CUT)
def test_a_cut_reply_is_never_whole(pair, name):
    serve(pair, answers(CUT[name]))
    call = pair.call()
    assert call.head["status"] == 200
    assert call.data == b"half"
    assert call.end["ok"] == 0 and call.end["error"]


def test_odd_fields_are_cleaned(pair):
    serve(pair, answers(
        b"HTTP/1.1 429 Too Many\r\nContent-Type: text/\xe2\x98\x83\r\n"
        b"Retry-After: 17\r\nContent-Length: 2\r\n\r\n{}"))
    call = pair.call()
    assert call.head == {"status": 429, "retry_after": "17",
                         "content_type": "application/octet-stream"}


def test_body_of_32_mib_within_its_window(pair):
    seen = []

    def handle(sock, _n):
        seen.append(read_request(sock)[1])
        sock.sendall(ok())

    serve(pair, handle)
    before = pair.up.rss_kib()
    body = b'{"x":"' + b"y" * (32 << 20) + b'"}'
    call = pair.call(body, timeout=60)
    assert call.end["ok"] == 1
    assert seen[0] == body
    assert pair.up.rss_kib() - before < 4096


def test_slow_reader_holds_the_provider(pair):
    """Without credit no more is read: neither here nor on the wire."""
    sent = []
    total = 64 << 20

    def handle(sock, _n):
        read_request(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        block = b"z" * 65536
        sock.settimeout(30)
        n = 0
        while n < total:
            n += sock.send(block[:min(65536, total - n)])
            sent.append(n)

    serve(pair, handle)
    before = pair.up.rss_kib()
    call = pair.open(window=65536)
    call.push()
    while len(call.data) < 65536:
        call.step()
    time.sleep(1)
    assert len(call.data) == 65536
    with pytest.raises(TimeoutError):
        pair.gw.recv(0.5)
    assert sent[-1] < 16 << 20
    assert pair.up.rss_kib() - before < 2048
    # Other calls go on meanwhile.
    assert pair.call({"messages": [USER]}, provider=DEMO).head["status"] in \
        (200, 502)
    call.grant(1 << 30)
    while call.step():
        pass
    assert len(call.data) == total and call.end["ok"] == 1


def test_cancel_reaches_the_provider(pair):
    for phase in ("no head", "no body", "within"):
        gone = threading.Event()

        def handle(sock, _n, phase=phase, gone=gone):
            read_request(sock)
            if phase != "no head":
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
            if phase == "within":
                sock.sendall(b"some")
            try:
                if select.select([sock], [], [], 5)[0] and not sock.recv(1):
                    gone.set()
            except ConnectionResetError:    # it left bytes unread
                gone.set()

        serve(pair, handle)
        call = pair.open()
        call.push()
        if phase == "no head":
            time.sleep(0.2)
        while phase != "no head" and call.head is None:
            call.step()
        start = time.monotonic()
        pair.gw.send("CANCEL", {}, call.id)
        assert gone.wait(2), phase
        assert time.monotonic() - start < 0.5


def test_early_answer_ends_the_connection(pair):
    """413 before the body is out: passed on, the connection is not kept."""
    def handle(sock, number):
        if number == 1:
            sock.recv(1000)
            sock.sendall(b"HTTP/1.1 413 Too Large\r\n"
                         b"Content-Length: 2\r\n\r\n{}")
            time.sleep(1)
        else:
            answers(ok())(sock, number)

    provider = serve(pair, handle)
    call = pair.open(b"x" * 4000000)
    call.push()
    while call.step():
        pass
    assert call.head["status"] == 413
    assert pair.call().head["status"] == 200
    assert provider.count == 2


def test_many_calls_at_once(pair):
    def handle(sock, _n):
        while True:
            got = read_request(sock)
            if got is None:
                return
            sock.sendall(ok(got[1]))

    serve(pair, handle)
    calls = [pair.open({"n": n}) for n in range(100)]
    by_id = {c.id: c for c in calls}
    for c in calls:
        c.push()
    left = len(calls)
    while left:
        name, f, rid, _ = pair.gw.recv(15)
        if name == "LLM_DATA":
            by_id[rid].data += f["data"]
        elif name == "LLM_END":
            left -= 1
    assert [json.loads(c.data)["n"] for c in calls] == list(range(100))


# ---- the demo provider ----

@pytest.fixture(scope="module")
def demo(pair):
    res = pair.proxy.call("ROUTE_PUT", {"provider_id": DEMO, "name": "demo",
                                        "type": "demo"})
    assert res["status"] == 200
    return pair


def chunks(call):
    parts = call.data.decode().split("\n\n")
    assert parts[-2:] == ["data: [DONE]", ""]
    return [json.loads(p.removeprefix("data: ")) for p in parts[:-2]]


def test_demo_calls_one_tool_then_answers(demo):
    call = demo.call({"model": "demo", "messages": [USER], "tools": TOOLS,
                      "stream": True, "stream_options": {
                          "include_usage": True}}, provider=DEMO, stream=1)
    got = chunks(call)
    tools = [t for c in got if c["choices"]
             for t in c["choices"][0]["delta"].get("tool_calls", [])]
    assert [t["function"]["name"] for t in tools] == ["exec"]
    assert json.loads(tools[0]["function"]["arguments"]) == {
        "command": "echo hello from the demo provider"}
    assert got[-2]["choices"][0]["finish_reason"] == "tool_calls"
    assert got[-1]["choices"] == [] and got[-1]["usage"]["total_tokens"] > 0
    call = demo.call({"model": "demo", "messages": [
        USER, {"role": "assistant", "content": None, "tool_calls": [
            {"id": "x", "type": "function", "function": {
                "name": "exec", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "x", "content": "hello"}, USER],
        "tools": TOOLS, "stream": True}, provider=DEMO, stream=1)
    got = chunks(call)
    text = "".join(c["choices"][0]["delta"].get("content", "") for c in got)
    assert text.startswith("(demo provider, not an AI: canned reply)")
    assert got[-1]["choices"][0]["finish_reason"] == "stop"


def test_demo_in_a_small_window(demo):
    call = demo.call({"messages": [USER], "stream": True}, provider=DEMO,
                     window=4096)
    assert chunks(call)[-1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"messages":1}', b"{}",
                                  b'{"messages":[]}x', b"\xff"])
def test_demo_bad_requests(demo, body):
    call = demo.call(body, provider=DEMO)
    assert call.head["status"] == 400 and call.error


# ---- peers that break the rules ----

@pytest.mark.parametrize("fields", [
    {"path": "/../x"}, {"path": "x"}, {"path": "/a?b"}, {"path": "//x"},
    {"window": 10}, {"length": 1 << 40}, {"provider_id": "x"}])
def test_broken_open_is_reported(request, fields):
    p = llm.Pair(llm.libexec(request))
    p.gw.ask("LLM_OPEN", {"provider_id": PROVIDER, "agent_id": "b" * 32,
                          "path": "/chat/completions", "length": 2,
                          "window": 65536, **fields})
    while True:
        name, f, _, _ = p.up.super.recv()
        if name == "PEER_BAD":
            break
    assert f["proc"] == 3
    p.close()


def test_more_body_than_credit_is_reported(request):
    p = llm.Pair(llm.libexec(request))
    p.route("http://127.0.0.1:1/v1")
    listener = socket.create_server(("127.0.0.1", 0))
    p.route(f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
    rid = p.gw.ask("LLM_OPEN", {
        "provider_id": PROVIDER, "agent_id": "b" * 32, "path": "/x",
        "length": 32 << 20, "window": 65536})
    # Nobody reads there, so at some time no credit comes back.
    try:
        for _ in range(300):
            p.gw.send("LLM_BODY", {"data": b"x" * 61440}, rid)
    except OSError:
        pass
    name, f, _, _ = p.up.super.recv()
    assert (name, f["proc"]) == ("PEER_BAD", 3)
    p.close()
