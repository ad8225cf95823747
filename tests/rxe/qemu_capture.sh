#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# ci/machine tests/rxe/qemu_capture.sh: an unmodified QEMU migrates into rdmig capture. Machine q35,
# then pc with a VGA and a virtio-net device; rdma-pin-all off, then on; 256 MiB of random RAM in a
# shared file that the captured block is compared with.
# Clause: W1 W2 W3 W6 C1 C2 C8 R2 R7 B1 B2 B3 S3 S4 S5 S6
# shellcheck disable=SC2317 # functions are called through check and wait_for
# shellcheck source=tests/rxe/lib.sh
. "$(dirname "$0")/lib.sh"

rdmig=${RDMIG_BUILD:-${BUILD:-build}}/rdmig
qemu=(/usr/bin/python3 "$(dirname "$0")/qemu.py")
RAM_MIB=256
QEMU_LIMIT_SECONDS=90
CAPTURE_LIMIT_SECONDS=30

backend=$RDMIG_TMP/backend
qmp=$RDMIG_TMP/qmp
qtest=$RDMIG_TMP/qtest

make_backend() {
    /usr/bin/python3 -c '
import random, sys
for _ in range(int(sys.argv[1])):
    sys.stdout.buffer.write(random.randbytes(1 << 20))
' "$RAM_MIB" >"$backend"
}

# The port that rdmig says it listens on; fails until it says so.
listening_port() {
    local line
    line=$(grep '^listening on ' "$RDMIG_RESULTS/capture.log" 2>/dev/null) && echo "${line##*:}"
}

# The guest never runs, so its memory stays as it is.
start_qemu() {
    start qemu qemu-system-x86_64 -accel tcg -S -display none -nodefaults -m "$RAM_MIB" \
        -object "memory-backend-file,id=ram,share=on,mem-path=$backend,size=${RAM_MIB}M" \
        -machine "$1,memory-backend=ram" -qmp "unix:$qmp,server=on,wait=off" "${@:2}"
}

# show MACHINE MODE QEMU-OPTION...
show() {
    local machine=$1 mode=$2 what="$1, $2" directory=$RDMIG_TMP/captured options=() status output
    shift 2
    [ "$mode" = dynamic ] || options+=(--pin-all)
    [ "$machine" = q35 ] || options+=(--fill-vram "$qtest")
    rm -rf "$directory"
    start capture "$rdmig" capture --listen "$RDMIG_ADDR:0" --into "$directory" --json
    start_qemu "$machine" "$@"
    wait_for 20 listening_port >/dev/null || fail "$what: rdmig capture does not listen"
    check "$what: QEMU says completed, the directory is not there before" \
        "${qemu[@]}" migrate "$qmp" "rdma:$RDMIG_ADDR:$(listening_port)" "${options[@]}" \
        --absent "$directory" --limit "$QEMU_LIMIT_SECONDS"
    join capture "$CAPTURE_LIMIT_SECONDS"
    status=$?
    if ((status == 0)); then ok "$what: exit 0"; else fail "$what: rdmig capture: exit $status"; fi
    if output=$("${qemu[@]}" check-capture "$qmp" "$directory" "$RDMIG_RESULTS/capture.log" \
        "$mode" ram 2>&1); then
        ok "$what: all as QEMU has it: $output"
    else
        fail "$what: the capture"
        tail -n 20 <<<"$output" | sed 's/^/    /'
    fi
    check "$what: cmp of the RAM with its file" cmp "$directory/ram/ram" "$backend"
    stop qemu
    no_leaks rdmig
}

make_backend
show q35 dynamic
show q35 pin-all
# shellcheck disable=SC2054 # the commas are QEMU's
pc_devices=(-device VGA,addr=2 -netdev user,id=net -device virtio-net-pci,addr=3,netdev=net
    -qtest "unix:$qtest,server=on,wait=off" -qtest-log none)
show pc dynamic "${pc_devices[@]}"
show pc pin-all "${pc_devices[@]}"
finish
