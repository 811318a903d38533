#pragma once

#include <stddef.h>

/// The bytes that are allocated and not yet freed.
size_t allocated_bytes(void);

/// The number of allocations by this thread.
size_t allocation_count(void);
