# SPDX-License-Identifier: BSD-2-Clause
# Fuzzing with libFuzzer: `make fuzz` (FUZZ_SECONDS each), `make fuzz-replay` (the committed corpus, some seconds).
# Needs clang.
FUZZ_SECONDS ?= 60
fuzz_build   := $(BUILD)/fuzz
fuzz_targets := world wire calls core
$(BUILD)/obj/fuzz/%.o: tests/fuzz/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE $(CFLAGS_ALL) $(sim_include) -Isrc -c $< -o $@
$(BUILD)/fuzz_%: $(BUILD)/obj/fuzz/fuzz_%.o $(BUILD)/librdmig-sim.a
	$(Q)$(CC) $(LDFLAGS) -fsanitize=fuzzer $^ -o $@
# The handles over the fake links of the unit tests, and the core by itself.
# The time is the fake's, so what asks the kernel's is led to the fuzzer.
calls_targets := $(BUILD)/obj/fuzz/fuzz_calls.o $(BUILD)/obj/fuzz/fuzz_core.o
calls_parts   := $(patsubst tests/fuzz/%.c,$(BUILD)/obj/fuzz/%.o,$(wildcard tests/fuzz/calls/*.c))
calls_objects := $(calls_parts) $(BUILD)/unit/obj/fakes/link_pair.o $(BUILD)/librdmig-internal.a
calls_wrap    := -Wl,--wrap=poll,--wrap=timerfd_settime,--wrap=close
$(calls_targets) $(calls_parts): sim_include += -Itests/unit
$(BUILD)/fuzz_calls $(BUILD)/fuzz_core: $(BUILD)/fuzz_%: $(BUILD)/obj/fuzz/fuzz_%.o $(calls_objects)
	$(Q)$(CC) $(LDFLAGS) -fsanitize=fuzzer $(calls_wrap) $^ -o $@
# Without libFuzzer: the committed corpus with any compiler.
$(BUILD)/replay_%: $(BUILD)/obj/fuzz/fuzz_%.o $(BUILD)/obj/fuzz/replay.o $(BUILD)/librdmig-sim.a
	$(Q)$(CC) $(LDFLAGS) $^ -o $@
$(BUILD)/replay_calls $(BUILD)/replay_core: $(BUILD)/replay_%: $(BUILD)/obj/fuzz/fuzz_%.o $(BUILD)/obj/fuzz/replay.o $(calls_objects)
	$(Q)$(CC) $(LDFLAGS) $(calls_wrap) $^ -o $@
.SECONDARY: $(calls_parts) $(BUILD)/obj/fuzz/replay.o $(fuzz_targets:%=$(BUILD)/obj/fuzz/fuzz_%.o)

.PHONY: fuzz fuzz-build fuzz-replay fuzz-programs
# Everything again, seen by the fuzzer, in a folder of its own.
fuzz-build:
	$(Q)$(MAKE) --no-print-directory BUILD=$(fuzz_build) CC=clang SAN=address,undefined OPT="-O1 -g" CFLAGS="-fsanitize=fuzzer-no-link" fuzz-programs
fuzz-programs: $(fuzz_targets:%=$(BUILD)/fuzz_%)

# The last two numbers: executions and features below which something is wrong with the fuzzer itself.
fuzz: fuzz-build
	tests/fuzz/run $(fuzz_build)/fuzz_wire tests/fuzz/corpus/wire $(fuzz_build)/found/wire $(FUZZ_SECONDS) \
		$$((1000 * $(FUZZ_SECONDS))) 150
	tests/fuzz/run $(fuzz_build)/fuzz_world tests/fuzz/corpus/world $(fuzz_build)/found/world $(FUZZ_SECONDS) \
		$$((5 * $(FUZZ_SECONDS))) 3000
	tests/fuzz/run $(fuzz_build)/fuzz_calls tests/fuzz/corpus/calls $(fuzz_build)/found/calls $(FUZZ_SECONDS) \
		$$((10 * $(FUZZ_SECONDS))) 3000
	tests/fuzz/run $(fuzz_build)/fuzz_core tests/fuzz/corpus/core $(fuzz_build)/found/core $(FUZZ_SECONDS) \
		$$((100 * $(FUZZ_SECONDS))) 1000

# Under clang's sanitizers, and as the library is built.
fuzz-replay: fuzz-build $(fuzz_targets:%=$(BUILD)/replay_%)
	$(Q)for target in $(fuzz_targets); do \
		set -- tests/fuzz/corpus/$$target/*; \
		[ -f "$$1" ] || { echo "FAIL fuzz_$$target: its corpus is empty"; exit 1; }; \
		for program in $(fuzz_build)/fuzz_$$target $(BUILD)/replay_$$target; do \
			$$program "$$@" >$(fuzz_build)/replay.log 2>&1 || { tail -60 $(fuzz_build)/replay.log; echo "FAIL $${program##*/}: the committed corpus"; exit 1; }; \
		done; \
		echo "PASS fuzz_$$target: $$# inputs of the committed corpus"; \
	done

-include $(wildcard $(BUILD)/obj/fuzz/*.d $(BUILD)/obj/fuzz/calls/*.d)
