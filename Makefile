# The two commands for a newcomer are `make demo` and `make test`; both install what they need.
SWIFT_TRAITS := --enable-all-traits
# On the command line, what else the program is to have can be added, such as AsyncHTTPClientSupport.
PROGRAM_TRAITS := --traits CommandLineSupport

.PHONY: help demo test build lint readme sanitize soak bench setup setup-tests
.DEFAULT_GOAL := help

help:
	@echo "make demo   build the program and show the whole job in a page"
	@echo "make test   run all tests"
	@echo "make build  the release program, at .build/release/token-broker"
	@echo "make lint   check the format"
	@echo "make readme write the tables of keys and plug-ins into the README"
	@echo "make sanitize  the tests under the thread sanitizer, and those of the C boundary under the address sanitizer"
	@echo "make soak   what takes too long for CI"
	@echo "make bench  all benchmarks, or ARGS=\"CacheBenchmarks\"; ROUNDS=1 for a short look"

# ARGS="--port 9000" for another port.
demo: setup
	swift build $(SWIFT_TRAITS) --product token-broker
	exec .build/debug/token-broker demo $(ARGS)

# What a vendor counts within a second is measured for real, so that test has the machine for itself.
test: setup-tests
	swift test $(SWIFT_TRAITS) --parallel --experimental-maximum-parallelization-width 8 --skip theVendorsLimitIsKept $(ARGS)
	swift test $(SWIFT_TRAITS) --skip-build --filter theVendorsLimitIsKept

build: setup
	swift build -c release $(PROGRAM_TRAITS) --product token-broker -Xlinker -s
	@ls -l .build/release/token-broker

lint:
	swift format lint --strict --parallel $$(git ls-files '*.swift')
	Scripts/check-security
	Scripts/check-exact-text
	Scripts/check-rooms
	Scripts/check-unsafe

readme: setup
	swift build $(SWIFT_TRAITS) --product token-broker
	Scripts/update-readme .build/debug/token-broker

# Not those of the program as a process of its own, in which the sanitizer knows nothing of Swift's mutexes (Tests/CThreadSanitizer).
sanitize: setup-tests
	TSAN_OPTIONS=suppressions=$(CURDIR)/Tests/CThreadSanitizer/suppressions.txt \
		swift test $(SWIFT_TRAITS) --sanitize=thread --scratch-path .build-thread --parallel --experimental-maximum-parallelization-width 4 \
		--skip 'TokenBrokerProgramTests|StorefrontTests' $(ARGS)
	ASAN_OPTIONS=detect_leaks=0 swift test --traits CurlSupport --sanitize=address --scratch-path .build-address \
		--filter CurlTransportTests

soak: setup
	@Scripts/install-packages soak
	Scripts/soak

bench: setup
	@Scripts/install-packages bench
	Scripts/bench $(ARGS)

setup:
	@Scripts/install-packages build

setup-tests:
	@Scripts/install-packages build test
