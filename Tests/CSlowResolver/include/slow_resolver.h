#pragma once

/// Makes the linker keep this file, whose getaddrinfo() takes the place of the system's in the test program.
void slow_resolver_install(void);
