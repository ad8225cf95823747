/* SPDX-License-Identifier: BSD-2-Clause */
/* Names that are no text: whatever bytes a peer's block has for a name, or a VMM's own, an error
 * stays one line that does nothing to a terminal. */
#include "fakes/two_ends.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RED       "\x1b[31m"
#define RED_SHOWN "\\x1b[31m"

/* Printable ASCII: what these tests give is nothing else, but for the names. */
static void assert_line(const char *what, const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (*at < ' ' || *at > '~')
            fail_msg("%s: byte 0x%02x at %d of the detail", what, (uint8_t)*at, (int)(at - text));
    }
    assert_true(text[0] != '\0');
}

static void assert_says(const char *what, const struct rdmig_error *error, const char *says)
{
    assert_line(what, error->detail);
    assert_line(what, error->remedy);
    if (strstr(error->detail, says) == NULL)
        fail_msg("%s: \"%s\" lacks \"%s\"", what, error->detail, says);
}

static void fail_for(struct two_ends *ends, enum rdmig_reason reason, const char *what,
                     const char *says)
{
    ends_create(ends, NULL, NULL);
    ends_run_source(ends, RDMIG_SOURCE_CONNECTING);
    assert_int_equal(rdmig_destination_error(ends->destination)->reason, reason);
    assert_says(what, rdmig_destination_error(ends->destination), says);
    ends_free(ends);
}

/* The source's name goes through the stream, and into the destination's error. Clause: S4 E2 */
static void test_migration__a_peers_block_name__is_text_in_the_error(void **state)
{
    static const char name[] = "ram\n" RED "\xff";
    static const char shown[] = "ram\\n" RED_SHOWN "\\xff";
    struct two_ends ends;

    (void)state;
    ends_init(&ends);
    ends.source_blocks[0].name = name;
    fail_for(&ends, RDMIG_REASON_BLOCK_UNKNOWN, "a peer's block that is not here", shown);
    ends_init(&ends);
    ends.source_blocks[0].name = name;
    ends.destination_blocks[END_BLOCK_COUNT - 1].name = name;
    ends.destination_blocks[END_BLOCK_COUNT - 1].length_bytes -= 4096;
    fail_for(&ends, RDMIG_REASON_BLOCK_LENGTH, "a peer's block of another length", shown);
}

/* The longest name of the worst bytes leaves room for the sentence around it. */
static void test_migration__a_peers_longest_name__is_cut_and_the_sentence_is_whole(void **state)
{
    struct two_ends ends;
    char name[256];

    (void)state;
    memset(name, '\x1b', sizeof(name));
    name[255] = '\0';
    ends_init(&ends);
    ends.source_blocks[0].name = name;
    fail_for(&ends, RDMIG_REASON_BLOCK_UNKNOWN, "a peer's long name",
             "\\x1b... that this end has not");
    ends_init(&ends);
    ends.source_blocks[0].name = name;
    ends.destination_blocks[END_BLOCK_COUNT - 1].name = name;
    ends.destination_blocks[END_BLOCK_COUNT - 1].length_bytes -= 4096;
    fail_for(&ends, RDMIG_REASON_BLOCK_LENGTH, "a peer's long name",
             " has 5242880 bytes at the source and 5238784 here");
}

/* The list that is announced has the bytes as they came: they are what is matched. */
static void test_migration__announced_names__are_the_bytes_that_came(void **state)
{
    static const char name[] = "../ram\n" RED;
    const struct rdmig_ram_block *announced;
    struct rdmig_error error;
    struct two_ends ends;
    uint32_t count = 0;

    (void)state;
    ends_init(&ends);
    ends.source_blocks[0].name = name;
    assert_int_equal(rdmig_destination_create(&ends.destination, NULL, "0", NULL, 0, NULL, &error),
                     0);
    (void)rdmig_destination_process(ends.destination);
    assert_int_equal(rdmig_source_create(&ends.source, "there", "1", ends.source_blocks,
                                         END_BLOCK_COUNT, NULL, &error),
                     0);
    ends_run_destination(&ends, RDMIG_DESTINATION_LISTENING);
    ends_run_destination(&ends, RDMIG_DESTINATION_CONNECTED);
    announced = rdmig_destination_announced(ends.destination, &count);
    assert_int_equal(count, END_BLOCK_COUNT);
    assert_string_equal(announced[0].name, name);
    ends_free(&ends);
}

static void test_migration__a_vmms_own_block_names__are_text_too(void **state)
{
    static uint8_t pages[2][4096] __attribute__((aligned(4096)));
    const struct rdmig_ram_block doubled[] = {{"a\nb", pages[0], 4096}, {"a\nb", pages[1], 4096}};
    const struct rdmig_ram_block crooked = {RED, pages[0] + 1, 4096};
    struct rdmig_source *source;
    struct rdmig_error error;
    struct two_ends ends;

    (void)state;
    pair_reset();
    assert_true(rdmig_source_create(&source, "h", "1", doubled, 2, NULL, &error) < 0);
    assert_says("two equal names", &error, "the name a\\nb");
    assert_true(rdmig_source_create(&source, "h", "1", &crooked, 1, NULL, &error) < 0);
    assert_says("a bad address", &error, "(" RED_SHOWN ")");
    ends_init(&ends);
    ends.destination_blocks[0].name = "own\r" RED;
    assert_int_equal(rdmig_destination_create(&ends.destination, "", "1", ends.destination_blocks,
                                              END_BLOCK_COUNT, NULL, &error),
                     0);
    (void)rdmig_destination_process(ends.destination);
    assert_int_equal(rdmig_source_create(&ends.source, "there", "1", ends.source_blocks,
                                         END_BLOCK_COUNT - 1, NULL, &error),
                     0);
    ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
    assert_says("a block that only this end has", rdmig_destination_error(ends.destination),
                "this end has a RAM block own\\r" RED_SHOWN " that the source has not");
    ends_free(&ends);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_migration__a_peers_block_name__is_text_in_the_error),
        cmocka_unit_test(test_migration__a_peers_longest_name__is_cut_and_the_sentence_is_whole),
        cmocka_unit_test(test_migration__announced_names__are_the_bytes_that_came),
        cmocka_unit_test(test_migration__a_vmms_own_block_names__are_text_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
