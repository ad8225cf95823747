#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# ci/machine tests/rxe/relay.sh: a guest that stands still, q35 with 256 MiB, half of it random, goes
# from one unmodified QEMU to another by rdmig relay, pin-all off, then on. The destination has the
# same memory, byte for byte, and the same device state. Before that, what ends before it has begun.
# relay_dirty.sh has a guest that runs, and what goes wrong with it.
# Clause: C2 C10 R2 R5 R7 B2 S1 S2 S5 S6 E10 E13
# shellcheck disable=SC2317 # functions are called through check and wait_for
# shellcheck source=tests/rxe/wrong_ends_lib.sh
. "$(dirname "$0")/wrong_ends_lib.sh"

RAM_MIB=256
INCOMING_PORT=4482
QEMU_LIMIT_SECONDS=90
LIMIT_SECONDS=20

to=$RDMIG_ADDR:$INCOMING_PORT
qmp=$RDMIG_TMP/qmp
qmp_there=$RDMIG_TMP/qmp-there
ram=$RDMIG_TMP/ram
ram_there=$RDMIG_TMP/ram-there

qemu() {
    /usr/bin/python3 "$here/qemu.py" "$@"
}

# start_still NAME FILE QMP OPTION...: a guest that does not run; its clock stands still with it.
start_still() {
    rm -f "$3"
    start "$1" qemu-system-x86_64 -accel tcg -S -display none -nodefaults -m "$RAM_MIB" \
        -rtc base=2026-01-01,clock=vm -machine q35,memory-backend=ram -qmp "unix:$3,server=on,wait=off" \
        -object "memory-backend-file,id=ram,share=on,mem-path=$2,size=${RAM_MIB}M" "${@:4}"
}

# still MODE
still() {
    local mode=$1 options=() what="a guest that stands still, $1"
    shift
    [ "$mode" = dynamic ] || options+=(--pin-all)
    head -c "${RAM_MIB}M" /dev/zero | tr '\0' U >"$ram_there"
    start_still there "$ram_there" "$qmp_there" -incoming "rdma:$to"
    check "$what: the destination listens" qemu incoming "$qmp_there"
    start_relay "$to" "${options[@]}"
    check "$what: the source says completed" qemu migrate "$qmp" "rdma:$RDMIG_ADDR:$port" \
        "${options[@]}" --limit "$QEMU_LIMIT_SECONDS"
    ends_well "$what: exit 0" recv "$LIMIT_SECONDS"
    show "$what: the destination has what the source has" qemu check-relayed "$qmp_there" \
        "$RDMIG_TMP/remembered" "$RDMIG_RESULTS/recv.log" "$mode"
    check "$what: memory byte for byte" cmp "$ram" "$ram_there"
    no_errors "$what: the destination met no error at the end" there
    stop there
    no_leaks rdmig
}

still_guest() {
    /usr/bin/python3 -c '
import random, sys
with open(sys.argv[1], "wb") as file:
    for index in range(0, int(sys.argv[2]), 2):
        file.seek(index << 20)
        file.write(random.randbytes(1 << 20))
    file.truncate(int(sys.argv[2]) << 20)
' "$ram" "$RAM_MIB"
    start_still source "$ram" "$qmp"
    check "what the source holds is kept aside" qemu remember "$qmp" "$RDMIG_TMP/remembered"
    still dynamic
    # A guest that was migrated can be migrated again after a reset.
    check "the source is reset" qemu remember "$qmp" "$RDMIG_TMP/remembered"
    still pin-all
    stop source
    rm -f "$ram" "$ram_there"
}

# What ends before anything has begun.
nothing_begun() {
    start_relay "$to"
    kill -INT "$(pid_of recv)"
    fails "^C while it waits" recv "$NOTICE_SECONDS" cancelled CANCELLED "cancelled by SIGINT"
    truncate -s 1M "$ram"
    start_relay "$to"
    start send "$rdmig" send --to "$RDMIG_ADDR:$port" --ram "pc.ram=$ram" --json
    fails "an rdmig sends" recv "$NOTICE_SECONDS" failed SOURCE_KIND \
        "the source: it is an rdmig, not a QEMU"
    fails "an rdmig sends, there" send "$NOTICE_SECONDS" failed "PEER_ERROR|PEER_DISCONNECTED" "the peer"
    rm -f "$ram"
    start recv "$rdmig" relay --listen 192.0.2.1:4484 --to "$to" --json
    fails "no such address here" recv "$NOTICE_SECONDS" failed ADDRESS "192.0.2.1"
    no_leaks rdmig
}

nothing_begun
still_guest
finish
