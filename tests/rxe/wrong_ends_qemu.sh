#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Machine: single (it runs guests under nested KVM)
#
# ci/machine tests/rxe/wrong_ends_qemu.sh: migrations that cannot come to a good end with an
# unmodified QEMU on the other side. rdmig ends within its time limit with exit 1, one line and a
# reason, its directory does not appear; QEMU's guest, which writes all the time, runs on.
# Clause: W1 S3 S4 S5 S6 E2 E3 E4 E5 E7 E10
# shellcheck disable=SC2317 # functions are called through check and wait_for
# shellcheck source=tests/rxe/wrong_ends_lib.sh
. "$(dirname "$0")/wrong_ends_lib.sh"

# The guest writes faster than this, so the migration goes on until something ends it.
QEMU_BYTES_PER_S=$((16 << 20))
MID_ROUND_BYTES=$((4 << 20))
INCOMING_PORT=4470

directory=$RDMIG_TMP/captured
qmp=$RDMIG_TMP/qmp
block=$RDMIG_TMP/block

qemu() {
    /usr/bin/python3 "$here/qemu.py" "$@"
}

start_source() {
    start qemu qemu-system-x86_64 -accel kvm -machine pc -display none -nodefaults -m 64 \
        -bios "$helpers/guest.bin" -qmp "unix:$qmp,server=on,wait=off"
}

# guest_kept WHAT STATUS: the migration's end at QEMU, and its guest.
guest_kept() {
    local output
    if output=$(qemu kept "$qmp" "$2" --limit 30 2>&1); then
        ok "$1, QEMU: $output"
    else
        fail "$1: QEMU's guest"
        tail -n 5 <<<"$output" | sed 's/^/    /'
    fi
}

# Into rdmig capture, up to the middle of the memory.
start_migration() {
    start_capture "$directory"
    check "$1: QEMU sends" qemu migrate "$qmp" "rdma:$RDMIG_ADDR:$port" \
        --bandwidth "$QEMU_BYTES_PER_S" --until "$MID_ROUND_BYTES" --limit 30
}

nothing_there() {
    if [ -e "$directory" ]; then
        fail "$1: $directory is there"
    elif [ "$2" = clean ] && compgen -G "$directory.*" >/dev/null; then
        fail "$1: left behind: $(compgen -G "$directory.*")"
    else
        ok "$1: no directory"
    fi
    rm -rf "$directory".*
}

into_recv() {
    local what="a QEMU into rdmig recv"
    truncate -s 1M "$block"
    start_recv --ram "pc.ram=$block"
    qemu migrate "$qmp" "rdma:$RDMIG_ADDR:$port" --limit 30 >/dev/null 2>&1
    fails "$what" recv 10 failed SOURCE_KIND "the source is a QEMU"
    guest_kept "$what" failed
    no_leaks rdmig qemu-system-x86_64
}

more_than_allowed() {
    local what="a guest larger than --ram-max"
    start_capture "$directory" --ram-max 32M
    qemu migrate "$qmp" "rdma:$RDMIG_ADDR:$port" --limit 30 >/dev/null 2>&1
    fails "$what" recv 10 failed MEMORY "has [0-9]* bytes, --ram-max allows $((32 << 20))"
    guest_kept "$what" failed
    nothing_there "$what" clean
    no_leaks rdmig qemu-system-x86_64
}

capture_killed() {
    start_migration "capture is killed"
    kill -KILL "$(pid_of recv)"
    join recv 5
    guest_kept "capture is killed" failed
    nothing_there "capture is killed" partial
    no_leaks rdmig qemu-system-x86_64
}

capture_interrupted() {
    start_migration "^C at capture"
    kill -INT "$(pid_of recv)"
    fails "^C at capture" recv "$NOTICE_SECONDS" cancelled CANCELLED "cancelled by SIGINT"
    guest_kept "^C at capture" failed
    nothing_there "^C at capture" clean
    no_leaks rdmig qemu-system-x86_64
}

source_cancelled() {
    start_migration "migrate_cancel"
    check "migrate_cancel" qemu cancel "$qmp"
    fails "migrate_cancel, capture" recv "$NOTICE_SECONDS" failed \
        "PEER_ERROR|STREAM_TRUNCATED|PEER_DISCONNECTED" "the peer reported an error|the source left"
    guest_kept "migrate_cancel" cancelled
    nothing_there "migrate_cancel" clean
    no_leaks rdmig qemu-system-x86_64
}

source_killed() {
    start_migration "QEMU is killed"
    kill -KILL "$(pid_of qemu)"
    fails "QEMU is killed, capture" recv "$NOTICE_SECONDS" failed \
        "STREAM_TRUNCATED|PEER_DISCONNECTED|CONNECTION_LOST" "the source left|the peer closed"
    nothing_there "QEMU is killed" clean
    join qemu 5
    no_leaks rdmig qemu-system-x86_64
}

qemu_listens() {
    rdma resource show cm_id | grep -q "qemu-system-x86"
}

# A stock destination does not know our stream.
into_qemu() {
    local status
    truncate -s 64M "$block"
    start incoming qemu-system-x86_64 -accel tcg -machine pc -display none -nodefaults -m 64 \
        -incoming "rdma:$RDMIG_ADDR:$INCOMING_PORT"
    wait_for 20 qemu_listens || fail "QEMU does not listen"
    start send "$rdmig" send --to "$RDMIG_ADDR:$INCOMING_PORT" --ram "pc.ram=$block" --json
    fails "rdmig send into a QEMU" send 20 failed "PEER_ERROR|PEER_DISCONNECTED" "the peer"
    join incoming 20
    status=$?
    if ((status == 1)) && grep -q 'load of migration failed' "$RDMIG_RESULTS/incoming.log"; then
        ok "rdmig send into a QEMU, QEMU: $(tail -n 1 "$RDMIG_RESULTS/incoming.log")"
    else
        fail "rdmig send into a QEMU, QEMU: exit $status"
        tail -n 5 "$RDMIG_RESULTS/incoming.log" | sed 's/^/    /'
    fi
    no_leaks rdmig qemu-system-x86_64
}

check "the helpers are built" "$here/build-helpers" "$helpers"
start_source
into_recv
more_than_allowed
capture_killed
capture_interrupted
source_cancelled
source_killed
into_qemu
finish
