#pragma once
#include <curl/curl.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef __linux__
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#endif

// Swift cannot call variadic functions, so each type of argument has its own function here.

static inline CURLcode tb_easy_set_long(CURL *handle, CURLoption option, long value) {
    return curl_easy_setopt(handle, option, value);
}

static inline CURLcode tb_easy_set_size(CURL *handle, CURLoption option, curl_off_t value) {
    return curl_easy_setopt(handle, option, value);
}

static inline CURLcode tb_easy_set_string(CURL *handle, CURLoption option, const char *value) {
    return curl_easy_setopt(handle, option, value);
}

static inline CURLcode tb_easy_set_bytes(CURL *handle, CURLoption option, const void *value) {
    return curl_easy_setopt(handle, option, value);
}

static inline CURLcode tb_easy_set_pointer(CURL *handle, CURLoption option, void *value) {
    return curl_easy_setopt(handle, option, value);
}

static inline CURLcode tb_easy_set_callback(CURL *handle, CURLoption option, curl_write_callback value) {
    return curl_easy_setopt(handle, option, value);
}

static inline CURLcode tb_easy_set_prereq(CURL *handle, curl_prereq_callback value) {
    return curl_easy_setopt(handle, CURLOPT_PREREQFUNCTION, value);
}

static inline CURLcode tb_easy_set_sockopt(CURL *handle, curl_sockopt_callback value) {
    return curl_easy_setopt(handle, CURLOPT_SOCKOPTFUNCTION, value);
}

static inline CURLcode tb_easy_set_closesocket(CURL *handle, curl_closesocket_callback value) {
    return curl_easy_setopt(handle, CURLOPT_CLOSESOCKETFUNCTION, value);
}

static inline CURLcode tb_easy_get_size(CURL *handle, CURLINFO info, curl_off_t *value) {
    return curl_easy_getinfo(handle, info, value);
}

static inline CURLcode tb_easy_get_long(CURL *handle, CURLINFO info, long *value) {
    return curl_easy_getinfo(handle, info, value);
}

static inline CURLcode tb_easy_get_pointer(CURL *handle, CURLINFO info, void **value) {
    return curl_easy_getinfo(handle, info, (char **)value);
}

static inline CURLMcode tb_multi_set_long(CURLM *handle, CURLMoption option, long value) {
    return curl_multi_setopt(handle, option, value);
}

/// Returns the path of the certificate authority file that libcurl was built with; may be null.
static inline const char *tb_system_ca_file(void) { return curl_version_info(CURLVERSION_NOW)->cainfo; }

/// Returns whether the socket is connected. If it is, and the system supports it, the connection fails once its peer
/// leaves sent data unacknowledged for the given time.
static inline int tb_socket_limit_silence(int descriptor, unsigned milliseconds) {
    struct sockaddr_storage peer;
    socklen_t size = sizeof peer;
    if (getpeername(descriptor, (struct sockaddr *)&peer, &size)) return 0;
#ifdef TCP_USER_TIMEOUT
    setsockopt(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds, sizeof milliseconds);
#else
    (void)milliseconds;
#endif
    return 1;
}

// Wakes a polling thread. This is cheaper than curl_multi_wakeup, and works while the waker is open, whatever happens
// to the curl handle.

typedef struct {
    int read_end, write_end;
} tb_waker;

static inline int tb_waker_open(tb_waker *waker) {
#ifdef __linux__
    waker->read_end = waker->write_end = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return waker->read_end < 0 ? -1 : 0;
#else
    int ends[2];
    if (pipe(ends)) return -1;
    for (int i = 0; i < 2; i++) {
        fcntl(ends[i], F_SETFD, FD_CLOEXEC);
        fcntl(ends[i], F_SETFL, O_NONBLOCK);
    }
    waker->read_end = ends[0], waker->write_end = ends[1];
    return 0;
#endif
}

static inline void tb_waker_close(tb_waker waker) {
    close(waker.read_end);
    if (waker.write_end != waker.read_end) close(waker.write_end);
}

static inline void tb_waker_wake(tb_waker waker) {
    uint64_t one = 1;
    ssize_t ignored = write(waker.write_end, &one, sizeof one);
    (void)ignored;
}

static inline void tb_waker_clear(tb_waker waker) {
    uint64_t some;
    ssize_t ignored = read(waker.read_end, &some, sizeof some);
    (void)ignored;
}
