# Kills agentd, or parts of it, in the middle of things, and looks what is left.
# SPDX-License-Identifier: ISC
import collections
import contextlib
import http.client
import os
import signal
import sqlite3
import threading
import time

from lab import Agent, wait_for

VICTIMS = ("keeper", "container", "all")
# Where a deploy can be cut; see workers/keeper/jobsm.c.  "channel" is stored
# in one transaction with "running": only the random kills can meet it.
STATES = ("policy", "socket", "instance", "connected", "rollback")
BOUND = 200     # seconds until all is well again; Incus may be very busy
ANSWER = "answers"
UNDONE = "nothing left"


class Crash:
    """One agentd, its victims, and a tally of what became of them."""

    def __init__(self, daemon, rng):
        self.daemon = daemon
        self.rng = rng
        self.count = 0
        self.kills = collections.Counter()
        self.outcomes = collections.Counter()
        self.leftovers = collections.Counter()
        self.seconds = []

    # ---- victims ----

    def workers(self):
        """name -> pid, without asking agentd."""
        top, found = self.daemon.proc.pid, {}
        with open(f"/proc/{top}/task/{top}/children",
                  encoding="ascii") as f:
            for pid in map(int, f.read().split()):
                with contextlib.suppress(OSError), \
                        open(f"/proc/{pid}/cmdline", "rb") as c:
                    name = os.path.basename(
                        c.read().split(b"\0")[0].decode())
                    found[name.replace("agentd-", "").split()[-1]] = pid
        return found

    def pid(self, worker):
        if worker == "supervisor":
            return self.daemon.proc.pid
        return wait_for(worker, lambda: self.workers().get(worker), 10)

    @contextlib.contextmanager
    def held(self, worker):
        """It gets no further, so that the others stay where they are."""
        pid = self.pid(worker)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def kill(self, victim, verb, state):
        self.kills[(verb, state, victim)] += 1
        if victim != "all":
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid(victim), signal.SIGKILL)
            return
        d = self.daemon
        pids = list(self.workers().values())
        os.killpg(d.proc.pid, signal.SIGKILL)
        d.proc.wait()
        wait_for("end of all", lambda: not any(
            os.path.exists(f"/proc/{p}") for p in pids), 10, 0.005)
        d.start()

    # ---- requests that may be cut ----

    def background(self, method, path, body=None, headers=None):
        """Sends it, and does not care what is answered."""
        def run():
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.daemon.call(method, path, body, headers, BOUND)
        t = threading.Thread(target=run, daemon=True)
        t.start()
        return t

    def insist(self, method, path, body=None, headers=None):
        """Asks until there is an answer that is one."""
        def ask():
            with contextlib.suppress(OSError, http.client.HTTPException):
                r = self.daemon.call(method, path, body, headers, BOUND)
                if r.status < 500 and r.status != 401:
                    return r
            return None
        return wait_for(f"answer to {method} {path}", ask, BOUND, 0.02)

    # ---- deploys ----

    def wish(self):
        self.count += 1
        name = f"crash-{self.count}"
        return ({"name": name, "framework": "pi", "model": "demo"},
                {"Idempotency-Key": name})

    def begin(self, wish):
        return self.background("POST", "/api/agents/deploy", *wish)

    def steps(self, name):
        """The steps of the journal, as far as it goes at this moment."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            r = self.daemon.get(f"/api/agents/{name}/deploy-status",
                                timeout=2)
            if r.status == 200:
                return [s["step"] for s in r.json["steps"]]
        return []

    def reach(self, name, step):
        wait_for(f"step {step} of {name}", lambda: step in self.steps(name),
                 BOUND, 0.002)

    def settle(self, wish):
        """How a deploy that was cut ends: an Agent that answers, or None."""
        r = self.insist("POST", "/api/agents/deploy", *wish)
        assert r.status == 202, r.body
        slug, ident = r.json["name"], r.json["agent_id"]

        def over():
            s = self.insist("GET", f"/api/agents/{slug}/deploy-status").json
            return s if s["status"] != "deploying" else None

        s = wait_for(f"end of the deploy of {slug}", over, BOUND)
        if s["status"] == "success":
            agent = Agent(self.daemon, slug)
            self.answers(agent)
            return agent, ident
        assert s["error"], s
        self.nothing_left(slug, ident)
        return None, ident

    def answers(self, agent):
        a = agent.answer(agent.say("still there?"), BOUND)
        assert a["state"] == "complete", a

    # ---- what is left ----

    def traces_of(self, slug, ident):
        """Everything that there still is of an agent."""
        d, left = self.daemon, []
        if any(i["name"] == f"agentd-{ident[:12]}"
               for i in d.incus.instances(d.project)):
            left.append("instance")
        if os.path.exists(f"{d.state}/agents/{ident}"):
            left.append("directory")
        if self.insist("GET", f"/api/agents/{slug}").status != 404:
            left.append("row")
        if any(ident in str(c) for c in
               self.insist("GET", "/api/chat/channels").json["channels"]):
            left.append("channel")
        left += [f"{table} in the ledger" for table in ledger(d.state, ident)]
        return left

    def nothing_left(self, slug, ident):
        left = []

        def clean():
            left[:] = self.traces_of(slug, ident)
            return not left
        try:
            wait_for("clean state", clean, BOUND, 0.1)
        except AssertionError as e:
            self.leftovers.update(left)
            raise AssertionError(f"left of {slug}: {left}") from e

    def do(self, method, path):
        """Insists, also against what a cut request has left under way."""
        def ask():
            r = self.insist(method, path)
            return r if r.status != 409 else None
        return wait_for(f"{method} {path}", ask, BOUND, 0.1)

    def remove(self, agent, ident):
        r = self.do("DELETE", f"/api/agents/{agent.slug}?purge=1")
        assert r.status in (200, 404), r.body
        self.nothing_left(agent.slug, ident)

    def note(self, verb, outcome, began):
        self.outcomes[(verb, outcome)] += 1
        self.seconds.append(time.monotonic() - began)

    # ---- what is cut ----

    def cut_deploy(self, state, victim):
        """Kills in that state of a deploy; returns what came of it."""
        began = time.monotonic()
        wish = self.wish()
        name = wish[0]["name"]
        hold = {"policy": "proxy", "socket": "supervisor",
                "connected": "gateway", "rollback": "gateway"}.get(state)
        with contextlib.ExitStack() as stack:
            if hold:
                stack.enter_context(self.held(hold))
            self.begin(wish)
            if state in ("policy", "socket"):
                self.reach(name, "policy")
                time.sleep(0.03)
            elif state == "instance":
                self.reach(name, "instance")
                time.sleep(self.rng.uniform(0, 0.4))
            elif state == "connected":
                self.reach(name, "connected")
            else:
                self.reach(name, self.rng.choice(("instance", "connected")))
                stack.enter_context(self.held("container"))
                self.background("DELETE", f"/api/agents/{name}")
                self.reach(name, "rollback")
            self.kill(victim, "deploy", state)
        agent, ident = self.settle(wish)
        self.note("deploy", ANSWER if agent else UNDONE, began)
        if state == "rollback":
            assert agent is None, "a cancelled deploy came back"
        elif victim != "all":
            assert agent is not None, "a deploy that was cut did not go on"
        return agent, ident

    def cut_deploy_at_random(self, victim):
        began = time.monotonic()
        wish = self.wish()
        steps, end = [], time.monotonic() + self.rng.uniform(0, 1.0)
        self.begin(wish)
        while time.monotonic() < end:
            steps = self.steps(wish[0]["name"]) or steps
            time.sleep(0.002)
        self.kill(victim, "deploy", steps[-1] if steps else "planned")
        agent, ident = self.settle(wish)
        self.note("deploy", ANSWER if agent else UNDONE, began)
        return agent, ident

    def cut_delete(self, agent, ident, victim, hold=False):
        began = time.monotonic()
        path = f"/api/agents/{agent.slug}?purge=1"
        with contextlib.ExitStack() as stack:
            if hold:
                stack.enter_context(self.held("container"))
            self.background("DELETE", path)
            time.sleep(0.1 if hold else self.rng.uniform(0, 0.8))
            self.kill(victim, "delete", "held" if hold else "random")
        # Either the intent was stored, or there still is a whole agent.
        self.remove(agent, ident)
        self.note("delete", UNDONE, began)

    def cut_power(self, agent, ident, verb, victim, hold=False):
        """stop, start or restart; then it is as it should be, and answers."""
        began = time.monotonic()
        if verb == "start":
            r = self.do("POST", f"/api/agents/{agent.slug}/stop")
            assert r.status == 200, r.body
        with contextlib.ExitStack() as stack:
            if hold:
                stack.enter_context(self.held("container"))
            self.background("POST", f"/api/agents/{agent.slug}/{verb}")
            time.sleep(0.1 if hold else self.rng.uniform(0, 0.6))
            self.kill(victim, verb, "held" if hold else "random")
        self.agrees(agent, ident)
        r = self.do("POST", f"/api/agents/{agent.slug}/start")
        assert r.status == 200, r.body
        self.answers(agent)
        self.note(verb, ANSWER, began)

    def agrees(self, agent, ident):
        """The record and Incus say the same."""
        d, seen = self.daemon, []

        def same():
            r = self.insist("GET", f"/api/agents/{agent.slug}")
            assert r.status == 200, r.body
            is_now = [i["status"] for i in d.incus.instances(d.project)
                      if i["name"] == f"agentd-{ident[:12]}"]
            seen[:] = [r.json["status"], is_now]
            return seen in (["running", ["Running"]],
                            ["stopped", ["Stopped"]])
        try:
            wait_for("agreement", same, BOUND, 0.1)
        except AssertionError as e:
            raise AssertionError(f"{agent.slug}: {seen}") from e

    # ---- many ----

    def storm(self, kills):
        """That many random kills, all verbs, all victims."""
        end = sum(self.kills.values()) + kills

        def left():
            return end - sum(self.kills.values())
        while left() > 0:
            agent, ident = self.cut_deploy_at_random(
                self.rng.choice(VICTIMS))
            if agent is None:
                continue
            if left() > 0 and self.rng.random() < 0.5:
                self.cut_power(agent, ident, self.rng.choice(
                    ("stop", "start", "restart")), self.rng.choice(VICTIMS))
            if left() > 0 and self.rng.random() < 0.5:
                self.cut_delete(agent, ident, self.rng.choice(VICTIMS))
            else:
                self.remove(agent, ident)

    def report(self):
        lines = ["", f"{sum(self.kills.values())} kills"]
        for (verb, state, victim), n in sorted(self.kills.items()):
            lines.append(f"  {verb:8} {state:10} {victim:10} {n:4}")
        lines.append("outcomes")
        for (verb, outcome), n in sorted(self.outcomes.items()):
            lines.append(f"  {verb:8} {outcome:21} {n:4}")
        if self.seconds:
            s = sorted(self.seconds)
            lines.append(f"  until all was well: median {s[len(s) // 2]:.1f} "
                         f"s, at most {s[-1]:.1f} s")
        lines.append(f"leftovers: {sum(self.leftovers.values())} "
                     f"{dict(self.leftovers) or ''}")
        return "\n".join(lines)


def ledger(state, ident):
    """The tables of proxy's database that know the agent."""
    found = []
    db = sqlite3.connect(f"file:{state}/proxy/ledger.db?mode=ro", uri=True)
    with contextlib.closing(db):
        tables = [t for (t,) in db.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            columns = [c[1] for c in db.execute(
                f"PRAGMA table_info({table})")]
            key = "agent_id" if "agent_id" in columns else \
                "id" if table == "agent" else None
            if key and db.execute(f"SELECT 1 FROM {table} WHERE {key} = ?",
                                  (ident,)).fetchone():
                found.append(table)
    return found
