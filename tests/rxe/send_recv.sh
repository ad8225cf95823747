#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# ci/machine tests/rxe/send_recv.sh: rdmig send to rdmig recv, three blocks (one that is no multiple
# of 1 MiB, one of zeros, one random) and a stream of 3 MB; dynamic and pin-all, IPv4 and IPv6, files in
# shared memory, on huge pages and ordinary ones: all equal. A block of zeros costs a handful of
# control messages. Relaxed ordering and on-demand paging: done, or done without and said so.
# shellcheck disable=SC2317 # functions are called through check and wait_for
# shellcheck source=tests/rxe/lib.sh
. "$(dirname "$0")/lib.sh"

rdmig=${RDMIG_BUILD:-${BUILD:-build}}/rdmig
RECV_LIMIT_SECONDS=90
# 64 MiB in chunks of 1 MiB: a message for each would be 64 and more.
ZERO_MIB=64
ZERO_CONTROL_MESSAGES_MAX=24
# 16 MiB at each end, of 2 MiB each.
HUGE_PAGE_COUNT=20

source_dir=$RDMIG_TMP/source
mkdir -p "$source_dir"
disk_dir=$(mktemp -d /var/tmp/rdmig-send-recv-XXXXXX)
trap 'status=$?; rm -rf "$disk_dir"; (exit $status); lib_clean_up' EXIT

make_blocks() {
    head -c $((37 * 1048576 + 8192)) /dev/urandom >"$source_dir/odd"
    truncate -s ${ZERO_MIB}M "$source_dir/zeros"
    head -c $((16 * 1048576)) /dev/urandom >"$source_dir/random"
    head -c 3000000 /dev/urandom >"$source_dir/stream"
    mkdir "$disk_dir/source"
    cp --sparse=always "$source_dir"/* "$disk_dir/source"
}

# Old bytes everywhere: what is equal afterwards has been sent.
make_targets() {
    local name
    rm -rf "$1"
    mkdir -p "$1"
    for name in odd zeros random; do
        tr '\0' '\252' </dev/zero | head -c "$(stat -c %s "$source_dir/$name")" >"$1/$name"
    done
}

# The port that rdmig recv says it listens on; fails until it says so.
listening_port() {
    local line
    line=$(grep '^listening on ' "$RDMIG_RESULTS/recv.log") && echo "${line##*:}"
}

# Reads one value of the JSON line in a log, as Python sees it.
value() {
    python3 - "$RDMIG_RESULTS/$1.log" "$2" <<'PYTHON'
import json, sys
lines = [line for line in open(sys.argv[1]) if line.startswith("{")]
assert len(lines) == 1, f"{len(lines)} JSON lines"
print(json.loads(lines[0])[sys.argv[2]])
PYTHON
}

keys_are_those_documented() {
    python3 - "$RDMIG_RESULTS/$1.log" <<'PYTHON'
import json, sys
wanted = """status error mode pin_all_refusal bytes_total bytes_written bytes_zero rounds control_messages control_bytes round_trips
    registrations pinned_peak_bytes pinned_limit_bytes relaxed_ordering on_demand_paging setup_ms total_ms downtime_ms throughput_bytes_per_s data_bytes_per_s""".split()
line = [line for line in open(sys.argv[1]) if line.startswith("{")][0]
got = list(json.loads(line))
assert got == wanted, got
PYTHON
}

# migrate LISTEN TO FROM_DIR TARGET_DIR BLOCKS [OPTIONS OF SEND...]: both ends, to their ends.
# recv_options: more options of recv.
recv_options=()
migrate() {
    local listen=$1 to=$2 from=$3 target=$4 blocks=$5 rams_from=() rams_to=() streams_from=()
    local streams_to=() name port send_status recv_status
    shift 5
    for name in $blocks; do
        if [ "$name" = stream ]; then
            streams_from=(--stream "$from/stream")
            streams_to=(--stream "$target/stream")
        else
            rams_from+=(--ram "$name=$from/$name")
            rams_to+=(--ram "$name=$target/$name")
        fi
    done
    start recv "$rdmig" recv --listen "$listen:0" "${rams_to[@]}" "${streams_to[@]}" --json --trace "$RDMIG_RESULTS/recv.trace" \
        --time-limit "$RECV_LIMIT_SECONDS" "${recv_options[@]}"
    wait_for 20 listening_port >/dev/null || echo "rdmig recv does not listen"
    port=$(listening_port)
    start send "$rdmig" send --to "$to:$port" "${rams_from[@]}" "${streams_from[@]}" --trace "$RDMIG_RESULTS/send.trace" --json "$@"
    join send "$RECV_LIMIT_SECONDS"
    send_status=$?
    join recv 20
    recv_status=$?
    if ((send_status != 0 || recv_status != 0)); then
        echo "send: exit $send_status, recv: exit $recv_status"
        cat "$RDMIG_RESULTS/send.log" "$RDMIG_RESULTS/recv.log"
        return 1
    fi
}

all_equal() {
    local name
    for name in odd zeros random stream; do
        cmp "$source_dir/$name" "$1/$name" || return 1
    done
}

show_case() {
    local what=$1 listen=$2 to=$3 from=$4 target=$5 mode=$6
    shift 6
    make_targets "$target"
    if ! migrate "$listen" "$to" "$from" "$target" "odd zeros random stream" "$@"; then
        fail "$what"
        return
    fi
    check "$what: all equal" all_equal "$target"
    if [ "$(value send mode),$(value recv mode)" = "$mode,$mode" ]; then
        ok "$what: mode $mode, $(value send control_messages) control messages," \
            "$(value send registrations) registrations, $(value send total_ms) ms"
    else
        fail "$what: mode $(value send mode), $(value recv mode)"
    fi
}

zeros_are_cheap() {
    local messages
    make_targets "$RDMIG_TMP/target"
    migrate "$RDMIG_ADDR" "$RDMIG_ADDR" "$source_dir" "$RDMIG_TMP/target" zeros "$@" || return 1
    cmp "$source_dir/zeros" "$RDMIG_TMP/target/zeros" || return 1
    messages=$(value send control_messages)
    echo "control messages: $messages, written: $(value send bytes_written)"
    ((messages > 0 && messages <= ZERO_CONTROL_MESSAGES_MAX)) &&
        [ "$(value send bytes_zero)" = $((ZERO_MIB * 1048576)) ] &&
        [ "$(value send bytes_written)" = 0 ]
}

holes_stay_holes() {
    local blocks
    blocks=$(stat -c %b "$disk_dir/target/zeros")
    echo "$blocks blocks of 512 bytes"
    ((blocks * 512 < 1048576))
}

# A device of the machine's kernel has relaxed ordering or ignores it (6.1), refuses it (6.3), and
# pages on demand from 6.15 on. Whatever it does, everything arrives; what is paged is not pinned.
wishes_are_told() {
    "$rdmig" devices --json >"$RDMIG_RESULTS/devices.log" || return 1
    python3 - "$RDMIG_RESULTS" <<'PYTHON'
import json, sys
def report(name):
    return json.loads([line for line in open(f"{sys.argv[1]}/{name}.log") if line.startswith("{")][0])
can_page = report("devices")["devices"][0]["has_on_demand_paging"]
for end in report("send"), report("recv"):
    print(can_page, end)
    assert end["on_demand_paging"] is can_page
    assert end["relaxed_ordering"] in (True, False)
    assert (end["pinned_peak_bytes"] < 16 << 20) == can_page
PYTHON
}

show_wishes() {
    make_targets "$RDMIG_TMP/target"
    recv_options=(--relaxed-ordering --on-demand-paging)
    check "relaxed, on demand: completed" migrate "$RDMIG_ADDR" "$RDMIG_ADDR" "$source_dir" \
        "$RDMIG_TMP/target" random --relaxed-ordering --on-demand-paging
    recv_options=()
    check "relaxed, on demand: all equal" cmp "$source_dir/random" "$RDMIG_TMP/target/random"
    check "relaxed, on demand: both ends say what was had" wishes_are_told
}

# Copies FROM to TO on hugetlbfs, which takes no write(2).
copy_to_huge() {
    python3 - "$@" <<'PYTHON'
import mmap, os, sys
source = open(sys.argv[1], "rb").read()
fd = os.open(sys.argv[2], os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, len(source))
with mmap.mmap(fd, len(source)) as memory:
    memory[:] = source
PYTHON
}

# Runs of 3 MiB begin and end in the middle of pages of 2 MiB.
show_huge_pages() {
    local huge=$RDMIG_TMP/huge before mode options region_count
    mkdir -p "$huge"
    before=$(sysctl -n vm.nr_hugepages)
    sysctl -q -w "vm.nr_hugepages=$((before + HUGE_PAGE_COUNT))"
    if ! mount -t hugetlbfs -o pagesize=2M none "$huge"; then
        fail "no hugetlbfs can be mounted"
        return
    fi
    mkdir "$huge/source" "$huge/target"
    for mode in dynamic pin-all; do
        options=(--run-chunks 3)
        region_count=6
        if [ $mode = pin-all ]; then
            options=(--pin-all)
            region_count=1
        fi
        if ! copy_to_huge "$source_dir/random" "$huge/source/random" ||
            ! copy_to_huge <(head -c 16M /dev/zero | tr '\0' '\252') "$huge/target/random" ||
            ! migrate "$RDMIG_ADDR" "$RDMIG_ADDR" "$huge/source" "$huge/target" random \
                "${options[@]}"; then
            fail "huge pages, $mode"
            continue
        fi
        check "huge pages, $mode: all equal" cmp "$source_dir/random" "$huge/target/random"
        check "huge pages, $mode: $(value recv registrations) registrations" \
            test "$(value recv registrations)" = $region_count
    done
    umount "$huge"
    sysctl -q -w "vm.nr_hugepages=$before"
}

make_blocks
case "$(stat -f -c %T "$disk_dir")" in
tmpfs) fail "$disk_dir is in a tmpfs: nothing here would be an ordinary file" ;;
esac
for family in IPv4 IPv6; do
    address=$RDMIG_ADDR
    [ "$family" = IPv4 ] || address="[$RDMIG_ADDR6]"
    show_case "$family, dynamic" "$address" "$address" "$source_dir" "$RDMIG_TMP/target" dynamic
    show_case "$family, pin-all" "$address" "$address" "$source_dir" "$RDMIG_TMP/target" pin-all \
        --pin-all
done
show_case "ordinary files, any address" "" "$RDMIG_ADDR" "$disk_dir/source" "$disk_dir/target" \
    dynamic --run-chunks 8
check "ordinary files: zeros are a hole" holes_stay_holes
show_wishes
show_huge_pages
# Both tell of the whole migration, in its order; the last one was pin-all.
traces_are_whole() {
    python3 - "$RDMIG_RESULTS" <<'PYTHON'
import sys
for side, name, parts in (
        ("source", "send", ["address ", "event ESTABLISHED", "send RAM_BLOCKS_REQUEST", "action REGISTER ",
                            "received RAM_BLOCKS_RESULT", "state IDLE", "send REGISTER_FINISHED", "state FINISHING",
                            "state COMPLETED"]),
        ("destination", "recv", ["state LISTENING", "event CONNECT_REQUESTED", "state RECEIVING", "action REGISTER ",
                                 "received REGISTER_FINISHED", "state PREPARED", "state COMPLETED",
                                 "action NOTIFY_CLOSED"])):
    lines = [line.rstrip("\n").split(" ", 2) for line in open(f"{sys.argv[1]}/{name}.trace")]
    assert {line[0] for line in lines} == {side}, {line[0] for line in lines}
    times = [int(line[1]) for line in lines]
    assert times == sorted(times)
    rest = iter(lines)
    for part in parts:
        assert any(line[2].startswith(part) for line in rest), f"{name}.trace: no {part} in its place"
PYTHON
}

check "keys of the JSON report, source" keys_are_those_documented send
check "keys of the JSON report, destination" keys_are_those_documented recv
check "zeros: a handful of control messages, dynamic" zeros_are_cheap
check "zeros: a handful of control messages, pin-all" zeros_are_cheap --pin-all
check "traces of both ends" traces_are_whole
no_leaks rdmig
finish
