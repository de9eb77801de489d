# token-health. `make help` lists the targets. MODE=release|debug|asan|tsan|cov chooses the build.
MODE     ?= release
B        := build/$(MODE)
CC       ?= cc
PKGS     := libcurl libcrypto libmongoc-1.0 json-c sqlite3 libxxhash inih
PREFIX   ?= /usr/local

OPT_release := -O2 -g -D_FORTIFY_SOURCE=2
OPT_debug   := -O0 -g3
OPT_asan    := -O1 -g3 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT_tsan    := -O1 -g3 -fsanitize=thread
OPT_cov     := -O0 -g3 --coverage

WARN     := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wvla \
            -Wformat=2 -Wundef -Wcast-qual -Wimplicit-fallthrough -Wno-gnu-zero-variadic-macro-arguments $(if $(CI),-Werror)
HARDEN   := -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE
CFLAGS   ?= $(OPT_$(MODE))
ALLCFLAGS = -std=gnu17 -D_GNU_SOURCE $(CPPFLAGS) $(CFLAGS) $(WARN) $(HARDEN) -Ishared -MMD -MP $(PKG_CFLAGS)
LDALL     = $(LDFLAGS) $(filter -fsanitize% --coverage,$(OPT_$(MODE))) -pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed
LIBS      = $(PKG_LIBS) -lm -lrt
# Asked once, and only when something is compiled.
PKG_CFLAGS = $(eval PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS)))$(PKG_CFLAGS)
PKG_LIBS   = $(eval PKG_LIBS := $(shell pkg-config --libs $(PKGS)))$(PKG_LIBS)

LIB_SRC  := $(filter-out shared/providers/%,$(wildcard shared/*/*.c))
LIB      := $(B)/libtokenhealth.a
PROGRAMS := $(B)/token-health-fcgi $(B)/token-health-monitor $(B)/token-healthctl
SANDBOX  := $(B)/tests/sandbox/sandbox
SEED     := $(B)/tests/seed/seed
UNIT     := $(patsubst %.c,$(B)/%,$(wildcard tests/unit/test_*.c))
CONTRACT := $(patsubst %.c,$(B)/%,$(wildcard tests/contract/test_*.c))
BENCHES  := $(patsubst %.c,$(B)/%,$(wildcard tests/bench/bench_*.c))
obj       = $(patsubst %.c,$(B)/%.o,$(1))

# The kinds of tests run one after another under make -j, too; what they need is still built in parallel, below.
ifneq ($(filter unit contract e2e fault test test-deploy bench,$(MAKECMDGOALS)),)
.NOTPARALLEL:
endif
.PHONY: all help lint docs deb test-deploy format test-tools unit contract e2e fault test bench run install clean tests-bin
all: $(PROGRAMS) ## build the three programs

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9 -]*:.*## / { printf "  %-24s %s\n", $$1, $$2 }' Makefile

$(B)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(ALLCFLAGS) -c -o $@ $<
$(LIB): $(call obj,$(LIB_SRC))
	@rm -f $@
	ar rcs $@ $^
$(B)/token-health-fcgi: $(call obj,$(wildcard fcgi/*.c)) $(LIB)
	$(CC) $(LDALL) -o $@ $^ -lfcgi $(LIBS)
$(B)/token-health-monitor: $(call obj,$(wildcard monitor/*.c)) $(LIB)
	$(CC) $(LDALL) -o $@ $^ $(LIBS)
$(B)/token-healthctl: $(call obj,$(wildcard ctl/*.c)) $(LIB)
	$(CC) $(LDALL) -o $@ $^ $(LIBS)
$(SANDBOX): $(call obj,$(wildcard tests/sandbox/*.c)) $(LIB)
	$(CC) $(LDALL) -o $@ $^ -lmicrohttpd $(LIBS)
$(SEED): $(B)/tests/seed/seed.o $(LIB)
	$(CC) $(LDALL) -o $@ $^ $(LIBS)
$(B)/tests/unit/test_%: $(B)/tests/unit/test_%.o $(LIB)
	$(CC) $(LDALL) -o $@ $(filter %.o,$^) $(LIB) -lcmocka $(LIBS)
$(addprefix $(B)/tests/unit/test_,slice board): $(call obj,monitor/slice.c monitor/board.c monitor/totals.c)
$(B)/tests/unit/test_records: $(call obj,fcgi/records.c)
$(B)/tests/contract/test_%: $(B)/tests/contract/test_%.o $(LIB)
	$(CC) $(LDALL) -o $@ $^ -lcmocka $(LIBS)
$(B)/tests/bench/bench_fcgi_baseline: $(B)/tests/bench/bench_fcgi_baseline.o
	$(CC) $(LDALL) -o $@ $^ -lfcgi
$(B)/tests/bench/bench_%: $(B)/tests/bench/bench_%.o $(LIB)
	$(CC) $(LDALL) -o $@ $^ $(LIBS)

tests-bin: all $(SANDBOX) $(SEED) $(UNIT) $(CONTRACT) ## build the programs and all test programs
test-tools: ## install what the tests need (apt; asks for sudo when not root)
	@tests/install-tools test
unit contract e2e fault: test-tools ## run one kind of tests
	@$(MAKE) MODE=$(MODE) tests-bin
	@tests/run --mode $(MODE) $@
test: test-tools ## run unit, contract, e2e and fault tests
	@$(MAKE) MODE=$(MODE) tests-bin
	@tests/run --mode $(MODE) unit contract e2e fault
test-deploy: ## the suite through every web server, under every supervisor, and the package (wants root)
	@tests/install-tools deploy
	@$(MAKE) MODE=$(MODE) all $(SANDBOX) $(SEED)
	@tests/run --mode $(MODE) deploy
bench: ## measure, each figure beside its baseline
	@tests/install-tools bench
	@$(MAKE) MODE=release all $(SANDBOX) $(SEED) $(BENCHES)
	@tests/bench/run
lint: ## formatting, includes, sizes, clang-tidy, cppcheck
	@tests/install-tools lint
	@tests/lint
docs: all ## write the tables of README.md, the man pages and the sample configuration
	@TOKEN_HEALTH_BUILD=$(B) python3 tests/lib/docs.py --write
format: ## format all C files
	clang-format -i $$(git ls-files -co --exclude-standard '*.c' '*.h')
install: all ## install below DESTDIR and PREFIX (/usr/local)
	@deploy/install $(B) "$(DESTDIR)" "$(PREFIX)"
deb: ## build build/deb/token-health_VERSION_ARCH.deb
	@tests/install-tools deb
	@deploy/make-deb
run: ## build and start a demo on 127.0.0.1:PORT (8080); STORE=mongodb://… uses that store
	@deploy/demo/run
clean: ## remove what was built
	rm -rf build

-include $(shell find $(B) -name '*.d' 2>/dev/null)
.SECONDARY:
