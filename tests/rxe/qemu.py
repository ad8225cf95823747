#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What the scripts here ask of a QEMU, through its QMP socket and its files.

qemu.py migrate QMP URI [options]       migrates and waits for the end; exit 0: completed
    --pin-all                           with the capability rdma-pin-all
    --fill-vram QTEST                   first random bytes into a part of the VGA's memory
    --absent PATH                       PATH must not exist before QEMU says completed
    --bandwidth BYTES_PER_S             max-bandwidth (QEMU's default is 128 MiB/s)
    --follow ROUNDS                     with dirty_guest.S: waits for its first passes, allows the
                                        switch-over only after ROUNDS rounds of dirty memory; the
                                        guest has to have run on, and pages been sent again
    --until BYTES                       ends when QEMU has sent so much, in the middle of it
    --limit SECONDS                     120
qemu.py kept QMP STATUS [--limit S] [--cont]
                                        waits for the migration's end, which must be STATUS (failed,
                                        cancelled); its dirty_guest.S runs on at the source, with
                                        --cont (after completed) when it is told to
qemu.py cancel QMP                      migrate_cancel
qemu.py check-instant DIR BLOCK         the capture of a dirty_guest.S is one instant of it
qemu.py check-capture QMP DIR LOG MODE BLOCK
    DIR is a whole capture of this QEMU, which stands still after a migration: every block but BLOCK
    equals what QEMU itself writes of it in an ordinary migration into a file. LOG holds the report.
qemu.py incoming QMP                    waits until a QEMU with -incoming listens
qemu.py check-restored QMP DIR LOG MODE BLOCK
    DIR was restored into this QEMU (-S), which has not run since: each block but BLOCK, and all
    device state, is what DIR holds. LOG holds the report of rdmig restore.
qemu.py check-running QMP DIR BLOCK     the same for a dirty_guest.S, by memory and registers; then
                                        lets it run: it goes on from there, in one piece
qemu.py remember QMP FILE               what this QEMU (-S) holds after a reset goes into FILE, the
                                        shared blocks left out; then it is reset once more
qemu.py check-relayed QMP FILE LOG MODE this QEMU (-S), which has not run since, holds what the one
                                        remembered in FILE does. LOG holds the report of rdmig relay.
qemu.py check-continued QMP LOG PRINTED PRINTING ROUNDS
    A dirty_guest.S relayed into this QEMU (-S) is one instant of it, by memory and registers; then
    it runs on, and what it prints into PRINTING goes on where the source's, PRINTED, ends. LOG is
    as above, of more than ROUNDS rounds.
"""
import argparse
import base64
import json
import os
import pickle
import random
import socket
import struct
import sys
import time
import urllib.parse

POLL_SECONDS = 0.1
# What each limit is multiplied with, for machines that are busy: lib.sh says so.
PATIENCE = int(os.environ.get("RDMIG_PATIENCE", "1"))
PAGE_BYTES = 4096
COPY_BYTES = 1 << 20
# QEMU 7.2 counts only stream bytes, not RDMA Writes, as bandwidth. So with this limit no dirty page
# is few enough; and with a limit of 0 it stops the guest after the round it is in.
FOLLOW_DOWNTIME_MS = 300


class Qmp:
    """One connection to a QMP socket; events are left aside."""

    def __init__(self, path, limit_seconds=30):
        deadline = time.monotonic() + limit_seconds * PATIENCE
        while True:
            self.socket = socket.socket(socket.AF_UNIX)
            try:
                self.socket.connect(path)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                self.socket.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_SECONDS)
        self.socket.settimeout(limit_seconds * PATIENCE)
        self.lines = self.socket.makefile("r")
        self.lines.readline()
        self.do("qmp_capabilities")

    def do(self, command, **arguments):
        request = {"execute": command, "arguments": arguments}
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        while True:
            line = self.lines.readline()
            if not line:
                raise ConnectionError("QEMU closed its QMP socket")
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise RuntimeError(f"{command}: {answer['error']['desc']}")

    def monitor(self, line):
        return self.do("human-monitor-command", **{"command-line": line})


def capability(qmp, name, state):
    qmp.do("migrate-set-capabilities", capabilities=[{"capability": name, "state": state}])


ENDED = ("completed", "failed", "cancelled")


def watch(qmp, limit_seconds, look):
    """Polls query-migrate until the migration has ended; look sees each answer before that."""
    deadline = time.monotonic() + limit_seconds * PATIENCE
    while True:
        info = qmp.do("query-migrate")
        if info.get("status", "none") in ENDED:
            return info
        look(info)
        if time.monotonic() > deadline:
            sys.exit(f"the migration has not ended after {limit_seconds * PATIENCE} s: {info}")
        time.sleep(POLL_SECONDS)


def migrate(args):
    qmp = Qmp(args.qmp)
    if args.fill_vram:
        fill_vram(args.fill_vram)
    capability(qmp, "rdma-pin-all", args.pin_all)
    parameters = {}
    if args.bandwidth:
        parameters["max-bandwidth"] = args.bandwidth
    before = 0
    if args.follow:
        before = wait_for_pass(qmp, 2)
        parameters["downtime-limit"] = FOLLOW_DOWNTIME_MS
    qmp.do("migrate-set-parameters", **parameters)
    qmp.do("migrate", uri=args.uri)
    if args.until:
        wait_until_sent(qmp, args.until, args.limit)
        return
    seen = {"active": 0}

    def look(info):
        if info.get("status") == "active":
            seen["active"] += 1
        if args.absent and os.path.lexists(args.absent):
            sys.exit(f"{args.absent} is there before QEMU says completed")
        if args.follow and info.get("ram", {}).get("dirty-sync-count", 0) > args.follow:
            qmp.do("migrate-set-parameters", **{"downtime-limit": 0})

    info = watch(qmp, args.limit, look)
    print(json.dumps(info))
    if info["status"] != "completed":
        sys.exit(f"QEMU says {info['status']}: {info.get('error-desc', 'no reason given')}")
    if args.absent and seen["active"] == 0:
        sys.exit("the migration was over before it could be looked at")
    if args.follow:
        check_followed(info["ram"], args.follow, before, guest_pass(qmp))


def wait_for_pass(qmp, wanted):
    deadline = time.monotonic() + 30 * PATIENCE
    while True:
        reached = guest_pass(qmp)
        if reached >= wanted:
            return reached
        assert time.monotonic() < deadline, f"the guest is still in pass {reached}"
        time.sleep(POLL_SECONDS)


def check_followed(ram, rounds, before, after):
    assert ram["dirty-sync-count"] > rounds, "too few rounds"
    assert ram["normal-bytes"] > 2 * GUEST_REGION_BYTES, "hardly anything was sent twice"
    assert after >= before + 2, f"the guest stood in pass {after}"


def wait_until_sent(qmp, wanted, limit_seconds):
    deadline = time.monotonic() + limit_seconds * PATIENCE
    while True:
        info = qmp.do("query-migrate")
        if info.get("ram", {}).get("normal-bytes", 0) >= wanted:
            return
        assert info.get("status") in ("setup", "active", "none"), info
        assert time.monotonic() < deadline, info
        time.sleep(POLL_SECONDS)


def kept(args):
    qmp = Qmp(args.qmp)
    info = watch(qmp, args.limit, lambda info: None)
    assert info["status"] == args.status, info
    state = qmp.do("query-status")["status"]
    if args.cont:
        assert state == "postmigrate", f"the guest is {state}"
        qmp.do("cont")
    else:
        assert state == "running", f"the guest is {state}"
    reached = guest_pass(qmp)
    wait_for_pass(qmp, reached + 2)
    print(info["status"], info.get("error-desc", ""), f"- the guest runs on, pass {reached}")


def cancel(args):
    Qmp(args.qmp).do("migrate_cancel")


# The VGA is at slot 2 and a PC's reset leaves it unmapped. Its reset does not touch its memory.
VGA_CONFIG = 0x80000000 | 2 << 11
VRAM_ADDRESS = 0xE0000000
VRAM_PIECES = ((0, 3 << 20), (0x7FF000, 8192), (0xFFF000, 4096))


def fill_vram(path):
    port = socket.socket(socket.AF_UNIX)
    port.connect(path)
    port.settimeout(60)
    answers = port.makefile("r")

    def do(line):
        port.sendall(line.encode() + b"\n")
        answer = answers.readline()
        if not answer.startswith("OK"):
            sys.exit(f"qtest: {line[:60]}: {answer}")

    for register, value in ((0x10, VRAM_ADDRESS), (0x04, 0x00000003)):
        do(f"outl 0xcf8 {VGA_CONFIG | register:#x}")
        do(f"outl 0xcfc {value:#x}")
    for offset, length in VRAM_PIECES:
        for start in range(0, length, COPY_BYTES):
            size = min(COPY_BYTES, length - start)
            data = base64.b64encode(random.randbytes(size)).decode()
            do(f"b64write {VRAM_ADDRESS + offset + start:#x} {size} {data}")


class Stream:
    """A QEMU stream in a file (without RDMA), read up to the end of its RAM section."""

    MEM_SIZE, PAGE, ZERO, END, CONTINUE = 0x04, 0x08, 0x02, 0x10, 0x20

    def __init__(self, path, has_addresses):
        self.file = open(path, "rb")
        self.has_addresses = has_addresses
        self.blocks = {}
        self.current = None
        self.want(struct.pack(">II", 0x5145564D, 3))
        self.configuration()
        while self.section():
            pass

    def take(self, count):
        data = self.file.read(count)
        assert len(data) == count, "QEMU's own stream ends too early"
        return data

    def want(self, wanted):
        got = self.take(len(wanted))
        assert got == wanted, f"QEMU's own stream: {got.hex()} where {wanted.hex()} is due"

    def number(self, count):
        return int.from_bytes(self.take(count), "big")

    def text(self):
        return self.take(self.number(1)).decode()

    def configuration(self):
        """The machine's name, and the capabilities as a subsection of it."""
        self.want(b"\7")
        self.take(self.number(4))
        while self.file.peek(1)[:1] == b"\5":
            self.want(b"\5")
            name = self.text()
            assert name == "configuration/capabilities", name
            self.number(4)
            for _ in range(self.number(4)):
                self.text()

    def section(self):
        """One part of the RAM section; False after its last."""
        kind = self.number(1)
        identity = self.number(4)
        if kind == 1:
            assert self.text() == "ram", "the first section is not RAM"
            self.take(8)
        while self.record():
            pass
        self.want(b"\x7e" + struct.pack(">I", identity))
        return kind != 3

    def record(self):
        word = self.number(8)
        flags, address = word & (PAGE_BYTES - 1), word & ~(PAGE_BYTES - 1)
        if flags & self.MEM_SIZE:
            self.setup(address)
        elif flags & (self.PAGE | self.ZERO):
            if not flags & self.CONTINUE:
                self.current = self.text()
            block = self.blocks[self.current]
            if flags & self.PAGE:
                block[address : address + PAGE_BYTES] = self.take(PAGE_BYTES)
            else:
                block[address : address + PAGE_BYTES] = self.take(1) * PAGE_BYTES
        else:
            assert flags == self.END, f"record {word:#x}"
            return False
        return True

    def setup(self, total):
        while total > 0:
            name = self.text()
            length = self.number(8)
            if self.has_addresses:
                self.take(8)
            self.blocks[name] = bytearray(length)
            total -= length


def wait_for_status(qmp, status, limit_seconds=30):
    deadline = time.monotonic() + limit_seconds * PATIENCE
    while (seen := qmp.do("query-status")["status"]) != status:
        assert time.monotonic() < deadline, f"QEMU is {seen}, not {status}"
        time.sleep(POLL_SECONDS)


def own_blocks(qmp, work):
    """Each unshared block's bytes, from an ordinary migration of the same QEMU into a file."""
    # A guest that was migrated cannot be migrated again, but for a reset; it keeps all memory.
    qmp.do("system_reset")
    wait_for_status(qmp, "prelaunch")
    return own_stream(qmp, work)[0]


def own_stream(qmp, work):
    """The same, and the device state behind the blocks."""
    capability(qmp, "rdma-pin-all", False)
    capability(qmp, "x-ignore-shared", True)
    path = os.path.join(work, "own-stream")
    qmp.do("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
    qmp.do("migrate", uri=f"exec:cat >{path}")
    info = watch(qmp, 60, lambda info: None)
    assert info["status"] == "completed", info
    stream = Stream(path, True)
    os.remove(path)
    return stream.blocks, stream.file.read()


def ramblocks(qmp):
    """[(name, used length)] in QEMU's order."""
    rows = [line.split() for line in qmp.monitor("info ramblock").splitlines()[1:]]
    return [(" ".join(row[:-5]), int(row[-2], 16)) for row in rows if row]


def check_report(path, mode, blocks):
    with open(path, encoding="utf-8") as file:
        lines = [line for line in file if line.startswith("{")]
    assert len(lines) == 1, lines
    report = json.loads(lines[0])
    assert report["status"] == "completed" and report["error"] is None, report
    assert report["mode"] == mode, report
    assert report["bytes_total"] == sum(length for _, length in blocks), report
    assert report["rounds"] >= 2 and report["registrations"] >= len(blocks) - 3, report
    assert report["control_messages"] > 0 and report["pinned_peak_bytes"] > 0, report
    return report


def check_manifest(directory, expected, stream_bytes):
    """Names, lengths and order as `info ramblock` has them; places in the stream in order."""
    with open(os.path.join(directory, "manifest.json"), encoding="utf-8") as file:
        manifest = json.load(file)
    listed = [(block["name"], block["length_bytes"]) for block in manifest["blocks"]]
    assert listed == expected, f"manifest {listed}, QEMU {expected}"
    offset = 0
    for block in manifest["blocks"]:
        assert block["offset_bytes"] >= offset, block
        offset = block["offset_bytes"] + block["length_bytes"]
    assert manifest["stream_bytes"] == stream_bytes, manifest["stream_bytes"]
    positions = [
        place
        for entry in manifest["rounds"]
        for place in (entry["hook_position_bytes"], entry["finished_position_bytes"])
    ]
    assert positions, "no rounds"
    assert positions == sorted(positions) and positions[-1] < stream_bytes, positions
    return manifest


def check_stream(directory, manifest):
    """Begins with QEVM 3, has a hook record at each place named, ends with 00 06 and JSON."""
    with open(os.path.join(directory, "stream"), "rb") as file:
        stream = file.read()
    assert stream[:8] == struct.pack(">II", 0x5145564D, 3), stream[:8]
    for entry in manifest["rounds"]:
        place = entry["hook_position_bytes"]
        assert stream[place - 8 : place] == struct.pack(">Q", 0x80), f"no hook before {place}"
    end = manifest["end_mark_position_bytes"]
    assert stream[end : end + 2] == b"\0\6", stream[end : end + 2]
    length = int.from_bytes(stream[end + 2 : end + 6], "big")
    assert end + 6 + length == len(stream), (end, length, len(stream))
    description = json.loads(stream[end + 6 :])
    assert description["page_size"] == PAGE_BYTES and description["devices"], "no description"


def check_block(path, name, length, own):
    """own: what the file must hold; None: only its length is looked at here."""
    assert os.path.getsize(path) == length, f"{path}: {os.path.getsize(path)}, not {length}"
    if own is not None:
        with open(path, "rb") as file:
            assert file.read() == own, f"block {name} differs from QEMU's"


def check_capture(args):
    qmp = Qmp(args.qmp)
    state = qmp.do("query-status")["status"]
    assert state == "postmigrate", state
    expected = ramblocks(qmp)
    report = check_report(args.log, args.mode, expected)
    stream_bytes = os.path.getsize(os.path.join(args.directory, "stream"))
    manifest = check_manifest(args.directory, expected, stream_bytes)
    assert manifest["mode"] == args.mode and len(manifest["rounds"]) == report["rounds"], manifest
    check_stream(args.directory, manifest)
    own = own_blocks(qmp, os.environ["RDMIG_TMP"])
    names = [name for name, _ in expected]
    assert args.block in names and len(names) > 3, names
    for block, (name, length) in zip(manifest["blocks"], expected):
        assert block["file"] == "ram/" + urllib.parse.quote(name, safe=""), block
        path = os.path.join(args.directory, block["file"])
        check_block(path, name, length, None if name == args.block else own[name])
    present = os.listdir(os.path.join(args.directory, "ram"))
    assert len(present) == len(names), present
    filled = sum(1 for name in names if name != args.block and any(own[name]))
    assert filled > 0, "all the small blocks are zero: nothing was shown"
    print(f"{len(names)} blocks, {filled} of the small ones not zero; {report['rounds']} rounds, "
          f"{report['registrations']} registrations, {report['total_ms']:.0f} ms, "
          f"{stream_bytes} stream bytes")


def incoming(args):
    wait_for_status(Qmp(args.qmp), "inmigrate")


# What follows the last hook in the RAM section: end of section, footer.
BEHIND_HOOK_BYTES = 8 + 5


def device_state(directory, manifest):
    """The stream behind its RAM section."""
    with open(os.path.join(directory, "stream"), "rb") as file:
        file.seek(manifest["rounds"][-1]["hook_position_bytes"] + BEHIND_HOOK_BYTES)
        return file.read()


def check_restore_report(path, mode, manifest):
    with open(path, encoding="utf-8") as file:
        report = json.loads([line for line in file if line.startswith("{")][-1])
    total = sum(block["length_bytes"] for block in manifest["blocks"])
    assert report["status"] == "completed" and report["error"] is None, report
    assert report["mode"] == mode and report["bytes_total"] == total, report
    assert report["bytes_written"] + report["bytes_zero"] == total, report
    assert report["rounds"] == len(manifest["rounds"]), report
    return report


def load_manifest(directory):
    with open(os.path.join(directory, "manifest.json"), encoding="utf-8") as file:
        return json.load(file)


def wait_until_restored(qmp, status):
    info = watch(qmp, 60, lambda info: None)
    assert info["status"] == "completed", info
    wait_for_status(qmp, status)


def check_restored(args):
    qmp = Qmp(args.qmp)
    manifest = load_manifest(args.directory)
    # As the source was, which had not run either.
    wait_until_restored(qmp, "prelaunch")
    report = check_restore_report(args.log, args.mode, manifest)
    listed = [(block["name"], block["length_bytes"]) for block in manifest["blocks"]]
    assert sorted(listed) == sorted(ramblocks(qmp)), f"manifest {listed}, QEMU {ramblocks(qmp)}"
    own, state = own_stream(qmp, os.environ["RDMIG_TMP"])
    assert len(own) == len(listed) > 3 and args.block in own, list(own)
    for block in manifest["blocks"]:
        name = block["name"]
        path = os.path.join(args.directory, block["file"])
        check_block(path, name, block["length_bytes"], None if name == args.block else own[name])
    wanted = device_state(args.directory, manifest)
    if state != wanted:
        first = next((i for i, pair in enumerate(zip(state, wanted)) if pair[0] != pair[1]), -1)
        sys.exit(f"device state: {len(state)} bytes, captured {len(wanted)}, differ from {first}: "
                 f"{state[first - 64:first + 16]} / {wanted[first - 64:first + 16]}")
    filled = sum(1 for name in own if name != args.block and any(own[name]))
    assert filled > 0, "all the small blocks are zero: nothing was shown"
    print(f"{len(listed)} blocks, {filled} of the small ones not zero; {len(state)} bytes of state; "
          f"{report['rounds']} rounds, {report['round_trips']} round trips, "
          f"{report['total_ms']:.0f} ms")


# dirty_guest.S: see there.
GUEST_REGION = 0x01000000
GUEST_REGION_BYTES = 0x02000000
GUEST_POSITION = 0x00100000
EAX, EDI = 0, 7


def guest_pass(qmp):
    return int(qmp.monitor(f"xp /1xw {GUEST_POSITION + 4:#x}").split()[1], 16)


def find_step(memory):
    """(p, k): the first k words hold p, the others p - 1; fails if that is not so."""
    count = len(memory) // 4
    words = memoryview(memory).cast("I")
    newest = words[0]
    assert newest > 0, "the guest has not written yet"
    low, high = 1, count
    while low < high:
        middle = (low + high) // 2
        if words[middle] == newest:
            low = middle + 1
        else:
            high = middle
    expected = struct.pack("<I", newest) * low + struct.pack("<I", newest - 1) * (count - low)
    if memory != expected:
        other = memoryview(expected).cast("I")
        wrong = [i for i in range(count) if words[i] != other[i]]
        sys.exit(f"not one instant: {newest} up to word {low}, then {newest - 1}, but {len(wrong)} "
                 f"words differ; word {wrong[0]} holds {words[wrong[0]]}")
    return newest, low


def registers(stream):
    """The general registers out of the stream's section of the processor."""
    start = stream.find(b"\3cpu" + struct.pack(">II", 0, 12))
    assert start >= 0, "no section cpu, version 12, in the stream"
    return struct.unpack_from(">16Q", stream, start + 12)


def physical_memory(qmp, address, length):
    path = os.path.join(os.environ["RDMIG_TMP"], "physical")
    qmp.do("pmemsave", val=address, size=length, filename=path)
    with open(path, "rb") as file:
        data = file.read()
    os.remove(path)
    assert len(data) == length, len(data)
    return data


def current_registers(qmp):
    """{name: value} of the 32-bit general registers."""
    words = qmp.monitor("info registers").replace("=", " ").split()
    return {name: int(words[words.index(name) + 1], 16) for name in ("EAX", "EDI", "EIP")}


def check_running(args):
    qmp = Qmp(args.qmp)
    manifest = load_manifest(args.directory)
    wait_until_restored(qmp, "paused")
    path = next(block["file"] for block in manifest["blocks"] if block["name"] == args.block)
    with open(os.path.join(args.directory, path), "rb") as file:
        for address, length in ((GUEST_POSITION, PAGE_BYTES), (GUEST_REGION, GUEST_REGION_BYTES)):
            file.seek(address)
            assert physical_memory(qmp, address, length) == file.read(length), f"at {address:#x}"
    with open(os.path.join(args.directory, "stream"), "rb") as file:
        values = registers(file.read())
    now = current_registers(qmp)
    assert (now["EAX"], now["EDI"]) == (values[EAX], values[EDI]), (now, values)
    begun = guest_pass(qmp)
    qmp.do("cont")
    wait_for_status(qmp, "running")
    # One more: of the pass that it is in, the guest may not have written a word.
    reached = wait_for_pass(qmp, begun + 3) - 1
    qmp.do("stop")
    newest, count = find_step(physical_memory(qmp, GUEST_REGION, GUEST_REGION_BYTES))
    assert newest >= reached, (newest, reached)
    print(f"from pass {begun}, EDI {now['EDI']:#x}, to pass {newest}, word {count}")


def check_instant(args):
    with open(os.path.join(args.directory, "ram", args.block), "rb") as file:
        file.seek(GUEST_POSITION)
        position = file.read(8)
        file.seek(GUEST_REGION)
        memory = file.read(GUEST_REGION_BYTES)
    with open(os.path.join(args.directory, "stream"), "rb") as file:
        values = registers(file.read())
    print(check_one_instant(memory, position, values[EAX], values[EDI]))


def check_one_instant(memory, position, eax, edi):
    place, begun = struct.unpack("<II", position)
    newest, count = find_step(memory)
    end = GUEST_REGION + GUEST_REGION_BYTES
    step = GUEST_REGION + 4 * count
    before = step - 4 if count > 1 else end
    state = f"pass {newest}, word {count}, EAX {eax}, EDI {edi:#x}, position {place:#x}, {begun}"
    in_pass = (eax == newest == begun and edi in (step, step - 4)
               and place in (edi, before if edi == step else place) and place in (step, before))
    between = (edi in (GUEST_REGION, end) and step == place == end and eax == newest + 1
               and begun in (newest, newest + 1))
    assert in_pass or between, f"memory and registers are not of one instant: {state}"
    return state


def remember(args):
    qmp = Qmp(args.qmp)
    kept_aside = None
    for _ in range(2):
        qmp.do("system_reset")
        wait_for_status(qmp, "prelaunch")
        kept_aside = kept_aside or own_stream(qmp, os.environ["RDMIG_TMP"])
    capability(qmp, "x-ignore-shared", False)
    with open(args.file, "wb") as file:
        pickle.dump(kept_aside, file)


def check_relay_report(path, mode, incoming_mode):
    with open(path, encoding="utf-8") as file:
        report = json.loads([line for line in file if line.startswith("{")][-1])
    assert report["status"] == "completed" and report["error"] is None, report
    assert report["side"] is None and report["mode"] == mode, report
    assert report["bytes_written"] + report["bytes_zero"] >= report["bytes_total"] > 0, report
    assert report["rounds"] == report["incoming"]["rounds"] >= 3, report
    assert report["incoming"]["mode"] == incoming_mode, report
    return report


def check_relayed(args):
    qmp = Qmp(args.qmp)
    wait_until_restored(qmp, "prelaunch")
    report = check_relay_report(args.log, args.mode, args.mode)
    with open(args.file, "rb") as file:
        blocks, state = pickle.load(file)
    here, state_here = own_stream(qmp, os.environ["RDMIG_TMP"])
    assert list(here) == list(blocks) and len(blocks) > 3, (list(here), list(blocks))
    for name, block in blocks.items():
        assert here[name] == block, f"block {name} differs"
    assert any(any(block) for block in blocks.values()), "all blocks are zero: nothing was shown"
    assert state_here == state, "the device state differs"
    print(f"{len(blocks)} blocks, {len(state)} bytes of state; {report['rounds']} rounds, "
          f"{report['total_ms']:.0f} ms, downtime {report['downtime_ms']:.0f} ms")


def check_continued(args):
    qmp = Qmp(args.qmp)
    wait_until_restored(qmp, "paused")
    report = check_relay_report(args.log, "dynamic", "pin-all")
    assert report["rounds"] > args.rounds, report
    now = current_registers(qmp)
    memory = physical_memory(qmp, GUEST_REGION, GUEST_REGION_BYTES)
    position = physical_memory(qmp, GUEST_POSITION, PAGE_BYTES)[:8]
    state = check_one_instant(memory, position, now["EAX"], now["EDI"])
    begun = guest_pass(qmp)
    qmp.do("cont")
    wait_for_status(qmp, "running")
    wait_for_pass(qmp, begun + 2)
    qmp.do("stop")
    find_step(physical_memory(qmp, GUEST_REGION, GUEST_REGION_BYTES))
    with open(args.printed, encoding="ascii") as file:
        printed = file.read()
    with open(args.printing, encoding="ascii") as file:
        printing = file.read()
    assert len(printed) > 1 and len(printing) > 1, (printed, printing)
    for before, after in zip(printed + printing, (printed + printing)[1:]):
        assert (ord(after) - ord(before)) % 16 == 1, (printed, printing)
    print(f"{state}; printed {printed[-8:]}, then {printing[:8]}; {report['rounds']} rounds, "
          f"{report['bytes_written'] >> 20} MiB written, {report['total_ms']:.0f} ms, "
          f"downtime {report['downtime_ms']:.0f} ms")


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    commands = parser.add_subparsers(required=True)

    def add(name, function, *names):
        sub = commands.add_parser(name)
        sub.set_defaults(function=function)
        for argument in names:
            sub.add_argument(argument)
        return sub

    sub = add("migrate", migrate, "qmp", "uri")
    sub.add_argument("--pin-all", action="store_true")
    sub.add_argument("--fill-vram")
    sub.add_argument("--absent")
    sub.add_argument("--bandwidth", type=int)
    sub.add_argument("--follow", type=int, metavar="ROUNDS")
    sub.add_argument("--until", type=int, metavar="BYTES")
    sub.add_argument("--limit", type=float, default=120)
    keeping = add("kept", kept, "qmp", "status")
    keeping.add_argument("--limit", type=float, default=30)
    keeping.add_argument("--cont", action="store_true")
    add("cancel", cancel, "qmp")
    add("incoming", incoming, "qmp")
    add("check-restored", check_restored, "qmp", "directory", "log", "mode", "block")
    add("check-running", check_running, "qmp", "directory", "block")
    add("check-instant", check_instant, "directory", "block")
    add("remember", remember, "qmp", "file")
    add("check-relayed", check_relayed, "qmp", "file", "log", "mode")
    sub = add("check-continued", check_continued, "qmp", "log", "printed", "printing")
    sub.add_argument("rounds", type=int)
    add("check-capture", check_capture, "qmp", "directory", "log", "mode", "block")
    args = parser.parse_args()
    args.function(args)


if __name__ == "__main__":
    main()
