#define _GNU_SOURCE
#include "mutex_annotations.h"

// A contended Mutex is locked and unlocked inside the standard library, which is not built with the thread sanitizer.
// The sanitizer would not see the lock, and would report races on the state that it guards. In a build with the
// sanitizer, these functions replace the library's and report each lock and unlock.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

#define LOCK_SLOW "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define UNLOCK_SLOW "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"
#define METHOD __attribute__((swiftcall, no_sanitize("thread")))
#define SELF __attribute__((swift_context)) void *

void __tsan_acquire(void *address);
void __tsan_release(void *address);

typedef __attribute__((swiftcall)) void lock_slow(uint32_t thread, SELF);
typedef __attribute__((swiftcall)) void unlock_slow(SELF);

METHOD void annotated_lock_slow(uint32_t thread, SELF handle) __asm__(LOCK_SLOW);
METHOD void annotated_unlock_slow(SELF handle) __asm__(UNLOCK_SLOW);

static void *original(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}

METHOD void annotated_lock_slow(uint32_t thread, SELF handle) {
    ((lock_slow *)original(LOCK_SLOW))(thread, handle);
    __tsan_acquire(handle);
}

METHOD void annotated_unlock_slow(SELF handle) {
    __tsan_release(handle);
    ((unlock_slow *)original(UNLOCK_SLOW))(handle);
}
#endif
#endif
