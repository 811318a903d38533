#pragma once

/// Sends `count` POST requests, `concurrency` at a time, from one thread with only libcurl's multi interface. The
/// handles are set up once, and each is added again as soon as it is done. Returns 0, or -1 if a request failed or its
/// status was not 200.
int bare_curl_run(
    const char *url, const char *ca_file, const char *const *headers, const char *body, int concurrency, long count
);
