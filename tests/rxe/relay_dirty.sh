#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Machine: single (it runs guests under nested KVM)
#
# ci/machine -s tests/rxe/relay_dirty.sh: a guest that writes 32 MiB over and over (dirty_guest.S) goes
# from one unmodified QEMU to another by rdmig relay while it runs: one instant of it arrives, and
# it writes and prints on. Then what goes wrong, on either side and here: the relay says on which,
# and the source's guest runs on.
# Clause: C2 C10 R2 R7 S1 S2 S5 S6 S9 E3 E7 E10
# shellcheck disable=SC2317 # functions are called through check and wait_for
# shellcheck source=tests/rxe/wrong_ends_lib.sh
. "$(dirname "$0")/wrong_ends_lib.sh"

INCOMING_PORT=4483
ROUND_COUNT=2
QEMU_LIMIT_SECONDS=90
LIMIT_SECONDS=20
# The guest writes faster than this, so the migration goes on until something ends it.
SLOW_BYTES_PER_S=$((16 << 20))
MID_ROUND_BYTES=$((8 << 20))

to=$RDMIG_ADDR:$INCOMING_PORT
qmp=$RDMIG_TMP/qmp
qmp_there=$RDMIG_TMP/qmp-there
printed=$RDMIG_TMP/printed
printing=$RDMIG_TMP/printing

qemu() {
    /usr/bin/python3 "$here/qemu.py" "$@"
}

# start_running NAME MACHINE QMP SERIAL OPTION...
start_running() {
    rm -f "$3" "$4"
    start "$1" qemu-system-x86_64 -accel kvm -machine "$2" -display none -nodefaults -m 64 \
        -bios "$helpers/guest.bin" -qmp "unix:$3,server=on,wait=off" -serial "file:$4" "${@:5}"
}

# The source has all memory registered from the start and writes without a word; what the relay
# sends is registered as it goes.
running_guest() {
    local what="a guest that writes"
    start_running there q35 "$qmp_there" "$printing" -S -incoming "rdma:$to"
    check "$what: the destination listens" qemu incoming "$qmp_there"
    start_running source q35 "$qmp" "$printed"
    start_relay "$to"
    check "$what: the source says completed, after rounds in which it ran on" qemu migrate "$qmp" \
        "rdma:$RDMIG_ADDR:$port" --pin-all --follow "$ROUND_COUNT" --limit "$QEMU_LIMIT_SECONDS"
    ends_well "$what: exit 0" recv "$LIMIT_SECONDS"
    show "$what: one instant, and it goes on" qemu check-continued "$qmp_there" \
        "$RDMIG_RESULTS/recv.log" "$printed" "$printing" "$ROUND_COUNT"
    no_errors "$what: the destination met no error at the end" there
    stop there
    stop source
    no_leaks rdmig qemu-system-x86_64
}

# ---- what goes wrong

start_destination() {
    start_running there pc "$qmp_there" "$printing" -S -incoming "rdma:$to" "$@"
    check "the destination listens" qemu incoming "$qmp_there"
}

# guest_kept WHAT STATUS: the migration's end at the source, and its guest.
guest_kept() {
    show "$1: the source" qemu kept "$qmp" "$2" --limit 30
}

# fails_at SIDE WHAT STATUS REASONS TEXT
fails_at() {
    local side=$1 what=$2
    fails "$what" recv "$NOTICE_SECONDS" "$3" "$4" "$5"
    if grep -q "\"side\": $side" "$RDMIG_RESULTS/recv.log"; then
        ok "$what: side $side"
    else
        fail "$what: not of side $side"
    fi
}

# Up to the middle of the memory.
start_slowly() {
    start_relay "$to"
    check "$1: the source sends" qemu migrate "$qmp" "rdma:$RDMIG_ADDR:$port" \
        --bandwidth "$SLOW_BYTES_PER_S" --until "$MID_ROUND_BYTES" --limit 30
}

nobody_there() {
    local what="nobody listens there"
    start_relay "$to"
    qemu migrate "$qmp" "rdma:$RDMIG_ADDR:$port" --limit 30 >/dev/null 2>&1
    fails_at '"destination"' "$what" failed PEER_UNREACHABLE "the destination, .* port $INCOMING_PORT"
    guest_kept "$what" failed
    no_leaks rdmig
}

other_size() {
    local what="another size of memory there"
    start_destination -m 128
    start_relay "$to"
    qemu migrate "$qmp" "rdma:$RDMIG_ADDR:$port" --limit 30 >/dev/null 2>&1
    fails_at '"destination"' "$what" failed "PEER_ERROR|PEER_DISCONNECTED" "the destination, "
    check "$what: the QEMU says so" grep "Size mismatch" "$RDMIG_RESULTS/there.log"
    guest_kept "$what" failed
    stop there
    no_leaks rdmig
}

# All device state is loaded there before the source sends its last message.
other_devices() {
    local what="a device is missing there"
    start_running source pc "$qmp" "$printed" -device virtio-balloon-pci
    start_destination
    start_relay "$to"
    qemu migrate "$qmp" "rdma:$RDMIG_ADDR:$port" --follow 1 --limit "$QEMU_LIMIT_SECONDS" >/dev/null 2>&1
    fails_at '"destination"' "$what" failed "PEER_ERROR|PEER_DISCONNECTED" "the destination, "
    check "$what: the QEMU says so" grep "Unknown savevm section" "$RDMIG_RESULTS/there.log"
    guest_kept "$what" failed
    stop there
    stop source
    no_leaks rdmig
}

destination_killed() {
    local what="the destination is killed"
    start_destination
    start_slowly "$what"
    kill -KILL "$(pid_of there)"
    fails_at '"destination"' "$what" failed \
        "PEER_DISCONNECTED|CONNECTION_LOST|WRITE_FAILED|SEND_FAILED|PEER_SILENT" "the destination, "
    guest_kept "$what" failed
    join there 5
    no_leaks rdmig
}

interrupted() {
    local what="^C at the relay"
    start_destination
    start_slowly "$what"
    kill -INT "$(pid_of recv)"
    fails_at null "$what" cancelled CANCELLED "cancelled by SIGINT"
    guest_kept "$what" failed
    join there 10
    check "$what: the destination gives up" grep "load of migration failed" "$RDMIG_RESULTS/there.log"
    no_leaks rdmig
}

killed() {
    local what="the relay is killed"
    start_destination
    start_slowly "$what"
    kill -KILL "$(pid_of recv)"
    join recv 5
    guest_kept "$what" failed
    join there 10
    check "$what: the destination gives up" grep "load of migration failed" "$RDMIG_RESULTS/there.log"
    no_leaks rdmig
}

source_cancelled() {
    local what="migrate_cancel at the source"
    start_destination
    start_slowly "$what"
    check "$what" qemu cancel "$qmp"
    fails_at '"source"' "$what" failed "PEER_ERROR|STREAM_TRUNCATED|PEER_DISCONNECTED" "the source: "
    guest_kept "$what" cancelled
    join there 10
    check "$what: the destination gives up" grep "load of migration failed" "$RDMIG_RESULTS/there.log"
    no_leaks rdmig
}

# Whether the destination got the end mark cannot be told then: here it did not, and what the error
# advises brings the guest back.
end_lost() {
    local what="the end mark is never acknowledged"
    start_running source pc "$qmp" "$printed"
    start_destination
    start recv env LD_PRELOAD="$helpers/lost_end.so" LOST_END="$RDMIG_TMP/lost-end" \
        "$rdmig" relay --listen "$RDMIG_ADDR:0" --to "$to" --json
    wait_for_port
    check "$what: the source says completed" qemu migrate "$qmp" "rdma:$RDMIG_ADDR:$port" --follow 1 \
        --limit "$QEMU_LIMIT_SECONDS"
    check "$what: the queue pair was broken" wait_for "$NOTICE_SECONDS" test -e "$RDMIG_TMP/lost-end"
    fails_at '"destination"' "$what" failed HANDOVER_UNKNOWN "the destination, .*'cont'"
    join there 10
    check "$what: the destination gives up" grep "load of migration failed" "$RDMIG_RESULTS/there.log"
    show "$what: 'cont' at the source" qemu kept "$qmp" completed --cont --limit 30
    stop source
    no_leaks rdmig qemu-system-x86_64
}

check "the helpers are built" "$here/build-helpers" "$helpers"
running_guest
other_devices
end_lost
start_running source pc "$qmp" "$printed"
nobody_there
other_size
destination_killed
interrupted
killed
source_cancelled
stop source
no_leaks rdmig qemu-system-x86_64
finish
