#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A guest goes there and back between minivmm processes; it checks its own memory all the time.

usage: minivmm.py MINIVMM RAM_MB kvm|process|any TRIPS [pin-all]
Each hop starts a minivmm that waits, migrates to it, and checks that the guest's passes go on there. Prints `ok` or what went wrong.
"""
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time

# What each limit is multiplied with, for machines that are busy: lib.sh says so.
PATIENCE = int(os.environ.get("RDMIG_PATIENCE", "1"))
HOP_LIMIT_S = 90 * PATIENCE
PORT = 4470


def ask(path, command):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(20 * PATIENCE)
        s.connect(path)
        s.sendall(command.encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            piece = s.recv(65536)
            if not piece:
                break
            answer += piece
    return answer.decode().strip()


class Vmm:
    def __init__(self, minivmm, ram_mb, backend, folder, number, address):
        self.path = os.path.join(folder, f"control.{number}")
        self.serial = os.path.join(folder, f"serial.{number}")
        arguments = [minivmm, "--ram-mb", str(ram_mb), "--control", self.path, "--serial", self.serial,
                     "--name", f"vmm{number}", "--dirty-mb-per-s", "40"]
        arguments += [] if backend == "any" else [f"--{backend}"]
        arguments += ["--incoming", address] if address else []
        self.child = subprocess.Popen(arguments)

    def status(self):
        try:
            return json.loads(ask(self.path, "status"))
        except (OSError, ValueError):
            return None

    def wait(self, is_done, what):
        deadline = time.monotonic() + HOP_LIMIT_S
        state = None
        while time.monotonic() < deadline:
            state = self.status()
            if state and is_done(state):
                return state
            if state and state["state"] in ("halted", "failed"):
                break
            if self.child.poll() is not None:
                raise RuntimeError(f"minivmm ended with {self.child.returncode} while waiting for {what}")
            time.sleep(0.1)
        raise RuntimeError(f"no {what}: {state}")

    def quit(self, expected_code=0):
        if self.child.poll() is None:
            ask(self.path, "quit")
        code = self.child.wait(20 * PATIENCE)
        if code != expected_code:
            raise RuntimeError(f"minivmm ended with {code}")


def check_serial(paths):
    """The passes of all serial files together go up one by one, and the guest never complained."""
    passes = []
    for path in paths:
        with open(path, encoding="ascii", errors="replace") as lines:
            for line in lines:
                if re.search(r"halt|lost|torn|stale", line):
                    raise RuntimeError(f"the guest said: {line.strip()}")
                found = re.search(r"pass (\d+)", line)
                if found:
                    passes.append(int(found.group(1)))
    if len(passes) < 2 or any(b != a + 1 for a, b in zip(passes, passes[1:])):
        raise RuntimeError(f"the guest's passes do not follow each other: {passes}")
    return passes


def travel(minivmm, ram_mb, backend, trips, mode, folder, vmms):
    address = f"rdma:{os.environ['RDMIG_ADDR']}:{PORT}"
    downtimes = []
    vmms.append(Vmm(minivmm, ram_mb, backend, folder, 0, None))
    here = vmms[0]
    here.wait(lambda s: s["state"] == "running" and s["passes"] >= 1, "first pass")
    for hop in range(1, 2 * trips + 1):
        there = Vmm(minivmm, ram_mb, backend, folder, hop, address)
        vmms.append(there)
        there.wait(lambda s: s["state"] == "incoming", "listening minivmm")
        answer = ask(here.path, f"migrate {address} {mode}".strip())
        if answer != "ok":
            raise RuntimeError(answer)
        arrived = there.wait(lambda s: s["state"] == "running", "arrival")
        left = here.wait(lambda s: s["state"] == "migrated", "departure")
        downtimes.append(left["migration"]["downtime_ms"])
        # At its last home it goes once more over every page; on the way it checks what it comes by.
        if hop == 2 * trips:
            there.wait(lambda s, n=arrived["passes"]: s["passes"] >= n + 2, "passes after arrival")
        here.quit()
        here = there
    last = here.status()
    here.quit()
    passes = check_serial([vmm.serial for vmm in vmms])
    print(f"ok: {ram_mb} MiB, {last['backend']}, {mode or 'dynamic'}: {2 * trips} migrations, passes {passes[0]} to {passes[-1]}, "
          f"downtime {min(downtimes)} to {max(downtimes)} ms")


def main():
    minivmm, ram_mb, backend, trips = os.path.abspath(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    mode = sys.argv[5] if len(sys.argv) > 5 else ""
    vmms = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("RDMIG_TMP")) as folder:
        try:
            travel(minivmm, ram_mb, backend, trips, mode, folder, vmms)
            return 0
        except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
            print(f"failed: {ram_mb} MiB, {backend}: {error}")
            return 1
        finally:
            for vmm in vmms:
                if vmm.child.poll() is None:
                    vmm.child.kill()
                    vmm.child.wait()


if __name__ == "__main__":
    sys.exit(main())
