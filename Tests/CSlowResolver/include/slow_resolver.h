#pragma once

/// Makes the linker keep this file, whose getaddrinfo() replaces the system's in the test program.
void slow_resolver_install(void);
