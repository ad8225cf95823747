/* SPDX-License-Identifier: BSD-2-Clause */
/* The walker: what it makes of zeros and data, how far it registers ahead, what stops it. */
#include "walker_fixture.h"

#define CHUNK_PAGES      (CHUNK / PAGE)
#define CAP_BYTES_PER_S  (50 * MIB)
#define BURST_PAGE_COUNT (MIB / PAGE) /* of this cap in a 50th of a second */

/* ---- zeros and data */

/* Clause: C9 */
static void test_ram_walker__short_zeros_among_data__go_with_the_data(void **unused)
{
    struct guest *guest = guest_create_one(200, 0);

    (void)unused;
    lay(guest, 0, 10, 4, 'D');
    lay(guest, 0, 14, 63, 'Z'); /* 252 KiB */
    lay(guest, 0, 77, 4, 'D');
    lay(guest, 0, 81, 63, 'Z');
    walk_round(guest);
    assert_int_equal(guest->pushed_count, 1);
    assert_pushed(guest, 0, 0, 10, 134, false);
    assert_all_clean(guest);
    guest_destroy(guest);
}

/* Clause: C9 */
static void test_ram_walker__long_zeros_among_data__are_a_range_of_their_own(void **unused)
{
    struct guest *guest = guest_create_one(1000, 0);

    (void)unused;
    lay(guest, 0, 10, 4, 'D');
    lay(guest, 0, 14, 64, 'Z'); /* 256 KiB */
    lay(guest, 0, 78, 4, 'D');
    lay(guest, 0, 82, 900, 'Z'); /* more than is looked at in one go */
    walk_round(guest);
    assert_int_equal(guest->pushed_count, 4);
    assert_pushed(guest, 0, 0, 10, 4, false);
    assert_pushed(guest, 1, 0, 14, 64, true);
    assert_pushed(guest, 2, 0, 78, 4, false);
    assert_pushed(guest, 3, 0, 82, 900, true);
    assert_all_clean(guest);
    guest_destroy(guest);
}

/* A first round's zeros may never have been touched: to write them would cost memory there. */
static void test_ram_walker__short_zeros_alone__are_zeros_in_the_first_round_only(void **unused)
{
    struct guest *guest = guest_create_one(200, 0);

    (void)unused;
    lay(guest, 0, 10, 3, 'Z');
    walk_round(guest);
    assert_pushed(guest, 0, 0, 10, 3, true);
    guest->walker.is_first_round = false;
    lay(guest, 0, 10, 63, 'Z');
    lay(guest, 0, 80, 64, 'Z');
    walk_round(guest);
    assert_int_equal(guest->pushed_count, 3);
    assert_pushed(guest, 1, 0, 10, 63, false);
    assert_pushed(guest, 2, 0, 80, 64, true);
    guest_destroy(guest);
}

static void test_ram_walker__many_zeros__go_in_pieces_of_a_gib(void **unused)
{
    const uint64_t gib_pages = 262144;
    struct guest *guest = guest_create_one(2 * gib_pages + 100, 0);

    (void)unused;
    lay(guest, 0, 0, 2 * gib_pages + 100, 'Z');
    walk_round(guest);
    assert_int_equal(guest->pushed_count, 3);
    assert_pushed(guest, 0, 0, 0, gib_pages, true);
    assert_pushed(guest, 1, 0, gib_pages, gib_pages, true);
    assert_pushed(guest, 2, 0, 2 * gib_pages, 100, true);
    assert_all_clean(guest);
    guest_destroy(guest);
}

/* 16 GiB of which nothing was ever touched: a look every 64 MiB, and no page read but where a run
 * of zeros may end. */
static void test_ram_walker__hole__is_taken_in_large_pieces_and_not_read(void **unused)
{
    const uint64_t gib_pages = 262144;
    const uint64_t data_page = 5 * gib_pages + 77;
    struct guest *guest = guest_create_one(16 * gib_pages, 0);
    uint64_t sent_bytes = 0;

    (void)unused;
    lay(guest, 0, 0, 16 * gib_pages, 'H');
    lay(guest, 0, data_page, 200, 'D');
    walk_round(guest);
    assert_in_range(guest->pushed_count, 17, 19);
    for (uint32_t i = 0; i < guest->pushed_count; i++) {
        const struct ram_range *range = &guest->pushed[i];

        assert_int_equal(range->offset_bytes, sent_bytes);
        assert_in_range(range->length_bytes, PAGE, (UINT64_C(1) << 30) + 64 * MIB);
        assert_int_equal(range->is_zero, range->offset_bytes / PAGE != data_page);
        sent_bytes += range->length_bytes;
    }
    assert_int_equal(sent_bytes, 16 * gib_pages * PAGE);
    assert_all_clean(guest);
    assert_true(guest->hole_look_count < 16 * 16 + 30);
    assert_true(guest->scanned_count < 200 + 16 * 16 + 30);
    guest_destroy(guest);
}

/* The link has nothing to do before the first. */
static void test_ram_walker__much_data__goes_in_pieces_of_1_to_16_mib(void **unused)
{
    static const uint64_t page_counts[] = {256, 512, 1024, 2048, 4096, 2064};

    (void)unused;
    for (uint64_t cap_bytes_per_s = 0; cap_bytes_per_s <= 4000 * MIB;
         cap_bytes_per_s += 2000 * MIB) {
        struct guest *guest = guest_create_one(10000, cap_bytes_per_s);

        for (uint32_t round = 0; round < 2; round++) {
            uint64_t page = 0;

            lay(guest, 0, 0, 10000, 'D');
            walk_round(guest);
            assert_int_equal(guest->pushed_count, 6 * (round + 1));
            for (uint32_t i = 0; i < 6; i++) {
                assert_pushed(guest, 6 * round + i, 0, page, page_counts[i], false);
                page += page_counts[i];
            }
        }
        guest_destroy(guest);
    }
}

static void test_ram_walker__several_blocks__are_walked_in_order_and_never_joined(void **unused)
{
    struct guest *guest = guest_create(3, (const uint64_t[]){100, 1, 700}, 0);

    (void)unused;
    lay(guest, 0, 90, 10, 'D');
    lay(guest, 2, 0, 20, 'D');
    lay(guest, 2, 20, 1, 'C');
    lay(guest, 2, 21, 20, 'D');
    lay(guest, 2, 699, 1, 'Z');
    walk_round(guest);
    assert_int_equal(guest->pushed_count, 4);
    assert_pushed(guest, 0, 0, 90, 10, false);
    assert_pushed(guest, 1, 2, 0, 20, false);
    assert_pushed(guest, 2, 2, 21, 20, false);
    assert_pushed(guest, 3, 2, 699, 1, true);
    walk_round(guest); /* nothing is dirty */
    assert_int_equal(guest->pushed_count, 4);
    guest_destroy(guest);
}

/* ---- looking ahead for registrations */

struct look_ahead {
    const char
        *chunks; /* D: data and zeros, dirty; L: data in the last page only; Z: zeros; C: clean */
    uint64_t page_count;
    uint32_t run_chunk_count;
    uint64_t expected_page; /* how far the first range's registration reaches */
};

/* Such that the first range, 4 pages of data in the first chunk, is pushed while the rest is still
 * untouched. */
static void lay_chunks(struct guest *guest, const struct look_ahead *look)
{
    for (uint64_t i = 0; look->chunks[i] != '\0'; i++) {
        const uint64_t first_page = i * CHUNK_PAGES;
        const uint64_t left_count = look->page_count - first_page;
        const uint64_t page_count = left_count < CHUNK_PAGES ? left_count : CHUNK_PAGES;

        lay(guest, 0, first_page, page_count, look->chunks[i] == 'D' ? 'C' : 'Z');
        if (look->chunks[i] == 'D') {
            lay(guest, 0, first_page, 4, 'D');
            lay(guest, 0, first_page + 4, 64, 'Z');
        } else if (look->chunks[i] == 'L') {
            lay(guest, 0, first_page + page_count - 1, 1, 'D');
        } else if (look->chunks[i] == 'C') {
            lay(guest, 0, first_page, page_count, 'C');
        }
    }
}

static struct guest *guest_with_chunks(const struct look_ahead *look)
{
    struct guest *guest = guest_create_one(look->page_count, 0);

    set_run_chunk_count(guest, look->run_chunk_count);
    lay_chunks(guest, look);
    return guest;
}

/* Clause: R3 */
static void test_ram_walker__first_round__registers_ahead_over_what_will_be_sent(void **unused)
{
    static const struct look_ahead looks[] = {
        {"DDDDD", 5 * CHUNK_PAGES, 64, 5 * CHUNK_PAGES},
        {"DDDDD", 5 * CHUNK_PAGES, 3, 3 * CHUNK_PAGES},
        {"DDDDD", 5 * CHUNK_PAGES, 1, CHUNK_PAGES},
        {"DDDZD", 5 * CHUNK_PAGES, 64, 3 * CHUNK_PAGES},
        {"DDCDD", 5 * CHUNK_PAGES, 64, 2 * CHUNK_PAGES},
        {"DDLDC", 5 * CHUNK_PAGES, 64, 4 * CHUNK_PAGES},
        {"DLLLL", 4 * CHUNK_PAGES + 30, 64, 4 * CHUNK_PAGES + 30},
        {"DLLLZ", 4 * CHUNK_PAGES + 30, 64, 4 * CHUNK_PAGES},
        {"DZDDD", 5 * CHUNK_PAGES, 64, CHUNK_PAGES},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++) {
        struct guest *guest = guest_with_chunks(&looks[i]);

        walk_round(guest);
        assert_pushed(guest, 0, 0, 0, 4, false);
        assert_int_equal(guest->pushed[0].register_end_bytes / PAGE, looks[i].expected_page);
        assert_all_clean(guest);
        guest_destroy(guest);
    }
}

/* Clause: R3 */
static void test_ram_walker__full_memory__is_looked_at_two_runs_ahead(void **unused)
{
    /* Ranges end at chunks 1, 3, 7, 15, 31, 47 and so on. It sees a run, then two runs ahead, and
     * looks again when less than one is left. */
    static const uint64_t reach_chunks[] = {64, 129, 191, 255, 300};
    struct guest *guest = guest_create_one(300 * CHUNK_PAGES, 0);
    uint64_t reach_count = 0;

    (void)unused;
    lay(guest, 0, 0, 300 * CHUNK_PAGES, 'D');
    ram_walker_init(&guest->walker, guest->walker.calls, guest, 1, 64, 0);
    walk_round(guest);
    for (uint64_t i = 0; i < guest->pushed_count; i++) {
        if (reach_chunks[reach_count] != guest->pushed[i].register_end_bytes / CHUNK)
            reach_count++;
        assert_in_range(reach_count, 0, 4);
        assert_int_equal(guest->pushed[i].register_end_bytes / CHUNK, reach_chunks[reach_count]);
    }
    assert_int_equal(reach_count, 4);
    guest_destroy(guest);
}

/* Clause: R12 */
static void test_ram_walker__full_memory__is_looked_at_farther_and_farther(void **unused)
{
    /* Ranges end at chunks 1, 3, 7, 15, 31, 47 and so on. It sees 16, 32, 64, 128, then 256 chunks
     * ahead, and looks again when half of that is left; zeros from chunk 700 to 702, and one run's
     * length again behind them. */
    static const uint64_t reach_chunks[] = {16, 33, 67, 135, 271, 399, 527, 655, 700};
    const uint64_t page_count = 800 * CHUNK_PAGES;
    struct guest *guest = guest_create_one(page_count, 0);
    uint64_t reach_count = 0;

    (void)unused;
    set_run_chunk_count(guest, 16);
    guest->walker.look_chunk_count_max = 256;
    lay(guest, 0, 0, page_count, 'D');
    lay(guest, 0, 700 * CHUNK_PAGES, 2 * CHUNK_PAGES, 'Z');
    walk_round(guest);
    for (uint64_t i = 0; i < guest->pushed_count; i++) {
        const uint64_t end_chunk = guest->pushed[i].register_end_bytes / CHUNK;

        if (guest->pushed[i].is_zero || guest->pushed[i].offset_bytes >= 702 * CHUNK)
            continue;
        if (reach_chunks[reach_count] != end_chunk)
            reach_count++;
        assert_in_range(reach_count, 0, 8);
        assert_int_equal(reach_chunks[reach_count], end_chunk);
    }
    assert_int_equal(reach_count, 8);
    assert_int_equal(guest->pushed[guest->pushed_count - 1].register_end_bytes / CHUNK, 800);
    for (uint64_t i = 0; i < guest->pushed_count; i++) {
        if (guest->pushed[i].offset_bytes == 702 * CHUNK)
            assert_int_equal(guest->pushed[i].register_end_bytes / CHUNK, 718);
    }
    guest_destroy(guest);
}

/* Clause: R7 */
static void test_ram_walker__later_rounds_pieces_and_pin_all__register_nothing_ahead(void **unused)
{
    static const struct look_ahead look = {"DDDDD", 5 * CHUNK_PAGES, 64, 0};

    (void)unused;
    for (int variant = 0; variant < 3; variant++) {
        struct guest *guest = guest_with_chunks(&look);

        guest->walker.is_first_round = variant != 0;
        guest->walker.is_pin_all = variant == 1;
        if (variant == 2)
            assert_true(ram_walker_add(&guest->walker, 0, 0, 4 * PAGE));
        else
            ram_walker_start_round(&guest->walker);
        walk_to_the_end(guest, true, 1);
        assert_pushed(guest, 0, 0, 0, 4, false);
        assert_int_equal(guest->pushed[0].register_end_bytes, 4 * PAGE);
        guest_destroy(guest);
    }
}

/* A stream that was captured has rounds without memory before the one with it. */
static void test_ram_walker__round_without_a_range__leaves_the_first_to_come(void **unused)
{
    struct guest *guest = guest_create_one(5 * CHUNK_PAGES, 0);

    (void)unused;
    for (uint32_t round = 0; round < 3; round++) {
        if (round > 0)
            lay(guest, 0, 0, 5 * CHUNK_PAGES, 'D');
        walk_round(guest);
        ram_walker_end_round(&guest->walker);
        assert_int_equal(guest->walker.is_first_round, round == 0);
    }
    assert_int_equal(guest->pushed_count, 6); /* pieces of 1, 2 and 2 MiB, twice */
    assert_int_equal(guest->pushed[0].register_end_bytes, 4 * CHUNK);
    assert_int_equal(guest->pushed[3].register_end_bytes, CHUNK);
    guest_destroy(guest);
}

/* ---- refused, blocked, paused */

static void test_ram_walker__refused_range__is_dirty_again_and_sent_in_the_next_round(void **unused)
{
    (void)unused;
    for (uint32_t refused = 0; refused < 3; refused++) {
        static const uint64_t first_pages[] = {0, 10, 110};
        static const uint64_t page_counts[] = {10, 100, 5};
        struct guest *guest = guest_create_one(200, 0);

        lay(guest, 0, 0, 10, 'D');
        lay(guest, 0, 10, 100, 'Z');
        lay(guest, 0, 110, 5, 'D');
        guest->refused_at = refused;
        walk_round(guest);
        assert_int_equal(guest->pushed_count, 2);
        assert_int_equal(ram_bitmap_count(&guest->blocks[0].dirty), page_counts[refused]);
        assert_int_equal(ram_bitmap_next_set(&guest->blocks[0].dirty, 0), first_pages[refused]);
        walk_round(guest);
        assert_int_equal(guest->pushed_count, 3);
        assert_pushed(guest, 2, 0, first_pages[refused], page_counts[refused], refused == 1);
        assert_all_clean(guest);
        guest_destroy(guest);
    }
}

/* Clause: C14 */
static void test_ram_walker__no_room__blocks_and_goes_on_where_it_was(void **unused)
{
    struct guest *guest = guest_create_one(1000, 0);
    uint64_t resume_ns = 77;

    (void)unused;
    lay(guest, 0, 0, 10, 'D');
    lay(guest, 0, 10, 400, 'Z');
    lay(guest, 0, 410, 5, 'D');
    lay(guest, 0, 500, 5, 'D');
    ram_walker_start_round(&guest->walker);
    guest->room_count = 0;
    for (uint32_t pushed_count = 0; pushed_count < 4; pushed_count++) {
        for (int i = 0; i < 3; i++)
            assert_int_equal(ram_walker_walk(&guest->walker, true, &resume_ns), RAM_WALK_BLOCKED);
        assert_int_equal(guest->pushed_count, pushed_count);
        guest->room_count = 1;
    }
    assert_int_equal(ram_walker_walk(&guest->walker, true, &resume_ns), RAM_WALK_DONE);
    assert_int_equal(resume_ns, 77);
    assert_pushed(guest, 0, 0, 0, 10, false);
    assert_pushed(guest, 1, 0, 10, 400, true);
    assert_pushed(guest, 2, 0, 410, 5, false);
    assert_pushed(guest, 3, 0, 500, 5, false);
    assert_all_clean(guest);
    guest_destroy(guest);
}

/* Data goes out as soon as the zeros behind it are long, not when they have ended. */
static void test_ram_walker__much_to_look_at__pauses_after_64_mib(void **unused)
{
    const uint64_t call_pages = 64 * MIB / PAGE;
    struct guest *guest = guest_create_one(40000, 0);
    uint64_t resume_ns = 77;

    (void)unused;
    lay(guest, 0, 0, CHUNK_PAGES, 'D');
    lay(guest, 0, CHUNK_PAGES, 40000 - CHUNK_PAGES, 'Z');
    ram_walker_start_round(&guest->walker);
    for (uint64_t i = 1; i <= 2; i++) {
        assert_int_equal(ram_walker_walk(&guest->walker, true, &resume_ns), RAM_WALK_PAUSED);
        assert_int_equal(resume_ns, 0);
        assert_int_equal(ram_bitmap_count(&guest->blocks[0].dirty), 40000 - i * call_pages);
        assert_int_equal(guest->pushed_count, 1);
        resume_ns = 77;
    }
    assert_int_equal(ram_walker_walk(&guest->walker, true, &resume_ns), RAM_WALK_DONE);
    assert_int_equal(guest->pushed_count, 2);
    assert_pushed(guest, 0, 0, 0, CHUNK_PAGES, false);
    assert_pushed(guest, 1, 0, CHUNK_PAGES, 40000 - CHUNK_PAGES, true);
    guest_destroy(guest);
}

/* What the peer has answered waits as long as a call takes. */
static void test_ram_walker__slow_memory__pauses_after_4_ms(void **unused)
{
    static const uint64_t ns_per_page[] = {10000, 1500, 0};
    static const uint64_t looked_mib[] = {2, 11, 64};

    (void)unused;
    for (uint32_t i = 0; i < 3; i++) {
        struct guest *guest = guest_create_one(40000, 0);
        uint64_t resume_ns = 77;

        guest->ns_per_page = ns_per_page[i];
        lay(guest, 0, 0, 40000, 'Z');
        ram_walker_start_round(&guest->walker);
        for (uint64_t call_count = 1; call_count <= 2; call_count++) {
            assert_int_equal(ram_walker_walk(&guest->walker, true, &resume_ns), RAM_WALK_PAUSED);
            assert_int_equal(resume_ns, 0);
            assert_int_equal(guest->walker.page, call_count * looked_mib[i] * MIB / PAGE);
        }
        walk_to_the_end(guest, true, 1);
        assert_all_clean(guest);
        guest_destroy(guest);
    }
}

/* Not before a MiB has been looked at, so that each call gets somewhere. */
static void test_ram_walker__news__ends_a_call(void **unused)
{
    static const uint64_t news_ns[] = {1, 300000, 700000}; /* after the round's start */
    static const uint64_t looked_mib[] = {1, 2, 3};

    (void)unused;
    for (uint32_t i = 0; i < 3; i++) {
        struct guest *guest = guest_create_one(40000, 0);
        uint64_t resume_ns = 77;

        guest->ns_per_page = 1000;
        guest->news_ns = guest->now_ns + news_ns[i];
        lay(guest, 0, 0, 40000, 'Z');
        ram_walker_start_round(&guest->walker);
        assert_int_equal(ram_walker_walk(&guest->walker, true, &resume_ns), RAM_WALK_PAUSED);
        assert_int_equal(resume_ns, 0);
        assert_int_equal(guest->walker.page, looked_mib[i] * MIB / PAGE);
        assert_int_equal(ram_walker_walk(&guest->walker, true, &resume_ns), RAM_WALK_PAUSED);
        assert_int_equal(guest->walker.page, (looked_mib[i] + 1) * MIB / PAGE);
        guest->news_ns = 0;
        walk_to_the_end(guest, true, 1);
        assert_all_clean(guest);
        guest_destroy(guest);
    }
}

/* ---- the bandwidth cap */

static void test_ram_walker__cap__is_kept_and_used(void **unused)
{
    struct guest *guest = guest_create_one(10 * BURST_PAGE_COUNT, CAP_BYTES_PER_S);
    const uint64_t start_ns = guest->now_ns;
    uint64_t before_last_ns;

    (void)unused;
    lay(guest, 0, 0, 10 * BURST_PAGE_COUNT, 'D');
    walk_round(guest);
    assert_int_equal(guest->pushed_count, 10);
    assert_int_equal(guest->paused_count, 10);
    for (uint32_t i = 0; i < 10; i++)
        assert_pushed(guest, i, 0, i * BURST_PAGE_COUNT, BURST_PAGE_COUNT, false);
    /* the last piece went when the nine before it, and a page, had had their time */
    before_last_ns = (9 * MIB + PAGE) * SECOND_NS / CAP_BYTES_PER_S;
    assert_in_range(guest->now_ns - start_ns, before_last_ns - 1000, before_last_ns + 1000);
    guest_destroy(guest);
}

static void test_ram_walker__cap_after_a_long_rest__allows_one_burst(void **unused)
{
    struct guest *guest = guest_create_one(10 * BURST_PAGE_COUNT, CAP_BYTES_PER_S);
    uint64_t resume_ns = 0;

    (void)unused;
    lay(guest, 0, 0, 10 * BURST_PAGE_COUNT, 'D');
    guest->now_ns += 100 * SECOND_NS;
    ram_walker_start_round(&guest->walker);
    assert_int_equal(ram_walker_walk(&guest->walker, true, &resume_ns), RAM_WALK_PAUSED);
    assert_int_equal(guest->pushed_count, 1);
    guest->now_ns = resume_ns;
    ram_walker_charge(&guest->walker, 5 * MIB); /* the stream's, a tenth of a second */
    assert_int_equal(ram_walker_walk(&guest->walker, true, &resume_ns), RAM_WALK_PAUSED);
    assert_int_equal(guest->pushed_count, 1);
    assert_in_range(resume_ns - guest->now_ns, SECOND_NS / 10 - 1000, SECOND_NS / 10 + 1000);
    guest_destroy(guest);
}

/* Caps that are none in effect: no sum of bytes and no time may leave its type by them. */
static void test_ram_walker__cap_beyond_any_link__holds_nothing_up(void **unused)
{
    static const uint64_t caps[] = {UINT64_C(1) << 62, (UINT64_C(1) << 63) - 1, UINT64_C(1) << 63,
                                    UINT64_MAX - 1, UINT64_MAX};

    (void)unused;
    for (uint32_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
        struct guest *guest = guest_create_one(20000, caps[i]);

        lay(guest, 0, 0, 20000, 'D');
        guest->now_ns += SECOND_NS;
        ram_walker_charge(&guest->walker, UINT64_C(1) << 40); /* a long stream */
        walk_round(guest);
        lay(guest, 0, 0, 20000, 'D');
        guest->now_ns += 10 * SECOND_NS;
        walk_round(guest);
        assert_int_equal(guest->paused_count, 0);
        assert_all_clean(guest);
        guest_destroy(guest);
    }
}

/* A byte a second: a page takes more than an hour, and as long as that, however often it is looked
 * at. */
static void test_ram_walker__least_cap__is_kept_and_used(void **unused)
{
    struct guest *guest = guest_create_one(3, 1);
    const uint64_t start_ns = guest->now_ns;
    uint64_t resume_ns = 0;

    (void)unused;
    lay(guest, 0, 0, 3, 'D');
    guest->now_ns += SECOND_NS;
    ram_walker_start_round(&guest->walker);
    for (uint32_t i = 0; i < CALLS_MAX && guest->pushed_count < 3; i++) {
        (void)ram_walker_walk(&guest->walker, true, &resume_ns);
        guest->now_ns += SECOND_NS / 4;
    }
    assert_int_equal(guest->pushed_count, 3);
    assert_in_range(guest->now_ns - start_ns, 2 * 4095 * SECOND_NS, 2 * 4098 * SECOND_NS);
    guest_destroy(guest);
}

/* What has not been sent costs nothing: neither zeros nor a range that was refused. */
static void test_ram_walker__zeros_and_refused_ranges__do_not_count_against_the_cap(void **unused)
{
    struct guest *guest = guest_create_one(20000, CAP_BYTES_PER_S);

    (void)unused;
    for (uint64_t page = 0; page < 16000; page += 200)
        lay(guest, 0, page, 100, 'Z');
    lay(guest, 0, 16000, BURST_PAGE_COUNT, 'D');
    lay(guest, 0, 17000, BURST_PAGE_COUNT, 'D');
    guest->now_ns += SECOND_NS;
    guest->refused_at = 80;
    walk_round(guest);
    assert_int_equal(guest->pushed_count, 81);
    assert_pushed(guest, 79, 0, 15800, 100, true);
    assert_pushed(guest, 80, 0, 17000, BURST_PAGE_COUNT, false);
    assert_int_equal(guest->paused_count, 0);
    guest_destroy(guest);
}

static void test_ram_walker__cap_below_a_page_a_burst__lets_a_page_through_at_a_time(void **unused)
{
    struct guest *guest = guest_create_one(10, 2 * PAGE);
    const uint64_t start_ns = guest->now_ns;

    (void)unused;
    lay(guest, 0, 0, 10, 'D');
    walk_round(guest);
    assert_int_equal(guest->pushed_count, 10);
    /* Nine pages had their time before the last went. No more than a burst is kept of it, so that
     * each next one may wait for a page more. */
    assert_in_range(guest->now_ns - start_ns, 9 * SECOND_NS / 2, 19 * SECOND_NS / 2);
    guest_destroy(guest);
}

/* ---- ranges a caller adds */

static void test_ram_walker__ranges_one_after_the_other__join_until_the_end(void **unused)
{
    struct guest *guest = guest_create(2, (const uint64_t[]){100, 100}, 0);

    (void)unused;
    lay(guest, 0, 0, 100, 'D'); /* dirty beyond the ranges: not asked for, not sent */
    lay(guest, 1, 0, 100, 'C');
    assert_true(ram_walker_add(&guest->walker, 0, 8 * PAGE, 8 * PAGE));
    assert_true(ram_walker_add(&guest->walker, 0, 16 * PAGE, 4 * PAGE));
    assert_false(ram_walker_add(&guest->walker, 0, 21 * PAGE, PAGE));
    assert_false(ram_walker_add(&guest->walker, 1, 20 * PAGE, PAGE));
    walk_to_the_end(guest, false, 1);
    assert_int_equal(guest->pushed_count, 0); /* more may follow */
    assert_true(ram_walker_add(&guest->walker, 0, 20 * PAGE, 4 * PAGE));
    walk_to_the_end(guest, false, 1);
    assert_int_equal(guest->pushed_count, 0);
    assert_true(ram_walker_add(&guest->walker, 1, 24 * PAGE, PAGE)); /* does not follow */
    walk_to_the_end(guest, false, 1);
    assert_int_equal(guest->pushed_count, 1);
    assert_pushed(guest, 0, 0, 8, 16, false);
    walk_to_the_end(guest, true, 1);
    assert_int_equal(guest->pushed_count, 2);
    assert_pushed(guest, 1, 1, 24, 1, false);
    assert_int_equal(ram_bitmap_count(&guest->blocks[0].dirty), 84);
    assert_true(ram_bitmap_is_empty(&guest->blocks[1].dirty));
    guest_destroy(guest);
}

/* Also after a whole round: a range added does not go on into the next block. */
static void test_ram_walker__part_of_a_page__is_the_page(void **unused)
{
    struct guest *guest = guest_create(2, (const uint64_t[]){100, 100}, 0);

    (void)unused;
    walk_round(guest);
    lay(guest, 0, 0, 100, 'C');
    lay(guest, 1, 0, 100, 'D');
    assert_true(ram_walker_add(&guest->walker, 0, 5 * PAGE + 100, 1));
    walk_to_the_end(guest, true, 1);
    assert_true(ram_walker_add(&guest->walker, 0, 8 * PAGE - 1, 2));
    walk_to_the_end(guest, true, 1);
    assert_int_equal(guest->pushed_count, 2);
    assert_pushed(guest, 0, 0, 5, 1, false);
    assert_pushed(guest, 1, 0, 7, 2, false);
    guest_destroy(guest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ram_walker__short_zeros_among_data__go_with_the_data),
        cmocka_unit_test(test_ram_walker__long_zeros_among_data__are_a_range_of_their_own),
        cmocka_unit_test(test_ram_walker__short_zeros_alone__are_zeros_in_the_first_round_only),
        cmocka_unit_test(test_ram_walker__many_zeros__go_in_pieces_of_a_gib),
        cmocka_unit_test(test_ram_walker__hole__is_taken_in_large_pieces_and_not_read),
        cmocka_unit_test(test_ram_walker__much_data__goes_in_pieces_of_1_to_16_mib),
        cmocka_unit_test(test_ram_walker__several_blocks__are_walked_in_order_and_never_joined),
        cmocka_unit_test(test_ram_walker__first_round__registers_ahead_over_what_will_be_sent),
        cmocka_unit_test(test_ram_walker__full_memory__is_looked_at_two_runs_ahead),
        cmocka_unit_test(test_ram_walker__full_memory__is_looked_at_farther_and_farther),
        cmocka_unit_test(test_ram_walker__round_without_a_range__leaves_the_first_to_come),
        cmocka_unit_test(test_ram_walker__later_rounds_pieces_and_pin_all__register_nothing_ahead),
        cmocka_unit_test(test_ram_walker__refused_range__is_dirty_again_and_sent_in_the_next_round),
        cmocka_unit_test(test_ram_walker__no_room__blocks_and_goes_on_where_it_was),
        cmocka_unit_test(test_ram_walker__much_to_look_at__pauses_after_64_mib),
        cmocka_unit_test(test_ram_walker__slow_memory__pauses_after_4_ms),
        cmocka_unit_test(test_ram_walker__news__ends_a_call),
        cmocka_unit_test(test_ram_walker__cap__is_kept_and_used),
        cmocka_unit_test(test_ram_walker__cap_after_a_long_rest__allows_one_burst),
        cmocka_unit_test(test_ram_walker__cap_beyond_any_link__holds_nothing_up),
        cmocka_unit_test(test_ram_walker__least_cap__is_kept_and_used),
        cmocka_unit_test(test_ram_walker__zeros_and_refused_ranges__do_not_count_against_the_cap),
        cmocka_unit_test(test_ram_walker__cap_below_a_page_a_burst__lets_a_page_through_at_a_time),
        cmocka_unit_test(test_ram_walker__ranges_one_after_the_other__join_until_the_end),
        cmocka_unit_test(test_ram_walker__part_of_a_page__is_the_page),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
