#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Machine: single (it runs guests under nested KVM)
#
# ci/machine tests/rxe/qemu_dirty.sh: a QEMU whose guest writes 32 MiB over and over migrates into
# rdmig capture while it runs; the image is one instant of the guest (dirty_guest.S says how that is
# seen), in memory and between memory and registers. rdma-pin-all off, then on.
# The guest needs KVM: QEMUs before 9.0 lose writes to pages that stay in the software MMU's TLB
# when they migrate a guest under TCG, whatever the destination and the transport.
# Clause: C2 C8 C10 C15 R2 S1 S2 S5 S9
# shellcheck disable=SC2317 # functions are called through check and wait_for
# shellcheck source=tests/rxe/lib.sh
. "$(dirname "$0")/lib.sh"

here=$(dirname "$0")
rdmig=${RDMIG_BUILD:-${BUILD:-build}}/rdmig
qemu=(/usr/bin/python3 "$here/qemu.py")
# More than these the source makes before it may stop the guest.
ROUND_COUNT=3
QEMU_LIMIT_SECONDS=60
CAPTURE_LIMIT_SECONDS=20

qmp=$RDMIG_TMP/qmp
helpers=${BUILD:-build}/rxe-helpers

listening_port() {
    local line
    line=$(grep '^listening on ' "$RDMIG_RESULTS/capture.log" 2>/dev/null) && echo "${line##*:}"
}

# show WHAT MIGRATE-OPTION...
show() {
    local what=$1 directory=$RDMIG_TMP/captured output status
    shift
    rm -rf "$directory"
    start capture "$rdmig" capture --listen "$RDMIG_ADDR:0" --into "$directory" --json
    start qemu qemu-system-x86_64 -accel kvm -machine pc -display none -nodefaults -m 64 \
        -bios "$helpers/guest.bin" -qmp "unix:$qmp,server=on,wait=off"
    wait_for 20 listening_port >/dev/null || fail "$what: rdmig capture does not listen"
    if output=$("${qemu[@]}" migrate "$qmp" "rdma:$RDMIG_ADDR:$(listening_port)" "$@" \
        --follow "$ROUND_COUNT" --absent "$directory" --limit "$QEMU_LIMIT_SECONDS" 2>&1); then
        ok "$what: QEMU says completed, after rounds in which the guest ran on"
    else
        fail "$what: the migration"
        tail -n 5 <<<"$output" | sed 's/^/    /'
    fi
    join capture "$CAPTURE_LIMIT_SECONDS"
    status=$?
    if ((status == 0)); then ok "$what: exit 0"; else fail "$what: rdmig capture: exit $status"; fi
    if output=$("${qemu[@]}" check-instant "$directory" pc.ram 2>&1); then
        ok "$what: one instant: $output"
    else
        fail "$what: the image is not one instant of the guest"
        tail -n 5 <<<"$output" | sed 's/^/    /'
    fi
    stop qemu
    no_leaks rdmig
}

check "the guest is built" "$here/build-helpers" "$helpers"
show dynamic
show pin-all --pin-all
finish
