# SPDX-License-Identifier: BSD-2-Clause
# rdmig-sim: the library in a made-up world. Of src it links all but src/tool,
# src/verbs (but its lines for a trace) and what asks the operating system.
sim_mains   := sim/main.c sim/report.c
sim_dirs    := sim sim/world sim/fabric sim/ours sim/vmm sim/stock sim/hostile sim/oracle sim/run
sim_include := $(sim_dirs:%=-I%)
sim_src     := $(filter-out $(sim_mains),$(wildcard $(sim_dirs:%=%/*.c)))
sim_objects := $(sim_src:sim/%.c=$(BUILD)/obj/sim/%.o)
# What src/migration has of the operating system and of the guest's bytes; the world's own is sim/vmm/system.c.
sim_system  := access allocated cgroup descriptors facts holes mappings memory_kinds populate waker
sim_library := $(patsubst src/%.c,$(BUILD)/obj/%.o,$(wildcard src/ram/*.c src/qemu/*.c src/text/*.c) src/verbs/trace.c \
	$(filter-out $(sim_system:%=src/migration/%.c),$(wildcard src/migration/*.c)))

$(BUILD)/obj/sim/%.o: sim/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE $(CFLAGS_ALL) $(sim_include) -Isrc -c $< -o $@

# The world without a command line, for whoever drives it: the command, the report, a fuzzer.
$(BUILD)/librdmig-sim.a: $(sim_objects) $(core_checked) $(sim_library)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $^

$(BUILD)/rdmig-sim: $(BUILD)/obj/sim/main.o $(BUILD)/librdmig-sim.a
	$(Q)$(CC) $(LDFLAGS) $^ -o $@

$(BUILD)/rdmig-sim-report: $(BUILD)/obj/sim/report.o $(BUILD)/librdmig-sim.a
	$(Q)$(CC) $(LDFLAGS) $^ -o $@

# Seeds that each `make check` runs, and the depth of enumeration that fits in a minute.
SIM_SEEDS ?= 1..10000
SIM_DEPTH ?= 5

# In the build folder: there the record of what failed is written.
.PHONY: sim-run
sim-run: $(BUILD)/rdmig-sim $(BUILD)/rdmig-sim-report
	cd $(BUILD) && ./rdmig-sim --seeds-file $(CURDIR)/sim/seeds.txt
	cd $(BUILD) && ./rdmig-sim --seeds $(SIM_SEEDS) --coverage-of-faults
	cd $(BUILD) && ./rdmig-sim --exhaustive $(SIM_DEPTH)
	$(BUILD)/rdmig-sim-report --calibrate
	$(BUILD)/rdmig-sim-report --claims

-include $(sim_objects:.o=.d) $(BUILD)/obj/sim/main.d $(BUILD)/obj/sim/report.d
