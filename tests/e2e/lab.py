# What the tests on real parts share: an agentd, Incus, images, a provider.
# SPDX-License-Identifier: ISC
import contextlib
import fcntl
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
# Of this run: two runs on one machine do not meet.
PROJECT = f"agentd-test-{os.getpid()}"
WORKERS = ("front", "keeper", "gateway", "upstream", "dialer", "proxy",
           "container", "trace", "mover")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, probe, timeout=30, every=0.05):
    """Calls probe until it is true; returns what it returned."""
    end = time.monotonic() + timeout
    while True:
        got = probe()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError(f"no {what} within {timeout} s")
        time.sleep(every)


class UnixHTTP(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path, timeout=60):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Reply:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)


def request(conn, method, path, body=None, headers=None):
    headers = dict(headers or {})
    if body is not None and not isinstance(body, (bytes, str)):
        body = json.dumps(body)
        headers.setdefault("Content-Type", "application/json")
    conn.request(method, path, body=body, headers=headers)
    return Reply(conn.getresponse())


@contextlib.contextmanager
def only_one(name):
    """One test run at a time: several work side by side."""
    with open(f"/run/agentd-check-{name}.lock", "a", encoding="ascii") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


class Incus:
    """The Incus of this machine, by its REST API."""

    # Shared by the runs that use it; holds a word if it was started by one.
    in_use = "/run/agentd-check-incus.users"

    def __init__(self, build):
        self.setup = f"{build}/inst/libexec/agentd/incus-setup"
        self.users = None
        self.socket = None

    def _find(self):
        for path in ("/run/incus/unix.socket", "/var/lib/incus/unix.socket"):
            with contextlib.suppress(OSError):
                if request(UnixHTTP(path, 5), "GET", "/1.0").status == 200:
                    return path
        return None

    def start(self):
        self.users = open(self.in_use, "a+", encoding="ascii")
        with only_one("incus"):
            self.socket = self._find()
            if self.socket is None:
                subprocess.run([self.setup], check=True)
                self.users.write("started")
                self.users.flush()
                self.socket = self._find()
            fcntl.flock(self.users, fcntl.LOCK_SH)
        assert self.socket, "Incus does not answer"

    def stop(self):
        """The last one stops what one of them has started."""
        with only_one("incus"):
            fcntl.flock(self.users, fcntl.LOCK_UN)
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self.users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.users.seek(0)
                if self.users.read():
                    subprocess.run([self.setup, "--stop"], check=True)
                    self.users.truncate(0)
        self.users.close()

    def call(self, method, path, body=None, wait=True):
        r = request(UnixHTTP(self.socket, 120), method, path, body).json
        if wait and r.get("type") == "async":
            r = request(UnixHTTP(self.socket, 120), "GET",
                        f"{r['operation']}/wait?timeout=120").json
        return r

    def do(self, *args):
        """A call that must work: half a set-up tests nothing."""
        r = self.call(*args)
        op = r.get("metadata")
        op = op if isinstance(op, dict) else {}
        assert r.get("status_code") == 200 and \
            op.get("status_code", 200) == 200, (args, r)
        return r

    def instances(self, project=PROJECT):
        r = self.call("GET", f"/1.0/instances?project={project}&recursion=1")
        return r.get("metadata") or []

    def purge_dead_runs(self):
        """Projects of runs that were killed before they could clean up."""
        r = self.call("GET", "/1.0/projects")
        for path in r["metadata"]:
            name = path.rsplit("/", 1)[1]
            pid = re.match(r"agentd-test-[a-z]*(\d+)", name)
            if pid and not os.path.exists(f"/proc/{pid.group(1)}"):
                self.purge_project(name)

    def purge_project(self, project):
        for i in self.instances(project):
            path = f"/1.0/instances/{i['name']}"
            self.call("PUT", f"{path}/state?project={project}",
                      {"action": "stop", "force": True, "timeout": 10})
            self.call("DELETE", f"{path}?project={project}")
        r = self.call("GET", f"/1.0/images?project={project}&recursion=1")
        for i in r.get("metadata") or []:
            self.call("DELETE",
                      f"/1.0/images/{i['fingerprint']}?project={project}")
        self.call("DELETE", f"/1.0/projects/{project}")


class Images:
    """The base images, built once and kept as long as nothing changed."""

    cache = os.environ.get("AGENTD_CHECK_CACHE", "/var/cache/agentd/check")

    def __init__(self, build):
        self.build = build
        self.builder = f"{build}/inst/libexec/agentd/image-build"

    def _stamp(self, name):
        libexec = f"{self.build}/inst/libexec/agentd"
        out = subprocess.run(
            f"cd {TOP} && cat {libexec}/agent-link {libexec}/agent-recycle "
            f"ctl/image-build.in && find catalog/images/{name} "
            "catalog/images/common catalog/images/node $(grep -qs "
            f"'^install = pip' catalog/images/{name}/image.conf && "
            "echo catalog/images/python) -type f | LC_ALL=C sort | "
            "xargs cat",
            shell=True, check=True, capture_output=True).stdout
        return hashlib.sha256(out).hexdigest()[:16]

    def path(self, name):
        path = f"{self.cache}/{name}-{self._stamp(name)}.tar.zst"
        if os.path.exists(path):
            return path
        # Their builds share caches of packages.
        with only_one("image"):
            return self._build(name, path)

    def _build(self, name, path):
        if not os.path.exists(path):
            os.makedirs(self.cache, exist_ok=True)
            for old in os.listdir(self.cache):
                if old.startswith(f"{name}-"):
                    os.unlink(f"{self.cache}/{old}")
            subprocess.run([self.builder, name, "--output", path + ".part"],
                           check=True)
            os.rename(path + ".part.sbom.json",
                      path.replace(".tar.zst", ".sbom.json"))
            os.rename(path + ".part", path)
        return path


class MockUpstream:
    """tests/peers/mock-upstream.js: an OpenAI-compatible provider."""

    def __init__(self, tls_dir=None, *flags):
        self.port = free_port()
        self.key = "sk-mock-0123456789"
        self.ca = None
        args = ["node", f"{TOP}/tests/peers/mock-upstream.js", "--port",
                str(self.port), "--tool-first", "--key", self.key, *flags]
        if tls_dir is not None:
            self.ca, cert, key = make_ca(str(tls_dir))
            args += ["--tls-cert", cert, "--tls-key", key]
        self.proc = subprocess.Popen(args, stdout=subprocess.DEVNULL)
        scheme = "https" if tls_dir is not None else "http"
        self.url = f"{scheme}://localhost:{self.port}/v1"
        wait_for("mock upstream", self._listens)

    def _listens(self):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        return False

    def stop(self):
        self.proc.kill()
        self.proc.wait()


def make_ca(where):
    """A CA and a certificate for localhost; paths of CA, cert, key."""
    def openssl(*args):
        subprocess.run(["openssl", *args], check=True, cwd=where,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    with open(f"{where}/ext", "w", encoding="utf-8") as f:
        f.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            "-subj", "/CN=agentd test CA", "-keyout", "ca.key", "-out",
            "ca.pem")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost",
            "-keyout", "key.pem", "-out", "csr.pem")
    openssl("x509", "-req", "-in", "csr.pem", "-CA", "ca.pem", "-CAkey",
            "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "ext",
            "-out", "cert.pem")
    return f"{where}/ca.pem", f"{where}/cert.pem", f"{where}/key.pem"


class Agent:
    """A deployed agent."""

    def __init__(self, daemon, slug):
        self.daemon = daemon
        self.slug = slug

    @property
    def record(self):
        r = self.daemon.get(f"/api/agents/{self.slug}")
        assert r.status == 200, r.body
        return r.json

    @property
    def socket(self):
        return f"{self.daemon.state}/agents/{self.record['id']}/agentd.sock"

    def say(self, text):
        """Posts a message; returns its id, which is the turn's trace id."""
        r = self.daemon.call("POST", "/api/chat/messages",
                             {"channel_id": self.record["channel_id"],
                              "content": text})
        assert r.status == 201, r.body
        return r.json["id"]

    def history(self):
        r = self.daemon.get(
            f"/api/chat/channels/{self.record['channel_id']}/messages")
        assert r.status == 200, r.body
        return r.json["messages"]

    def answers(self, turn):
        return [m for m in self.history() if m["author_type"] == "agent" and
                m["metadata"].get("trace_id") == turn and
                m["state"] in ("complete", "error")]

    def answer(self, turn, timeout=60):
        got = wait_for(f"answer to {turn}", lambda: self.answers(turn),
                       timeout)
        return got[0]

    def trace(self, turn=None, **filters):
        query = "&".join([f"{k}={v}" for k, v in filters.items()] +
                         ([f"trace_id={turn}"] if turn else []))
        r = self.daemon.get(f"/api/agents/{self.slug}/trace?limit=1000&{query}")
        assert r.status == 200, r.body
        return r.json["events"]

    def remove(self):
        """For good: nothing of it is left but its trace."""
        return self.daemon.call("DELETE",
                                f"/api/agents/{self.slug}?purge=1")

    def archive(self):
        return self.daemon.call("DELETE", f"/api/agents/{self.slug}")


class Agentd:
    """An agentd of our own: prefix, port, state and project apart."""

    def __init__(self, build, incus, project=PROJECT, extra=""):
        self.inst = f"{build}/inst"
        self.incus = incus
        self.project = project
        self.dir = tempfile.mkdtemp(prefix="agentd-", dir="/var/tmp")
        os.chmod(self.dir, 0o755)
        self.state = f"{self.dir}/state"
        self.logs = f"{self.dir}/log"
        self.socket = f"{self.dir}/run/agentd.sock"
        self.port = free_port()
        self.config = f"{self.dir}/agentd.yaml"
        self.proc = None
        self.count = 0
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(f"""\
state_dir: {self.state}
run_dir: {self.dir}/run
log_dir: {self.logs}
log:
  level: debug
  target: file
listen:
  http: 127.0.0.1:{self.port}
  unix: {self.socket}
incus:
  socket: {incus.socket if incus else '/nonexistent'}
  project: {project}
{extra}""")

    def start(self):
        self.proc = subprocess.Popen(
            [f"{self.inst}/sbin/agentd", "--foreground", "-f", self.config],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True)
        wait_for("agentd", self.healthy, 20)

    def healthy(self):
        assert self.proc.poll() is None, \
            f"agentd ended: {self.proc.returncode}\n{self.log('supervisor')}"
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.get("/api/status").status == 200
        return False

    def stop(self):
        if self.proc is None:
            return
        self.proc.send_signal(signal.SIGTERM)
        try:
            self.proc.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.proc.pid, signal.SIGKILL)
            self.proc.wait()
            raise
        self.proc = None

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    def call(self, method, path, body=None, headers=None, timeout=90):
        return request(UnixHTTP(self.socket, timeout), method, path, body,
                       headers)

    def get(self, path, **kw):
        return self.call("GET", path, **kw)

    def ctl(self, *args, check=True, timeout=120, **kw):
        p = subprocess.run([f"{self.inst}/bin/agentctl", "-s", self.socket,
                            *args], capture_output=True, text=True,
                           timeout=timeout, **kw)
        if check and p.returncode != 0:
            raise AssertionError(f"agentctl {args}: {p.returncode}\n"
                                 f"{p.stdout}\n{p.stderr}")
        return p.stdout if check else p

    def log(self, worker):
        with contextlib.suppress(OSError), \
                open(f"{self.logs}/{worker}.log", encoding="utf-8",
                     errors="replace") as f:
            return f.read()
        return ""

    def pids(self):
        r = self.get("/api/status")
        return {w["name"]: w["pid"] for w in r.json["workers"]}

    def deploy(self, framework, model="demo", name=None, timeout=240):
        self.count += 1
        name = name or f"{framework}-{self.count}"
        r = self.call("POST", "/api/agents/deploy",
                      {"name": name, "framework": framework, "model": model})
        assert r.status == 202, r.body
        slug = r.json["name"]

        def over():
            s = self.get(f"/api/agents/{slug}/deploy-status").json
            return s if s["status"] != "deploying" else None

        s = wait_for("end of the deploy", over, timeout)
        assert s["status"] == "success", s
        return Agent(self, slug)

    def import_image(self, alias, path):
        with open(path, "rb") as f:
            r = self.call("PUT", f"/api/images/{alias}?trust=unsigned",
                          f.read(),
                          {"Content-Type": "application/octet-stream"},
                          timeout=300)
        assert r.status == 201, r.body

    def add_provider(self, name, mock):
        body = {"name": name, "type": "openai", "url": mock.url,
                "api_key": mock.key, "models": [f"{name}-model"],
                "allow_private": True}
        if mock.ca:
            with open(mock.ca, encoding="utf-8") as f:
                body["ca_pem"] = f.read()
        r = self.call("POST", "/api/providers", body)
        assert r.status == 201, r.body
        return f"{name}-model"

    # ---- what there is ----

    def _incus_has(self):
        def ask(kind):
            r = self.incus.call("GET", f"/1.0/{kind}?project={self.project}"
                                       "&recursion=2")
            return r.get("metadata") or []

        mine = [n["name"] for n in ask("networks")
                if n["config"].get("user.agentd.project") == self.project]
        return {
            "instances": {i["name"]: (
                i["status"], sorted(i["devices"]),
                sorted(s["name"] for s in i.get("snapshots") or []),
                {k: v for k, v in i["config"].items()
                 if k.startswith(("limits.", "user.agentd."))})
                for i in ask("instances")},
            "images": {i["fingerprint"]: sorted(a["name"]
                                                for a in i["aliases"])
                       for i in ask("images")},
            "networks": sorted(mine)}

    def _rows(self, path):
        """Of each table; of a copy, the owner keeps the file locked."""
        with tempfile.TemporaryDirectory() as t:
            for tail in ("", "-wal"):
                with contextlib.suppress(FileNotFoundError):
                    shutil.copyfile(path + tail, f"{t}/db{tail}")
            with contextlib.closing(sqlite3.connect(f"{t}/db")) as db:
                names = [n for (n,) in db.execute(
                    "SELECT name FROM sqlite_master WHERE type = 'table'")]
                found = {t: db.execute(
                    f"SELECT count(*) FROM {t}").fetchone()[0]
                    for t in names if not t.startswith("sqlite_") and
                    t not in ("audit", "disk", "trace_outbox")}
                # The scan of disks comes when it likes; rows of nobody never.
                if "disk" in names:
                    found["disk of nobody"] = db.execute(
                        "SELECT count(*) FROM disk WHERE agent_id NOT IN "
                        "(SELECT id FROM agent)").fetchone()[0]
                # What trace was told leaves its outbox; the number stays.
                if "sqlite_sequence" in names:
                    found.update(db.execute(
                        "SELECT 'last ' || name, seq FROM sqlite_sequence "
                        "WHERE name <> 'audit'"))
                return found

    def footprint(self):
        """All that a request may have made: one that was refused leaves it
        as it was. Not in it: audit, logs, contents of traces."""
        files = set()
        for top in (self.state, f"{self.dir}/run"):
            for where, dirs, names in os.walk(top):
                files |= {f"{where}/{n}" for n in dirs + names
                          if not n.endswith(("-wal", "-shm", "-journal"))}
        traces = {f for f in files if f.startswith(f"{self.state}/trace/")}
        return {"incus": self._incus_has(), "traces": sorted(traces),
                "files": sorted(files - traces),
                "state": self._rows(f"{self.state}/keeper/state.db"),
                "ledger": self._rows(f"{self.state}/proxy/ledger.db"),
                "agents": [{k: v for k, v in a.items() if k != "disk"}
                           for a in self.get("/api/agents").json],
                "archived": self.get("/api/agents/archived").json}

    def drift(self):
        """What Incus, the workers and the records do not agree on."""
        r = self.get("/api/doctor/drift")
        if r.status != 200:
            return [r.body]
        return r.json["drift"] + r.json["unanswered"]


@contextlib.contextmanager
def own_agentd(build, incus, project, images=None, extra=""):
    """An agentd for one file of tests, with the pi image if images are given;
    its project goes with it, and with that whatever a test left there."""
    daemon = Agentd(build, incus, project, extra)
    try:
        daemon.start()
        if images:
            daemon.import_image("taos-pi-base", images.path("pi"))
        yield daemon
    finally:
        daemon.stop()
        daemon.remove()
        incus.purge_project(project)
