# SPDX-License-Identifier: BSD-2-Clause
# One program a test file. Kinds by name: test_link*, test_devices: the adapter against mocked verbs;
# test_core*, test_wire: the protocol core, driven by support/;
# test_migration*: the handles over a pair of links in memory;
# test_sim*: the simulator's parts; test_tool*: the command's parts; all others:
# the library's internals without any device.
unit_tests  := $(wildcard tests/unit/test_*.c)
unit_bins   := $(unit_tests:tests/unit/%.c=$(BUILD)/unit/%)
unit_mocks  := $(wildcard tests/unit/mocks/*.c)
unit_support := $(wildcard tests/unit/support/*.c)
mock_objects := $(unit_mocks:tests/unit/%.c=$(BUILD)/unit/obj/%.o)
fake_objects := $(patsubst tests/unit/%.c,$(BUILD)/unit/obj/%.o,$(wildcard tests/unit/fakes/*.c))
support_objects := $(unit_support:tests/unit/%.c=$(BUILD)/unit/obj/%.o)
tool_test_objects := $(filter-out $(BUILD)/obj/tool/main.o,$(tool_objects))

$(BUILD)/unit/obj/%.o: tests/unit/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE $(CFLAGS_ALL) -Isrc $(sim_include) -Itests/unit -c $< -o $@

$(BUILD)/unit/test_link% $(BUILD)/unit/test_device%: UNIT_OBJECTS = $(mock_objects)
$(BUILD)/unit/test_core% $(BUILD)/unit/test_wir%: UNIT_OBJECTS = $(support_objects)
# The core as users have it; all others have the one that stops at what cannot be.
$(BUILD)/unit/test_core_never: UNIT_OBJECTS = $(support_objects) $(core_parts)
$(BUILD)/unit/test_core_never: $(core_parts)
$(BUILD)/unit/test_migration%: UNIT_OBJECTS = $(fake_objects)
$(BUILD)/unit/test_migration_counts: LDFLAGS += -Wl,--wrap=strcmp,--wrap=timerfd_settime,--wrap=poll,--wrap=stat,--wrap=open,--wrap=readlink,--wrap=fopen,--wrap=madvise,--wrap=mincore,--wrap=pread,--wrap=process_vm_readv
$(BUILD)/unit/test_tool_calls: LDFLAGS += -Wl,--wrap=strcmp,--wrap=strlen,--wrap=fstat,--wrap=open,--wrap=openat,--wrap=ftruncate,--wrap=fallocate,--wrap=fsync
$(BUILD)/unit/test_tool_announced: LDFLAGS += -Wl,--wrap=rdmig_destination_announced
$(BUILD)/unit/test_tool%: $(BUILD)/unit/obj/test_tool%.o $(tool_test_objects) $(plain_objects) $(BUILD)/librdmig.a
	$(Q)$(CC) $(LDFLAGS) $< $(tool_test_objects) $(plain_objects) $(BUILD)/librdmig.a $(LDLIBS_TOOL) $(LDLIBS_VERBS) -lcmocka -o $@
$(BUILD)/unit/test_sim%: $(BUILD)/unit/obj/test_sim%.o $(BUILD)/librdmig-sim.a
	$(Q)$(CC) $(LDFLAGS) $^ -lcmocka -o $@
$(BUILD)/unit/test_%: $(BUILD)/unit/obj/test_%.o $(mock_objects) $(fake_objects) $(support_objects) $(BUILD)/librdmig-internal.a
	$(Q)$(CC) $(LDFLAGS) $< $(UNIT_OBJECTS) $(BUILD)/librdmig-internal.a -lcmocka -lpthread -o $@

# Every program runs, also after one has failed; the sum is at the end.
.PHONY: unit-run unit-build
unit-build: $(unit_bins)
unit-run: $(unit_bins)
	@tests/unit/run $(unit_bins)

.SECONDARY: $(unit_tests:tests/unit/%.c=$(BUILD)/unit/obj/%.o) $(mock_objects) $(fake_objects) $(support_objects)
-include $(wildcard $(BUILD)/unit/obj/*.d $(BUILD)/unit/obj/*/*.d)
