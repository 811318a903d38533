# A newcomer needs two commands, `make demo` and `make test`. Both install what they need.
SWIFT_TRAITS := --enable-all-traits
# The traits of the release program. Override this on the command line to add others, such as AsyncHTTPClientSupport.
PROGRAM_TRAITS := --traits CommandLineSupport

.PHONY: help demo test build lint tables docs api sanitize soak bench setup setup-tests
.DEFAULT_GOAL := help

help:
	@echo "make demo      build the program and show the whole flow in a page"
	@echo "make test      run all tests"
	@echo "make lint      check the format, the prose, the links and the project's own rules"
	@echo "make build     build the release program, .build/release/token-broker"
	@echo "make docs      build the documentation into .build/documentation; a warning is an error"
	@echo "make tables    write the tables of keys and plug-ins into docs/"
	@echo "make api       report what breaks the API since the newest version"
	@echo "make sanitize  run the tests with the thread sanitizer, and those of libcurl with the address sanitizer"
	@echo "make soak      run the tests that take too long for CI"
	@echo "make bench     run all benchmarks"
	@echo "make setup     install the Debian packages that a build needs; setup-tests: those of the tests, too"
	@echo
	@echo "Variables:"
	@echo "  ARGS            options for demo, test and sanitize, names for bench:"
	@echo "                  make demo ARGS=\"--port 9000\""
	@echo "                  make test ARGS=\"--filter CachingTests\""
	@echo "                  make bench ARGS=\"CacheBenchmarks\""
	@echo "  ROUNDS          how many rounds bench measures; 1 for a quick look"
	@echo "  TAG             the version that api compares with: make api TAG=0.1.0"
	@echo "  PROGRAM_TRAITS  the traits of build: make build PROGRAM_TRAITS=\"--traits CommandLineSupport,AsyncHTTPClientSupport\""

demo: setup
	swift build $(SWIFT_TRAITS) --product token-broker
	exec .build/debug/token-broker demo $(ARGS)

# Many tests measure real time, so that at most eight run at once.
test: setup-tests
	swift test $(SWIFT_TRAITS) --parallel --experimental-maximum-parallelization-width 8 $(ARGS)

build: setup
	swift build -c release $(PROGRAM_TRAITS) --product token-broker -Xlinker -s
	@ls -l .build/release/token-broker

lint:
	swift format lint --strict --parallel $$(git ls-files '*.swift')
	Scripts/check-security
	Scripts/check-exact-text
	Scripts/check-rooms
	Scripts/check-unsafe
	Scripts/check-prose
	Scripts/check-links
	Scripts/check-log-fields

tables: setup
	swift build $(SWIFT_TRAITS) --product token-broker
	Scripts/update-docs .build/debug/token-broker

docs: setup
	Scripts/docs

api: setup
	Scripts/check-api $(TAG)

# Skips the tests that run the program as a child process, where the sanitizer does not know Swift's mutexes (see
# Tests/CThreadSanitizer).
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
