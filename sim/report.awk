# SPDX-License-Identifier: BSD-2-Clause
# Tables of a report's lines (sim/report.c --header names the columns).
BEGIN {
    FS = "\t"
    title["rates"] = "64 GiB full of data, idle, at link rates from 10 to 400 Gb/s; host memory in 2 MiB pages"
    title["rates-4k"] = "The same with host memory in 4 KiB pages: registration is the limit above some 60 Gb/s"
    title["sizes"] = "8 GiB to 4 TiB full of data, idle, at 100 Gb/s"
    title["guests"] = "16 GiB at 100 Gb/s, guests that are busy or sparse"
    title["limits"] = "16 GiB full of data, idle, at 100 Gb/s, with a limit on pinned memory at our ends"
    title["zeros"] = "100 GB of zeros at 100 Gb/s"
    print "# Speed in the simulated world\n"
    print "Made by `make sim-report`. No clock of any machine is in it: the same tree gives the same figures everywhere. Costs and their sources:"
    print "`sim/world/costs.c`. *stock* is the model of an unmodified QEMU; *ours* is this library's own core and walker. Gb/s are of payload, in the first round; total from"
    print "the first packet to completion; downtime from the guest's stop to its start; CPU in seconds a GiB of guest; round trips a GiB of guest. The last column is the profile: what was busy for how"
    print "much of the total time; the one near 100 is the limit (at 200 and 400 Gb/s in dynamic mode: the destination, which registers memory and has it faulted in).\n"
    print "## Calibration of the stock model\n\n```"
    while ((getline line < calibration) > 0)
        print line
    print "```"
}
NR == 1 { next }
{
    if ($1 != last) {
        last = $1
        print "\n## " title[$1] "\n"
        print "| link Gb/s | guest | source to destination | mode | Gb/s | % of payload rate | RAM phase s | total s | downtime ms | rounds | round trips/GiB | CPU-s/GiB source | CPU-s/GiB destination | pinned max GiB (source, destination) | on the wire | busy of the total %: link, source, destination |"
        print "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
    }
    wire = $19 >= 2^30 ? sprintf("%.2f GiB", $19 / 2^30) : $19 >= 2^20 ? sprintf("%.2f MiB", $19 / 2^20) : sprintf("%.1f KiB", $19 / 1024)
    if ($1 == "limits")
        $7 = $25 == 0 ? "idle, no limit" : sprintf("idle, %d MiB pinned", $25 / 2^20)
    printf "| %s | %s %s | %s to %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %.2f, %.2f | %s | %s, %s, %s |\n", $5, size($6), $7, $2, $3, $4,
        $8, $9, $10, $11, $12, $13, $14, $15, $16, $17 / 2^30, $18 / 2^30, wire, $22, $23, $24
    if ($1 == "sizes" && $2 == "ours" && $6 >= 2^42)
        engine = engine sprintf("- %s to %s, %s, %s: %d bytes, %.3f MiB a TiB\n", $2, $3, $4, size($6), $21, $21 / 2^20 / ($6 / 2^40))
}
END { print "\n## Memory of the engine at the source\n\n" engine }
function size(bytes) { return bytes >= 2^40 ? bytes / 2^40 " TiB" : bytes % 2^30 == 0 ? bytes / 2^30 " GiB" : sprintf("%.0f GB", bytes / 1e9) }
