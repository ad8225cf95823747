/* SPDX-License-Identifier: BSD-2-Clause */
/* What every part of a hostile peer asks: its decisions, and whether it is still there. */
#include "hostile.h"

uint32_t hostile_pick(struct hostile *hostile, uint32_t bound)
{
    return choice_below(hostile->party.world->choice, bound);
}

bool hostile_does(struct hostile *hostile, enum hostile_kind kind)
{
    const struct ratio rate = hostile->rates[kind];

    return rate.numerator > 0 && choice_chance(hostile->party.world->choice, rate);
}

uint64_t hostile_bend(struct hostile *hostile, uint64_t value)
{
    switch (hostile_pick(hostile, 16)) {
    case 0:
        return value;
    case 1:
        return value + 1;
    case 2:
        return value - 1;
    case 3:
        return value + SIM_PAGE_BYTES;
    case 4:
        return value - SIM_PAGE_BYTES;
    case 5:
        return value + HOSTILE_CHUNK_BYTES;
    case 6:
        return value - HOSTILE_CHUNK_BYTES;
    case 7:
        return 0;
    case 8:
        return UINT64_MAX;
    case 9:
        return UINT64_MAX - SIM_PAGE_BYTES + 1;
    case 10:
        return UINT64_C(1) << 63;
    case 11:
        return value + (UINT64_C(1) << 32); /* the same in 32 bits */
    case 12:
        return value ^ UINT64_C(1) << 63;
    case 13:
        return 0 - value; /* a sum that comes out as 0 */
    case 14:
        return UINT32_MAX;
    default:
        return value / 2;
    }
}

uint32_t hostile_bend32(struct hostile *hostile, uint32_t value)
{
    static const uint32_t edges[] = {0, 1, 255, 256, 0x7fffffffu, 0x80000000u, UINT32_MAX};
    const uint32_t way = hostile_pick(hostile, 3 + sizeof(edges) / sizeof(edges[0]));

    if (way < 3)
        return value + (way == 2 ? UINT32_MAX : way); /* itself, or one of its neighbours */
    return edges[way - 3];
}

bool hostile_is_up(const struct hostile *hostile)
{
    return hostile->life == LIFE_UP;
}

void hostile_leave(struct hostile *hostile)
{
    if (hostile->life == LIFE_OVER)
        return;
    world_log(hostile->party.world, "hostile %s: leaves", role_name(hostile->party.role));
    hostile->life = LIFE_OVER;
    hostile->party.outcome = OUTCOME_FAILED;
    port_disconnect(hostile->party.port);
}

void hostile_fall_silent(struct hostile *hostile)
{
    world_log(hostile->party.world, "hostile %s: falls silent", role_name(hostile->party.role));
    hostile->life = LIFE_SILENT;
    hostile->party.outcome = OUTCOME_FAILED;
}
