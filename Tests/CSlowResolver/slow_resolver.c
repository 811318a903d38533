#define _GNU_SOURCE
#include "slow_resolver.h"

#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

void slow_resolver_install(void) {}

// Simulates a name server that does not respond: names below slow.invalid take a minute.
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result) {
    static const char suffix[] = ".slow.invalid";
    size_t length = node ? strlen(node) : 0, wanted = sizeof suffix - 1;
    if (length > wanted && strcmp(node + length - wanted, suffix) == 0) {
        sleep(60);
        return EAI_AGAIN;
    }
    typedef int resolver(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    resolver *system = (resolver *)dlsym(RTLD_NEXT, "getaddrinfo");
    return system ? system(node, service, hints, result) : EAI_FAIL;
}
