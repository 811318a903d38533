#pragma once

#include <stddef.h>

/// What the allocator has handed out and not got back, in bytes.
size_t allocated_bytes(void);

/// How often this thread has asked the allocator for memory.
size_t allocation_count(void);
