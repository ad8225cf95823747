#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A running guest whose migration goes wrong: it runs on where it was, unharmed, and can leave later.

usage: minivmm_wrong.py MINIVMM
Prints a line a case, `ok: ...` or `failed: ...`; exit 1 if any failed.
"""
import os
import sys
import tempfile
import time

from minivmm import PATIENCE, Vmm, ask, check_serial

RAM_MB = 128
PORT = 4480
NOTICE_LIMIT_S = 15 * PATIENCE


class Cases:
    def __init__(self, minivmm, folder):
        self.minivmm = minivmm
        self.folder = folder
        self.address = f"rdma:{os.environ['RDMIG_ADDR']}:{PORT}"
        self.vmms = []
        self.here = self.start(RAM_MB, None)
        self.here.wait(lambda s: s["passes"] >= 1, "first pass")

    def start(self, ram_mb, address):
        vmm = Vmm(self.minivmm, ram_mb, "kvm", self.folder, len(self.vmms), address)
        self.vmms.append(vmm)
        if address:
            vmm.wait(lambda s: s["state"] == "incoming", "listening minivmm")
        return vmm

    def migrate(self):
        answer = ask(self.here.path, f"migrate {self.address}")
        if answer != "ok":
            raise RuntimeError(answer)

    def mid_round(self):
        self.migrate()
        self.here.wait(lambda s: s["state"] == "migrating" and s["migration"]["bytes_written"] > 8 << 20, "mid-round")

    def runs_on(self, words):
        """Back to `running` soon, with a cause that has one of these words, and the guest's passes go on."""
        start = time.monotonic()
        state = self.here.wait(lambda s: s["state"] == "running", "guest that runs on")
        took = time.monotonic() - start
        if took > NOTICE_LIMIT_S:
            raise RuntimeError(f"noticed only after {took:.0f} s")
        cause = (state["error"] or {}).get("cause", "")
        if not (state["error"] or {}).get("remedy") or not any(word in cause for word in words):
            raise RuntimeError(f"the cause says: {state['error']}")
        self.here.wait(lambda s: s["passes"] > state["passes"], "pass after the failure")
        return cause

    def nobody_listens(self):
        self.migrate()
        return self.runs_on(["nobody is listening"])

    def other_size(self):
        there = self.start(RAM_MB // 2, self.address)
        self.migrate()
        cause = self.runs_on(["error", "gave up"])
        state = there.status()
        if state["state"] != "failed" or "bytes at the source" not in state["error"]["cause"]:
            raise RuntimeError(f"the destination says: {state}")
        there.quit(expected_code=1)
        return cause

    def destination_killed(self):
        there = self.start(RAM_MB, self.address)
        self.mid_round()
        there.child.kill()
        there.child.wait()
        return self.runs_on(["closed the connection", "RDMA Write failed"])

    def cancelled(self):
        there = self.start(RAM_MB, self.address)
        self.mid_round()
        answer = ask(self.here.path, "cancel")
        if answer != "ok":
            raise RuntimeError(answer)
        cause = self.runs_on(["cancel"])
        deadline = time.monotonic() + NOTICE_LIMIT_S
        while there.status()["state"] != "failed" and time.monotonic() < deadline:
            time.sleep(0.1)
        if there.status()["state"] != "failed":
            raise RuntimeError(f"the destination says: {there.status()}")
        there.quit(expected_code=1)
        return cause

    def leaves_after_all(self):
        there = self.start(RAM_MB, self.address)
        self.migrate()
        arrived = there.wait(lambda s: s["state"] == "running", "arrival")
        there.wait(lambda s: s["passes"] >= arrived["passes"] + 2, "passes after arrival")
        self.here.wait(lambda s: s["state"] == "migrated", "departure")
        self.here.quit()
        first, self.here = self.here, there
        passes = check_serial([first.serial, there.serial])
        return f"passes {passes[0]} to {passes[-1]}"

    def source_killed(self):
        there = self.start(RAM_MB, self.address)
        self.mid_round()
        self.here.child.kill()
        self.here.child.wait()
        deadline = time.monotonic() + NOTICE_LIMIT_S
        state = there.status()
        while state["state"] == "incoming" and time.monotonic() < deadline:
            time.sleep(0.1)
            state = there.status()
        if state["state"] != "failed" or not state["error"]["remedy"]:
            raise RuntimeError(f"the destination says: {state}")
        there.quit(expected_code=1)
        return state["error"]["cause"]

    def close(self):
        for vmm in self.vmms:
            if vmm.child.poll() is None:
                vmm.child.kill()
                vmm.child.wait()


def main():
    failed = 0
    with tempfile.TemporaryDirectory(dir=os.environ.get("RDMIG_TMP")) as folder:
        cases = Cases(os.path.abspath(sys.argv[1]), folder)
        try:
            for case, name in ((cases.nobody_listens, "nobody listens, the guest runs on"),
                               (cases.other_size, "blocks of other sizes, the guest runs on"),
                               (cases.destination_killed, "destination killed in mid-round, the guest runs on"),
                               (cases.cancelled, "cancelled in mid-round, the guest runs on"),
                               (cases.leaves_after_all, "the same guest can leave after all that"),
                               (cases.source_killed, "source killed in mid-round, the destination runs no guest")):
                try:
                    print(f"ok: {name}: {case()}", flush=True)
                except (RuntimeError, OSError, TypeError, KeyError) as error:
                    print(f"failed: {name}: {error}", flush=True)
                    failed = 1
                    break
        finally:
            cases.close()
    return failed


sys.exit(main())
