#pragma once
/* libcurl as a table of function pointers, filled by dlopen() when the first request needs it. */
#include "base/err.h"

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#define FETCH_CURL_FUNCTIONS(X) \
    X(curl_global_init)         \
    X(curl_version_info)        \
    X(curl_slist_append)        \
    X(curl_slist_free_all)      \
    X(curl_free)                \
    X(curl_url)                 \
    X(curl_url_set)             \
    X(curl_url_get)             \
    X(curl_url_cleanup)         \
    X(curl_easy_init)           \
    X(curl_easy_reset)          \
    X(curl_easy_setopt)         \
    X(curl_easy_getinfo)        \
    X(curl_easy_cleanup)        \
    X(curl_easy_strerror)       \
    X(curl_multi_init)          \
    X(curl_multi_setopt)        \
    X(curl_multi_add_handle)    \
    X(curl_multi_remove_handle) \
    X(curl_multi_socket_action) \
    X(curl_multi_info_read)     \
    X(curl_multi_assign)        \
    X(curl_multi_strerror)      \
    X(curl_multi_cleanup)

struct fetch_curl {
#define X(name) __typeof__(&name) name; /* NOLINT */
    FETCH_CURL_FUNCTIONS(X)
#undef X
};

/* Loads libcurl once a process; later calls give the same table (or try again after a failure). RC_NETWORK says what to
 * install. The library is never unloaded. Not thread-safe. */
enum rc fetch_curl_load(const struct fetch_curl **ret, struct err *err) MUST_CHECK;
