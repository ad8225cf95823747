# SPDX-License-Identifier: BSD-2-Clause
# Fuzzing with libFuzzer: `make fuzz` (FUZZ_SECONDS each), `make fuzz-replay` (the committed corpus, some seconds). Needs clang.
FUZZ_SECONDS ?= 60
fuzz_build   := $(BUILD)/fuzz
fuzz_targets := world wire
$(BUILD)/obj/fuzz/%.o: tests/fuzz/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE $(CFLAGS_ALL) $(sim_include) -Isrc -c $< -o $@
$(BUILD)/fuzz_%: $(BUILD)/obj/fuzz/fuzz_%.o $(BUILD)/librdmig-sim.a
	$(Q)$(CC) $(LDFLAGS) -fsanitize=fuzzer $^ -o $@
.SECONDARY: $(fuzz_targets:%=$(BUILD)/obj/fuzz/fuzz_%.o)

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

fuzz-replay: fuzz-build
	$(Q)for target in $(fuzz_targets); do \
		set -- tests/fuzz/corpus/$$target/*; \
		[ -f "$$1" ] || { echo "FAIL fuzz_$$target: its corpus is empty"; exit 1; }; \
		$(fuzz_build)/fuzz_$$target "$$@" >$(fuzz_build)/replay.log 2>&1 || { tail -60 $(fuzz_build)/replay.log; echo "FAIL fuzz_$$target: the committed corpus"; exit 1; }; \
		echo "PASS fuzz_$$target: $$# inputs of the committed corpus"; \
	done

-include $(wildcard $(BUILD)/obj/fuzz/*.d)
