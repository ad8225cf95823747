# SPDX-License-Identifier: BSD-2-Clause
"""One transfer each of what bench.py compares; each function gives a dictionary of figures.

write_bw()      perftest's ib_write_bw, as many 1 MiB messages as the guest has MiB
stock_stock()   an unmodified QEMU to another
ours_ours()     rdmig send to rdmig recv, device state included
ours_stock()    rdmig restore of a captured guest into an unmodified QEMU
capture()       makes that capture

The same for all: the source's memory is a file in a tmpfs, mapped shared, written before and
never again (the guest does not run: -S); the destination's is a fresh file there, whose pages do
not exist yet. So each has the same page faults, and no vCPU competes. After each transfer the two
files are compared, outside the times. Each total is the source's own clock: for a QEMU
query-migrate's and the times of its MIGRATION events, for rdmig its JSON report.
"""
import json
import mmap
import os
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../rxe"))
import qemu  # noqa: E402

# No bound of any figure: a transfer that takes this long has hung.
HUNG_SECONDS = 180
POLL_SECONDS = 0.05
TAIL_LENGTH = 600
MIB = 1 << 20
GUEST_MIB = 256
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PERFTEST_PORT = 18600
FIRST_PORT = 4500
CAPTURE_DOWNTIME_MS = 1000000
NO_LIMIT_BYTES_PER_S = 1 << 40


class BenchError(Exception):
    pass


class Place:
    """Where a run finds and leaves things."""

    def __init__(self):
        self.address = os.environ["RDMIG_ADDR"]
        self.device = os.environ["RDMIG_RXE"]
        self.tmp = os.environ["RDMIG_TMP"]
        self.results = os.environ["RDMIG_RESULTS"]
        self.rdmig = os.path.join(os.environ.get("BUILD", "build"), "rdmig")
        self.target = os.path.join(self.tmp, "target")
        self.captured = os.path.join(self.tmp, "captured")
        self.port = FIRST_PORT

    def next_port(self):
        self.port += 1
        return self.port

    def log(self, name):
        return os.path.join(self.results, name + ".log")

    def fresh_target(self):
        """The destination's memory: nothing but holes."""
        if os.path.lexists(self.target):
            os.remove(self.target)
        with open(self.target, "wb") as file:
            file.truncate(GUEST_MIB * MIB)


# ---- processes


class Program:
    """A child in a session of its own, its output in NAME.log."""

    def __init__(self, place, name, *arguments):
        self.name = name
        self.path = place.log(name)
        with open(self.path, "wb") as log:
            self.child = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True)
        self.cpu_s = None

    def output(self):
        with open(self.path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def tail(self):
        return self.output()[-TAIL_LENGTH:]

    def cpu_so_far_s(self):
        """User and system time of all its threads, in steps of a clock tick."""
        with open(f"/proc/{self.child.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def join(self):
        """Waits for its end, which must be exit 0; its whole CPU time is then in cpu_s."""
        signal.signal(signal.SIGALRM, self.hung)
        signal.alarm(HUNG_SECONDS)
        try:
            _, status, usage = os.wait4(self.child.pid, 0)
        finally:
            signal.alarm(0)
        self.child.returncode = os.waitstatus_to_exitcode(status)
        self.cpu_s = usage.ru_utime + usage.ru_stime
        if self.child.returncode != 0:
            raise BenchError(f"{self.name}: exit {self.child.returncode}: {self.tail()}")

    def hung(self, *_):
        raise BenchError(f"{self.name} has not ended after {HUNG_SECONDS} s: {self.tail()}")

    def end(self):
        if self.child.returncode is None:
            self.child.kill()
            self.child.wait()

    def wait_for_line(self, pattern):
        deadline = time.monotonic() + HUNG_SECONDS
        while not (found := re.search(pattern, self.output(), re.MULTILINE)):
            if self.child.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"{self.name}: no line '{pattern}': {self.tail()}")
            time.sleep(POLL_SECONDS)
        return found

    def report(self):
        lines = [line for line in self.output().splitlines() if line.startswith("{")]
        if len(lines) != 1:
            raise BenchError(f"{self.name} has printed {len(lines)} reports: {self.tail()}")
        return json.loads(lines[0])


class Programs:
    """Those of one transfer; whatever happens, none is left."""

    def __init__(self, place):
        self.place = place
        self.started = []

    def start(self, name, *arguments):
        program = Program(self.place, name, *arguments)
        self.started.append(program)
        return program

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for program in reversed(self.started):
            program.end()


# ---- the machine's own counts


def machine_cpu_s():
    """Time that all processors worked for anybody, softirqs included: Soft-RoCE's work is
    charged to whoever happens to run."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, irq, softirq = map(int, file.readline().split()[1:8])
    return (user + nice + system + irq + softirq) / TICKS_PER_S


def messages_sent(place):
    """SENDs over the device so far: control messages of both ends; None: it does not count them."""
    path = f"/sys/class/infiniband/{place.device}/ports/1/hw_counters/rdma_sends"
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read())
    except OSError:
        return None


class Counts:
    """What the machine did from here to done()."""

    def __init__(self, place):
        self.place = place
        self.messages = messages_sent(place)
        self.cpu_s = machine_cpu_s()

    def done(self):
        figures = {"machine CPU": machine_cpu_s() - self.cpu_s}
        if self.messages is not None:
            figures["messages"] = messages_sent(self.place) - self.messages
        return figures


def check_equal(path, other):
    with open(path, "rb") as one, open(other, "rb") as two:
        a = mmap.mmap(one.fileno(), 0, prot=mmap.PROT_READ)
        b = mmap.mmap(two.fileno(), 0, prot=mmap.PROT_READ)
        with a, b:
            if len(a) != len(b):
                raise BenchError(f"{path} has {len(a)} bytes, {other} {len(b)}")
            for start in range(0, len(a), MIB):
                if a[start : start + MIB] != b[start : start + MIB]:
                    raise BenchError(f"{path} and {other} differ in MiB {start // MIB}")


def timed(total_ms, setup_ms, ram_ms, downtime_ms, ram_bytes):
    return {
        "total": total_ms,
        "setup": setup_ms,
        "RAM phase": ram_ms,
        "throughput": ram_bytes / MIB / (ram_ms / 1e3),
        "downtime": downtime_ms,
    }


# ---- ib_write_bw


def is_listening(port):
    wanted = f":{port:04X}"
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(path, encoding="ascii") as file:
            for line in file.readlines()[1:]:
                fields = line.split()
                if fields[1].endswith(wanted) and fields[3] == "0A":
                    return True
    return False


def write_bw(place):
    """Its MB/sec are 2^20 bytes; its average leaves its connection's setup out."""
    words = ["ib_write_bw", "-d", place.device, "-F", "-x", "1", "-s", str(MIB), "-n",
             str(GUEST_MIB), "-p", str(PERFTEST_PORT)]
    with Programs(place) as programs:
        server = programs.start("perftest-server", *words)
        deadline = time.monotonic() + HUNG_SECONDS
        while not is_listening(PERFTEST_PORT):
            if server.child.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"ib_write_bw does not listen: {server.tail()}")
            time.sleep(POLL_SECONDS)
        counts = Counts(place)
        client = programs.start("perftest-client", *words, place.address)
        client.join()
        server.join()
        figures = counts.done()
        row = re.search(rf"^\s*{MIB}\s+{GUEST_MIB}\s+([\d.]+)\s+([\d.]+)", client.output(), re.M)
        if not row:
            raise BenchError(f"ib_write_bw has printed no result: {client.tail()}")
    average = float(row[2])
    figures["RAM phase"] = GUEST_MIB / average * 1e3
    figures["throughput"] = average
    figures["source CPU"] = client.cpu_s
    figures["destination CPU"] = server.cpu_s
    return figures


# ---- QEMU


class Monitor(qemu.Qmp):
    """A QMP connection that keeps the events."""

    def __init__(self, path):
        self.events = []
        super().__init__(path, HUNG_SECONDS)

    def read(self):
        line = self.lines.readline()
        if not line:
            raise BenchError("QEMU closed its QMP socket")
        answer = json.loads(line)
        if "event" in answer:
            self.events.append(answer)
            return None
        return answer

    def do(self, command, **arguments):
        request = {"execute": command, "arguments": arguments}
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        while (answer := self.read()) is None:
            pass
        if "error" in answer:
            raise BenchError(f"{command}: {answer['error']['desc']}")
        return answer["return"]

    def moment_ms(self, status):
        """When the migration got to this status; None: not yet."""
        for event in self.events:
            if event["event"] == "MIGRATION" and event["data"]["status"] == status:
                stamp = event["timestamp"]
                return stamp["seconds"] * 1e3 + stamp["microseconds"] / 1e3
        return None

    def wait_for_end(self):
        """Asleep in read() until then: a poll would take its share of the processors."""
        while all(self.moment_ms(status) is None for status in qemu.ENDED):
            self.read()
        while (info := self.do("query-migrate")).get("status") == "completed":
            # The event comes a little before the times are known.
            if info.get("total-time"):
                return info
            time.sleep(POLL_SECONDS)
        raise BenchError(f"QEMU: {info}")

    def quit(self, program):
        self.do("quit")
        program.join()


def start_qemu(programs, name, memory, *options):
    """As long as it stands still its clock does, so its device state is always the same."""
    place = programs.place
    path = os.path.join(place.tmp, name + "-qmp")
    if os.path.lexists(path):
        os.remove(path)
    program = programs.start(
        name, "qemu-system-x86_64", "-accel", "tcg", "-S", "-display", "none", "-nodefaults",
        "-m", str(GUEST_MIB), "-rtc", "base=2026-01-01,clock=vm", "-object",
        f"memory-backend-file,id=ram,share=on,mem-path={memory},size={GUEST_MIB}M",
        "-machine", "q35,memory-backend=ram", "-qmp", f"unix:{path},server=on,wait=off", *options)
    return program, path


def start_incoming(programs, port):
    place = programs.place
    place.fresh_target()
    return start_qemu(programs, "qemu-destination", place.target, "-incoming",
                      f"rdma:{place.address}:{port}")


def wait_until_loaded(monitor):
    while monitor.do("query-status")["status"] == "inmigrate":
        time.sleep(POLL_SECONDS)


def ask_for(monitor, is_pin_all, downtime_limit_ms):
    monitor.do("migrate-set-capabilities", capabilities=[
        {"capability": "rdma-pin-all", "state": is_pin_all},
        {"capability": "events", "state": True}])
    # Its default of 128 MiB/s is less than the device moves, and rdmig has none.
    monitor.do("migrate-set-parameters",
               **{"downtime-limit": downtime_limit_ms, "max-bandwidth": NO_LIMIT_BYTES_PER_S})


def stock_stock(place, memory, is_pin_all):
    port = place.next_port()
    with Programs(place) as programs:
        destination, destination_path = start_incoming(programs, port)
        source, source_path = start_qemu(programs, "qemu-source", memory)
        monitor = Monitor(source_path)
        destination_monitor = Monitor(destination_path)
        # No memory after the stop, as with rdmig: by its default of 300 ms QEMU stops the guest
        # with some 40 MiB still to send, a downtime of 250 ms. The destination needs no capability.
        ask_for(monitor, is_pin_all, 0)
        counts = Counts(place)
        source_cpu_s = source.cpu_so_far_s()
        destination_cpu_s = destination.cpu_so_far_s()
        monitor.do("migrate", uri=f"rdma:{place.address}:{port}")
        info = monitor.wait_for_end()
        wait_until_loaded(destination_monitor)
        figures = counts.done()
        figures["source CPU"] = source.cpu_so_far_s() - source_cpu_s
        figures["destination CPU"] = destination.cpu_so_far_s() - destination_cpu_s
        destination_monitor.quit(destination)
        monitor.quit(source)
    setup_ms = monitor.moment_ms("active") - monitor.moment_ms("setup")
    ram_ms = info["total-time"] - setup_ms - info["downtime"]
    figures.update(timed(info["total-time"], setup_ms, ram_ms, info["downtime"],
                         info["ram"]["total"]))
    check_equal(memory, place.target)
    return figures


# ---- rdmig


def figures_of(report, is_pin_all):
    """Its RAM phase is the one round over the memory, whose rate it measures."""
    wanted = "pin-all" if is_pin_all else "dynamic"
    if report["status"] != "completed" or report["mode"] != wanted:
        raise BenchError(f"rdmig: {report}")
    moved_bytes = report["bytes_written"] + report["bytes_zero"]
    ram_ms = moved_bytes / report["throughput_bytes_per_s"] * 1e3
    figures = timed(report["total_ms"], report["setup_ms"], ram_ms, report["downtime_ms"],
                    moved_bytes)
    figures["round trips"] = report["round_trips"]
    figures["written"] = report["bytes_written"] / MIB
    return figures


def start_listening(programs, command, *options):
    listener = programs.start(
        "rdmig-" + command, programs.place.rdmig, command, "--listen",
        programs.place.address + ":0", "--json", *options)
    return listener, listener.wait_for_line(r"^listening on .*:(\d+)$")[1]


def pin_option(is_pin_all):
    return ["--pin-all"] if is_pin_all else []


def ours_ours(place, memory, is_pin_all):
    """The CPU times are of whole processes, their start of some 40 ms included."""
    stream = os.path.join(place.tmp, "target-stream")
    place.fresh_target()
    with Programs(place) as programs:
        destination, port = start_listening(programs, "recv", "--ram", f"ram={place.target}",
                                            "--stream", stream)
        counts = Counts(place)
        source = programs.start(
            "rdmig-send", place.rdmig, "send", "--to", f"{place.address}:{port}", "--json",
            "--ram", f"ram={memory}", "--stream", os.path.join(place.captured, "stream"),
            *pin_option(is_pin_all))
        source.join()
        destination.join()
        figures = counts.done()
    figures["source CPU"] = source.cpu_s
    figures["destination CPU"] = destination.cpu_s
    figures.update(figures_of(source.report(), is_pin_all))
    check_equal(memory, place.target)
    return figures


def ours_stock(place, memory, is_pin_all):
    port = place.next_port()
    image = os.path.join(place.captured, "ram", "ram")
    os.remove(image)
    os.link(memory, image)
    with Programs(place) as programs:
        destination, path = start_incoming(programs, port)
        monitor = Monitor(path)
        counts = Counts(place)
        destination_cpu_s = destination.cpu_so_far_s()
        source = programs.start(
            "rdmig-restore", place.rdmig, "restore", "--to", f"{place.address}:{port}", "--from",
            place.captured, "--json", *pin_option(is_pin_all))
        source.join()
        wait_until_loaded(monitor)
        figures = counts.done()
        figures["destination CPU"] = destination.cpu_so_far_s() - destination_cpu_s
        monitor.quit(destination)
    figures["source CPU"] = source.cpu_s
    figures.update(figures_of(source.report(), is_pin_all))
    check_equal(memory, place.target)
    return figures


def capture(place, memory):
    """A guest that has never run; ours_stock() puts each kind of memory in the place of its own."""
    with Programs(place) as programs:
        listener, port = start_listening(programs, "capture", "--into", place.captured)
        source, path = start_qemu(programs, "qemu-source", memory)
        monitor = Monitor(path)
        # QEMU may stop as soon as it knows its rate, not 50 rounds later, which would all be played
        # back. It knows none of zeros: the memory has to be a random one.
        ask_for(monitor, False, CAPTURE_DOWNTIME_MS)
        monitor.do("migrate", uri=f"rdma:{place.address}:{port}")
        monitor.wait_for_end()
        listener.join()
        monitor.quit(source)
