#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Machine: single (it runs guests under nested KVM)
# Migrations of a running guest that go wrong: it runs on where it was, says why, and can leave later.
# Clause: E2 E3 E7 E10 S8
. tests/rxe/lib.sh
minivmm=${BUILD:-build}/minivmm
check "minivmm is built" test -x "$minivmm"
lines=$RDMIG_RESULTS/lines
PYTHONDONTWRITEBYTECODE=1 python3 tests/rxe/minivmm_wrong.py "$minivmm" >"$lines"
status=$?
while read -r word line; do
    if [ "$word" = ok: ]; then ok "$line"; else fail "$word $line"; fi
done <"$lines"
check "all of them were tried" test "$status" -eq 0
no_leaks minivmm
finish
