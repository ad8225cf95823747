#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# ci/machine tests/bench/rxe/inside.sh [OPTIONS OF bench.py]: the transfers, and that none of their
# programs has left anything on the device. Figures in $RDMIG_RESULTS/samples.json.
# shellcheck source=tests/rxe/lib.sh
. "$(dirname "$0")/../../rxe/lib.sh"

if /usr/bin/python3 -B "$(dirname "$0")/bench.py" "$@"; then
    ok "every transfer completed, and the memory arrived"
else
    fail "a transfer"
fi
no_leaks rdmig qemu-system-x86 ib_write_bw
finish
