#pragma once

#include <stdbool.h>
#include <stddef.h>

/// From now on the jobs that this thread hands to Swift's global executor are kept, and run on this thread one at a time as it says.
/// Other threads are not concerned. Work that is started and resumed by this thread alone never leaves it, so that a program of chance
/// numbers replays exactly.
void scheduler_begin(void);

/// How many jobs are kept.
size_t scheduler_count(void);

/// Runs one of them to its next suspension.
void scheduler_run(size_t index);

/// Back to the ordinary. What is kept still goes to the ordinary executor.
void scheduler_end(void);
