# Where upstream and dialer connect to, and whom they trust.
# SPDX-License-Identifier: ISC
import socket
import ssl
import time

import pytest

import llm
from lab import make_ca
from llm import (KEY, PROVIDER, Provider, answers, ok, pair,  # noqa: F401
                 read_request, serve)


# ---- where it connects ----

@pytest.mark.parametrize("host", [
    "127.0.0.1", "localhost", "10.1.2.3", "192.168.1.1", "172.16.0.1",
    "100.64.0.1", "[::1]", "[fd00::1]"])
def test_private_addresses_need_leave(pair, host):
    # The route is stored: it is the dialer that refuses, at every connect.
    res = pair.proxy.call("ROUTE_PUT", {
        "provider_id": PROVIDER, "name": "mock", "type": "openai",
        "url": f"https://{host}:1/v1", "ca_pem": CA_PEM})
    assert res["status"] == 200, res
    call = pair.call()
    assert call.head["status"] == 502
    assert "not allowed" in call.error


@pytest.mark.parametrize("host", [
    "169.254.169.254", "0.0.0.0", "224.0.0.1", "255.255.255.255",
    "100.100.100.200", "[::]", "[fe80::1]", "[::ffff:127.0.0.1]",
    "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fd00:ec2::254]"])
def test_some_addresses_are_for_nobody(pair, host):
    assert pair.route(f"http://{host}:80/v1")["status"] == 200
    call = pair.call()
    assert call.head["status"] == 502
    assert "not allowed" in call.error


@pytest.mark.parametrize("host", [
    "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "127.0.0.1.", "a..b"])
def test_odd_spellings_are_no_hosts(pair, host):
    assert pair.route(f"http://{host}:80/v1")["status"] == 200
    call = pair.call()
    assert call.head["status"] == 502
    assert "not a host name" in call.error


@pytest.mark.parametrize("url", [
    "http://user@localhost/v1", "http://localhost#/v1", "http://localhost?x",
    "http://localhost:0/", "http://localhost:99999/", "http://[fe80::1%25lo]/",
    "http://local host/", "ftp://localhost/", "http:///v1", "localhost:80",
    "http://localhost/../v1", "http://localhost//v1", "http://[::1]x/",
    "http://localhost/v1\r\nX: y"])
def test_urls_with_two_meanings(pair, url):
    assert pair.route(url)["status"] == 422


def test_nobody_listens(pair):
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    sock.close()
    assert pair.route(f"http://127.0.0.1:{port}/v1")["status"] == 200
    call = pair.call()
    assert call.head["status"] == 502 and "refused" in call.error


def test_calls_that_overtake_their_route(request):
    """After a restart a call waits for what proxy and keeper push."""
    p = llm.Pair(llm.libexec(request))
    seen = []

    def handle(sock, _n):
        seen.append(read_request(sock))
        sock.sendall(ok())

    provider = Provider(handle)
    call = p.open(b'{"x":1}')
    call.push()
    with pytest.raises(TimeoutError):
        p.gw.recv(0.2)
    row = {"provider_id": PROVIDER, "name": "mock", "type": "openai",
           "url": provider.url(), "allow_private": 1}
    assert p.proxy.call("ROUTE_PUT", row)["status"] == 200
    with pytest.raises(TimeoutError):
        p.gw.recv(0.2)
    p.keeper.call("SECRET_PUT", {"provider_id": PROVIDER, "api_key": KEY})
    assert call.run().head["status"] == 200
    assert seen[0][1] == b'{"x":1}' and KEY.encode() in seen[0][0]
    # A provider that nobody knows, and one that has no key, after a while.
    start = time.monotonic()
    call = p.call(provider="c" * 32)
    assert call.head["status"] == 502 and "not known" in call.error
    row = {**row, "provider_id": "e" * 32, "name": "keyless"}
    assert p.proxy.call("ROUTE_PUT", row)["status"] == 200
    assert p.call(provider="e" * 32).head["status"] == 200
    assert b"Authorization" not in seen[1][0]
    assert 2 < time.monotonic() - start < 8
    p.close()


def test_plain_http_only_to_private(pair):
    res = pair.route("http://localhost:1/v1", allow_private=0)
    assert res["status"] == 422 and "http" in res["error"]


# ---- TLS ----

@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return make_ca(str(tmp_path_factory.mktemp("ca")))


@pytest.fixture(scope="module")
def other_ca(tmp_path_factory):
    return make_ca(str(tmp_path_factory.mktemp("other")))


def server_tls(ca, newest=None):
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(ca[1], ca[2])
    if newest:
        ctx.set_ciphers("ALL:@SECLEVEL=0")
        ctx.minimum_version = ssl.TLSVersion.TLSv1
        ctx.maximum_version = newest
    return ctx


def pem(path):
    with open(path, encoding="ascii") as f:
        return f.read()


# Any certificate does where no connection is made.
CA_PEM = ""


@pytest.fixture(scope="module", autouse=True)
def some_ca(ca):
    global CA_PEM
    CA_PEM = pem(ca[0])


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_tls_with_the_providers_ca(pair, ca, host):
    provider = serve(pair, answers(*[ok(b'"tls"')] * 3), server_tls(ca), host,
                     ca_pem=pem(ca[0]))
    for _ in range(3):
        call = pair.call({"x": "y" * 300000})
        assert (call.head["status"], call.data) == (200, b'"tls"')
    assert provider.count == 1


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2,
                                     ssl.TLSVersion.TLSv1_3])
def test_tls_versions(pair, ca, version):
    serve(pair, answers(ok()), server_tls(ca, version), ca_pem=pem(ca[0]))
    assert pair.call().end["ok"] == 1


def test_tls_1_1_is_refused(pair, ca):
    serve(pair, answers(ok()), server_tls(ca, ssl.TLSVersion.TLSv1_1),
          ca_pem=pem(ca[0]))
    call = pair.call()
    assert call.head["status"] == 502 and "TLS" in call.error


def test_tls_of_an_unknown_ca(pair, ca, other_ca):
    got = []

    def handle(sock, _n):
        got.append(read_request(sock))

    serve(pair, handle, server_tls(ca), ca_pem=pem(other_ca[0]))
    call = pair.call()
    assert call.head["status"] == 502 and "certificate" in call.error
    assert not got or got == [None]


def test_tls_for_another_name(pair, ca):
    # The certificate is for localhost and 127.0.0.1.
    provider = Provider(answers(ok()), server_tls(ca), "127.0.0.2")
    pair.route(provider.url("127.0.0.2"), ca_pem=pem(ca[0]))
    call = pair.call()
    assert call.head["status"] == 502
    assert "mismatch" in call.error


def test_tls_against_plain(pair, ca):
    provider = Provider(lambda sock, _n: sock.sendall(ok()))
    res = pair.route(f"https://localhost:{provider.port}/v1",
                     ca_pem=pem(ca[0]))
    assert res["status"] == 200
    call = pair.call()
    assert call.head["status"] == 502 and "TLS" in call.error


def test_tls_end_without_farewell_is_a_cut(pair, ca):
    """A body that lasts until the close must end with close_notify."""
    def handle(sock, number):
        read_request(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nsome")
        if number == 1:
            sock.unwrap()
        else:
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    serve(pair, handle, server_tls(ca), ca_pem=pem(ca[0]))
    call = pair.call()
    assert call.data == b"some" and call.end["ok"] == 1
    call = pair.call()
    assert call.data == b"some" and call.end["ok"] == 0


def test_tls_slow_reader(pair, ca):
    total = 8 << 20

    def handle(sock, _n):
        read_request(sock)
        sock.sendall(ok(b"z" * total))

    serve(pair, handle, server_tls(ca), ca_pem=pem(ca[0]))
    call = pair.open(window=65536)
    call.push()
    while len(call.data) < 65536:
        call.step()
    with pytest.raises(TimeoutError):
        pair.gw.recv(0.5)
    call.grant(65536)
    call.run()
    assert len(call.data) == total


def test_ca_text_must_hold_a_certificate(pair):
    res = pair.route("https://localhost:1/v1", ca_pem="nonsense")
    assert res["status"] == 422 and "certificate" in res["error"]


def test_ca_bundle(request, ca):
    p = llm.Pair(llm.libexec(request), ca=ca[0])
    serve(p, answers(ok()), server_tls(ca))
    assert p.call().end["ok"] == 1
    p.close()
