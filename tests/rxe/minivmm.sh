#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Machine: single (it runs guests under nested KVM)
# A running guest that writes all of its memory for ever goes there and back between minivmm processes,
# five times in one run.
# Clause: C8 C10 S8 E3
. tests/rxe/lib.sh
minivmm=${BUILD:-build}/minivmm
[ -x "$minivmm" ] || { fail "$minivmm is missing: run make"; finish; }

trip() { # trip LINE ARGUMENTS...: of minivmm.py after the program
    local line=$1 said
    shift
    if said=$(python3 tests/rxe/minivmm.py "$minivmm" "$@"); then
        ok "$line: ${said#ok: }"
    else
        fail "$line: $said"
    fi
}

# Public headers only: a VMM outside this repository could be built from the same files.
foreign=$(grep -hE '^#include' examples/minivmm/*.[ch] examples/minivmm/guest/*.[ch] | sort -u |
    grep -vE '^#include (<(rdmig/rdmig\.h|[a-z_0-9]+\.h|sys/[a-z_0-9]+\.h|linux/[a-z_0-9]+\.h|asm/[a-z_0-9-]+\.h|netinet/[a-z]+\.h|arpa/[a-z]+\.h)>|"[a-z_/]+\.h")')
check "minivmm includes public headers only${foreign:+, but $foreign}" test -z "$foreign"
inside=$(grep -hE '^#include "' examples/minivmm/*.[ch] examples/minivmm/guest/*.[ch] | sort -u | sed 's/.*"\(.*\)".*/\1/' |
    while read -r header; do
        [ -e "examples/minivmm/$header" ] || [ -e "examples/minivmm/guest/$header" ] || echo "$header"
    done)
check "and its own${inside:+, but $inside}" test -z "$inside"

check "KVM opens here" test -r /dev/kvm
trip "64 MiB under KVM, there and back" 64 kvm 5
trip "256 MiB under KVM, there and back" 256 kvm 5
trip "64 MiB under KVM, pin-all" 64 kvm 1 pin-all
# Closed off, so that minivmm chooses the process by itself; on a host of somebody's it is only told to.
if [ "${RDMIG_MACHINE_KIND:-host}" = vm ]; then
    mv /dev/kvm /dev/kvm.closed
    trip "64 MiB as a process, there and back" 64 any 5
    trip "256 MiB as a process, there and back" 256 any 5
    mv /dev/kvm.closed /dev/kvm
else
    trip "64 MiB as a process, there and back" 64 process 5
    trip "256 MiB as a process, there and back" 256 process 5
fi
no_leaks minivmm
finish
