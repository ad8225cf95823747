#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# ci/machine tests/rxe/sparse.sh: a guest of 16 GiB of which 64 MiB were ever touched, a chunk in
# every 256 MiB, beside a guest of 64 MiB: rdmig send to rdmig recv, five times each by turns. Less
# than 1 MB of control traffic; nothing that was not touched is allocated at either end, nor in the
# memory of either process; at most twice the time. Then the same with ordinary files.
# Clause: C9
# shellcheck disable=SC2317 # functions are called through check and wait_for
# shellcheck source=tests/rxe/lib.sh
. "$(dirname "$0")/lib.sh"

rdmig=${RDMIG_BUILD:-${BUILD:-build}}/rdmig
ROUND_COUNT=5
GUEST_MIB=16384
TOUCHED_MIB=64
CONTROL_BYTES_MAX=1000000
# What a process has beside guest memory: messages, tables, libraries.
RSS_EXTRA_KIB_MAX=32768
TIME_RATIO_MAX_PERCENT=200
LIMIT_SECONDS=90

guests=$RDMIG_TMP/guests
mkdir -p "$guests"
disk_dir=$(mktemp -d /var/tmp/rdmig-sparse-XXXXXX)
trap 'status=$?; rm -rf "$disk_dir"; (exit $status); lib_clean_up' EXIT

# make_guest FILE MIB: $TOUCHED_MIB chunks of random bytes, as far apart as there is room.
make_guest() {
    /usr/bin/python3 -c '
import random, sys
mib, touched = int(sys.argv[2]), int(sys.argv[3])
with open(sys.argv[1], "wb") as file:
    for index in range(touched):
        file.seek(index * (mib // touched) << 20)
        file.write(random.randbytes(1 << 20))
    file.truncate(mib << 20)
' "$1" "$2" "$TOUCHED_MIB"
}

# Where both files hold data they hold the same, and nowhere else is any: holes are not read.
same_data() {
    /usr/bin/python3 -c '
import errno, os, sys
def data(fd):
    at = 0
    while True:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return
        end = os.lseek(fd, at, os.SEEK_HOLE)
        while at < end:
            piece = os.pread(fd, min(end - at, 1 << 20), at)
            if piece.count(0) != len(piece):
                yield at, piece
            at += len(piece)
fds = [os.open(path, os.O_RDONLY) for path in sys.argv[1:]]
assert os.fstat(fds[0]).st_size == os.fstat(fds[1]).st_size
both = [dict(data(fd)) for fd in fds]
assert both[0] == both[1], [len(one) for one in both]
assert len(both[0]) > 0
' "$1" "$2"
}

allocated_kib() {
    echo $(($(stat -c %b "$1") / 2))
}

# measured NAME COMMAND...: the command, and then the most memory it had in use, shared included, in
# $RDMIG_RESULTS/NAME.kib.
measured() {
    local name=$1
    shift
    start "$name" /usr/bin/python3 -c '
import os, resource, subprocess, sys
status = subprocess.call(sys.argv[2:])
with open(sys.argv[1], "w") as file:
    file.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(status)
' "$RDMIG_RESULTS/$name.kib" "$@"
}

listening_port() {
    local line
    line=$(grep '^listening on ' "$RDMIG_RESULTS/recv.log") && echo "${line##*:}"
}

# Reads one value of the JSON line in a log.
value() {
    /usr/bin/python3 -c '
import json, sys
print(json.loads([line for line in open(sys.argv[1]) if line.startswith("{")][0])[sys.argv[2]])
' "$RDMIG_RESULTS/$1.log" "$2"
}

# migrate FROM TO: a file into another of its length without any data.
migrate() {
    local send_status recv_status
    rm -f "$2"
    truncate -s "$(stat -c %s "$1")" "$2"
    measured recv "$rdmig" recv --listen "$RDMIG_ADDR:0" --ram "ram=$2" --json
    wait_for 20 listening_port >/dev/null || echo "rdmig recv does not listen"
    measured send "$rdmig" send --to "$RDMIG_ADDR:$(listening_port)" --ram "ram=$1" --json
    join send "$LIMIT_SECONDS"
    send_status=$?
    join recv 20
    recv_status=$?
    ((send_status == 0 && recv_status == 0)) && return
    echo "send: exit $send_status, recv: exit $recv_status"
    cat "$RDMIG_RESULTS/send.log" "$RDMIG_RESULTS/recv.log"
    return 1
}

# at_most WHAT VALUE LIMIT UNIT
at_most() {
    if (($2 <= $3)); then ok "$1: $2 $4"; else fail "$1: $2 $4, and at most $3 are allowed"; fi
}

# Of the migration that has just been: what both ends have in use.
show_memory() {
    local what=$1 from=$2 to=$3 touched_kib=$((TOUCHED_MIB * 1024)) file_kib
    file_kib=$((touched_kib + ${4:-0}))
    at_most "$what: allocated at the source" "$(allocated_kib "$from")" "$file_kib" KiB
    at_most "$what: allocated at the destination" "$(allocated_kib "$to")" "$file_kib" KiB
    at_most "$what: most memory of rdmig send" "$(cat "$RDMIG_RESULTS/send.kib")" \
        $((touched_kib + RSS_EXTRA_KIB_MAX)) KiB
    at_most "$what: most memory of rdmig recv" "$(cat "$RDMIG_RESULTS/recv.kib")" \
        $((touched_kib + RSS_EXTRA_KIB_MAX)) KiB
}

show_sparse() {
    check "16 GiB: what was touched is equal, nothing else is there" same_data "$guests/sparse" \
        "$guests/target"
    at_most "16 GiB: control traffic ($(value send control_messages) messages)" \
        "$(value send control_bytes)" "$CONTROL_BYTES_MAX" bytes
    show_memory "16 GiB" "$guests/sparse" "$guests/target"
    if [ "$(value send bytes_written),$(value send bytes_zero)" = \
        "$((TOUCHED_MIB << 20)),$(((GUEST_MIB - TOUCHED_MIB) << 20))" ]; then
        ok "16 GiB: each byte touched was written, and the rest was zero"
    else
        fail "16 GiB: $(value send bytes_written) bytes written, $(value send bytes_zero) zero"
    fi
}

middle_of() {
    printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"
}

compare_times() {
    local round sparse=() full=() sparse_ms full_ms
    for ((round = 1; round <= ROUND_COUNT; round++)); do
        check "64 MiB, all touched, round $round" migrate "$guests/full" "$guests/target"
        full+=("$(value send total_ms)")
        check "16 GiB, 64 MiB touched, round $round" migrate "$guests/sparse" "$guests/target"
        sparse+=("$(value send total_ms)")
    done
    show_sparse
    full_ms=$(middle_of "${full[@]}")
    sparse_ms=$(middle_of "${sparse[@]}")
    echo "64 MiB: ${full[*]} ms; 16 GiB: ${sparse[*]} ms; $(value send registrations) registrations," \
        "$(value send round_trips) round trips"
    at_most "16 GiB in $sparse_ms ms, 64 MiB in $full_ms ms (medians)" \
        "$(awk -v a="$sparse_ms" -v b="$full_ms" 'BEGIN { printf "%d", 100 * a / b }')" \
        "$TIME_RATIO_MAX_PERCENT" %
}

make_guest "$guests/sparse" "$GUEST_MIB"
make_guest "$guests/full" "$TOUCHED_MIB"
compare_times

# The tool's own copies of ordinary files are sparse too.
make_guest "$disk_dir/sparse" "$GUEST_MIB"
check "16 GiB, ordinary files" migrate "$disk_dir/sparse" "$disk_dir/target"
check "16 GiB, ordinary files: equal" same_data "$disk_dir/sparse" "$disk_dir/target"
show_memory "16 GiB, ordinary files" "$disk_dir/sparse" "$disk_dir/target" 1024
no_leaks rdmig
finish
