#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""bench.py [--rounds N] [--quick]: the transfers of ends.py, in turns, in the machine.

A round is every configuration once, ib_write_bw before and after the one that is held against it.
So what the machine does to one it does to the others. Each transfer's figures are printed as they
come and go into $RDMIG_RESULTS/samples.json; report.py makes the tables. Nothing is judged here but
that each transfer completed and that the memory arrived.
"""
import argparse
import json
import os
import platform
import random
import subprocess
import sys
import time

import ends

PAGE_BYTES = 4096
STRETCH_MIB = 8
SPARSE_PAGES = 8
RANDOM, HALF_ZERO, SPARSE = "random", "half zero", "sparse"
MEMORIES = (RANDOM, HALF_ZERO, SPARSE)
WRITE_BW = "ib_write_bw"
OURS_OURS = "ours to ours"
OURS_STOCK = "ours to stock"
STOCK_STOCK = "stock to stock"
FUNCTIONS = {
    OURS_OURS: ends.ours_ours,
    OURS_STOCK: ends.ours_stock,
    STOCK_STOCK: ends.stock_stock,
}


# ---- memories


def random_mib(_, content):
    return content


def half_zero_mib(index, content):
    """By turns, in stretches: both kinds of run are longer than a chunk."""
    return bytes(ends.MIB) if index // STRETCH_MIB % 2 else content


def sparse_mib(_, content):
    """One page in eight; no run of zeros is longer than seven pages."""
    mixed = bytearray(ends.MIB)
    for start in range(0, ends.MIB, SPARSE_PAGES * PAGE_BYTES):
        mixed[start : start + PAGE_BYTES] = content[start : start + PAGE_BYTES]
    return mixed


def make_memories(place, names):
    """Zeros are written too: they are pages that somebody used and cleared, not holes."""
    makers = {RANDOM: random_mib, HALF_ZERO: half_zero_mib, SPARSE: sparse_mib}
    paths = {name: os.path.join(place.tmp, name.replace(" ", "-")) for name in names}
    files = {name: open(path, "wb") for name, path in paths.items()}
    generator = random.Random(4)
    for index in range(ends.GUEST_MIB):
        content = generator.randbytes(ends.MIB)
        for name, file in files.items():
            file.write(makers[name](index, content))
    for file in files.values():
        file.close()
    return paths


# ---- conditions


def first_line(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False).stdout.strip().partition("\n")[0]


def load():
    with open("/proc/loadavg", encoding="ascii") as file:
        return " ".join(file.read().split()[:3])


def cpu_name():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def find_conditions():
    kind = os.environ.get("RDMIG_MACHINE_KIND")
    return {
        "machine": f"{os.cpu_count()} processors, {cpu_name()}, " +
                   ("emulated by QEMU (TCG): ci/machine" if kind == "vm" else "the host itself"),
        "RDMA device": os.environ["RDMIG_RXE"],
        "QEMU's accelerator": "tcg; its guests stand still",
        "machine's kernel": f"{platform.system()} {platform.release()}",
        "QEMU": first_line("qemu-system-x86_64", "--version"),
        "perftest": first_line("ib_write_bw", "--version"),
        "machine's load before": load(),
    }


# ---- running


def plan(is_quick):
    """What a round is: (configuration, is pin-all, memory), in order."""
    if is_quick:
        return [(WRITE_BW, None, None), (OURS_OURS, True, RANDOM), (OURS_OURS, False, RANDOM),
                (OURS_STOCK, False, RANDOM), (STOCK_STOCK, False, RANDOM)]
    steps = []
    for memory in MEMORIES:
        steps += [(STOCK_STOCK, False, memory), (OURS_STOCK, False, memory)]
        if memory == RANDOM:
            steps.append((WRITE_BW, None, None))
        steps.append((OURS_OURS, True, memory))
        if memory == RANDOM:
            steps.append((WRITE_BW, None, None))
        steps += [(OURS_OURS, False, memory), (STOCK_STOCK, True, memory),
                  (OURS_STOCK, True, memory)]
    return steps


def name_of(configuration, is_pin_all):
    if is_pin_all is None:
        return configuration
    return f"{configuration}, {'pin-all' if is_pin_all else 'dynamic'}"


def show(sample):
    figures = sample["figures"]
    shown = [f"round {sample['round']}", f"{sample['configuration']:24}", f"{sample['memory']:10}"]
    for name, unit in (("total", "ms"), ("setup", "ms"), ("RAM phase", "ms"),
                       ("throughput", "MiB/s"), ("downtime", "ms")):
        if name in figures:
            shown.append(f"{name} {figures[name]:.1f} {unit}")
    print("  ".join(shown), flush=True)


def run_round(place, paths, number, steps, samples):
    for configuration, is_pin_all, memory in steps:
        started_s = time.monotonic()
        if configuration == WRITE_BW:
            figures = ends.write_bw(place)
        else:
            figures = FUNCTIONS[configuration](place, paths[memory], is_pin_all)
        figures["whole step"] = (time.monotonic() - started_s) * 1e3
        sample = {
            "round": number,
            "configuration": name_of(configuration, is_pin_all),
            "memory": memory or "-",
            "figures": figures,
        }
        samples.append(sample)
        show(sample)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    place = ends.Place()
    conditions = find_conditions()
    steps = plan(args.quick)
    rounds = 1 if args.quick else args.rounds
    samples = []
    paths = make_memories(place, [name for name in MEMORIES if any(s[2] == name for s in steps)])
    try:
        ends.capture(place, paths[RANDOM])
        for number in range(1, rounds + 1):
            run_round(place, paths, number, steps, samples)
    except ends.BenchError as error:
        sys.exit(f"bench.py: {error}")
    conditions["machine's load after"] = load()
    with open(os.path.join(place.results, "samples.json"), "w", encoding="utf-8") as file:
        json.dump({"conditions": conditions, "rounds": rounds, "samples": samples}, file, indent=1)


if __name__ == "__main__":
    main()
