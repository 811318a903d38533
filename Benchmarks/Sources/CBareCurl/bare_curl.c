#include "bare_curl.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    char bytes[64 << 10];
    size_t count;
} response;

static size_t receive(char *bytes, size_t size, size_t count, void *context) {
    response *into = context;
    size_t length = size * count;
    if (length > sizeof into->bytes - into->count) return 0;
    memcpy(into->bytes + into->count, bytes, length);
    into->count += length;
    return length;
}

// Kept between runs, so that its connections are kept, too.
static CURLM *multi;

int bare_curl_run(
    const char *url, const char *ca_file, const char *const *headers, const char *body, int concurrency, long count
) {
    if (!multi) {
        curl_global_init(CURL_GLOBAL_ALL);
        multi = curl_multi_init();
        curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, 256L);
        curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, 64L);
    }
    struct curl_slist *list = NULL;
    for (; *headers; headers++) list = curl_slist_append(list, *headers);
    CURL **handles = calloc((size_t)concurrency, sizeof *handles);
    response *responses = calloc((size_t)concurrency, sizeof *responses);
    for (int i = 0; i < concurrency; i++) {
        CURL *handle = handles[i] = curl_easy_init();
        curl_easy_setopt(handle, CURLOPT_URL, url);
        curl_easy_setopt(handle, CURLOPT_HTTPHEADER, list);
        curl_easy_setopt(handle, CURLOPT_POSTFIELDS, body);
        curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
        curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, receive);
        curl_easy_setopt(handle, CURLOPT_WRITEDATA, &responses[i]);
        curl_easy_setopt(handle, CURLOPT_PRIVATE, &responses[i]);
        curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, 10000L);
        curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(handle, CURLOPT_PROXY, "");
        curl_easy_setopt(handle, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
        curl_easy_setopt(handle, CURLOPT_PIPEWAIT, 1L);
        if (ca_file) curl_easy_setopt(handle, CURLOPT_CAINFO, ca_file);
    }
    long started = 0, running = 0;
    int failed = 0, ignored;
    while (running < concurrency && started < count) {
        curl_multi_add_handle(multi, handles[running]);
        running++, started++;
    }
    while (running > 0) {
        curl_multi_perform(multi, &ignored);
        CURLMsg *message;
        int added = 0;
        while ((message = curl_multi_info_read(multi, &ignored))) {
            CURL *handle = message->easy_handle;
            CURLcode code = message->data.result;
            long status = 0;
            response *into;
            curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
            curl_easy_getinfo(handle, CURLINFO_PRIVATE, (char **)&into);
            if (code != CURLE_OK || status != 200 || into->count == 0) failed = -1;
            into->count = 0;
            curl_multi_remove_handle(multi, handle);
            running--;
            if (started < count) {
                curl_multi_add_handle(multi, handle);
                running++, started++, added++;
            }
        }
        if (running > 0 && !added) curl_multi_poll(multi, NULL, 0, 1000, NULL);
    }
    for (int i = 0; i < concurrency; i++) curl_easy_cleanup(handles[i]);
    curl_slist_free_all(list);
    free(handles);
    free(responses);
    return failed;
}
