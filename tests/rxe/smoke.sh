#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# ci/machine tests/rxe/smoke.sh: does the machine give what the other scripts rely on?
# shellcheck disable=SC2317 # functions are called through check and wait_for
# shellcheck source=tests/rxe/lib.sh
. "$(dirname "$0")/lib.sh"

WRITE_BYTES=1048576
WRITE_COUNT=200

port_active() {
    ibv_devinfo -d "$RDMIG_RXE" | grep -E 'state:[[:space:]]+PORT_ACTIVE'
}

# The number of the GID that carries the device's IPv4 address (::ffff:a.b.c.d).
gid_index_of_ipv4() {
    local octets gid wanted gid_file
    IFS=. read -r -a octets <<<"$RDMIG_ADDR"
    printf -v wanted '0000:0000:0000:0000:0000:ffff:%02x%02x:%02x%02x' "${octets[@]}"
    for gid_file in "/sys/class/infiniband/$RDMIG_RXE"/ports/1/gids/*; do
        gid=$(cat "$gid_file" 2>/dev/null)
        if [ "$gid" = "$wanted" ]; then
            basename "$gid_file"
            return 0
        fi
    done
    return 1
}

server_listens() {
    ss -Hltn "sport = :$1" | grep -q .
}

write_bandwidth() {
    local port=18515 gid_index status figure
    local options=(-d "$RDMIG_RXE" -F -s "$WRITE_BYTES" -n "$WRITE_COUNT" -p "$port")
    if ! gid_index=$(gid_index_of_ipv4); then
        fail "$RDMIG_RXE has no GID for $RDMIG_ADDR"
        return
    fi
    start ib-server ib_write_bw "${options[@]}" -x "$gid_index"
    wait_for 20 server_listens "$port" || fail "ib_write_bw does not listen on port $port"
    start ib-client ib_write_bw "${options[@]}" -x "$gid_index" "$RDMIG_ADDR"
    join ib-client 60
    status=$?
    join ib-server 20 || status=$?
    # Columns: bytes, iterations, peak, average (MB/s), messages.
    figure=$(awk -v size="$WRITE_BYTES" '$1 == size { print $4 }' "$RDMIG_RESULTS/ib-client.log")
    if ((status == 0)) && [[ $figure =~ ^[0-9]*\.?[0-9]+$ ]]; then
        ok "ib_write_bw over $RDMIG_ADDR (GID $gid_index): $figure MB/s"
    else
        fail "ib_write_bw over $RDMIG_ADDR: exit $status"
        tail -n 20 "$RDMIG_RESULTS/ib-client.log" "$RDMIG_RESULTS/ib-server.log"
    fi
}

listener_seen() {
    ! lib_no_user_objects rping
}

# The connection manager over one of the device's addresses; and while a listener waits, the leak
# check has to see it, or no_leaks would show nothing.
connection_over() {
    local address=$1 status
    start rping-server rping -s -a "$address" -C 4 -v
    if wait_for 10 listener_seen; then
        ok "the leak check sees a listener on $address"
    else
        fail "the leak check does not see a listener on $address"
    fi
    start rping-client rping -c -a "$address" -C 4 -v
    join rping-client 30
    status=$?
    stop rping-server
    if ((status == 0)) && grep -q 'ping data: rdma-ping-3' "$RDMIG_RESULTS/rping-client.log"; then
        ok "rping over $address"
    else
        fail "rping over $address: exit $status"
        tail -n 10 "$RDMIG_RESULTS/rping-client.log" "$RDMIG_RESULTS/rping-server.log"
    fi
}

# The machine's nested KVM is part of what ci/machine promises; a host's is not.
kvm_usable() {
    python3 -c '
import fcntl
with open("/dev/kvm", "rb+", buffering=0) as kvm:
    KVM_GET_API_VERSION = 0xAE00
    version = fcntl.ioctl(kvm, KVM_GET_API_VERSION)
    assert version == 12, version
    KVM_CREATE_VM = 0xAE01
    fcntl.ioctl(kvm, KVM_CREATE_VM, 0)
'
}

results_writable() {
    local file=$RDMIG_RESULTS/smoke-file
    echo kept >"$file" && [ "$(cat "$file")" = kept ] && rm "$file"
}

check "$RDMIG_RXE is active" port_active
check "the results folder is writable" results_writable
check "$RDMIG_TMP is a tmpfs" test "$(stat -f -c %T "$RDMIG_TMP")" = tmpfs
if [ "$RDMIG_MACHINE_KIND" = vm ]; then
    check "/dev/kvm makes a virtual machine" kvm_usable
    check "memory can be locked without limit" test "$(ulimit -l)" = unlimited
fi
connection_over "$RDMIG_ADDR"
connection_over "$RDMIG_ADDR6"
write_bandwidth
# shellcheck disable=SC2119 # without names: of any process
no_leaks
finish
