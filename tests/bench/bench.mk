# The benchmark's programs: build/spop-bench (load for any SPOA) and the two agents that spoa-lua
# is measured against.

BENCH_C := $(wildcard tests/bench/*.[ch] tests/bench/*/*.[ch])
C_FILES += $(filter-out $(C_FILES),$(BENCH_C))

.PHONY: bench bench-gate bench-programs

# From the daemon only what it shares: the codec, buffers, memory, the log and what that needs,
# the syntax of addresses.
$(OUT)/spop-bench: $(patsubst %.c,$(OUT)/%.o,$(wildcard tests/bench/spop-bench/*.c src/spop/*.c) \
                     src/base/buf.c src/base/clock.c src/base/escape.c src/base/log.c \
                     src/base/log_sink.c src/base/mem.c src/daemon/listener_parse.c)
	$(call says,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBEV_LIBS) -lm

$(OUT)/bench-floor: $(OUT)/tests/bench/floor.o $(OUT)/tests/bench/answering.o
	$(call says,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^

$(OUT)/bench-yardstick: $(OUT)/tests/bench/yardstick.o $(OUT)/tests/bench/answering.o
	$(call says,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LUA_LIBS)

build/spop-bench: build/release/spop-bench
	@ln -f $< $@

# tests/bench/test_spop_bench.py runs the one of the sanitized build.
ifneq ($(FLAVOUR),fuzz)
programs: $(OUT)/spop-bench
endif

bench-programs: build/spoa-lua modules build/spop-bench build/release/bench-floor build/release/bench-yardstick
	@:

# make bench ARGS="--seconds 2 --shapes 8x16": see tests/bench/run.py --help
bench:
	@.ci/deps build bench
	@$(MAKE) --no-print-directory bench-programs
	@tests/bench/run.py $(ARGS)

bench-gate:
	@.ci/deps build bench
	@$(MAKE) --no-print-directory bench-programs
	@tests/bench/gate.py $(ARGS)
