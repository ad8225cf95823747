#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The demo, run where the RDMA device is: two minivmms, one guest, a live picture, and a last line that tells how it went.

usage: demo-inside.py MINIVMM [RAM_MB]
"""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "rxe"))
sys.dont_write_bytecode = True
from minivmm import ask  # noqa: E402

LIMIT_S = 120
SETTLE_PASSES = 2
BAR = 44


def status(path):
    try:
        return json.loads(ask(path, "status"))
    except (OSError, ValueError):
        return None


def mib(count):
    return f"{count / (1 << 20):.1f} MiB"


class Picture:
    """Redrawn in place on a terminal; a line now and then where the output is a file."""

    def __init__(self):
        self.is_live = sys.stdout.isatty()
        self.height = 0
        self.line_at = 0.0
        self.start = time.monotonic()

    def box(self, title, state, color):
        bold, plain = (f"\x1b[1;{color}m", "\x1b[0m") if self.is_live else ("", "")
        lines = [f"{bold}{title}{plain}"]
        if state is None:
            return lines + ["  (not answering)", "", ""]
        numbers = state.get("migration") or {}
        here = {"running": "the guest runs here", "migrating": "the guest runs here, its memory is on its way",
                "incoming": "waiting for a guest" if not numbers.get("rounds") else "receiving a guest",
                "migrated": "the guest has left", "halted": "THE GUEST HAS HALTED",
                "failed": "no guest"}.get(state["state"], state["state"])
        lines.append(f"  {here}; passes over its memory, all checked: {state['passes']}")
        total = numbers.get("bytes_total") or 0
        dirty = numbers.get("bytes_dirty") or 0
        if total and numbers.get("role") == "source":
            done = max(0, min(BAR, int(BAR * (total - dirty) / total)))
            lines.append(f"  [{'#' * done}{'.' * (BAR - done)}] {mib(dirty)} to go")
            lines.append(f"  round {numbers['rounds']}, {numbers['mode']}, {mib(numbers['bytes_written'])} written by RDMA, "
                         f"{mib(numbers['bytes_zero'])} zero, downtime {numbers['downtime_ms']} ms")
        else:
            lines += ["", ""]
        return lines

    def draw(self, source, destination):
        now = time.monotonic() - self.start
        if not self.is_live:
            if now - self.line_at >= 1 and source and destination:
                self.line_at = now
                print(f"{now:5.1f} s  source {source['state']}, {source['passes']} passes; "
                      f"destination {destination['state']}, {destination['passes']} passes", flush=True)
            return
        lines = [f"rdmig demo, {now:5.1f} s", ""]
        lines += self.box("host A", source, 36) + [""] + self.box("host B", destination, 35)
        up = f"\x1b[{self.height}A" if self.height else ""
        sys.stdout.write(up + "".join(f"\r\x1b[2K{line}\n" for line in lines))
        sys.stdout.flush()
        self.height = len(lines)


def wait(picture, paths, is_done, what):
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        states = [status(path) for path in paths]
        picture.draw(*states)
        if is_done(*states):
            return states
        for state in states:
            if state and state["state"] in ("halted", "failed"):
                raise RuntimeError(f"{state['name']} is {state['state']}: {state.get('halted') or state.get('error')}")
        time.sleep(0.15)
    raise RuntimeError(f"gave up after {LIMIT_S} s waiting for {what}")


def run(minivmm, ram_mb, folder, children):
    address = f"rdma:{os.environ.get('RDMIG_ADDR', '127.0.0.1')}:4460"
    paths = [os.path.join(folder, name) for name in ("a", "b")]
    for name, path, more in (("host A", paths[0], []), ("host B", paths[1], ["--incoming", address])):
        serial = os.path.join(folder, os.path.basename(path) + ".serial")
        children.append(subprocess.Popen([minivmm, "--ram-mb", str(ram_mb), "--control", path, "--name", name,
                                          "--serial", serial, *more]))
    picture = Picture()
    wait(picture, paths, lambda a, b: a and b and a["passes"] >= 2, "the guest's first passes")
    answer = ask(paths[0], f"migrate {address}")
    if answer != "ok":
        raise RuntimeError(answer)
    left = wait(picture, paths, lambda a, b: a and b and a["state"] == "migrated" and b["state"] == "running",
                "the migration")
    before = left[1]["passes"]
    _, there = wait(picture, paths, lambda a, b: b and b["passes"] >= before + SETTLE_PASSES,
                    "the guest's passes at its new home")
    numbers = left[0]["migration"]
    return (f"demo: the guest arrived whole and runs on: pass {before} when it arrived, pass {there['passes']} now, every page "
            f"checked ({there['backend']}, {mib(numbers['bytes_total'])}, {numbers['rounds']} rounds, "
            f"{numbers['total_ms']} ms in all, {numbers['downtime_ms']} ms stopped)")


def main():
    minivmm = os.path.abspath(sys.argv[1])
    ram_mb = int(sys.argv[2]) if len(sys.argv) > 2 else 64
    children = []
    status_code = 0
    with tempfile.TemporaryDirectory(dir=os.environ.get("RDMIG_TMP")) as folder:
        try:
            last = run(minivmm, ram_mb, folder, children)
        except (RuntimeError, OSError) as error:
            last = f"demo: FAILED: {error}"
            status_code = 1
        for child in children:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        for child in children:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
    print(last, flush=True)
    return status_code


sys.exit(main())
