#pragma once

#include <stdbool.h>
#include <stddef.h>

/// Starts keeping the jobs that this thread enqueues on Swift's global executor. They run on this thread, one at a
/// time, when it calls `scheduler_run`.
/// Other threads are not affected. Work that only this thread starts and resumes never leaves it, so a seed replays
/// exactly.
void scheduler_begin(void);

/// Returns the number of jobs that are kept.
size_t scheduler_count(void);

/// Runs one of the kept jobs to its next suspension.
void scheduler_run(size_t index);

/// Stops keeping jobs, and hands those that are kept to the ordinary executor.
void scheduler_end(void);
