#define _GNU_SOURCE
#include "mutex_annotations.h"

// A contended Mutex is locked inside the standard library, which is not built with the thread sanitizer. It would not see that the lock
// was taken, and report what the lock guards. In a build with the sanitizer this takes the place of the library's function, and tells it.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

#define LOCK_SLOW "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"

typedef __attribute__((swiftcall)) void lock_slow(uint32_t thread, __attribute__((swift_context)) void *handle);
void __tsan_acquire(void *address);

__attribute__((swiftcall, no_sanitize("thread"))) void annotated_lock_slow(
    uint32_t thread, __attribute__((swift_context)) void *handle) __asm__(LOCK_SLOW);

void annotated_lock_slow(uint32_t thread, __attribute__((swift_context)) void *handle) {
    lock_slow *original = (lock_slow *)dlsym(RTLD_NEXT, LOCK_SLOW);
    if (!original) abort();
    original(thread, handle);
    // The fast path of unlock is compiled into the caller, and releases this very address.
    __tsan_acquire(handle);
}
#endif
#endif
