#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# ci/machine tests/rxe/memlock.sh: an ordinary user with RLIMIT_MEMLOCK of 32 MiB migrates 256 MiB,
# random and zeros by turns: between rdmig send and recv, both limited or only one of them, and by
# rdmig restore into an unmodified QEMU, which nobody limits. Each end stays within its limit, by its
# own report and by what the kernel counts. Then: --pin-all beyond the limit, limits set by
# --pinned-max, and what is too small for anything.
# Clause: R8 R13 R14 W11
# shellcheck disable=SC2317 # functions are called through check and wait_for
# shellcheck source=tests/rxe/wrong_ends_lib.sh
. "$(dirname "$0")/wrong_ends_lib.sh"

RAM_MIB=256
FULL_MIB=192 # without the holes
# Where it only matters that it is more than the limit.
SMALL_MIB=64
LIMIT_KIB=32768
INCOMING_PORT=4490
LIMIT_SECONDS=90
QEMU_LIMIT_SECONDS=90

qemu=(/usr/bin/python3 "$here/qemu.py")
ram=$RDMIG_TMP/ram
target=$RDMIG_TMP/target
captured=$RDMIG_TMP/captured
qmp=$RDMIG_TMP/qmp

# make_ram MIB: MiB after MiB by turns three random and a hole.
make_ram() {
    /usr/bin/python3 -c '
import os, random, sys
file = open(sys.argv[1], "wb")
for index in range(int(sys.argv[2])):
    if index % 4 != 3:
        file.seek(index << 20)
        file.write(random.randbytes(1 << 20))
file.truncate(int(sys.argv[2]) << 20)
' "$ram" "$1"
    chmod 0666 "$ram"
}

# Old bytes: what is equal afterwards has been sent.
make_target() {
    rm -f "$target"
    tr '\0' U </dev/zero | head -c "$(stat -c %s "$ram")" >"$target"
    chmod 0666 "$target"
}

# start_as KIND NAME COMMAND...: limited (an ordinary user under the limit) or free.
start_as() {
    local kind=$1 name=$2
    shift 2
    case $kind in
    limited) start_as_user "$name" "$LIMIT_KIB" "$@" ;;
    free) start "$name" "$@" ;;
    esac
}

# The most that the kernel has counted for the program started as NAME, in KiB, into $RDMIG_RESULTS.
# VmPin has no maximum, so it is looked at again and again.
watch_pinned() {
    # shellcheck disable=SC2016 # the inner shell's
    start "watch-$1" bash -c '
        most=0
        while mapfile -t lines 2>/dev/null <"/proc/$0/status" && [[ "${lines[*]}" =~ VmPin:[^0-9]*([0-9]+) ]]; do
            if ((BASH_REMATCH[1] > most)); then most=${BASH_REMATCH[1]}; fi
            sleep 0.3
        done
        echo "$most"' "$(pid_of "$1")"
}

pinned_kib() {
    join "watch-$1" 10
    tail -n 1 "$RDMIG_RESULTS/watch-$1.log"
}

# value NAME KEY: of the JSON report.
value() {
    /usr/bin/python3 - "$RDMIG_RESULTS/$1.log" "$2" <<'PYTHON'
import json, sys
lines = [line for line in open(sys.argv[1]) if line.startswith("{")]
assert len(lines) == 1, f"{len(lines)} JSON lines"
print(json.loads(lines[0])[sys.argv[2]])
PYTHON
}

# within WHAT NAME LIMIT_BYTES: what NAME has pinned, by its report.
within() {
    local what=$1 name=$2 limit_bytes=$3 most
    most=$(value "$name" pinned_peak_bytes)
    if ((most > 0 && most <= limit_bytes)); then
        ok "$what: $name has pinned $most bytes at the most, of $limit_bytes"
    else
        fail "$what: $name has pinned $most bytes, the limit is $limit_bytes"
    fi
}

# Many regions one after the other: a run is an eighth of the limit at the most (clause R13).
regions_came_and_went() {
    local what=$1 name=$2 count
    count=$(value "$name" registrations)
    if ((count * LIMIT_KIB / 8 >= FULL_MIB << 10)); then
        ok "$what: $count registrations"
    else
        fail "$what: only $count registrations"
    fi
}

ended() {
    local what=$1 name=$2 status
    join "$name" "$LIMIT_SECONDS"
    status=$?
    if ((status == 0)); then
        ok "$what: $name: exit 0, $(value "$name" mode), $(value "$name" total_ms) ms"
    else
        fail "$what: $name: exit $status"
        tail -n 5 "$RDMIG_RESULTS/$name.log" | sed 's/^/    /'
    fi
}

# migrate WHAT KIND_OF_SEND KIND_OF_RECV OPTION_OF_SEND...
migrate() {
    local what=$1 send_kind=$2 recv_kind=$3
    shift 3
    make_target
    start_as "$recv_kind" recv "$rdmig" recv --listen "$RDMIG_ADDR:0" --ram "ram=$target" --json \
        "${recv_options[@]}"
    wait_for_port
    start_as "$send_kind" send "$rdmig" send --to "$RDMIG_ADDR:$port" --ram "ram=$ram" --json "$@"
    ended "$what" send
    ended "$what" recv
    check "$what: the memory is equal" cmp "$ram" "$target"
    no_leaks rdmig
}

both_limited() {
    local name kib
    recv_options=()
    make_target
    start_as limited recv "$rdmig" recv --listen "$RDMIG_ADDR:0" --ram "ram=$target" --json
    wait_for_port
    start_as limited send "$rdmig" send --to "$RDMIG_ADDR:$port" --ram "ram=$ram" --json
    watch_pinned recv
    watch_pinned send
    ended "both limited" send
    ended "both limited" recv
    check "both limited: the memory is equal" cmp "$ram" "$target"
    for name in send recv; do
        within "both limited" "$name" $((LIMIT_KIB << 10))
        regions_came_and_went "both limited" "$name"
        kib=$(pinned_kib "$name")
        if ((kib > LIMIT_KIB / 2 && kib <= LIMIT_KIB)); then
            ok "both limited: the kernel has counted $kib KiB for $name"
        else
            fail "both limited: the kernel has counted $kib KiB for $name"
        fi
    done
    no_leaks rdmig
}

one_limited() {
    recv_options=()
    migrate "only the source limited" limited free
    within "only the source limited" send $((LIMIT_KIB << 10))
    regions_came_and_went "only the source limited" recv
    migrate "only the destination limited" free limited
    within "only the destination limited" recv $((LIMIT_KIB << 10))
    regions_came_and_went "only the destination limited" send
}

# told WHAT NAME REFUSAL TEXT: in the report and in a line on standard error.
told() {
    local what=$1 name=$2 refusal=$3 text=$4
    if [ "$(value "$name" pin_all_refusal)" = "$refusal" ] &&
        [ "$(grep -c '^rdmig: note: ' "$RDMIG_RESULTS/$name.log")" = 1 ] &&
        grep -q "^rdmig: note: .*$text" "$RDMIG_RESULTS/$name.log"; then
        ok "$what: $(grep '^rdmig: note: ' "$RDMIG_RESULTS/$name.log")"
    else
        fail "$what: $name says nothing of pin-all"
        sed 's/^/    /' "$RDMIG_RESULTS/$name.log"
    fi
}

pin_all() {
    recv_options=()
    migrate "pin-all, the source limited" limited free --pin-all
    told "pin-all, the source limited" send LIMIT "going on with dynamic registration"
    within "pin-all, the source limited" send $((LIMIT_KIB << 10))
    migrate "pin-all, the destination limited" free limited --pin-all
    told "pin-all, the destination limited" send PEER "the destination does not pin all"
    told "pin-all, the destination limited" recv LIMIT "going on with dynamic registration"
    within "pin-all, the destination limited" recv $((LIMIT_KIB << 10))
}

# The user's own limit, which holds for who has no other, too. 9 MiB leave 3 for the memory.
pinned_max() {
    recv_options=(--pinned-max 16M)
    migrate "--pinned-max" free free --pinned-max 9M
    within "--pinned-max" send $((9 << 20))
    within "--pinned-max" recv $((9 << 20))
    make_target
    start_recv --ram "ram=$target"
    start send "$rdmig" send --to "$RDMIG_ADDR:$port" --ram "ram=$ram" --json --pinned-max 6M
    fails "--pinned-max too small, source" send 10 failed PINNED_LIMIT \
        "[1-9][0-9]+ bytes of .* cannot be pinned.*set to $((6 << 20)).*raise the limit"
    kill -INT "$(pid_of recv)"
    join recv 10
    start recv "$rdmig" recv --listen "$RDMIG_ADDR:0" --ram "ram=$target" --json --pinned-max 6M
    fails "--pinned-max too small, destination" recv 10 failed PINNED_LIMIT \
        "[1-9][0-9]+ bytes of .* cannot be pinned.*set to $((6 << 20)).*raise the limit"
    # Whoever wants no limit hears from the kernel.
    start_recv --ram "ram=$target"
    start_as limited send "$rdmig" send --to "$RDMIG_ADDR:$port" --ram "ram=$ram" --json \
        --pinned-max none
    fails "--pinned-max none under a limit" send 30 failed MEMLOCK "$(memlock_text "$LIMIT_KIB")"
    fails "--pinned-max none under a limit, the other end" recv 10 failed \
        "PEER_ERROR|STREAM_TRUNCATED|PEER_DISCONNECTED" "peer|source"
    no_leaks rdmig
}

start_qemu() {
    start "$1" qemu-system-x86_64 -accel tcg -S -display none -nodefaults -m "$RAM_MIB" \
        -rtc base=2026-01-01,clock=vm \
        -object "memory-backend-file,id=ram,share=on,mem-path=$2,size=${RAM_MIB}M" \
        -machine "q35,memory-backend=ram" -qmp "unix:$qmp,server=on,wait=off" "${@:3}"
}

into_stock_destination() {
    local what="restore into a stock QEMU"
    rm -rf "$captured" "$qmp"
    start_capture "$captured"
    start_qemu source "$ram"
    check "$what: QEMU is captured" "${qemu[@]}" migrate "$qmp" "rdma:$RDMIG_ADDR:$port" \
        --limit "$QEMU_LIMIT_SECONDS"
    ended "$what" recv
    stop source
    rm -f "$qmp"
    chmod -R a+rX "$captured"
    make_target
    start_qemu destination "$target" -incoming "rdma:$RDMIG_ADDR:$INCOMING_PORT"
    check "$what: the destination listens" "${qemu[@]}" incoming "$qmp"
    start_as limited send "$rdmig" restore --to "$RDMIG_ADDR:$INCOMING_PORT" --from "$captured" --json
    watch_pinned destination
    ended "$what" send
    check "$what: all as it was captured" "${qemu[@]}" check-restored "$qmp" "$captured" \
        "$RDMIG_RESULTS/send.log" dynamic ram
    check "$what: the memory is equal" cmp "$ram" "$target"
    no_errors "$what: the QEMU met no error at the end" destination
    within "$what" send $((LIMIT_KIB << 10))
    regions_came_and_went "$what" send
    destination_let_go "$what"
    no_leaks rdmig qemu-system-x86
}

# What it has pinned beside its own control memory is ours to ask for.
destination_let_go() {
    local kib
    stop destination
    kib=$(pinned_kib destination)
    if ((kib > LIMIT_KIB / 2 && kib <= LIMIT_KIB)); then
        ok "$1: the kernel has counted $kib KiB for the destination"
    else
        fail "$1: the kernel has counted $kib KiB for the destination"
    fi
}

# A stock source lets go of nothing: too little for all of its memory is too little.
from_stock_source() {
    local what="capture from a stock QEMU with pin-all" status
    rm -rf "$captured" "$qmp"
    mkdir -m 0777 "$RDMIG_TMP/open"
    start_as limited recv "$rdmig" capture --listen "$RDMIG_ADDR:0" --into "$RDMIG_TMP/open/guest" --json
    wait_for_port
    start_qemu source "$ram"
    if "${qemu[@]}" migrate "$qmp" "rdma:$RDMIG_ADDR:$port" --pin-all \
        --limit "$QEMU_LIMIT_SECONDS" >/dev/null 2>&1; then
        fail "$what: QEMU says that it has migrated"
    fi
    fails "$what" recv 20 failed MEMLOCK "$(memlock_text "$LIMIT_KIB")"
    check "$what: nothing is there" test ! -e "$RDMIG_TMP/open/guest"
    stop source
    no_leaks rdmig qemu-system-x86
}

make_ram "$RAM_MIB"
both_limited
one_limited
into_stock_destination
from_stock_source
make_ram "$SMALL_MIB"
pin_all
pinned_max
finish
