# What agents may reach: nothing, the internet, or a list; on real Incus.
# SPDX-License-Identifier: ISC
import contextlib
import http.server
import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from lab import PROJECT, Agent, free_port, own_agentd, wait_for

OUTSIDE = "203.0.113.10"	# plays the internet; a range for documents
NS = f"agdnet{os.getpid() % 10000}"


class Site(threading.Thread):
    """An HTTP server that says its name."""

    def __init__(self, host="127.0.0.1", port=None, text=b"the internet"):
        super().__init__(daemon=True)

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *args):
                pass

        self.port = port or free_port()
        self.server = http.server.ThreadingHTTPServer((host, self.port),
                                                      Handler)
        self.start()

    def run(self):
        self.server.serve_forever()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def daemon(build, incus, images):
    with own_agentd(build, incus, f"{PROJECT}-net", images) as d:
        yield d
        # With the last of them the bridge goes.
        for a in d.get("/api/agents").json:
            d.call("DELETE", f"/api/agents/{a['name']}?purge=1")


@pytest.fixture(scope="module")
def pi(daemon):
    return daemon.deploy("pi", name="Walled")


@pytest.fixture()
def site():
    s = Site()
    yield s
    s.stop()


def inside(daemon, agent, *argv, timeout=60):
    return subprocess.run(["incus", "exec", "--project", daemon.project,
                           agent.record["container"], "--", *argv],
                          capture_output=True, text=True, timeout=timeout)


def curl(daemon, agent, url, *more):
    """By the proxy, as a runtime has it in its environment."""
    p = inside(daemon, agent, "env", "http_proxy=http://127.0.0.1:3128",
               "https_proxy=http://127.0.0.1:3128", "curl", "-sS", "-m", "8",
               "-w", "\n%{http_code} %{http_connect}", *more, url)
    body, _, codes = p.stdout.rpartition("\n")
    return p.returncode, body, codes.split(), p.stderr


def policy(daemon, agent, **doc):
    for _ in range(50):
        r = daemon.call("PUT", f"/api/agents/{agent.slug}/network", doc)
        if r.status != 409:	# what is under way ends
            break
        time.sleep(0.1)
    assert r.status == 200, r.body
    return r.json


def denied(agent):
    return [e["payload"] for e in agent.trace(kind="lifecycle")
            if e["payload"].get("event") == "egress_denied"]


def test_none_reaches_nothing(daemon, pi, site):
    assert pi.record["network"] == "none"
    p = inside(daemon, pi, "cat", "/proc/net/dev")
    assert "eth" not in p.stdout
    _, body, codes, _ = curl(daemon, pi, f"http://localhost:{site.port}/")
    assert codes[0] == "403" and "no network" in body, (body, codes)
    # Without the proxy there is no way at all.
    p = inside(daemon, pi, "curl", "-sS", "-m", "5", "--noproxy", "*",
               f"http://{OUTSIDE}/")
    assert p.returncode != 0


def test_allowed_by_name_live(daemon, pi, site):
    """The list is edited while the agent runs; nothing else gets through."""
    policy(daemon, pi, policy="allow")
    where = f"localhost:{site.port}"
    _, body, codes, _ = curl(daemon, pi, f"http://{where}/")
    assert codes[0] == "403" and "agentctl agent allow" in body
    wait_for("the refusal in the trace", lambda: [
        d for d in denied(pi) if d["host"] == "localhost" and
        d["port"] == site.port], 10)
    out = daemon.ctl("agent", "denied", pi.slug)
    assert str(site.port) in out
    # Allowed, but it is an address of the host's own networks.
    daemon.ctl("agent", "allow", pi.slug, where)
    _, body, codes, _ = curl(daemon, pi, f"http://{where}/")
    assert codes[0] == "403" and "loopback" in body, (body, codes)
    daemon.ctl("agent", "allow", pi.slug, where, "--private")
    _, body, codes, err = curl(daemon, pi, f"http://{where}/")
    assert codes[0] == "200" and body == "the internet", (body, codes, err)
    # The same by CONNECT.
    _, body, codes, err = curl(daemon, pi, f"http://{where}/", "-p")
    assert codes == ["200", "200"] and body == "the internet", (codes, err)
    # Another port of the host, another spelling of it: no.
    other = Site()
    try:
        for url in (f"http://localhost:{other.port}/",
                    f"http://127.0.0.1:{site.port}/",
                    f"http://[::1]:{site.port}/",
                    f"http://0x7f000001:{site.port}/",
                    "http://169.254.169.254/latest/meta-data/",
                    "http://10.0.0.1/", "http://example.com/"):
            rc, body, codes, _ = curl(daemon, pi, url, "--noproxy", "none")
            assert codes[0] in ("403", "400"), (url, body, codes)
    finally:
        other.stop()
    daemon.ctl("agent", "deny", pi.slug, where)
    _, body, codes, _ = curl(daemon, pi, f"http://{where}/")
    assert codes[0] == "403"


def test_a_private_domain_is_for_one_port(daemon, pi, site):
    policy(daemon, pi, policy="allow",
           domains=[f"localhost:{site.port} private"])
    assert pi.record["domains"] == [f"localhost:{site.port} private"]
    assert curl(daemon, pi, f"http://localhost:{site.port}/")[2][0] == "200"
    # Closed at once, also what is open.
    p = subprocess.Popen(
        ["incus", "exec", "--project", daemon.project,
         pi.record["container"], "--", "/opt/node/bin/node", "-e", f"""
const s = require('net').connect(3128, '127.0.0.1');
s.write('CONNECT localhost:{site.port} HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n');
s.on('data', (d) => console.log(String(d).split('\\r\\n')[0]));
s.on('close', () => {{ console.log('closed'); process.exit(0); }});
"""], stdout=subprocess.PIPE, text=True)
    assert "200" in p.stdout.readline()
    policy(daemon, pi, policy="none")
    assert p.wait(15) == 0
    assert "closed" in p.stdout.read()


def test_large_bodies_pass(daemon, pi):
    big = os.urandom(1 << 20) * 24
    s = Site(text=big)
    try:
        policy(daemon, pi, policy="allow",
               domains=[f"localhost:{s.port} private"])
        p = inside(daemon, pi, "sh", "-c",
                   f"curl -sS -m 60 -x http://127.0.0.1:3128 -p "
                   f"http://localhost:{s.port}/ | sha256sum")
        import hashlib
        assert p.stdout.split()[0] == hashlib.sha256(big).hexdigest(), p
    finally:
        s.stop()
        policy(daemon, pi, policy="none")


@pytest.mark.parametrize("domain,why", [
    ("*", "egress"), ("*.com", "top-level"), ("a.*.com", "'*'"),
    ("x" * 300, "253"), ("x" * 64, "63"),
    ("a.com:0", "port"), ("a.com:70000", "port"), ("a.com:http", "port"),
    ("127.0.0.1", "address"), ("10.1.2.3:80", "address"),
    ("[::1]:80", "address"), ("::1", "address"), ("0x7f.1", "address"),
    ("bücher.example", "xn--"), ("a\x01b.com", "control"),
    ("a.com\r\nx: y", "control"), ("a b.com", "letters"),
    ("http://a.com/", "port"), ("-a.com", "letters"), ("a..b", "empty"),
])
def test_hostile_domains(daemon, pi, domain, why):
    before = pi.record["domains"]
    r = daemon.call("POST", f"/api/agents/{pi.slug}/domains",
                    {"domain": domain})
    assert r.status == 422, (r.status, r.body)
    assert why in r.json["error"], r.body
    assert pi.record["domains"] == before
    r = daemon.call("POST", "/api/agents/deploy",
                    {"name": "x", "framework": "pi", "network": "allow",
                     "domains": [domain]})
    assert r.status == 422, r.body


def test_hostile_policies(daemon, pi):
    for bad in ("", "all", "EGRESS", "allow ", 5, None):
        r = daemon.call("PUT", f"/api/agents/{pi.slug}/network",
                        {"policy": bad} if bad is not None else
                        {"policy": {}})
        assert r.status == 422, (bad, r.status, r.body)
    assert pi.record["network"] == "none"


def test_a_list_is_emptied(daemon, pi):
    """No list leaves the present one, an empty one is in its place."""
    policy(daemon, pi, policy="allow", domains=["a.example", "b.example"])
    policy(daemon, pi, policy="allow")
    assert pi.record["domains"] == ["a.example", "b.example"]
    policy(daemon, pi, policy="allow", domains=[])
    assert pi.record["domains"] == []
    policy(daemon, pi, policy="none")


def test_hostile_proxy_requests(daemon, pi):
    """Broken heads get an answer or an end, and the link lives on."""
    policy(daemon, pi, policy="allow", domains=["localhost:9 private"])
    p = inside(daemon, pi, "/opt/node/bin/node", "-e", """
const net = require('net');
const heads = ['', 'x', 'GET / HTTP/1.1\\r\\n\\r\\n',
  'CONNECT\\r\\n\\r\\n', 'CONNECT a HTTP/1.1\\r\\n\\r\\n',
  'CONNECT a:0 HTTP/1.1\\r\\n\\r\\n', 'CONNECT \\0:1 HTTP/1.1\\r\\n\\r\\n',
  'GET https://a/ HTTP/1.1\\r\\n\\r\\n',
  'CONNECT ' + 'a'.repeat(20000) + ':1 HTTP/1.1\\r\\n\\r\\n',
  'CONNECT localhost:9 HTTP/1.1\\r\\nX: y\\r\\n\\r\\n'];
(async () => {
  for (const h of heads) await new Promise((done) => {
    const s = net.connect(3128, '127.0.0.1');
    let t = '';
    s.on('data', (d) => t += d);
    s.on('error', () => {});
    s.on('close', () => { console.log(t.slice(9, 12)); done(); });
    s.end(h);
  });
})();
""")
    codes = p.stdout.split("\n")
    assert "200" not in codes, p.stdout
    assert pi.answer(pi.say("alive?"))["state"] == "complete"
    policy(daemon, pi, policy="none")


def test_refusals_are_bounded(daemon, pi):
    """One host a minute once, many hosts not without end."""
    n = len(denied(pi))
    script = ("for i in $(seq 60); do curl -s -o /dev/null -m 5 -x "
              "http://127.0.0.1:3128 http://h$i.example/; "
              "curl -s -o /dev/null -m 5 -x http://127.0.0.1:3128 "
              "http://same.example/; done")
    inside(daemon, pi, "sh", "-c", script, timeout=120)
    time.sleep(1)
    now = denied(pi)
    assert len([d for d in now if d["host"] == "same.example"]) <= 2
    assert n < len(now) <= n + 60


# ---- egress ----

def sh(*argv, check=True):
    return subprocess.run(argv, check=check, capture_output=True, text=True)


@pytest.fixture(scope="module")
def internet():
    """A name space behind a veth that has a public address, a private one, a
    link-local one and a shared one; each answers on port 80."""
    sh("ip", "netns", "add", NS)
    link = f"{NS}h"
    try:
        sh("ip", "link", "add", link, "type", "veth", "peer", "name", "in0",
           "netns", NS)
        sh("ip", "addr", "add", "203.0.113.1/24", "dev", link)
        sh("ip", "link", "set", link, "up")
        n = ("ip", "-n", NS)
        for a in (f"{OUTSIDE}/24", "192.168.77.5/32", "172.20.0.5/32",
                  "100.64.0.5/32", "198.18.0.5/32"):
            sh(*n, "addr", "add", a, "dev", "in0")
        sh(*n, "link", "set", "in0", "up")
        sh(*n, "link", "set", "lo", "up")
        for a in ("192.168.77.5", "172.20.0.5", "100.64.0.5", "198.18.0.5"):
            sh("ip", "route", "add", f"{a}/32", "via", OUTSIDE, "dev", link)
        p = subprocess.Popen(
            ["ip", "netns", "exec", NS, "python3", "-m", "http.server",
             "--bind", "0.0.0.0", "80"], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, cwd="/var/empty"
            if os.path.isdir("/var/empty") else "/")
        wait_for("the internet", lambda: reach(OUTSIDE, 80), 10)
        for a in ("192.168.77.5", "172.20.0.5", "100.64.0.5"):
            assert reach(a, 80), a	# so that a refusal means something
        yield
        p.kill()
        p.wait()
    finally:
        sh("ip", "netns", "del", NS, check=False)
        sh("ip", "link", "del", link, check=False)


def reach(host, port, timeout=2):
    with contextlib.suppress(OSError):
        socket.create_connection((host, port), timeout).close()
        return True
    return False


def tries(daemon, agent, host, port):
    """From the container by its card: does a connection come about?"""
    p = inside(daemon, agent, "/opt/node/bin/node", "-e", f"""
const s = require('net').connect({{host: '{host}', port: {port}}});
s.setTimeout(2500, () => {{ console.log('no'); process.exit(0); }});
s.on('connect', () => {{ console.log('yes'); process.exit(0); }});
s.on('error', () => {{ console.log('no'); process.exit(0); }});
""")
    return p.stdout.strip() == "yes"


def nic(daemon, agent):
    r = daemon.incus.call("GET", f"/1.0/instances/"
                          f"{agent.record['container']}"
                          f"?project={daemon.project}")["metadata"]
    return r["devices"].get("eth0", {})


def address(daemon, agent):
    return nic(daemon, agent)["ipv4.address"]


def test_egress(daemon, pi, internet):
    """The internet and names, but neither host, LAN nor another agent."""
    a = pi
    r = daemon.call("POST", "/api/agents/deploy",
                    {"name": "Free", "framework": "pi", "model": "demo",
                     "network": "egress"})
    assert r.status == 202, r.body
    b = Agent(daemon, r.json["name"])
    wait_for("deploy", lambda: b.record["status"] == "running", 60)
    policy(daemon, a, policy="egress")
    bridge = nic(daemon, a)["network"]
    assert len(bridge) <= 15
    wait_for("card of b", lambda: nic(daemon, b).get("network") == bridge, 20)
    wait_for("the internet in a", lambda: tries(daemon, a, OUTSIDE, 80), 20)
    wait_for("the internet in b", lambda: tries(daemon, b, OUTSIDE, 80), 20)
    gw = address(daemon, a).rsplit(".", 1)[0] + ".1"
    host = Site("0.0.0.0", text=b"the host")
    inner = subprocess.Popen(
        ["incus", "exec", "--project", daemon.project,
         b.record["container"], "--", "/opt/node/bin/node", "-e",
         "require('http').createServer((q, s) => s.end('b'))"
         ".listen(8099, '0.0.0.0')"], stdin=subprocess.DEVNULL)
    try:
        time.sleep(1)
        # The control: from the host itself these all answer.
        own = [gw, "203.0.113.1"]
        own += [x.split()[3].split("/")[0] for x in sh(
            "ip", "-4", "-o", "addr", "show", "scope",
            "global").stdout.splitlines()]
        for h in own:
            assert reach(h, host.port), h
            assert not tries(daemon, a, h, host.port), h
        for h in ("192.168.77.5", "172.20.0.5", "100.64.0.5", "198.18.0.5",
                  "169.254.169.254"):
            assert not tries(daemon, a, h, 80), h
        assert not tries(daemon, a, address(daemon, b), 8099)
        assert not tries(daemon, b, address(daemon, a), 8099)
        # A service of the host that listens on all addresses, by name.
        assert tries(daemon, a, OUTSIDE, 80)
        # Another address than its own: dropped.
        p = inside(daemon, a, "cat", "/etc/resolv.conf")
        assert f"nameserver {gw}" in p.stdout
        # An address that the host gets while all this runs.
        sh("ip", "addr", "add", "203.0.113.77/32", "dev", f"{NS}h")
        assert reach("203.0.113.77", host.port)
        wait_for("the rule for a new address", lambda: not tries(
            daemon, a, "203.0.113.77", host.port), 10)
    finally:
        host.stop()
        inner.kill()
        inner.wait()
    policy(daemon, a, policy="none")
    assert not tries(daemon, a, OUTSIDE, 80)
    assert "eth0" not in inside(daemon, a, "cat", "/proc/net/dev").stdout
    daemon.call("DELETE", f"/api/agents/{b.slug}?purge=1")
    wait_for("the bridge to go", lambda: bridge not in [
        n.rsplit("/", 1)[1] for n in
        daemon.incus.call("GET", "/1.0/networks")["metadata"]], 20)
    wait_for("its rules to go", lambda: bridge not in json.dumps(
        daemon.incus.call("GET", "/1.0/network-acls")), 10)


def test_deploy_has_its_network_at_once(daemon):
    """The policy is part of the deploy: who is killed at its end, or in the
    middle, leaves no agent with another network than it asked for."""
    text = daemon.ctl("agent", "deploy", "Wired", "--network", "egress",
                      "--processes", "300", "--color", "#123456")
    assert "is running" in text, text
    a = Agent(daemon, "wired")
    assert nic(daemon, a).get("type") == "nic"
    assert a.record["network"] == "egress"
    assert a.record["process_limit"] == 300
    assert a.record["color"] == "#123456"
    daemon.call("DELETE", "/api/agents/wired?purge=1")
    for worker, delay in (("keeper", 0.3), ("container", 0.3),
                          ("keeper", 0.6), ("container", 0.6)):
        r = daemon.call("POST", "/api/agents/deploy",
                        {"name": "Cut", "framework": "pi", "model": "demo",
                         "network": "egress"})
        assert r.status == 202, r.body
        time.sleep(delay)
        os.kill(daemon.pids()[worker], signal.SIGKILL)
        wait_for("agentd", daemon.healthy, 20)
        a = Agent(daemon, r.json["name"])

        def over(a=a):
            r = daemon.get(f"/api/agents/{a.slug}")
            return r.status == 404 or r.json["status"] == "running"

        wait_for("the end of the deploy", over, 90)
        if daemon.get(f"/api/agents/{a.slug}").status == 200:
            assert nic(daemon, a).get("type") == "nic"
            r = daemon.call("DELETE", f"/api/agents/{a.slug}?purge=1")
            assert r.status == 200, r.body


def test_deploy_with_domains(daemon, site):
    """--allow is the policy allow from the first moment on."""
    text = daemon.ctl("agent", "deploy", "Listed", "--allow", "example.com",
                      "--allow", "*.example.org:8443")
    assert "is running" in text, text
    a = Agent(daemon, "listed")
    assert a.record["network"] == "allow"
    assert a.record["domains"] == ["example.com", "*.example.org:8443"]
    p = daemon.ctl("agent", "deploy", "Odd", "--allow", "example.com",
                   "--network", "none", check=False)
    assert p.returncode == 2 and "--network allow" in p.stderr
    p = daemon.ctl("agent", "deploy", "Odd", "--network", "all", check=False)
    assert p.returncode == 1 and "egress" in p.stderr
    daemon.call("DELETE", "/api/agents/listed?purge=1")


def test_spoofing(daemon, internet):
    """Packets with an address that is not the card's are dropped."""
    a = daemon.deploy("pi", name="Spoof")
    policy(daemon, a, policy="egress")
    wait_for("the internet", lambda: tries(daemon, a, OUTSIDE, 80), 20)
    card = nic(daemon, a)
    for key in ("security.mac_filtering", "security.ipv4_filtering",
                "security.ipv6_filtering", "security.port_isolation"):
        assert card[key] == "true", card
    base = card["ipv4.address"].rsplit(".", 1)[0]
    p = inside(daemon, a, "/usr/bin/perl", "-e", f"""
use Socket;
socket(my $s, PF_INET, SOCK_DGRAM, 0) or die;
my $r = pack('a16Sna4x8', 'eth0:1', AF_INET, 0, inet_aton('{base}.77'));
ioctl($s, 0x8916, $r) or die "alias: $!";
socket(my $t, PF_INET, SOCK_STREAM, getprotobyname('tcp')) or die;
bind($t, sockaddr_in(0, inet_aton('{base}.77'))) or die "bind: $!";
$SIG{{ALRM}} = sub {{ print "dropped\\n"; exit 0 }};
alarm 3;
print connect($t, sockaddr_in(80, inet_aton('{OUTSIDE}'))) ? "open\\n"
    : "refused\\n";
""")
    assert p.stdout.strip() in ("dropped", "refused"), (p.stdout, p.stderr)
    daemon.call("DELETE", f"/api/agents/{a.slug}?purge=1")


def test_the_row_wins_after_a_cut(daemon, pi):
    """A card that the row does not know is taken away at the next start."""
    name = pi.record["container"]
    policy(daemon, pi, policy="egress")
    assert nic(daemon, pi)["type"] == "nic"
    path = f"/1.0/instances/{name}?project={daemon.project}"
    daemon.incus.do("PATCH", path, {"devices": {"eth0": {"type": "none"}}})
    daemon.stop()
    daemon.start()
    wait_for("the card", lambda: nic(daemon, pi).get("type") == "nic", 30)
    policy(daemon, pi, policy="none")
    assert nic(daemon, pi)["type"] == "none"
