#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""report.py SAMPLES OUT --commit C --host-load L: medians and ratios of bench.py's samples, as a
table on standard output, as OUT.md and as OUT.json (in the form of docs/report/bench.json)."""
import argparse
import datetime
import json
import os
import platform
import statistics

import bench

# (figure, unit, heading, digits), in the table's order.
FIGURES = (
    ("total", "ms", "total ms", 0),
    ("setup", "ms", "setup ms", 0),
    ("RAM phase", "ms", "RAM phase ms", 0),
    ("throughput", "MiB/s", "MiB/s", 1),
    ("downtime", "ms", "downtime ms", 1),
    ("written", "MiB", "written MiB", 0),
    ("round trips", "count", "round trips", 0),
    ("messages", "count", "messages", 0),
    ("source CPU", "s", "CPU s source", 2),
    ("destination CPU", "s", "destination", 2),
    ("machine CPU", "s", "machine", 2),
)


def both(name, figure, ours, stock, comparison, asked):
    """The same ratio for either way to register."""
    return [(f"{name}, {mode}", figure, f"{ours}, {mode}", f"{stock}, {mode}", comparison, asked)
            for mode in ("dynamic", "pin-all")]


# (what, figure, over, under, asked for): the figure of one over that of the other.
AT_LEAST, AT_MOST = "at least", "at most"
RATIOS = [
    ("throughput of the RAM phase: ours to ours, pin-all / ib_write_bw", "throughput",
     f"{bench.OURS_OURS}, pin-all", bench.WRITE_BW, AT_LEAST, 0.97),
    ("total: ours to ours, dynamic / pin-all", "total",
     f"{bench.OURS_OURS}, dynamic", f"{bench.OURS_OURS}, pin-all", AT_MOST, 1.05),
    ("total: ours to stock, dynamic / stock to stock, dynamic", "total",
     f"{bench.OURS_STOCK}, dynamic", f"{bench.STOCK_STOCK}, dynamic", AT_MOST, 0.5),
    ("total: ours to ours, dynamic / stock to stock, pin-all", "total",
     f"{bench.OURS_OURS}, dynamic", f"{bench.STOCK_STOCK}, pin-all", AT_MOST, 0.9),
    *both("downtime: ours to ours / stock to stock", "downtime", bench.OURS_OURS,
          bench.STOCK_STOCK, AT_MOST, 0.5),
    *both("downtime: ours to stock / stock to stock", "downtime", bench.OURS_STOCK,
          bench.STOCK_STOCK, AT_MOST, 0.5),
]


class Samples:
    def __init__(self, loaded):
        self.samples = loaded["samples"]
        self.rounds = range(1, loaded["rounds"] + 1)
        self.cases = list(dict.fromkeys((s["configuration"], s["memory"]) for s in self.samples))

    def values(self, configuration, memory, figure, number=None):
        """In order; number: of one round only. ib_write_bw knows no kinds of memory."""
        if configuration == bench.WRITE_BW:
            memory = "-"
        return [s["figures"][figure] for s in self.samples
                if s["configuration"] == configuration and s["memory"] == memory
                and figure in s["figures"] and number in (None, s["round"])]


def ratio_rows(samples):
    """Of medians; least and most are of the single rounds."""
    for what, figure, over, under, comparison, asked in RATIOS:
        for memory in bench.MEMORIES:
            if under == bench.WRITE_BW and memory != bench.RANDOM:
                continue
            one = samples.values(over, memory, figure)
            other = samples.values(under, memory, figure)
            if not one or not other:
                continue
            rounds = [statistics.mean(samples.values(over, memory, figure, number)) /
                      statistics.mean(samples.values(under, memory, figure, number))
                      for number in samples.rounds]
            median = statistics.median(one) / statistics.median(other)
            reached = median >= asked if comparison == AT_LEAST else median <= asked
            yield {"ratio": what, "memory": memory, "median": round(median, 4),
                   "least": round(min(rounds), 4), "most": round(max(rounds), 4),
                   "asked": f"{comparison} {asked}", "reached": reached}


def figure_rows(samples):
    for configuration, memory in samples.cases:
        for figure, unit, _, _ in FIGURES:
            values = samples.values(configuration, memory, figure)
            if values:
                yield {"group": configuration, "case": memory, "figure": figure, "unit": unit,
                       "median": round(statistics.median(values), 3),
                       "least": round(min(values), 3), "most": round(max(values), 3),
                       "values": [round(value, 3) for value in values]}


# ---- tables


def table_lines(headings, rows):
    """One that reads well as it is and as Markdown."""
    widths = [max(len(row[i]) for row in [headings, *rows]) for i in range(len(headings))]
    # The first two columns are words.
    lines = ["| " + " | ".join(cell.ljust(width) if i < 2 else cell.rjust(width)
                               for i, (cell, width) in enumerate(zip(row, widths))) + " |"
             for row in [headings, *rows]]
    rule = "|" + "|".join("-" * (width + 2) if i < 2 else "-" * (width + 1) + ":"
                          for i, width in enumerate(widths)) + "|"
    return [lines[0], rule, *lines[1:]]


def figures_table(samples):
    rows = []
    for configuration, memory in samples.cases:
        row = [configuration, memory]
        for figure, _, _, digits in FIGURES:
            values = samples.values(configuration, memory, figure)
            row.append(f"{statistics.median(values):.{digits}f}" if values else "-")
        rows.append(row)
    return table_lines(["configuration", "memory", *(heading for _, _, heading, _ in FIGURES)],
                       rows)


def ratios_table(rows):
    return table_lines(
        ["ratio", "memory", "measured", "rounds", "asked", "reached"],
        [[row["ratio"], row["memory"], f"{row['median']:.3f}",
          f"{row['least']:.3f} to {row['most']:.3f}", row["asked"],
          "yes" if row["reached"] else "no"] for row in rows])


# ---- files

EXPLANATION = """\
Over Soft-RoCE, all on one machine, by `make bench-rxe`; this file is its output. Medians of
{rounds} round{s}; a round is every line once, `ib_write_bw` twice, in one start of the machine.

- 256 MiB of RAM: *random*; *half zero*: 8 MiB random and 8 MiB zeros by turns; *sparse*: one page
  in eight random, the others zeros. Zeros are pages that were written, not holes. The guest stands
  still (`-S`), its memory a prepared file in a tmpfs, mapped shared; the destination's memory is a
  fresh file there. What arrived is compared with what was sent after every transfer.
- *stock* is an unmodified QEMU; *ours to stock* is `rdmig restore` of a guest that `rdmig capture`
  took from one; *ours to ours* is `rdmig send` of the same memory and device state.
- Times are the source's own. *Setup* is connecting, pinning and the exchange of the blocks (stock:
  from the event SETUP to ACTIVE); *RAM phase* is the round over the memory (stock: from there to
  the guest's stop), and *MiB/s* is RAM by that time, zeros included. Setup begins before the drivers
  are loaded (some 85 ms here). A guest that stands still need not be stopped, and QEMU is told
  (`downtime-limit` 0) to leave no memory for after the stop: both are the better for stock's
  *downtime*. Its `max-bandwidth` of 128 MiB/s is lifted. *Ours to stock* has the loading of the
  devices there in its downtime: the end mark goes behind it.
- *ib_write_bw*: {messages} messages of 1 MiB from one and the same MiB to another; its average,
  which leaves its setup out.
- *messages*: SENDs counted by the device, both directions.
- CPU seconds: of a QEMU while it migrates, of the others from start to end. Soft-RoCE works in
  softirqs, in whose process is chance; *machine* is everything on all processors.
"""


def write_markdown(path, conditions, samples, ratios):
    lines = ["# rdmig and stock QEMU over Soft-RoCE, measured", ""]
    count = len(samples.rounds)
    lines += [EXPLANATION.format(rounds=count, s="" if count == 1 else "s",
                                 messages=bench.ends.GUEST_MIB)]
    lines += [*figures_table(samples), "", "## Ratios", "",
              "Of medians; beside them the least and most of a single round. Nothing fails by it.",
              "", *ratios_table(ratios), "", "## Conditions", ""]
    lines += [f"- {name}: {value}" for name, value in conditions.items()]
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def write_json(path, conditions, samples, ratios):
    def rows(entries):
        return ",\n".join("    " + json.dumps(entry) for entry in entries)

    with open(path, "w", encoding="utf-8") as file:
        file.write('{\n  "conditions": ' + json.dumps(conditions, indent=4)[:-1] + "  },\n")
        file.write('  "ratios": [\n' + rows(ratios) + "\n  ],\n")
        file.write('  "figures": [\n' + rows(figure_rows(samples)) + "\n  ]\n}\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("samples")
    parser.add_argument("out")
    parser.add_argument("--commit", required=True)
    parser.add_argument("--host-load", required=True)
    args = parser.parse_args()
    with open(args.samples, encoding="utf-8") as file:
        loaded = json.load(file)
    samples = Samples(loaded)
    conditions = {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": args.commit,
        "host": f"{os.cpu_count()} processors, {bench.cpu_name()}",
        "host's kernel": f"{platform.system()} {platform.release()}",
        "host's load": args.host_load,
        **loaded["conditions"],
        "rounds": len(samples.rounds),
    }
    ratios = list(ratio_rows(samples))
    print("\n".join([*figures_table(samples), "", *ratios_table(ratios)]))
    write_markdown(args.out + ".md", conditions, samples, ratios)
    write_json(args.out + ".json", conditions, samples, ratios)
    print(f"bench-rxe: {args.out}.md, {args.out}.json")


if __name__ == "__main__":
    main()
