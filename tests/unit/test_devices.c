/* SPDX-License-Identifier: BSD-2-Clause */
/* rdmig_devices_list() and rdmig_memlock_limit_bytes(). API covered: both, with every reason for
 * not being usable. */
#include "memlock_fixture.h"
#include "mocks/verbs_mock.h"

#include <errno.h>
#include <rdmig/rdmig.h>
#include <stdio.h>
#include <string.h>

static struct rdmig_device devices[4];
static struct rdmig_error error;
static const char *user_namespace; /* NULL: the link cannot be read */

/* In the place of the C library's. */
ssize_t readlink(const char *path, char *text, size_t capacity_bytes)
{
    const size_t length = user_namespace ? strlen(user_namespace) : 0;

    assert_string_equal(path, "/proc/self/ns/user");
    assert_true(length <= capacity_bytes);
    if (!user_namespace)
        return -1;
    memcpy(text, user_namespace, length);
    return (ssize_t)length;
}

static int set_up(void **state)
{
    (void)state;
    mock_reset();
    user_namespace = "user:[4026531837]";
    memset(devices, 0xee, sizeof(devices)); /* every member has to be filled in */
    memset(&error, 0, sizeof(error));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mock_assert_clean();
    return 0;
}

static void assert_not_usable(const char *reason)
{
    assert_int_equal(rdmig_devices_list(devices, 4, sizeof(struct rdmig_device), &error), 1);
    assert_false(devices[0].is_usable);
    if (strstr(devices[0].reason, reason) == NULL)
        fail_msg("the reason is \"%s\"", devices[0].reason);
}

static void test_devices__one_good_device__every_member(void **state)
{
    (void)state;
    mock.gid_count = 2;
    mock.gids[0] = (struct ibv_gid_entry){.port_num = 1, .gid_index = 0};
    mock.gids[1] = (struct ibv_gid_entry){.port_num = 1, .gid_index = 3};
    mock.gids[1].gid.raw[0] = 0xfd;
    mock.gids[1].gid.raw[15] = 9;
    assert_int_equal(rdmig_devices_list(devices, 4, sizeof(struct rdmig_device), &error), 1);
    assert_string_equal(devices[0].name, "mock0");
    assert_true(devices[0].is_usable);
    assert_string_equal(devices[0].reason, "");
    assert_int_equal(devices[0].port_count, 1);
    assert_int_equal(devices[0].queue_pair_depth_max, 1024);
    assert_int_equal(devices[0].completion_queue_depth_max, 4096);
    assert_int_equal(devices[0].region_count_max, 1000);
    assert_true(devices[0].region_bytes_max == UINT64_C(1) << 40);
    assert_int_equal(devices[0].message_bytes_max, 1u << 30);
    assert_false(devices[0].has_on_demand_paging);
    assert_int_equal(devices[0].ports[0].number, 1);
    assert_true(devices[0].ports[0].is_active);
    assert_true(devices[0].ports[0].is_ethernet);
    assert_int_equal(devices[0].ports[0].mtu_active_bytes, 1024);
    assert_int_equal(devices[0].ports[0].gid_count, 2);
    assert_int_equal(devices[0].ports[0].gids[1].index, 3);
    assert_int_equal(devices[0].ports[0].gids[1].bytes[0], 0xfd);
    assert_int_equal(devices[0].ports[0].gids[1].bytes[15], 9);
    assert_int_equal(mock.pair_attributes.qp_type, IBV_QPT_RC);
}

/* What a migration needs of it, not that there is any. */
static void test_devices__pages_rdma_writes__has_on_demand_paging(void **state)
{
    (void)state;
    mock.odp_caps.general_caps = IBV_ODP_SUPPORT;
    mock.odp_caps.per_transport_caps.rc_odp_caps = IBV_ODP_SUPPORT_READ;
    rdmig_devices_list(devices, 4, sizeof(struct rdmig_device), &error);
    assert_false(devices[0].has_on_demand_paging);
    mock.odp_caps.per_transport_caps.rc_odp_caps = IBV_ODP_SUPPORT_WRITE;
    rdmig_devices_list(devices, 4, sizeof(struct rdmig_device), &error);
    assert_true(devices[0].has_on_demand_paging);
}

static void test_devices__infiniband_link_layer__is_no_ethernet(void **state)
{
    (void)state;
    mock.ports[0].link_layer = IBV_LINK_LAYER_INFINIBAND;
    mock.ports[0].active_mtu = IBV_MTU_4096;
    rdmig_devices_list(devices, 4, sizeof(struct rdmig_device), &error);
    assert_false(devices[0].ports[0].is_ethernet);
    assert_int_equal(devices[0].ports[0].mtu_active_bytes, 4096);
    mock.ports[0].active_mtu = (enum ibv_mtu)0;
    rdmig_devices_list(devices, 4, sizeof(struct rdmig_device), &error);
    assert_int_equal(devices[0].ports[0].mtu_active_bytes, 0);
}

static void test_devices__more_devices_than_room__all_are_counted(void **state)
{
    (void)state;
    mock.device_count = 3;
    assert_int_equal(rdmig_devices_list(devices, 2, sizeof(struct rdmig_device), &error), 3);
    assert_string_equal(devices[1].name, "mock1");
    assert_int_equal((unsigned char)devices[2].name[0], 0xee);
    assert_int_equal(rdmig_devices_list(NULL, 0, sizeof(struct rdmig_device), NULL), 3);
}

static void test_devices__no_device__zero(void **state)
{
    (void)state;
    mock.device_count = 0;
    assert_int_equal(rdmig_devices_list(devices, 4, sizeof(struct rdmig_device), &error), 0);
}

static void test_devices__kernel_without_rdma__zero(void **state)
{
    (void)state;
    mock.device_count = -1;
    mock.device_list_errno = ENOSYS;
    assert_int_equal(rdmig_devices_list(devices, 4, sizeof(struct rdmig_device), &error), 0);
}

static void test_devices__list_fails__told(void **state)
{
    (void)state;
    mock.device_count = -1;
    mock.device_list_errno = EACCES;
    assert_int_equal(rdmig_devices_list(devices, 4, sizeof(struct rdmig_device), &error),
                     -RDMIG_E_SYSTEM);
    assert_int_equal(error.reason, RDMIG_REASON_DEVICE);
    assert_int_equal(error.os_code, EACCES);
    assert_string_equal(error.detail, "cannot ask for the RDMA devices: Permission denied");
    assert_string_equal(error.remedy, "give this user access to /dev/infiniband");
    assert_int_equal(rdmig_devices_list(devices, 4, sizeof(struct rdmig_device), NULL),
                     -RDMIG_E_SYSTEM);
}

static void test_devices__port_down__not_usable(void **state)
{
    (void)state;
    mock.ports[0].state = IBV_PORT_DOWN;
    assert_not_usable("no port is active");
    assert_false(devices[0].ports[0].is_active);
}

static void test_devices__one_of_two_ports_up__usable(void **state)
{
    (void)state;
    mock.limits.phys_port_cnt = 2;
    mock.ports[1] = mock.ports[0];
    mock.ports[0].state = IBV_PORT_DOWN;
    assert_int_equal(rdmig_devices_list(devices, 4, sizeof(struct rdmig_device), &error), 1);
    assert_true(devices[0].is_usable);
    assert_int_equal(devices[0].ports[1].number, 2);
}

static void test_devices__port_cannot_be_asked__not_usable(void **state)
{
    (void)state;
    mock_fail("ibv_query_port", EIO);
    assert_not_usable("no port is active");
    assert_int_equal(devices[0].ports[0].gid_count, 0);
}

static void test_devices__more_ports_than_room__none_is_read_beyond_it(void **state)
{
    (void)state;
    mock.limits.phys_port_cnt = 9;
    for (unsigned i = 1; i < 4; i++)
        mock.ports[i] = mock.ports[0];
    mock.gid_count = 1;
    mock.gids[0] = (struct ibv_gid_entry){.port_num = 7};
    assert_int_equal(rdmig_devices_list(devices, 4, sizeof(struct rdmig_device), &error), 1);
    assert_int_equal(devices[0].port_count, 9);
    assert_int_equal(mock_count("ibv_query_port"), 4);
}

static void test_devices__more_gids_than_room__all_are_counted(void **state)
{
    (void)state;
    mock.ports[0].gid_tbl_len = 64;
    mock.gid_count = 40;
    for (unsigned i = 0; i < 40; i++)
        mock.gids[i] = (struct ibv_gid_entry){.port_num = 1, .gid_index = i};
    assert_int_equal(rdmig_devices_list(devices, 4, sizeof(struct rdmig_device), &error), 1);
    assert_int_equal(devices[0].ports[0].gid_count, 40);
    assert_int_equal(devices[0].ports[0].gids[15].index, 15);
}

static void test_devices__gids_cannot_be_read__device_is_usable_all_the_same(void **state)
{
    (void)state;
    mock.gid_count = 1;
    mock_fail("ibv_query_gid_table", EIO);
    assert_int_equal(rdmig_devices_list(devices, 4, sizeof(struct rdmig_device), &error), 1);
    assert_true(devices[0].is_usable);
    assert_int_equal(devices[0].ports[0].gid_count, 0);
}

static void test_devices__shallow_queue_pairs__not_usable(void **state)
{
    (void)state;
    mock.limits.max_qp_wr = 16;
    assert_not_usable("its queue pairs hold 16 work requests; 17 are needed");
}

static void test_devices__shallow_completion_queues__not_usable(void **state)
{
    (void)state;
    mock.limits.max_cqe = 8;
    assert_not_usable("its completion queues hold 8 entries; 17 are needed");
    mock.limits.max_cqe = -1;
    assert_not_usable("its completion queues hold 0 entries");
}

static void test_devices__no_room_for_them__is_the_callers(void **state)
{
    (void)state;
    assert_int_equal(rdmig_devices_list(NULL, 1, sizeof(struct rdmig_device), &error),
                     -RDMIG_E_INVALID);
    assert_int_equal(error.reason, RDMIG_REASON_CALLER);
    assert_non_null(strstr(error.detail, "no room"));
    assert_int_equal(rdmig_devices_list(NULL, 1, sizeof(struct rdmig_device), NULL),
                     -RDMIG_E_INVALID);
}

static void test_devices__short_messages__not_usable(void **state)
{
    (void)state;
    mock.ports[0].max_msg_sz = 524287;
    assert_not_usable("its messages are at most 524287 bytes long; 524288 are needed");
}

static void test_devices__cannot_be_opened__not_usable(void **state)
{
    (void)state;
    mock_fail("ibv_open_device", EACCES);
    assert_not_usable("it cannot be opened (Permission denied)");
    assert_string_equal(devices[0].name, "mock0");
}

static void test_devices__does_not_tell_its_limits__not_usable(void **state)
{
    (void)state;
    mock_fail("ibv_query_device", EIO);
    assert_not_usable("it does not tell its limits (Input/output error)");
}

static void test_devices__no_reliable_connection__not_usable(void **state)
{
    static const char *const calls[] = {"ibv_alloc_pd", "ibv_create_cq", "ibv_create_qp"};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        mock_fail(calls[i], EOPNOTSUPP);
        assert_not_usable(
            "a reliable connected queue pair cannot be made on it (Operation not supported)");
    }
}

static void test_memlock__ordinary_user__the_limit(void **state)
{
    (void)state;
    drop_memlock(65536);
    assert_int_equal(rdmig_memlock_limit_bytes(), 65536);
    restore_memlock();
}

static void test_memlock__ordinary_user_without_a_limit__none(void **state)
{
    struct rlimit limit;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
    drop_memlock(limit.rlim_max);
    assert_true(rdmig_memlock_limit_bytes() ==
                (limit.rlim_max == RLIM_INFINITY ? UINT64_MAX : (uint64_t)limit.rlim_max));
    restore_memlock();
}

static void test_memlock__with_cap_ipc_lock__none(void **state)
{
    struct rlimit limit;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
    /* An ordinary user cannot have the capability: then the limit itself is what counts. */
    if (has_ipc_lock())
        assert_true(rdmig_memlock_limit_bytes() == UINT64_MAX);
    else if (limit.rlim_cur != RLIM_INFINITY)
        assert_true(rdmig_memlock_limit_bytes() == limit.rlim_cur);
}

/* The kernel asks for the capability outside of the container. */
static void test_memlock__root_in_a_user_namespace__the_limit(void **state)
{
    struct rlimit limit;
    uint64_t limit_bytes;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
    limit_bytes = limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : (uint64_t)limit.rlim_cur;
    user_namespace = "user:[4026532561]";
    assert_true(rdmig_memlock_limit_bytes() == limit_bytes);
    user_namespace = NULL;
    assert_true(rdmig_memlock_limit_bytes() == (has_ipc_lock() ? UINT64_MAX : limit_bytes));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_devices__one_good_device__every_member),
        TEST(test_devices__pages_rdma_writes__has_on_demand_paging),
        TEST(test_devices__infiniband_link_layer__is_no_ethernet),
        TEST(test_devices__more_devices_than_room__all_are_counted),
        TEST(test_devices__no_device__zero),
        TEST(test_devices__kernel_without_rdma__zero),
        TEST(test_devices__list_fails__told),
        TEST(test_devices__port_down__not_usable),
        TEST(test_devices__one_of_two_ports_up__usable),
        TEST(test_devices__port_cannot_be_asked__not_usable),
        TEST(test_devices__more_ports_than_room__none_is_read_beyond_it),
        TEST(test_devices__more_gids_than_room__all_are_counted),
        TEST(test_devices__gids_cannot_be_read__device_is_usable_all_the_same),
        TEST(test_devices__shallow_queue_pairs__not_usable),
        TEST(test_devices__shallow_completion_queues__not_usable),
        TEST(test_devices__no_room_for_them__is_the_callers),
        TEST(test_devices__short_messages__not_usable),
        TEST(test_devices__cannot_be_opened__not_usable),
        TEST(test_devices__does_not_tell_its_limits__not_usable),
        TEST(test_devices__no_reliable_connection__not_usable),
        TEST(test_memlock__ordinary_user__the_limit),
        TEST(test_memlock__ordinary_user_without_a_limit__none),
        TEST(test_memlock__with_cap_ipc_lock__none),
        TEST(test_memlock__root_in_a_user_namespace__the_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
