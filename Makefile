# spoa-lua.  Front door: `make demo` and `make check`; `make` builds build/spoa-lua.
#
#   make            build/spoa-lua
#   make demo       install what is missing, build, show it at work with a real HAProxy
#   make check      install what is missing, build with sanitizers, run every test
#   make install    DESTDIR= PREFIX=/usr/local; make deb: Debian packages, in build/deb
#   make bench      measure it beside the floor and a yardstick; bench-gate: what repeats exactly
#   make lint format format-check valgrind fuzz chaos docs ci-build clean
#
# A line is printed for each file that is built; V=1 shows the commands.

VERSION := 0.1.0

CC       ?= cc
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
WERROR   ?=
# gcc's, for clang's wants a linker plug-in that is not everywhere.
LTO      ?= $(if $(findstring Free Software Foundation,$(shell $(CC) --version 2>/dev/null)),-flto=auto)
OPTIMIZE ?= -O3 -g -fno-plt $(LTO)
CFLAGS   ?=
LDFLAGS  ?=

# Lazily, so that `make check` can install pkg-config first.
LUA_CFLAGS ?= $(shell pkg-config --cflags lua5.4 2>/dev/null || echo -I/usr/include/lua5.4)
LUA_LIBS   ?= $(shell pkg-config --libs lua5.4 2>/dev/null || echo -llua5.4)
# Statically: Debian's libev.so exports libevent's names, and any Lua module that brings
# libevent along would get the wrong ones.
LIBEV_LIBS ?= -l:libev.a
# Optional: without it the key `metrics` is an error that says so.
MICROHTTPD_LIBS ?= $(shell pkg-config --libs libmicrohttpd 2>/dev/null)
# A Lua module is a file src/modules/NAME.c, whose own C library is optional: its .pc name is in
# module-pc-NAME, and modules whose library is not there are not built (`require` then says
# which package to install).
-include src/modules/*.mk
CHECK_LIBS ?= $(shell pkg-config --cflags --libs check)

# Before a command of a recipe: prints WHAT FILE in its place, unless V=1.
V ?=
says = $(if $(V),,@printf '  %-6s %s\n' '$(1)' '$(2)';)

# $(FLAVOUR) is a folder under build/: release, asan, valgrind or fuzz.
FLAVOUR  ?= release
OUT      := build/$(FLAVOUR)
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
flags-release  := $(OPTIMIZE)
flags-asan     := -O1 -g -DHEAP_POOLED=false $(SANITIZE)
flags-valgrind := -O1 -g -DHEAP_POOLED=false
flags-fuzz     := -O1 -g -DHEAP_POOLED=false $(SANITIZE) -fsanitize=fuzzer-no-link

# What the program needs, then what whoever builds asks for.
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -DSPOA_LUA_VERSION='"$(VERSION)"' -Isrc $(LUA_CFLAGS) $(WARNINGS) \
             $(if $(WERROR),-Werror) $(flags-$(FLAVOUR)) $(if $(MICROHTTPD_LIBS),-DWITH_MICROHTTPD) $(CPPFLAGS) $(CFLAGS)
# -E: Lua modules that are separate .so files use the program's own ev_* functions.
ALL_LDFLAGS = $(flags-$(FLAVOUR)) -Wl,-E $(LDFLAGS)
ALL_LIBS    = $(LUA_LIBS) $(LIBEV_LIBS) $(MICROHTTPD_LIBS) -lm

SOURCES := $(filter-out src/modules/%,$(wildcard src/*/*.c))
OBJECTS := $(SOURCES:%.c=$(OUT)/%.o)
UNIT    := $(wildcard tests/unit/*/test_*.c)
FUZZ    := $(wildcard tests/fuzz/*.c)
MODULES := $(foreach m,$(patsubst src/modules/%.c,%,$(wildcard src/modules/*.c)),\
             $(if $(module-pc-$(m)),$(shell pkg-config --exists $(module-pc-$(m)) 2>/dev/null && echo $(m)),$(m)))
C_FILES := $(wildcard src/*.[ch] src/*/*.[ch] src/modules/*/*.[ch] tests/*/*.[ch] tests/unit/*/*.[ch] \
             tests/bench/*/*.[ch])
LUA     := $(wildcard lua/*.lua lua/*/*.lua tests/*/*.lua)

PREFIX  ?= /usr/local
DESTDIR ?=
UNITDIR ?= $(PREFIX)/lib/systemd/system

.PHONY: install deb all modules demo check programs lint format format-check valgrind fuzz chaos docs ci-build clean
.DELETE_ON_ERROR:
.SECONDARY:

all: build/spoa-lua build/config-doc modules

# The executable looks for modules/ and lua/ beside itself.
modules: $(MODULES:%=$(OUT)/modules/spoa/%.so)
	@mkdir -p $(OUT)/modules
	@ln -sfn ../../lua $(OUT)/lua
	@ln -sfn ../lua build/lua
	@ln -sfn release/modules build/modules

build/spoa-lua: build/release/spoa-lua
	@ln -f $< $@

build/config-doc: build/release/config-doc
	@ln -f $< $@

ifneq ($(FLAVOUR),release)
.PHONY: flavour
flavour: $(OUT)/spoa-lua
else
build/asan/% build/valgrind/% build/fuzz/%: force
	@$(MAKE) --no-print-directory FLAVOUR=$(word 2,$(subst /, ,$@)) $@
.PHONY: force
force:
endif

$(OUT)/%.o: %.c
	@mkdir -p $(@D)
	$(call says,CC,$<)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(OUT)/spoa-lua: $(OUT)/src/main.o $(OBJECTS)
	$(call says,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(ALL_LIBS)

$(OUT)/config-doc: $(OUT)/tests/tools/config-doc.o $(OBJECTS)
	$(call says,LD,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(ALL_LIBS)

# Modules use the program's own functions (-E), so they are linked with neither libev nor Lua.
$(OUT)/pic/%.o: %.c
	@mkdir -p $(@D)
	$(call says,CC,$<)$(CC) $(ALL_CFLAGS) $(MODULE_CFLAGS) -fPIC -MMD -MP -c -o $@ $<

define module-rule
$(OUT)/modules/spoa/$(1).so: MODULE_CFLAGS = $$(if $(module-pc-$(1)),$$(shell pkg-config --cflags $(module-pc-$(1))))
$(OUT)/modules/spoa/$(1).so: $(patsubst %.c,$(OUT)/pic/%.o,src/modules/$(1).c $(wildcard src/modules/$(1)/*.c))
	@mkdir -p $$(@D)
	$$(call says,LD,$$@)$(CC) $(flags-$(FLAVOUR)) $(LDFLAGS) -shared -Wl,--version-script=src/modules/exports.map -o $$@ $$^ \
	    $$(if $(module-pc-$(1)),$$(shell pkg-config --libs $(module-pc-$(1))))
endef
$(foreach module,$(MODULES),$(eval $(call module-rule,$(module))))

# A unit test is a file found by its name, build/asan/unit/test_X.  (A module's own parts are
# not among the objects: its test includes them.)
define unit-rule
$(OUT)/unit/$(basename $(notdir $(1))): $(OUT)/$(1:.c=.o) $(OBJECTS)
	@mkdir -p $$(@D)
	$$(call says,LD,$$@)$$(CC) $$(ALL_LDFLAGS) -o $$@ $$^ $$(ALL_LIBS) $$(CHECK_LIBS)
UNIT_PROGRAMS += $(OUT)/unit/$(basename $(notdir $(1)))
endef
UNIT_PROGRAMS :=
$(foreach test,$(UNIT),$(eval $(call unit-rule,$(test))))

$(OUT)/fuzz/%: $(OUT)/tests/fuzz/%.o $(OBJECTS)
	@mkdir -p $(@D)
	$(call says,LD,$@)$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(ALL_LIBS)

FUZZ_PROGRAMS := $(FUZZ:tests/fuzz/%.c=$(OUT)/fuzz/%)

# Everything the tests run, in this flavour.  (With a recipe, for make says when there is none to run.)
programs: $(if $(filter fuzz,$(FLAVOUR)),$(FUZZ_PROGRAMS),$(OUT)/spoa-lua modules $(UNIT_PROGRAMS))
	@:

include tests/bench/bench.mk

-include $(shell find $(OUT) -name '*.d' 2>/dev/null)

# ---- the front door ----

demo:
	@.ci/deps build demo
	@$(MAKE) --no-print-directory build/spoa-lua
	@conf/demo/run

check:
	@.ci/deps build test
	@$(MAKE) --no-print-directory FLAVOUR=asan programs
	@$(MAKE) --no-print-directory FLAVOUR=fuzz CC=clang programs
	@$(MAKE) --no-print-directory all bench-programs
	@tests/run $(TESTS)

# ---- installing ----

MANUALS := $(wildcard doc/*.[1-9])

# The executable finds ../lib/spoa-lua and ../share/spoa-lua from where it is.
install: all
	install -d $(addprefix $(DESTDIR)$(PREFIX)/,sbin lib/spoa-lua/spoa share/spoa-lua/spoa share/spoa-lua/socket \
	    share/doc/spoa-lua/examples share/doc/spoa-lua/haproxy share/bash-completion/completions)
	install -m 755 build/release/spoa-lua $(DESTDIR)$(PREFIX)/sbin/spoa-lua
	install -m 644 $(MODULES:%=build/release/modules/spoa/%.so) $(DESTDIR)$(PREFIX)/lib/spoa-lua/spoa
	install -m 644 lua/*.lua $(DESTDIR)$(PREFIX)/share/spoa-lua
	install -m 644 lua/spoa/*.lua $(DESTDIR)$(PREFIX)/share/spoa-lua/spoa
	install -m 644 lua/socket/*.lua $(DESTDIR)$(PREFIX)/share/spoa-lua/socket
	install -m 644 lua/examples/*.lua $(DESTDIR)$(PREFIX)/share/doc/spoa-lua/examples
	install -m 644 conf/haproxy/* $(DESTDIR)$(PREFIX)/share/doc/spoa-lua/haproxy
	install -m 644 README.md spoa-lua.conf.example $(DESTDIR)$(PREFIX)/share/doc/spoa-lua
	install -m 644 conf/bash-completion $(DESTDIR)$(PREFIX)/share/bash-completion/completions/spoa-lua
	for page in $(MANUALS); do \
	    install -D -m 644 $$page $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page#doc/} || exit 1; done
	install -d $(DESTDIR)$(UNITDIR)
	for unit in service socket; do \
	    sed 's|/usr/sbin/|$(PREFIX)/sbin/|' conf/spoa-lua.$$unit > $(DESTDIR)$(UNITDIR)/spoa-lua.$$unit || exit 1; done

# From a copy, so that nothing is left beside the sources.
deb:
	@.ci/deps build deb
	rm -rf build/deb
	mkdir -p build/deb/source
	git ls-files -z | xargs -0 cp --parents -t build/deb/source
	cd build/deb/source && dpkg-buildpackage -us -uc -b
	lintian --fail-on error,warning build/deb/*.changes

# ---- what keeps it clean ----

lint:
	@.ci/deps build lint
	clang-tidy --quiet --warnings-as-errors='*' $(filter src/%.c,$(C_FILES)) -- $(filter-out $(LTO),$(ALL_CFLAGS))
	@# one at a time: Debian 12's luac5.4 crashes on several files
	for script in $(LUA); do luac5.4 -p $$script || exit 1; done
	mandoc -Tlint -W warning doc/*.[1-9]

format:
	clang-format -i $(C_FILES)

format-check:
	@.ci/deps lint
	clang-format --dry-run -Werror $(C_FILES)

valgrind:
	@.ci/deps build test
	@$(MAKE) --no-print-directory FLAVOUR=valgrind programs
	@tests/run --build build/valgrind --wrapper \
	    'valgrind --quiet --leak-check=full --error-exitcode=9' unit

# make fuzz SECONDS=60: each target so long, from its corpus, new finds kept in build/.
SECONDS ?= 60
fuzz:
	@.ci/deps build fuzz
	@$(MAKE) --no-print-directory FLAVOUR=fuzz CC=clang programs
	@for target in $(FUZZ:tests/fuzz/%.c=%); do \
	    mkdir -p build/fuzz/found/$$target; \
	    build/fuzz/fuzz/$$target -max_total_time=$(SECONDS) -print_final_stats=1 \
	        -artifact_prefix=build/fuzz/ build/fuzz/found/$$target tests/fuzz/corpus/$$target \
	        || exit 1; \
	done

# make chaos SECONDS=3600: seeds that nobody has tried; SEED=N that one again.
chaos:
	@.ci/deps build test
	@$(MAKE) --no-print-directory FLAVOUR=asan programs
	@tests/chaos/run.py --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

docs: build/config-doc
	build/config-doc example > spoa-lua.conf.example
	build/config-doc manual > doc/spoa-lua.conf.5
	cat doc/handlers/HEAD doc/handlers/*.mdoc doc/handlers/TAIL > doc/spoa-lua-modules.7

ci-build:
	@.ci/deps build test
	$(MAKE) clean
	$(MAKE) CC=clang WERROR=1 all
	$(MAKE) clean
	$(MAKE) CC=gcc WERROR=1 all

clean:
	rm -rf build/release build/asan build/valgrind build/fuzz build/spoa-lua build/config-doc
