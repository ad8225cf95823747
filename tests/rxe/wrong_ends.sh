#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# ci/machine tests/rxe/wrong_ends.sh: migrations that cannot come to a good end between two rdmig
# processes, and with a peer that only connects (peer.c). Each ends within its time limit with exit
# 1, one line on standard error and the reason in the JSON report; the source keeps what it has, and
# nothing is left on the device. wrong_ends_qemu.sh has those with a QEMU on the other side.
# A source that writes on after the hand-over does not get through.
# Clause: W1 W2 W12 B2 R9 E2 E3 E4 E5 E6 E7 E10 E11
# shellcheck disable=SC2317 # functions are called through check and wait_for
# shellcheck source=tests/rxe/wrong_ends_lib.sh
. "$(dirname "$0")/wrong_ends_lib.sh"

BLOCK_MIB=48
MEMLOCK_KIB=64
# Enough for the control messages, too little for a chunk of memory beside them. memlock.sh has a
# limit that is enough for that.
MEMLOCK_MORE_KIB=6200

a=$RDMIG_TMP/a
b=$RDMIG_TMP/b
target=$RDMIG_TMP/target

# Files of the destination: not what the source has.
make_targets() {
    rm -f "$target".*
    truncate -s ${BLOCK_MIB}M "$target.a"
    truncate -s 1M "$target.b"
}

# The round has begun and is far from its end.
first_chunk_arrived() {
    cmp -s -n 1048576 "$a" "$target.a"
}

# slow_migration: both running, in mid-round.
slow_migration() {
    make_targets
    start_recv --ram "a=$target.a" "$@"
    start send "$rdmig" send --to "$RDMIG_ADDR:$port" --ram "a=$a" --json --bandwidth 4M
    wait_for 20 first_chunk_arrived || fail "the round does not begin"
}

nobody_listens() {
    local address
    for address in "$RDMIG_ADDR" "[$RDMIG_ADDR6]"; do
        start send "$rdmig" send --to "$address:4" --ram "a=$a" --json
        fails "nobody listens at $address" send 5 failed "PEER_UNREACHABLE|PEER_REJECTED" \
            "cannot connect to .*port 4.*nobody listens|cannot connect to .*:4.*start the destination"
    done
    no_leaks rdmig
}

blocks_differ() {
    make_targets
    truncate -s $((BLOCK_MIB - 1))M "$target.a"
    start_recv --ram "a=$target.a"
    start send "$rdmig" send --to "$RDMIG_ADDR:$port" --ram "a=$a" --json
    fails "block sizes differ, destination" recv 10 failed BLOCK_LENGTH \
        "RAM block a has $((BLOCK_MIB << 20)) bytes at the source and $(((BLOCK_MIB - 1) << 20)) here"
    fails "block sizes differ, source" send 10 failed PEER_ERROR "the peer reported an error"
    start_recv --ram "a=$target.a" --ram "b=$target.b"
    start send "$rdmig" send --to "$RDMIG_ADDR:$port" --ram "b=$b" --json
    fails "the source has a block less, destination" recv 10 failed BLOCK_UNKNOWN \
        "this end has a RAM block a that the source has not"
    fails "the source has a block less, source" send 10 failed PEER_ERROR "the peer reported an error"
    start_recv --ram "b=$target.b"
    start send "$rdmig" send --to "$RDMIG_ADDR:$port" --ram "b=$b" --ram "a=$a" --json
    fails "the destination has a block less, destination" recv 10 failed BLOCK_UNKNOWN \
        "the source has a RAM block a that this end has not"
    fails "the destination has a block less, source" send 10 failed PEER_ERROR \
        "the peer reported an error"
    check "the destination's files are as they were" cmp -n $(((BLOCK_MIB - 1) << 20)) \
        "$target.a" /dev/zero
    no_leaks rdmig
}

# Private data of version 2, 0, and of no bytes at all (which arrives as zeros).
wrong_versions() {
    local version length listen_port=$PEER_PORT
    for version in 2 0; do
        start_recv --ram "b=$target.b" --time-limit 20
        start peer "$peer" connect "$RDMIG_ADDR" "$port" "$version" 8
        ends_well "a source of version $version is rejected" peer 10
        fails "a source of version $version, destination" recv 10 failed VERSION_UNSUPPORTED \
            "the peer speaks version $version .* this end version 1"
    done
    for version in 2 0; do
        length=$((version * 4))
        start peer "$peer" listen "$RDMIG_ADDR" "$listen_port" "$version" "$length"
        wait_for 10 grep -q listening "$RDMIG_RESULTS/peer.log" || fail "the peer does not listen"
        start send "$rdmig" send --to "$RDMIG_ADDR:$listen_port" --ram "b=$b" --json
        fails "a destination of version $version, source" send 10 failed VERSION_UNSUPPORTED \
            "the peer speaks version $version .* this end version 1"
        ends_well "a destination of version $version is left" peer 10
        listen_port=$((listen_port + 1))
    done
    no_leaks rdmig peer
}

# A RECV used up by what is no plain SEND: the stale bytes in it are no message (clause W12).
foreign_operations() {
    local mode name
    for mode in write-imm send-imm; do
        name="an RDMA Write with immediate data"
        [ "$mode" = write-imm ] || name="a SEND with immediate data"
        start_recv --ram "b=$target.b" --time-limit 60
        start peer "$peer" "$mode" "$RDMIG_ADDR" "$port" 1 8
        ends_well "$name is answered with ERROR" peer 10
        fails "$name" recv 10 failed MESSAGE_FOREIGN "the peer sent $name"
    done
    no_leaks rdmig peer
}

# The same in mid-round, of more bytes than the RECV has room for: no fault of rdmig's own.
foreign_write_of_a_chunk() {
    make_targets
    start_recv --ram "a=$target.a" --time-limit 60
    start send env LD_PRELOAD="$helpers/imm_writer.so" IMM_WRITER="$RDMIG_TMP/imm" "$rdmig" send \
        --to "$RDMIG_ADDR:$port" --ram "a=$a" --json
    fails "a chunk written with immediate data, destination" recv 15 failed MESSAGE_FOREIGN \
        "the peer sent an RDMA Write with immediate data"
    fails "a chunk written with immediate data, source" send 15 failed PEER_ERROR \
        "the peer reported an error"
    show "which was longer than a message" grep -E '^[0-9]{7,}$' "$RDMIG_TMP/imm"
    no_leaks rdmig
}

# Whatever it wrote before the guest was the destination's, from then on its writes are refused; an
# address that is gone, or a destination that is, would read otherwise (transport retry counter).
late_writer() {
    local line
    make_targets
    start_recv --ram "b=$target.b" --time-limit 30
    start send env LD_PRELOAD="$helpers/late_writer.so" "$rdmig" send --to "$RDMIG_ADDR:$port" \
        --ram "b=$b" --json "$@"
    ends_well "a source that writes on after the hand-over${1:+, $1}, source" send 15
    ends_well "a source that writes on after the hand-over${1:+, $1}, destination" recv 15
    line=$(grep '^late writer: ' "$RDMIG_RESULTS/send.log")
    case $line in
    *"remote invalid request error"* | *"remote access error"*) ok "its writes are refused: $line" ;;
    *) fail "its writes are not refused: $line" ;;
    esac
    no_leaks rdmig
}

killed() {
    slow_migration
    kill -KILL "$(pid_of recv)"
    fails "the destination is killed in mid-round, source" send "$NOTICE_SECONDS" failed \
        "PEER_DISCONNECTED|CONNECTION_LOST|WRITE_FAILED" "peer"
    join recv 5
    slow_migration
    kill -KILL "$(pid_of send)"
    fails "the source is killed in mid-round, destination" recv "$NOTICE_SECONDS" failed \
        "STREAM_TRUNCATED|PEER_DISCONNECTED|CONNECTION_LOST" "the source left|the peer closed"
    join send 5
    no_leaks rdmig
}

# Kernels before 6.2 pin a shared mapping only if it is writable.
is_mapped_as_can_be_pinned() {
    local mode=rw-s
    [ "$(printf '6.2\n%s\n' "$(uname -r)" | sort -V | head -n 1)" = 6.2 ] && mode=r--s
    grep "$a\$" "/proc/$(pid_of send)/maps"
    grep -q " $mode .* $a\$" "/proc/$(pid_of send)/maps"
}

interrupted() {
    slow_migration
    show "what is sent is mapped for reading alone where that can be pinned" is_mapped_as_can_be_pinned
    kill -INT "$(pid_of send)"
    fails "^C at the source" send "$NOTICE_SECONDS" cancelled CANCELLED "cancelled by SIGINT"
    fails "^C at the source, destination" recv "$NOTICE_SECONDS" failed \
        "PEER_ERROR|STREAM_TRUNCATED|PEER_DISCONNECTED" "the peer reported an error|the source left"
    slow_migration
    kill -INT "$(pid_of recv)"
    fails "^C at the destination" recv "$NOTICE_SECONDS" cancelled CANCELLED "cancelled by SIGINT"
    fails "^C at the destination, source" send "$NOTICE_SECONDS" failed PEER_ERROR \
        "the peer reported an error"
    start_recv --ram "b=$target.b"
    kill -INT "$(pid_of recv)"
    fails "^C while nobody has come yet" recv "$NOTICE_SECONDS" cancelled CANCELLED \
        "cancelled by SIGINT"
    no_leaks rdmig
}

# The terminal goes while the cancel is under way: under nohup, and without.
hung_up() {
    local command what
    for command in "nohup" "env"; do
        what="SIGTERM, then a hang-up, under $command"
        make_targets
        start_recv --ram "a=$target.a"
        start send "$command" "$rdmig" send --to "$RDMIG_ADDR:$port" --ram "a=$a" --json --bandwidth 4M
        wait_for 20 first_chunk_arrived || fail "the round does not begin"
        kill -TERM "$(pid_of send)"
        kill -HUP "$(pid_of send)"
        fails "$what" send "$NOTICE_SECONDS" cancelled CANCELLED "cancelled by SIGTERM"
        fails "$what, destination" recv "$NOTICE_SECONDS" failed \
            "PEER_ERROR|STREAM_TRUNCATED|PEER_DISCONNECTED" "the peer reported an error|the source left"
    done
    no_leaks rdmig
}

# A name that is no text goes over the wire, and comes out as text at the other end.
odd_names() {
    local name=$'a\n\e[31m'
    make_targets
    start_recv --ram "a=$target.a"
    start send "$rdmig" send --to "$RDMIG_ADDR:$port" --ram "$name=$a" --json
    fails "a block's name with a line feed and an escape, destination" recv 10 failed BLOCK_UNKNOWN \
        'the source has a RAM block a\\n\\x1b\[31m that this end has not'
    fails "a block's name with a line feed and an escape, source" send 10 failed PEER_ERROR \
        "the peer reported an error"
    no_leaks rdmig
}

too_slow() {
    slow_migration --time-limit 3
    fails "the destination's time limit" recv 10 failed TIME_LIMIT "not complete after 3000 ms"
    fails "the destination's time limit, source" send 10 failed PEER_ERROR \
        "the peer reported an error"
    make_targets
    start_recv --ram "a=$target.a"
    start send "$rdmig" send --to "$RDMIG_ADDR:$port" --ram "a=$a" --json --bandwidth 4M \
        --time-limit 2
    fails "the source's time limit" send 10 failed TIME_LIMIT "not complete after 2000 ms"
    fails "the source's time limit, destination" recv 10 failed "PEER_ERROR|STREAM_TRUNCATED" \
        "the peer reported an error|the source left"
    no_leaks rdmig
}

small_memlock() {
    local limit_kib what
    make_targets
    chmod 0666 "$target.a" "$a"
    for limit_kib in "$MEMLOCK_KIB" "$MEMLOCK_MORE_KIB"; do
        what="RLIMIT_MEMLOCK of $limit_kib KiB"
        start_recv --ram "a=$target.a"
        start_as_user send "$limit_kib" "$rdmig" send --to "$RDMIG_ADDR:$port" --ram "a=$a" --json
        fails "$what, source" send 10 failed MEMLOCK "$(memlock_text "$limit_kib")"
        kill -INT "$(pid_of recv)"
        join recv 10
        start_as_user recv "$limit_kib" "$rdmig" recv --listen "$RDMIG_ADDR:0" --ram "a=$target.a" --json
        fails "$what, destination" recv 10 failed MEMLOCK "$(memlock_text "$limit_kib")"
    done
    no_leaks rdmig
}

head -c ${BLOCK_MIB}M /dev/urandom >"$a"
head -c 1M /dev/urandom >"$b"
sums=$(cksum "$a" "$b")
make_targets
check "the helpers are built" "$here/build-helpers" "$helpers"
nobody_listens
blocks_differ
wrong_versions
foreign_operations
foreign_write_of_a_chunk
late_writer
late_writer --pin-all
killed
interrupted
hung_up
odd_names
too_slow
small_memlock
check "the source's files are as they were" test "$sums" = "$(cksum "$a" "$b")"
finish
