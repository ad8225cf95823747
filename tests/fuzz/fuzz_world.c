/* SPDX-License-Identifier: BSD-2-Clause */
/* The whole simulated world, its decisions taken from the fuzzer's bytes. A broken oracle is a
 * crash. */
#include "explore.h"
#include "record.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length_bytes);

/* No input may take long, and the worlds worth fuzzing are small. */
enum { STEPS_MAX = 200000 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length_bytes)
{
    const struct run_report report = {.broken_file = stderr};
    struct options options;
    struct choice choice;
    struct run_result result;

    choice_init_bytes(&choice, bytes, length_bytes);
    options_draw(&options, &choice);
    options.step_limit = STEPS_MAX;
    if (!run_world(&options, &choice, &report, &result)) {
        options_print(&options, stderr);
        fprintf(stderr, "FAIL: %s\n", result.broken);
        abort();
    }
    choice_free(&choice);
    return 0;
}
