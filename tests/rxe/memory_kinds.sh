#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# ci/machine tests/rxe/memory_kinds.sh: RAM blocks that are no plain memory, over a real device: huge
# pages mapped without a reservation, with a pool for all of them, for what is in use, and for less;
# a userfaultfd handler that write-protects; a page that cannot be read. Never a signal: what was
# never touched costs nothing, and what is missing is named.
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

mkdir -p /dev/hugepages
mount -t hugetlbfs none /dev/hugepages || fail "hugetlbfs cannot be mounted"
check "a pool of 300 huge pages" pool 300
ends "4 MiB in use of 512, a large pool" sparse "^memory: equal, 4 huge pages taken" "^source: completed"
check "a pool of 4 huge pages" pool 4
ends "4 MiB in use of 512, a pool for just that" sparse "^memory: equal, 4 huge pages taken" \
    "^destination: completed"
check "a pool of 6 huge pages" pool 6
ends "8 MiB in use of 512, a pool that is short at the destination" full \
    "^destination: MEMORY: RAM block pc.ram could not be registered .* huge pages of 2048 KiB, and the pool .* 0 left; raise vm.nr_hugepages" \
    "^source: PEER_ERROR"
check "a pool of 64 huge pages" pool 64
ends "pin-all, a pool that is short" pin-all \
    "MEMORY: RAM block pc.ram could not be registered .* huge pages of 2048 KiB" "^source: " "^destination: "
pool 0
ends "a page that cannot be read" unreadable \
    "^source: CALLER: RAM block pc.ram cannot be read from byte 8388608 to 8392704"
ends "write-protected by a userfaultfd handler" protected \
    "^source: REGISTER_FAILED: RAM block pc.ram could not be registered .* userfaultfd handler write-protects" \
    "^destination: PEER_ERROR"
no_leaks memory_kinds
finish
