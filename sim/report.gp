# SPDX-License-Identifier: BSD-2-Clause
# Plots of a report: gnuplot -e "tsv='...'; work='...'; out='...'" sim/report.gp
set datafile separator "\t"
set grid ytics lc rgb "#dddddd"
set offsets graph 0.03, graph 0.03, graph 0, graph 0
set key outside right top
set style line 1 lc rgb "#999999" lw 2 pt 4
set style line 2 lc rgb "#555555" lw 2 pt 5
set style line 3 lc rgb "#6baed6" lw 2 pt 6
set style line 4 lc rgb "#2171b5" lw 2 pt 7
set style line 5 lc rgb "#fd8d3c" lw 2 pt 8
set style line 6 lc rgb "#d94801" lw 2 pt 9
pick(t, s, d, m, y) = sprintf("< awk -F'\t' '$1==\"%s\" && $2==\"%s\" && $3==\"%s\" && $4==\"%s\" {print %s \"\t\" $%d}' %s", t, s, d, m, x, y, tsv)
do for [format in "svg png"] {
    if (format eq "svg") { set terminal svg size 900,480 dynamic font "sans,12" } else { set terminal pngcairo size 1100,600 font "sans,11" }

    x = "$5"
    set logscale xy
    set xtics (10, 40, 100, 200, 400)
    set xlabel "link, Gb/s"
    set ylabel "payload, Gb/s"
    do for [t in "rates rates-4k"] {
        set output sprintf("%s/%s.%s", out, t, format)
        set title t eq "rates" ? "First round of a 64 GiB guest, 2 MiB host pages" : "First round of a 64 GiB guest, 4 KiB host pages"
        plot pick(t, "stock", "stock", "dynamic", 8) using 1:2 with linespoints ls 1 title "stock, dynamic", \
            pick(t, "stock", "stock", "pin-all", 8) using 1:2 with linespoints ls 2 title "stock, pin-all", \
            pick(t, "ours", "stock", "dynamic", 8) using 1:2 with linespoints ls 3 title "ours to stock, dynamic", \
            pick(t, "ours", "stock", "pin-all", 8) using 1:2 with linespoints ls 4 title "ours to stock, pin-all", \
            pick(t, "ours", "ours", "dynamic", 8) using 1:2 with linespoints ls 5 title "ours, dynamic", \
            pick(t, "ours", "ours", "pin-all", 8) using 1:2 with linespoints ls 6 title "ours, pin-all"
    }

    x = "$6/2^30"
    set xtics (8, 64, 512, 4096)
    set xlabel "guest, GiB"
    set ylabel "total, s"
    set output sprintf("%s/sizes.%s", out, format)
    set title "Total time at 100 Gb/s"
    plot pick("sizes", "stock", "stock", "dynamic", 11) using 1:2 with linespoints ls 1 title "stock, dynamic", \
        pick("sizes", "stock", "stock", "pin-all", 11) using 1:2 with linespoints ls 2 title "stock, pin-all", \
        pick("sizes", "ours", "stock", "dynamic", 11) using 1:2 with linespoints ls 3 title "ours to stock, dynamic", \
        pick("sizes", "ours", "stock", "pin-all", 11) using 1:2 with linespoints ls 4 title "ours to stock, pin-all", \
        pick("sizes", "ours", "ours", "dynamic", 11) using 1:2 with linespoints ls 5 title "ours, dynamic", \
        pick("sizes", "ours", "ours", "pin-all", 11) using 1:2 with linespoints ls 6 title "ours, pin-all"

    unset logscale x
    set xtics auto rotate by -25
    set xlabel ""
    set style data histogram
    set style histogram clustered gap 1
    set style fill solid 0.9 border -1
    set output sprintf("%s/downtime.%s", out, format)
    set title "Downtime of busy guests, 16 GiB at 100 Gb/s, dynamic"
    set ylabel "ms"
    bars(s, d, y) = sprintf("< awk -F'\t' '$1==\"guests\" && $2==\"%s\" && $3==\"%s\" && $4==\"dynamic\" {print $7 \"\t\" $%d}' %s", s, d, y, tsv)
    plot bars("stock", "stock", 12) using 2:xtic(1) ls 2 title "stock", bars("ours", "stock", 12) using 2:xtic(1) ls 4 title "ours to stock", \
        bars("ours", "ours", 12) using 2:xtic(1) ls 6 title "ours"
    set output sprintf("%s/round-trips.%s", out, format)
    set title "Round trips a GiB, 16 GiB at 100 Gb/s, dynamic"
    set ylabel ""
    plot bars("stock", "stock", 14) using 2:xtic(1) ls 2 title "stock", bars("ours", "stock", 14) using 2:xtic(1) ls 4 title "ours to stock", \
        bars("ours", "ours", 14) using 2:xtic(1) ls 6 title "ours"
    set logscale x
    set xtics norotate
}
