#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# ci/machine tests/rxe/memory_kinds.sh: RAM blocks that are no plain memory, over a real device: huge
# pages mapped without a reservation, with a pool for all of them, for what is in use, and for less,
# also of another process's, and after their page tables have gone; a file that ends too early, and a
# tmpfs that is full; a userfaultfd handler that write-protects; a page that cannot be read. Never a
# signal, never other memory than there was: what was never touched costs nothing, and what is missing
# is named.
set -u
# shellcheck source=tests/rxe/lib.sh
. "$(dirname "$0")/lib.sh"

helpers=${BUILD:-build}/rxe-helpers
"$(dirname "$0")/build-helpers" "$helpers" || exit 1

pool() { # pool PAGES: exactly so many, of 2 MiB
    echo "$1" >/proc/sys/vm/nr_hugepages
    [ "$(cat /proc/sys/vm/nr_hugepages)" = "$1" ]
}

# ends WHAT KIND TEXT...: no signal, and each TEXT (a regular expression) is in a line.
ends() {
    local what=$1 kind=$2 text output status
    shift 2
    output=$("$helpers/memory_kinds" "$kind" "$RDMIG_ADDR" 2>&1)
    status=$?
    for text in "$@"; do
        grep -qE "$text" <<<"$output" || status="no line with: $text"
    done
    if [ "$status" = 0 ]; then
        ok "$what: $(grep -E "$1" <<<"$output" | head -1)"
    else
        fail "$what: $status"
        tail -n 10 <<<"$output" | sed 's/^/    /'
    fi
}

# A guest's file whose VMM has two pages in use and no more in the pool: the sender maps it anew, and
# takes none. Into an ordinary tmpfs.
# shellcheck disable=SC2317 # called through check
send_sparse() {
    local from=/dev/hugepages/guest to=$RDMIG_TMP/guest port
    /usr/bin/python3 -c '
import mmap, os, sys
MAP_NORESERVE = 0x4000
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
os.ftruncate(fd, 512 << 20)
memory = mmap.mmap(fd, 512 << 20, flags=mmap.MAP_SHARED | MAP_NORESERVE)
memory[100 << 20:104 << 20] = bytes(range(1, 256)) * 16448 + bytes(64)
' "$from" || return 1
    truncate -s 512M "$to"
    start recv "${BUILD:-build}/rdmig" recv --listen "$RDMIG_ADDR:0" --ram "ram=$to" --json
    wait_for 20 grep -q '^listening on ' "$RDMIG_RESULTS/recv.log" || echo "rdmig recv does not listen"
    port=$(sed -n 's/^listening on .*://p' "$RDMIG_RESULTS/recv.log")
    start send "${BUILD:-build}/rdmig" send --to "$RDMIG_ADDR:$port" --ram "ram=$from" --json
    join send 60 && join recv 20 && cmp -n $((512 << 20)) "$from" "$to" &&
        [ "$(stat -c %b "$from")" = $((4 << 11)) ] && rm -f "$from" "$to" && return
    cat "$RDMIG_RESULTS/send.log" "$RDMIG_RESULTS/recv.log"
    return 1
}

mkdir -p /dev/hugepages
mount -t hugetlbfs none /dev/hugepages || fail "hugetlbfs cannot be mounted"
check "a pool of 300 huge pages" pool 300
ends "4 MiB in use of 512, a large pool" sparse "^memory: equal, 4 huge pages taken" "^source: completed"
check "a pool of 560 huge pages" pool 560
ends "page tables that were shared are gone, data at the source" unshared \
    "^memory: equal, 2 huge pages taken" "^page tables: gone" "^destination: completed"
ends "page tables that were shared are gone, old data at the destination" stale \
    "^memory: equal, 1 huge pages taken" "^page tables: gone" "^destination: completed"
check "a pool of 4 huge pages" pool 4
ends "4 MiB in use of 512, a pool for just that" sparse "^memory: equal, 4 huge pages taken" \
    "^destination: completed"
ends "the same, written through another mapping" elsewhere "^memory: equal, 4 huge pages taken" \
    "^destination: completed"
check "rdmig send, 4 MiB in use of 512, no page but those two" send_sparse
check "a pool of 6 huge pages" pool 6
ends "8 MiB in use of 512, a pool that is short at the destination" full \
    "^destination: MEMORY: RAM block pc.ram could not be registered .* huge pages of 2048 KiB, and the pool .* 0 left, 0 of them reserved for others; raise vm.nr_hugepages" \
    "^source: PEER_ERROR"
check "a pool of 64 huge pages" pool 64
ends "pin-all, a pool that is short" pin-all \
    "MEMORY: RAM block pc.ram could not be registered .* huge pages of 2048 KiB" "^source: " "^destination: "
pool 0
ends "the destination's file ends before its block" short \
    "^destination: REGISTER_FAILED: .*Bad address \(RAM block pc.ram, byte [0-9]+\); .* nor beyond a file's end" \
    "^source: PEER_ERROR"
mkdir -p "$RDMIG_TMP/small"
mount -t tmpfs -o size=4m none "$RDMIG_TMP/small" || fail "tmpfs cannot be mounted"
MEMORY_KINDS_FILE=$RDMIG_TMP/small/ram ends "a tmpfs that is full" tmpfs \
    "^destination: REGISTER_FAILED: .*\(RAM block pc.ram, byte [0-9]+\); .* tmpfs that is full" \
    "^source: PEER_ERROR"
umount "$RDMIG_TMP/small"
ends "a page that cannot be read" unreadable \
    "^source: CALLER: RAM block pc.ram cannot be read from byte 8388608 to 8392704"
ends "write-protected by a userfaultfd handler" protected \
    "^source: REGISTER_FAILED: RAM block pc.ram could not be registered .* userfaultfd handler write-protects" \
    "^destination: PEER_ERROR"
ends "the destination's RAM write-protected" received \
    "^destination: REGISTER_FAILED: RAM block pc.ram could not be registered .* userfaultfd handler write-protects" \
    "^source: PEER_ERROR"
no_leaks memory_kinds
finish
