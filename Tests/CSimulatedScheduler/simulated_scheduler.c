#include "simulated_scheduler.h"

#include <stdint.h>
#include <stdlib.h>

// The Swift runtime provides this hook for test schedulers. See swift/Runtime/ConcurrencyHooks.h for the types.
#define SWIFT __attribute__((swiftcall))
typedef SWIFT void enqueue(void *job);
typedef SWIFT void enqueue_hook(void *job, enqueue *original);

extern enqueue_hook *swift_task_enqueueGlobal_hook;
extern SWIFT void swift_task_enqueueGlobal(void *job);
extern SWIFT void swift_job_run(void *job, uintptr_t executor, uintptr_t witness);

static _Thread_local struct {
    bool is_active;
    void **jobs;
    size_t count, room;
} scheduler;

static SWIFT void keep(void *job, enqueue *original) {
    if (!scheduler.is_active) {
        original(job);
        return;
    }
    if (scheduler.count == scheduler.room) {
        scheduler.room = scheduler.room ? 2 * scheduler.room : 64;
        scheduler.jobs = realloc(scheduler.jobs, scheduler.room * sizeof *scheduler.jobs);
        if (!scheduler.jobs) abort();
    }
    scheduler.jobs[scheduler.count++] = job;
}

void scheduler_begin(void) {
    // Setting the hook is idempotent, and it is never removed: jobs of other threads pass through.
    __atomic_store_n(&swift_task_enqueueGlobal_hook, keep, __ATOMIC_RELEASE);
    scheduler.is_active = true;
}

size_t scheduler_count(void) { return scheduler.count; }

void scheduler_run(size_t index) {
    if (index >= scheduler.count) return;
    void *job = scheduler.jobs[index];
    scheduler.jobs[index] = scheduler.jobs[--scheduler.count];
    swift_job_run(job, 0, 0);
}

void scheduler_end(void) {
    scheduler.is_active = false;
    for (size_t index = 0; index < scheduler.count; index++) swift_task_enqueueGlobal(scheduler.jobs[index]);
    free(scheduler.jobs);
    scheduler.jobs = NULL;
    scheduler.count = scheduler.room = 0;
}
