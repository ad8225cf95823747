# SPDX-License-Identifier: BSD-2-Clause
# make: library, command, example VMM. make demo / make check-all: install what is missing, then run. See README.md.
BUILD   ?= build
PREFIX  ?= /usr/local
DESTDIR ?=
LIBDIR  ?= $(PREFIX)/lib
# gcc unless told otherwise
ifeq ($(origin CC),default)
CC := gcc
endif
# make V=1 shows the commands.
Q := $(if $(V),,@)
AR      ?= ar
OBJCOPY ?= objcopy
OPT     ?= -O2 -g
# SAN=address,undefined builds with sanitizers, COVERAGE=1 for lcov: give each a BUILD of its own.
SAN      ?=
COVERAGE ?=

VERSION := 0.1.0
SOVERSION := 0

WARN := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror
CFLAGS_ALL = $(OPT) $(WARN) -fPIC -fno-common -Iinclude -MMD -MP $(CFLAGS)
LDLIBS_VERBS := -lrdmacm -libverbs -lpthread
# The command alone reads JSON.
LDLIBS_TOOL := -lyajl
ifneq ($(SAN),)
CFLAGS_ALL += -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
LDFLAGS += -fsanitize=$(SAN)
endif
ifneq ($(COVERAGE),)
CFLAGS_ALL += --coverage -O0 -DRDMIG_COVERED
LDFLAGS += --coverage
endif

# The core is C11 and freestanding; what touches the system is gnu11.
core_src      := $(wildcard src/core/*.c)
plain_src     := $(wildcard src/text/*.c src/ram/*.c src/qemu/*.c)
system_src    := $(wildcard src/verbs/*.c src/migration/*.c)
tool_src      := $(wildcard src/tool/*.c src/tool/*/*.c)
core_parts    := $(core_src:src/core/%.c=$(BUILD)/obj/protocol/%.o)
core_checked  := $(core_src:src/core/%.c=$(BUILD)/obj/checked/%.o)
core_object   := $(BUILD)/core/rdmig-core.o
lib_objects   := $(plain_src:src/%.c=$(BUILD)/obj/%.o) $(system_src:src/%.c=$(BUILD)/obj/%.o)
plain_objects := $(plain_src:src/%.c=$(BUILD)/obj/%.o)
tool_objects  := $(tool_src:src/%.c=$(BUILD)/obj/%.o)

all: $(BUILD)/rdmig $(BUILD)/minivmm $(BUILD)/librdmig.a $(BUILD)/librdmig.so

$(BUILD)/obj/protocol/%.o: src/core/%.c | headers-present
	@mkdir -p $(@D)
	$(Q)$(CC) -std=c11 -ffreestanding $(CFLAGS_ALL) -c $< -o $@

# The same for tests and the simulator: it stops where it finds what cannot be (src/core/never.h).
$(BUILD)/obj/checked/%.o: src/core/%.c | headers-present
	@mkdir -p $(@D)
	$(Q)$(CC) -std=c11 -ffreestanding -DRDMIG_CHECKED $(CFLAGS_ALL) -c $< -o $@

$(BUILD)/obj/text/%.o $(BUILD)/obj/ram/%.o $(BUILD)/obj/qemu/%.o: STD := -std=c11
$(BUILD)/obj/verbs/%.o $(BUILD)/obj/migration/%.o $(BUILD)/obj/tool/%.o: STD := -std=gnu11 -D_GNU_SOURCE
$(BUILD)/obj/%.o: src/%.c | headers-present
	@mkdir -p $(@D)
	$(Q)$(CC) $(STD) $(CFLAGS_ALL) -Isrc -c $< -o $@

# One object for the whole core: what it still needs from outside is all that `nm -u` shows (ci/purity).
$(core_object): $(core_parts)
	@mkdir -p $(@D)
	$(Q)$(CC) -nostdlib -r $^ -o $@

# With every internal symbol and every part by itself, for the tests: one that brings its own core, or link, gets that.
$(BUILD)/librdmig-internal.a: $(core_checked) $(lib_objects)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $^

# A VMM links this one: nothing but rdmig_ is global, so no internal name can meet one of the VMM's.
$(BUILD)/librdmig.a: $(core_object) $(lib_objects)
	$(Q)rm -f $@
	$(Q)$(CC) -nostdlib -r $^ -o $(BUILD)/obj/librdmig.o
	$(Q)$(OBJCOPY) -w --keep-global-symbol='rdmig_*' $(BUILD)/obj/librdmig.o
	$(Q)$(AR) rcs $@ $(BUILD)/obj/librdmig.o

$(BUILD)/librdmig.so.$(VERSION): $(core_object) $(lib_objects) src/librdmig.map
	$(Q)$(CC) -shared -Wl,-soname,librdmig.so.$(SOVERSION) -Wl,--version-script=src/librdmig.map -Wl,--no-undefined \
		$(LDFLAGS) $(core_object) $(lib_objects) $(LDLIBS_VERBS) -o $@

$(BUILD)/librdmig.so: $(BUILD)/librdmig.so.$(VERSION)
	$(Q)ln -sf librdmig.so.$(VERSION) $(BUILD)/librdmig.so.$(SOVERSION)
	$(Q)ln -sf librdmig.so.$(SOVERSION) $@

# The command is a user of the library; only the stream parser and the zero scan it has from inside,
# for captured streams and sparse files.
$(BUILD)/rdmig: $(tool_objects) $(plain_objects) $(BUILD)/librdmig.a
	$(Q)$(CC) $(LDFLAGS) $(tool_objects) $(plain_objects) $(BUILD)/librdmig.a $(LDLIBS_TOOL) $(LDLIBS_VERBS) -o $@

.PHONY: FORCE
$(BUILD)/minivmm: $(BUILD)/librdmig.a FORCE
	@$(MAKE) --no-print-directory -C examples/minivmm BUILD=$(abspath $(BUILD)) CC="$(CC)" \
		CFLAGS="$(OPT) $(CFLAGS)" LDFLAGS="$(LDFLAGS)" RDMIG_CFLAGS="-I$(abspath include)" \
		RDMIG_LIBS="$(abspath $(BUILD))/librdmig.a $(LDLIBS_VERBS)"

# A missing header is worth a sentence, not a page of compiler output.
.PHONY: headers-present tool-headers-present
headers-present:
	@printf '#include <infiniband/verbs.h>\n#include <rdma/rdma_cma.h>\n' | $(CC) -E -x c - >/dev/null 2>&1 || \
		{ echo "rdmig: the RDMA headers are missing; run: ci/setup build   (or install libibverbs-dev librdmacm-dev)" >&2; exit 1; }
tool-headers-present:
	@printf '#include <yajl/yajl_parse.h>\n' | $(CC) -E -x c - >/dev/null 2>&1 || \
		{ echo "rdmig: the command needs libyajl; run: ci/setup build   (or install libyajl-dev)" >&2; exit 1; }
$(tool_objects): | tool-headers-present

# ---- tests
include sim/sim.mk
include tests/unit/unit.mk
include tests/fuzz/fuzz.mk
include tests/bench/bench.mk

.PHONY: check check-unit check-san check-sim check-sim-hash check-fuzz check-mutants check-valgrind check-rxe check-all sim-report bench-rxe demo coverage lint format install install-headers uninstall clean
# Compiling is most of it. Who says how many jobs is obeyed.
check_jobs = $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc))
check:
	ci/setup build unit
	$(MAKE) $(check_jobs) check-unit
	$(MAKE) $(check_jobs) check-san
	$(MAKE) $(check_jobs) check-sim

check-unit: unit-run
check-san:
	$(MAKE) BUILD=$(BUILD)/san SAN=address,undefined OPT="-O1 -g" unit-run

# 10,000 worlds, every order and every moment of a small one, the stock model's calibration: sim/sim.mk.
check-sim: sim-run

# Deliberate bugs in the core and the handles: the simulator must catch each.
check-mutants:
	ci/setup build
	ci/mutants/run

# One hash of the logs for every compiler, optimisation and sanitizer.
check-sim-hash:
	ci/setup build lint
	ci/sim-hash

# The corpus that the fuzzers have found so far; `make fuzz` goes on from there.
check-fuzz:
	ci/setup build lint
	$(MAKE) fuzz-replay

# Tables and plots in docs/report/.
sim-report:
	ci/setup build report
	$(MAKE) $(BUILD)/rdmig-sim-report
	BUILD=$(BUILD) ci/sim-report

# The same programs under memcheck: some minutes, so a target of its own.
check-valgrind:
	ci/setup build unit
	$(MAKE) unit-build
	RUNNER="valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite,indirect" \
		LIMIT_SECONDS=600 tests/unit/run $(unit_bins)

check-rxe:
	ci/setup build machine
	$(MAKE) all
	BUILD=$(BUILD) tests/rxe/run-all

check-all: check check-sim-hash check-fuzz check-mutants check-rxe

# ib_write_bw, stock QEMUs and rdmig over Soft-RoCE, in turns: docs/report/bench-rxe.md.
# Some ten minutes; QUICK=1: one, kept in BUILD.
bench-rxe:
	ci/setup build machine
	$(MAKE) all
	BUILD=$(BUILD) tests/bench/rxe/run $(if $(QUICK),--quick)

demo:
	ci/setup build machine
	$(MAKE) all
	BUILD=$(BUILD) ci/demo

coverage:
	ci/setup build unit
	ci/coverage

lint:
	ci/setup build unit lint
	ci/lint

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

# ---- installing
install: all install-headers
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 755 $(BUILD)/rdmig $(DESTDIR)$(PREFIX)/bin/rdmig
	install -m 644 $(BUILD)/librdmig.a $(DESTDIR)$(LIBDIR)/librdmig.a
	install -m 755 $(BUILD)/librdmig.so.$(VERSION) $(DESTDIR)$(LIBDIR)/librdmig.so.$(VERSION)
	ln -sf librdmig.so.$(VERSION) $(DESTDIR)$(LIBDIR)/librdmig.so.$(SOVERSION)
	$(Q)ln -sf librdmig.so.$(SOVERSION) $(DESTDIR)$(LIBDIR)/librdmig.so
	install -m 644 docs/man/rdmig.1 $(DESTDIR)$(PREFIX)/share/man/man1/rdmig.1
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@VERSION@|$(VERSION)|' src/rdmig.pc.in \
		> $(DESTDIR)$(LIBDIR)/pkgconfig/rdmig.pc
install-headers:
	install -d $(DESTDIR)$(PREFIX)/include/rdmig
	install -m 644 include/rdmig/rdmig.h include/rdmig/core.h include/rdmig/types.h $(DESTDIR)$(PREFIX)/include/rdmig/
uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/rdmig $(DESTDIR)$(LIBDIR)/librdmig.* $(DESTDIR)$(LIBDIR)/pkgconfig/rdmig.pc \
		$(DESTDIR)$(PREFIX)/include/rdmig/rdmig.h $(DESTDIR)$(PREFIX)/include/rdmig/core.h $(DESTDIR)$(PREFIX)/include/rdmig/types.h $(DESTDIR)$(PREFIX)/share/man/man1/rdmig.1

# What the test machine downloaded is kept: `rm -rf build` takes that too.
clean:
	rm -rf $(BUILD)/obj $(BUILD)/core $(BUILD)/unit $(BUILD)/san $(BUILD)/coverage $(BUILD)/rdmig $(BUILD)/minivmm $(BUILD)/librdmig* \
		$(BUILD)/rdmig-sim* $(BUILD)/bench $(BUILD)/rdmig-bench $(BUILD)/mutants $(BUILD)/fuzz $(BUILD)/replay_* $(BUILD)/sim-report $(BUILD)/bench-rxe

-include $(core_parts:.o=.d) $(core_checked:.o=.d) $(lib_objects:.o=.d) $(tool_objects:.o=.d)
