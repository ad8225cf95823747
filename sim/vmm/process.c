/* SPDX-License-Identifier: BSD-2-Clause */
#include "process.h"

#include "fail.h"

enum { SLOW_ONE_IN = 16, BLOCKED_STEPS_MAX = 4000000, TURNS_MAX = 100000 };

static struct process *current;
static struct process *processes[2];

void process_init(struct process *process, struct party *party, void (*turn)(struct party *party))
{
    *process = (struct process){.world = party->world,
                                .port = party->port,
                                .party = party,
                                .role = party->role,
                                .turn = turn,
                                .deadline_ns = RDMIG_NO_DEADLINE};
    processes[party->role] = process;
}

void process_end(struct process *process)
{
    link_free_buried(process->buried);
    processes[process->role] = NULL;
    if (current == process)
        current = NULL;
}

void process_enter(struct process *process)
{
    current = process;
}

struct process *process_current(void)
{
    if (!current)
        sim_fail("process", "the library is called by nobody");
    return current;
}

struct process *process_of(int fd)
{
    if (fd < 0 || fd > 1 || !processes[fd])
        sim_fail("process", "a descriptor that nobody has");
    return processes[fd];
}

uint64_t process_now_ns(const struct process *process)
{
    return port_time_ns(process->port);
}

bool process_chance(struct process *process, uint32_t one_in)
{
    /* Too many to choose from for the enumeration of every order (exhaustive.c). */
    const struct ratio ratio = {5, 5 * one_in};

    return process->world->options->jitter_steps > 1 &&
           choice_chance(process->world->choice, ratio);
}

bool process_is_readable(const struct process *process)
{
    return (process->link && link_has_news(process->link)) ||
           (process->has_waker && process->deadline_ns <= process_now_ns(process));
}

/* ---- turns */

/* A descriptor that is readable for ever, and nothing comes of it. */
static void watch_turns(struct process *process)
{
    const uint64_t now_ns = process_now_ns(process);

    process->turn_count = process->turn_ns == now_ns ? process->turn_count + 1 : 0;
    process->turn_ns = now_ns;
    if (process->turn_count == TURNS_MAX)
        world_break(process->world, "livelock", "the %s is woken again and again",
                    role_name(process->role));
}

static void run_turn(struct process *process)
{
    watch_turns(process);
    process->is_running = true;
    process_enter(process);
    process->turn(process->party);
    process->is_running = false;
    if (process_is_readable(process))
        process_plan_turn(process, 0);
}

static void turn_due(struct world *world, void *subject, uint64_t argument)
{
    struct process *process = subject;

    (void)world;
    (void)argument;
    process->is_turn_planned = false;
    if (process->is_blocked || process->is_running) {
        process_signal(process);
        return;
    }
    process->may_block = true;
    run_turn(process);
    process->may_block = false;
}

void process_plan_turn(struct process *process, uint64_t delay_ns)
{
    if (process->is_turn_planned || process->is_ending)
        return;
    process->is_turn_planned = true;
    port_at(process->port, process_now_ns(process) + delay_ns, turn_due, process, 0);
}

void process_signal(struct process *process)
{
    if (process->is_blocked)
        process->is_woken = process->is_woken || process_is_readable(process);
    else if (process->is_turn_planned || process->is_ending)
        return;
    else if (process->is_running)
        process_plan_turn(process, 0);
    else if (process_chance(process, SLOW_ONE_IN))
        process_plan_turn(process, world_jitter_ns(process->world));
    else
        run_turn(process);
}

/* ---- waiting */

bool process_may_block(const struct process *process)
{
    for (uint32_t i = 0; i < 2; i++) {
        if (processes[i] && processes[i]->is_blocked)
            return false;
    }
    return process->is_running && process->may_block && !process->is_ending;
}

static void wait_over(struct world *world, void *subject, uint64_t number)
{
    struct process *process = subject;

    (void)world;
    if (process->is_blocked && process->wait_number == number)
        process->is_woken = true;
}

bool process_block(struct process *process, uint64_t timeout_ns)
{
    struct world *world = process->world;

    watch_turns(process);
    if (process->is_ending || world_is_broken(world))
        return false;
    if (process_is_readable(process) || timeout_ns == 0)
        return process_is_readable(process);
    process->is_blocked = true;
    process->is_woken = false;
    process->wait_number++;
    if (timeout_ns != UINT64_MAX)
        port_at(process->port, process_now_ns(process) + timeout_ns, wait_over, process,
                process->wait_number);
    for (uint32_t i = 0; i < BLOCKED_STEPS_MAX && !process->is_woken; i++) {
        if (world_is_broken(world) || port_is_dead(process->port) || !world_step(world))
            break;
    }
    process->is_blocked = false;
    process_enter(process);
    return process_is_readable(process) && !port_is_dead(process->port) && !world_is_broken(world);
}
