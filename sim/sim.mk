# SPDX-License-Identifier: BSD-2-Clause
# rdmig-sim: the core of the library in a made-up world. It links src/core and src/ram, nothing else of src.
sim_mains   := sim/main.c sim/report.c
sim_dirs    := sim sim/world sim/fabric sim/ours sim/stock sim/hostile sim/oracle sim/run
sim_include := $(sim_dirs:%=-I%)
sim_src     := $(filter-out $(sim_mains),$(wildcard $(sim_dirs:%=%/*.c)))
sim_objects := $(sim_src:sim/%.c=$(BUILD)/obj/sim/%.o)
sim_ram     := $(patsubst src/%.c,$(BUILD)/obj/%.o,$(wildcard src/ram/*.c))

$(BUILD)/obj/sim/%.o: sim/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE $(CFLAGS_ALL) $(sim_include) -Isrc -c $< -o $@

# The world without a command line, for whoever drives it: the command, the report, a fuzzer.
$(BUILD)/librdmig-sim.a: $(sim_objects) $(core_parts) $(sim_ram)
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
