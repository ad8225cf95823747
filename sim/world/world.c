/* SPDX-License-Identifier: BSD-2-Clause */
/* Virtual time: a heap of what is planned, the log with its hash, and the first oracle that broke.
 */
#include "world.h"

#include "fail.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

enum { HEAP_CAPACITY_FIRST = 64, TIME_DIGITS = 12, TIME_DIGITS_MAX = 20 };

#define FNV_BASIS UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

void world_init(struct world *world, const struct options *options, struct choice *choice)
{
    memset(world, 0, sizeof(*world));
    world->options = options;
    world->choice = choice;
    world->costs = *costs_of(options->costs);
    if (options->link_bits_per_s != 0) {
        world->costs.link_bits_per_s = options->link_bits_per_s;
    }
    world->log_hash = FNV_BASIS;
}

void world_free(struct world *world)
{
    free(world->heap);
    world->heap = NULL;
    world->heap_count = 0;
    world->heap_capacity = 0;
}

/* ---- the heap: the earliest at the root; children of i are 2i + 1 and 2i + 2 */

static bool is_before(const struct happening *a, const struct happening *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

void world_at(struct world *world, uint64_t at_ns, world_handler *handler, void *subject,
              uint64_t argument)
{
    struct happening added = {.at_ns = at_ns < world->now_ns ? world->now_ns : at_ns,
                              .order = world->next_order++,
                              .handler = handler,
                              .subject = subject,
                              .argument = argument};
    size_t hole = world->heap_count;

    if (world->heap_count == world->heap_capacity) {
        size_t capacity =
            world->heap_capacity == 0 ? HEAP_CAPACITY_FIRST : 2 * world->heap_capacity;

        world->heap = sim_allocated(realloc(world->heap, capacity * sizeof(*world->heap)));
        world->heap_capacity = capacity;
    }
    world->heap_count++;
    while (hole > 0 && is_before(&added, &world->heap[(hole - 1) / 2])) {
        world->heap[hole] = world->heap[(hole - 1) / 2];
        hole = (hole - 1) / 2;
    }
    world->heap[hole] = added;
}

static struct happening take_first(struct world *world)
{
    struct happening first = world->heap[0];
    struct happening last = world->heap[--world->heap_count];
    size_t count = world->heap_count;
    size_t hole = 0;

    for (size_t child = 1; child < count; child = 2 * hole + 1) {
        if (child + 1 < count && is_before(&world->heap[child + 1], &world->heap[child])) {
            child++;
        }
        if (!is_before(&world->heap[child], &last)) {
            break;
        }
        world->heap[hole] = world->heap[child];
        hole = child;
    }
    world->heap[hole] = last;
    return first;
}

bool world_has_planned(const struct world *world, uint64_t until_ns)
{
    return world->heap_count > 0 && world->heap[0].at_ns <= until_ns;
}

bool world_step(struct world *world)
{
    struct happening first;

    if (world->heap_count == 0) {
        return false;
    }
    first = take_first(world);
    world->now_ns = first.at_ns;
    world->step_count++;
    first.handler(world, first.subject, first.argument);
    return true;
}

void world_forget(struct world *world)
{
    world->heap_count = 0;
}

/* ---- the log */

bool world_is_logging(const struct world *world)
{
    return !world->options->is_quiet;
}

/* "%12" PRIu64 " " by hand: half of what a line costs otherwise. */
static size_t put_time(char *line, uint64_t now_ns)
{
    char digits[TIME_DIGITS_MAX];
    size_t count = 0;
    size_t length = 0;

    do {
        digits[count++] = (char)('0' + now_ns % 10);
        now_ns /= 10;
    } while (now_ns != 0);
    while (length + count < TIME_DIGITS) {
        line[length++] = ' ';
    }
    while (count > 0) {
        line[length++] = digits[--count];
    }
    line[length++] = ' ';
    return length;
}

/* FNV-1a; with the line's end, so that two lines are not one longer one. */
static uint64_t hash_line(uint64_t hash, const char *line, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        hash = (hash ^ (uint8_t)line[i]) * FNV_PRIME;
    }
    return (hash ^ (uint8_t)'\n') * FNV_PRIME;
}

void world_log(struct world *world, const char *format, ...)
{
    char *line = world->ring[world->log_line_count % LOG_RING_LINES];
    size_t length;
    size_t room;
    int wanted;
    va_list arguments;

    if (!world_is_logging(world)) {
        return;
    }
    length = put_time(line, world->now_ns);
    room = LOG_LINE_BYTES - length;
    va_start(arguments, format);
    wanted = vsnprintf(line + length, room, format, arguments);
    va_end(arguments);
    if (wanted < 0) {
        sim_fail("log", "a line that cannot be formatted");
    }
    length += (size_t)wanted < room ? (size_t)wanted : room - 1;
    world->log_line_count++;
    world->log_hash = hash_line(world->log_hash, line, length);
    if (world->log_file != NULL) {
        fprintf(world->log_file, "%s\n", line);
    }
}

void world_print_ring(const struct world *world, FILE *file)
{
    uint64_t first =
        world->log_line_count > LOG_RING_LINES ? world->log_line_count - LOG_RING_LINES : 0;

    for (uint64_t line = first; line < world->log_line_count; line++) {
        fprintf(file, "%s\n", world->ring[line % LOG_RING_LINES]);
    }
}

void world_break(struct world *world, const char *oracle, const char *format, ...)
{
    size_t length;
    int prefix;
    va_list arguments;

    if (world_is_broken(world)) {
        return;
    }
    prefix = snprintf(world->broken, sizeof(world->broken), "%s: ", oracle);
    if (prefix < 0 || (size_t)prefix >= sizeof(world->broken)) {
        sim_fail("oracle", "a name that does not fit");
    }
    length = (size_t)prefix;
    va_start(arguments, format);
    if (vsnprintf(world->broken + length, sizeof(world->broken) - length, format, arguments) < 0) {
        sim_fail("oracle", "a text that cannot be formatted");
    }
    va_end(arguments);
    world_log(world, "BROKEN %s", world->broken);
}

bool world_is_broken(const struct world *world)
{
    return world->broken[0] != '\0';
}

/* ---- odds and ends */

uint64_t world_jitter_ns(struct world *world)
{
    /* thirds of the link's latency: from hardly noticeable to longer than a round of a small guest
     */
    static const uint64_t latency_thirds[] = {0, 1, 6, 27, 120, 540, 2400, 10800};
    enum { STEPS_MAX = sizeof(latency_thirds) / sizeof(latency_thirds[0]) };
    uint32_t steps = world->options->jitter_steps;
    uint32_t step;

    step = choice_below(world->choice, steps < STEPS_MAX ? steps : STEPS_MAX);
    return world->costs.latency_ns * latency_thirds[step] / 3;
}

const char *role_name(enum rdmig_role role)
{
    return role == RDMIG_ROLE_SOURCE ? "source" : "destination";
}
