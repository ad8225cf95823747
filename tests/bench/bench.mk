# SPDX-License-Identifier: BSD-2-Clause
# Speed on the host, without any device: zero scan, holes, bitmaps, engine, codec. Figures, never a verdict.
BENCH_ROUNDS ?= 7
BENCH_JSON   ?= docs/report/bench.json

bench_src     := $(wildcard tests/bench/*.c)
bench_objects := $(bench_src:tests/bench/%.c=$(BUILD)/bench/%.o)

$(BUILD)/bench/%.o: tests/bench/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE -DBENCH_OPTIONS='"$(strip $(OPT) $(CFLAGS))"' $(CFLAGS_ALL) -Isrc -c $< -o $@

# The core as users have it, not the one that tests have.
$(BUILD)/rdmig-bench: $(bench_objects) $(core_parts) $(BUILD)/librdmig-internal.a
	$(Q)$(CC) $(LDFLAGS) $^ -o $@

.PHONY: bench bench-build
bench-build: $(BUILD)/rdmig-bench
bench: $(BUILD)/rdmig-bench
	$(BUILD)/rdmig-bench $(BENCH_JSON) $(BENCH_ROUNDS)

-include $(bench_objects:.o=.d)
