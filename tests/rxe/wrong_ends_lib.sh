# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set here is used by those who source this
#
# Sourced by wrong_ends*.sh, with lib.sh:
#   start_recv OPTION...        starts rdmig recv, sets $port
#   start_capture DIR OPTION... starts rdmig capture as "recv", sets $port
#   start_relay TO OPTION...    starts rdmig relay as "recv", sets $port
#   show LINE COMMAND...        like check, and what it prints stands in the line
#   fails WHAT NAME SECONDS STATUS REASON TEXT
#                               the program started as NAME ends in time with exit 1, with one line
#                               on standard error that matches TEXT, and STATUS and REASON in JSON
#   ends_well WHAT NAME SECONDS ends in time with exit 0
#   start_as_user NAME KIB COMMAND...
#                               start, as an ordinary user with that RLIMIT_MEMLOCK
#   memlock_text KIB            what has to be said of that limit: it, the bytes that were asked for
#                               and the remedy
# shellcheck source=tests/rxe/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

here=$(dirname "${BASH_SOURCE[0]}")
helpers=${BUILD:-build}/rxe-helpers
# A copy, where an ordinary user can read it.
rdmig=$RDMIG_TMP/rdmig
cp "${RDMIG_BUILD:-${BUILD:-build}}/rdmig" "$rdmig" || exit 1
peer=$helpers/peer
PEER_PORT=4450
UNPRIVILEGED_ID=65534
# A peer that is gone is noticed within these.
NOTICE_SECONDS=10

# The port that rdmig says it listens on; fails until it says so.
listening_port() {
    local line
    line=$(grep '^listening on ' "$RDMIG_RESULTS/recv.log" 2>/dev/null) && echo "${line##*:}"
}

wait_for_port() {
    wait_for 20 listening_port >/dev/null || fail "rdmig does not listen"
    port=$(listening_port)
}

start_recv() {
    start recv "$rdmig" recv --listen "$RDMIG_ADDR:0" --json "$@"
    wait_for_port
}

start_capture() {
    start recv "$rdmig" capture --listen "$RDMIG_ADDR:0" --into "$1" --json "${@:2}"
    wait_for_port
}

start_relay() {
    start recv "$rdmig" relay --listen "$RDMIG_ADDR:0" --to "$1" --json "${@:2}"
    wait_for_port
}

show() {
    local line=$1 output
    shift
    if output=$("$@" 2>&1); then
        ok "$line: $output"
    else
        fail "$line"
        tail -n 10 <<<"$output" | sed 's/^/    /'
    fi
}

# Prints what is wrong with a failed run's output.
faults_of() {
    local log=$1 status=$2 reason=$3 text=$4 line lines=() reports=()
    while read -r line; do
        case $line in
        "rdmig: "*) lines+=("$line") ;;
        "{"*) reports+=("$line") ;;
        "listening on "*) ;;
        *) echo "an odd line: $line" ;;
        esac
    done <"$log"
    ((${#lines[@]} == 1)) || echo "${#lines[@]} error lines"
    ((${#reports[@]} == 1)) || echo "${#reports[@]} reports"
    [[ ${lines[0]:-} =~ $text ]] || echo "the line does not match: $text"
    [[ ${reports[0]:-} == *"\"status\": \"$status\""* ]] || echo "the status is not $status"
    [[ ${reports[0]:-} =~ \"reason\":\ \"($reason)\" ]] || echo "the reason is not $reason"
}

fails() {
    local what=$1 name=$2 limit_seconds=$3 status=$4 reason=$5 text=$6 exit_status faults
    local log=$RDMIG_RESULTS/$name.log
    join "$name" "$limit_seconds"
    exit_status=$?
    faults=$(faults_of "$log" "$status" "$reason" "$text")
    if ((exit_status == 1)) && [ -z "$faults" ]; then
        ok "$what: $(grep '^rdmig: ' "$log")"
    else
        fail "$what: exit $exit_status"
        { [ -z "$faults" ] || echo "$faults"; cat "$log"; } | sed 's/^/    /'
    fi
}

start_as_user() {
    local name=$1 limit_kib=$2
    shift 2
    # shellcheck disable=SC2016 # the inner shell's
    start "$name" setpriv --reuid "$UNPRIVILEGED_ID" --regid "$UNPRIVILEGED_ID" --clear-groups \
        bash -c 'ulimit -l "$0"; exec "$@"' "$limit_kib" "$@"
}

memlock_text() {
    echo "[1-9][0-9]+ bytes of .* cannot be pinned.*RLIMIT_MEMLOCK is $(($1 << 10)).*ulimit -l"
}

ends_well() {
    local what=$1 name=$2 limit_seconds=$3 status
    join "$name" "$limit_seconds"
    status=$?
    if ((status == 0)); then
        ok "$what"
    else
        fail "$what: exit $status"
        tail -n 20 "$RDMIG_RESULTS/$name.log" | sed 's/^/    /'
    fi
}
