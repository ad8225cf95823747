# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# Sourced by the scripts that ci/machine runs. A script calls ok or fail (or check) once for each
# thing it shows, and finish at its end; ending without finish is a failure. What it started is
# ended when it exits.
#
#   ok LINE, fail LINE              count and print
#   check LINE COMMAND...           ok if the command succeeds, else fail with its output
#   finish                          prints "N passed, N failed"; exit 0 only if 0 failed, >0 passed
#   wait_for SECONDS COMMAND...     until the command succeeds; 1 when the time (times RDMIG_PATIENCE) is over
#   start NAME COMMAND...           a program in the background (not a shell function); its output
#                                   in $RDMIG_RESULTS/NAME.log, its pid from pid_of NAME
#   join NAME SECONDS               waits for its end; its exit status, or 124 and it is killed
#   stop NAME                       ends it and what it started (TERM, then KILL)
#   running NAME                    does it still run?
#   no_errors LINE NAME             ok if the QEMU of that name has told of no error so far
#   no_leaks [COMM...]              counts ok if no process (of these names) holds a QP, CQ, MR, PD
#                                   or CM id of the device, else fail with the list
set -u

: "${RDMIG_ADDR:?run this script with ci/machine}"
: "${RDMIG_RXE:?}" "${RDMIG_RESULTS:?}" "${RDMIG_TMP:?}"

# Every limit here and in the programs beside is what an idle machine needs with much to spare, times this:
# a limit ends what
# hangs, and is never what a busy machine runs into.
export RDMIG_PATIENCE=${RDMIG_PATIENCE:-6}
LIB_POLL_SECONDS=0.1
LIB_START_STEP_COUNT=100
LIB_STOP_SECONDS=5
LIB_LEAK_SECONDS=5

lib_passed_count=0
lib_failed_count=0
lib_finished=no
declare -A lib_pids=()

ok() {
    lib_passed_count=$((lib_passed_count + 1))
    echo "ok: $*"
}

fail() {
    lib_failed_count=$((lib_failed_count + 1))
    echo "FAIL: $*"
}

check() {
    local line=$1 output
    shift
    if output=$("$@" 2>&1); then
        ok "$line"
    else
        fail "$line"
        [ -z "$output" ] || tail -n 20 <<<"$output" | sed 's/^/    /'
    fi
}

finish() {
    lib_finished=yes
    echo "$lib_passed_count passed, $lib_failed_count failed"
    if ((lib_failed_count > 0 || lib_passed_count == 0)); then
        exit 1
    fi
    exit 0
}

wait_for() {
    local deadline_seconds=$((SECONDS + $1 * RDMIG_PATIENCE + 1))
    shift
    until "$@"; do
        ((SECONDS < deadline_seconds)) || return 1
        sleep "$LIB_POLL_SECONDS"
    done
}

# Is the child still on its way (bash's copy of this script, setsid, env) to the program itself?
lib_underway() {
    local words=() own=()
    mapfile -d '' words <"/proc/$1/cmdline" || return 1
    mapfile -d '' own </proc/$$/cmdline
    case "${words[*]:0:2}" in
    "setsid env" | "env --default-signal=INT,QUIT") return 0 ;;
    esac
    [ "${words[*]}" = "${own[*]}" ]
}

# A process group of its own, so stop reaches its children; SIGINT and SIGQUIT as a program finds
# them at a terminal, where a background program of bash would have them ignored.
start() {
    local name=$1 step
    shift
    if [ -n "${lib_pids[$name]:-}" ] && running "$name"; then
        fail "start: $name is running already"
        return 1
    fi
    setsid env --default-signal=INT,QUIT "$@" </dev/null >"$RDMIG_RESULTS/$name.log" 2>&1 &
    lib_pids[$name]=$!
    # A signal sent from here on must meet the program, not what leads to it.
    for ((step = 0; step < LIB_START_STEP_COUNT; step++)); do
        lib_underway "${lib_pids[$name]}" 2>/dev/null || break
        sleep 0.02
    done
}

pid_of() {
    echo "${lib_pids[$1]:?no program named $1 was started}"
}

# A zombie has ended: only its status is still there.
running() {
    local state
    state=$(sed 's/.*) //; s/ .*//' "/proc/${lib_pids[$1]:-none}/stat" 2>/dev/null) || return 1
    [ -n "$state" ] && [ "$state" != Z ]
}

lib_ended() {
    ! running "$1"
}

join() {
    local name=$1 limit_seconds=$2 pid status
    pid=$(pid_of "$name") || return 125
    if ! wait_for "$limit_seconds" lib_ended "$name"; then
        echo "$name is still running after $((limit_seconds * RDMIG_PATIENCE)) s, and is ended here"
        stop "$name"
        return 124
    fi
    # Bash would tell of a killed program here, command line and all.
    wait "$pid" 2>/dev/null
    status=$?
    unset "lib_pids[$name]"
    return "$status"
}

stop() {
    local name=$1 pid=${lib_pids[$1]:-}
    [ -n "$pid" ] || return 0
    kill -TERM -- "-$pid" 2>/dev/null
    wait_for "$LIB_STOP_SECONDS" lib_ended "$name"
    # The group, whether or not its first process is gone: nothing of it may stay.
    kill -KILL -- "-$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    unset "lib_pids[$name]"
    return 0
}

# What a QEMU says of itself begins with its name; how it ended when it was told to is no error.
# It always tells of the RDMA device it has opened: an empty log is not its own.
lib_has_no_errors() {
    local log=$RDMIG_RESULTS/$1.log
    [ -s "$log" ] && ! grep '^qemu-system[^ ]*: ' "$log" | grep -v ': terminating on signal'
}

no_errors() {
    check "$1" lib_has_no_errors "$2"
}

# Prints the RDMA objects that user processes (of the names given, else all) hold on the device.
# Kernel owners have no pid; the subnet agent's queue pair is always there, or nothing was shown.
# The kernel keeps 15 characters of a name. One process for all kinds: each start costs 35 ms.
lib_user_objects() {
    local line comm objects names=" "
    for comm in "$@"; do names+="${comm:0:15} "; done
    objects=$(printf 'resource show %s\n' qp cq mr pd cm_id | rdma -b - 2>&1)
    if [[ $objects != *"comm [ib_core]"* ]]; then
        echo "rdma resource show failed: $objects"
        return
    fi
    while read -r line; do
        [[ $line =~ ^(link|dev)\ ${RDMIG_RXE}[/\ ].*\ pid\ [1-9][0-9]*\ .*comm\ ([^\ ]+) ]] || continue
        if (($# == 0)) || [[ $names == *" ${BASH_REMATCH[2]} "* ]]; then echo "$line"; fi
    done <<<"$objects"
}

lib_no_user_objects() {
    [ -z "$(lib_user_objects "$@")" ]
}

no_leaks() {
    local what="no QP, CQ, MR, PD or CM id left${1:+ by $*}"
    # The kernel takes a killed process's objects apart a little after it is gone.
    if wait_for "$LIB_LEAK_SECONDS" lib_no_user_objects "$@"; then
        ok "$what"
    else
        fail "$what"
        lib_user_objects "$@" | sed 's/^/    /'
    fi
}

# shellcheck disable=SC2317 # called by the trap
lib_clean_up() {
    local status=$? name
    trap - EXIT
    for name in "${!lib_pids[@]}"; do stop "$name"; done
    if [ "$lib_finished" = no ]; then
        echo "FAIL: the script ended with status $status before finish"
        ((status != 0)) || status=1
    fi
    exit "$status"
}
trap lib_clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
