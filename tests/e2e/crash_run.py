#!/usr/bin/env python3
# The long form of test_crash.py: as many random kills as one likes.
# SPDX-License-Identifier: ISC
#
# usage: crash_run.py [-s SEED] [-b BUILD] KILLS
#
# Needs root, Incus and an installed build (BUILD/inst, as ./check makes it).
# First each victim is killed once in each state, then KILLS times at random.
# Prints a tally; exit status 1 if anything was left behind or did not come
# back.  About 3 seconds a kill.
import argparse
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from crash import STATES, VICTIMS, Crash  # noqa: E402
from lab import PROJECT, TOP, Agentd, Images, Incus  # noqa: E402


def run(crash, kills):
    for state in STATES:
        for victim in VICTIMS:
            agent, ident = crash.cut_deploy(state, victim)
            if agent is not None:
                crash.remove(agent, ident)
    crash.storm(kills)
    left = crash.daemon.incus.instances(PROJECT)
    assert not left, f"instances are left: {[i['name'] for i in left]}"
    left = os.listdir(f"{crash.daemon.state}/agents")
    assert not left, f"directories are left: {left}"


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("-s", "--seed", type=int, default=os.getpid())
    p.add_argument("-b", "--build", default=f"{TOP}/build")
    p.add_argument("kills", type=int)
    args = p.parse_args()
    subprocess.run([f"{args.build}/inst/libexec/agentd/mkusers"], check=True)
    incus = Incus(args.build)
    incus.start()
    daemon = Agentd(args.build, incus)
    crash = Crash(daemon, random.Random(args.seed))
    print(f"seed {args.seed}", flush=True)
    status = 1
    try:
        daemon.start()
        daemon.import_image("taos-pi-base", Images(args.build).path("pi"))
        run(crash, args.kills)
        status = 0
    except AssertionError as e:
        print(f"FAILED: {e}")
    finally:
        print(crash.report())
        if daemon.proc is not None and daemon.proc.poll() is None:
            daemon.stop()
        if status == 0:
            daemon.remove()
        else:
            print(f"state and logs: {daemon.dir}")
        incus.purge_project(PROJECT)
        incus.stop()
    return status


if __name__ == "__main__":
    sys.exit(main())
