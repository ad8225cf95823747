#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# ci/machine tests/rxe/restore.sh: a guest that rdmig capture has taken from an unmodified QEMU goes
# into another unmodified QEMU (-incoming rdma:) by rdmig restore: machine q35, then pc with a VGA
# and a virtio-net device; pin-all off, then on, from one capture. 256 MiB of RAM, half of it random,
# half never written, in a shared file that is compared byte for byte; all other blocks and the
# device state by what the destination itself writes of them. Then what cannot be restored.
# restore_dirty.sh has a guest that runs on.
# Clause: W1 W2 C1 C2 C10 R2 R5 B1 B2 S1 S4 E13
# shellcheck disable=SC2317 # functions are called through check and wait_for
# shellcheck source=tests/rxe/lib.sh
. "$(dirname "$0")/lib.sh"

rdmig=${RDMIG_BUILD:-${BUILD:-build}}/rdmig
qemu=(/usr/bin/python3 "$(dirname "$0")/qemu.py")
RAM_MIB=256
INCOMING_PORT=4480
QEMU_LIMIT_SECONDS=90
LIMIT_SECONDS=60
CANCEL_SECONDS=6

captured=$RDMIG_TMP/captured
source_ram=$RDMIG_TMP/source-ram
restored_ram=$RDMIG_TMP/restored-ram
qmp=$RDMIG_TMP/qmp
qtest=$RDMIG_TMP/qtest

# MiB after MiB by turns random and a hole.
make_backend() {
    /usr/bin/python3 -c '
import os, random, sys
file = open(sys.argv[1], "wb")
for index in range(0, int(sys.argv[2]), 2):
    file.seek(index << 20)
    file.write(random.randbytes(1 << 20))
file.truncate(int(sys.argv[2]) << 20)
' "$source_ram" "$RAM_MIB"
}

listening_port() {
    local line
    line=$(grep '^listening on ' "$RDMIG_RESULTS/capture.log" 2>/dev/null) && echo "${line##*:}"
}

# start_qemu NAME FILE MACHINE OPTION...: its clock is the guest's, which stands still, so the device
# state of a guest that has not run is always the same.
start_qemu() {
    start "$1" qemu-system-x86_64 -accel tcg -S -display none -nodefaults -m "$RAM_MIB" \
        -rtc base=2026-01-01,clock=vm \
        -object "memory-backend-file,id=ram,share=on,mem-path=$2,size=${RAM_MIB}M" \
        -machine "$3,memory-backend=ram" -qmp "unix:$qmp,server=on,wait=off" "${@:4}"
}

# capture MACHINE OPTION...
capture() {
    local machine=$1 status options=()
    shift
    if [ "$machine" = pc ]; then
        options+=(--fill-vram "$qtest")
        set -- "$@" -qtest "unix:$qtest,server=on,wait=off" -qtest-log none
    fi
    rm -rf "$captured"
    start capture "$rdmig" capture --listen "$RDMIG_ADDR:0" --into "$captured" --json
    start_qemu source "$source_ram" "$machine" "$@"
    wait_for 20 listening_port >/dev/null || fail "$machine: rdmig capture does not listen"
    check "$machine: QEMU is captured" "${qemu[@]}" migrate "$qmp" \
        "rdma:$RDMIG_ADDR:$(listening_port)" "${options[@]}" --limit "$QEMU_LIMIT_SECONDS"
    join capture "$LIMIT_SECONDS"
    status=$?
    if ((status == 0)); then ok "$machine: captured"; else fail "$machine: rdmig capture: exit $status"; fi
    stop source
    rm -f "$qmp"
}

# start_destination MACHINE OPTION...: a fresh one, whose RAM is anything but what it is to be.
start_destination() {
    rm -f "$restored_ram" "$qmp"
    head -c "${RAM_MIB}M" /dev/zero | tr '\0' U >"$restored_ram"
    start_qemu destination "$restored_ram" "$@" -incoming "rdma:$RDMIG_ADDR:$INCOMING_PORT"
    check "$1: the destination listens" "${qemu[@]}" incoming "$qmp"
}

# restore MACHINE MODE OPTION...
restore() {
    local machine=$1 mode=$2 what="$1, $2" options=() status output
    shift 2
    [ "$mode" = dynamic ] || options+=(--pin-all)
    start_destination "$machine" "$@"
    start restore "$rdmig" restore --to "$RDMIG_ADDR:$INCOMING_PORT" --from "$captured" --json \
        "${options[@]}"
    join restore "$LIMIT_SECONDS"
    status=$?
    if ((status == 0)); then
        ok "$what: exit 0"
    else
        fail "$what: rdmig restore: exit $status: $(tail -n 3 "$RDMIG_RESULTS/restore.log")"
    fi
    if output=$("${qemu[@]}" check-restored "$qmp" "$captured" "$RDMIG_RESULTS/restore.log" "$mode" \
        ram 2>&1); then
        ok "$what: all as it was captured: $output"
    else
        fail "$what: the restored guest"
        tail -n 20 <<<"$output" | sed 's/^/    /'
    fi
    check "$what: the RAM is what was captured" cmp "$captured/ram/ram" "$restored_ram"
    check "$what: and that is the source's" cmp "$source_ram" "$restored_ram"
    no_errors "$what: the QEMU met no error at the end" destination
    stop destination
    no_leaks rdmig qemu-system-x86
}

# refused WHAT REASONS TEXT: rdmig restore has to end with exit 1, one of these reasons (A|B) and this
# in its line.
refused() {
    local what=$1 reasons=$2 text=$3 status output
    start restore "$rdmig" restore --to "$RDMIG_ADDR:$INCOMING_PORT" --from "$captured" --json
    join restore "$LIMIT_SECONDS"
    status=$?
    output=$(cat "$RDMIG_RESULTS/restore.log")
    if ((status == 1)) && [[ $output =~ \"reason\":\ \"($reasons)\" && $output == *"$text"* ]]; then
        ok "$what: $(grep '^rdmig: ' <<<"$output")"
    else
        fail "$what: exit $status"
        tail -n 5 <<<"$output" | sed 's/^/    /'
    fi
    no_leaks rdmig
}

# ^C in the middle of the memory, which takes 16 s at this rate.
cancelled() {
    local status output
    start_destination q35
    start restore "$rdmig" restore --to "$RDMIG_ADDR:$INCOMING_PORT" --from "$captured" --json \
        --bandwidth 8M
    sleep "$CANCEL_SECONDS"
    kill -INT "$(pid_of restore)"
    join restore 10
    status=$?
    output=$(cat "$RDMIG_RESULTS/restore.log")
    if ((status == 1)) && [[ $output == *'"status": "cancelled"'* && $output == *"by SIGINT"* &&
        $output =~ \"bytes_written\":\ [1-9] ]]; then
        ok "cancelled: $(grep '^rdmig: ' <<<"$output")"
    else
        fail "cancelled: exit $status"
        tail -n 5 <<<"$output" | sed 's/^/    /'
    fi
    stop destination
    no_leaks rdmig qemu-system-x86
}

make_backend
capture q35
restore q35 dynamic
restore q35 pin-all
cancelled

# A QEMU of another size leaves when the stream has named the blocks: what it knows is in its log.
RAM_MIB=128 start_destination q35
refused "another size of memory" "PEER_ERROR|PEER_DISCONNECTED" "memory size and devices"
check "another size of memory: the QEMU says so" \
    grep "Size mismatch: ram" "$RDMIG_RESULTS/destination.log"
stop destination
refused "no QEMU there" PEER_UNREACHABLE "$RDMIG_ADDR"
# Whoever has made the directory is not to have the host's files sent, or a device opened.
mv "$captured/ram/ram" "$RDMIG_TMP/elsewhere"
ln -s "$RDMIG_TMP/elsewhere" "$captured/ram/ram"
refused "a link to another file" FILE "$captured/ram/ram is a symbolic link, no regular file"
ln -sf /dev/mem "$captured/ram/ram"
refused "a link to a device" FILE "$captured/ram/ram is a symbolic link, no regular file"
rm "$captured/ram/ram"
mknod "$captured/ram/ram" c 1 5
refused "a device" FILE "$captured/ram/ram is a device, no regular file"
rm "$captured/ram/ram"
mv "$RDMIG_TMP/elsewhere" "$captured/ram/ram"
truncate -s -1 "$captured/stream"
refused "a stream that is cut short" FILE "in the manifest"

# shellcheck disable=SC2054 # the commas are QEMU's
pc_devices=(-device VGA,addr=2 -netdev user,id=net -device virtio-net-pci,addr=3,netdev=net)
# shellcheck disable=SC2054
other_devices=(-device VGA,addr=2 -netdev user,id=net -device virtio-net-pci,addr=3,netdev=net,vectors=9)
capture pc "${pc_devices[@]}"
restore pc dynamic "${pc_devices[@]}"
restore pc pin-all "${pc_devices[@]}"

# The same RAM blocks, but a device that loads another state: a QEMU tells nobody that it gives up,
# and by then all of the guest has arrived. It runs on where it was captured, if we say so in time.
start_destination pc "${other_devices[@]}"
refused "a device that cannot be loaded" "PEER_ERROR|PEER_DISCONNECTED|CONNECTION_LOST" \
    "memory size and devices"
check "a device that cannot be loaded: the QEMU says so" \
    grep "load of migration failed" "$RDMIG_RESULTS/destination.log"
stop destination
finish
