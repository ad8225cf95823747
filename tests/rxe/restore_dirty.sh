#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Machine: single (it runs guests under nested KVM)
#
# ci/machine tests/rxe/restore_dirty.sh: a guest that writes 32 MiB over and over (dirty_guest.S) is
# captured while it runs, from an unmodified QEMU, in several rounds; rdmig restore puts it into
# another one, where memory and registers are what they were, and it writes on from the very word.
# pin-all off, then on, from one capture.
# Clause: C2 C10 R2 R5 S1 S2
# shellcheck disable=SC2317 # functions are called through check and wait_for
# shellcheck source=tests/rxe/lib.sh
. "$(dirname "$0")/lib.sh"

here=$(dirname "$0")
rdmig=${RDMIG_BUILD:-${BUILD:-build}}/rdmig
qemu=(/usr/bin/python3 "$here/qemu.py")
ROUND_COUNT=3
INCOMING_PORT=4481
QEMU_LIMIT_SECONDS=60
LIMIT_SECONDS=40

captured=$RDMIG_TMP/captured
qmp=$RDMIG_TMP/qmp
helpers=${BUILD:-build}/rxe-helpers

listening_port() {
    local line
    line=$(grep '^listening on ' "$RDMIG_RESULTS/capture.log" 2>/dev/null) && echo "${line##*:}"
}

# start_qemu NAME OPTION...
start_qemu() {
    rm -f "$qmp"
    start "$1" qemu-system-x86_64 -accel kvm -machine pc -display none -nodefaults -m 64 \
        -bios "$helpers/guest.bin" -qmp "unix:$qmp,server=on,wait=off" "${@:2}"
}

capture() {
    local status
    start capture "$rdmig" capture --listen "$RDMIG_ADDR:0" --into "$captured" --json
    start_qemu source
    wait_for 20 listening_port >/dev/null || fail "rdmig capture does not listen"
    check "QEMU's running guest is captured, in rounds" "${qemu[@]}" migrate "$qmp" \
        "rdma:$RDMIG_ADDR:$(listening_port)" --follow "$ROUND_COUNT" --limit "$QEMU_LIMIT_SECONDS"
    join capture "$LIMIT_SECONDS"
    status=$?
    if ((status == 0)); then ok "rdmig capture: exit 0"; else fail "rdmig capture: exit $status"; fi
    stop source
}

# restore WHAT OPTION...
restore() {
    local what=$1 status output
    shift
    start_qemu destination -S -incoming "rdma:$RDMIG_ADDR:$INCOMING_PORT"
    check "$what: the destination listens" "${qemu[@]}" incoming "$qmp"
    start restore "$rdmig" restore --to "$RDMIG_ADDR:$INCOMING_PORT" --from "$captured" --json "$@"
    join restore "$LIMIT_SECONDS"
    status=$?
    if ((status == 0)); then
        ok "$what: exit 0"
    else
        fail "$what: rdmig restore: exit $status: $(tail -n 3 "$RDMIG_RESULTS/restore.log")"
    fi
    if output=$("${qemu[@]}" check-running "$qmp" "$captured" pc.ram 2>&1); then
        ok "$what: the guest goes on where it was: $output"
    else
        fail "$what: the restored guest"
        tail -n 5 <<<"$output" | sed 's/^/    /'
    fi
    no_errors "$what: the QEMU met no error at the end" destination
    stop destination
    no_leaks rdmig qemu-system-x86
}

check "the guest is built" "$here/build-helpers" "$helpers"
capture
restore dynamic
restore pin-all --pin-all
finish
