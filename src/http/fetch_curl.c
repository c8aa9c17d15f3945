/* Loading libcurl at run time.
 *
 * libcurl pulls in some forty libraries, which costs more start-up time and memory than the rest of Treadle; mock runs,
 * validation and the supervisor never need it. So it is no link dependency: its functions are looked up by name, with
 * the types of its own header. All are looked up before any is used, so a library that is too old fails here, with
 * words.
 *
 * SIGPIPE: with CURLOPT_NOSIGNAL libcurl leaves it alone, and its TLS library writes without MSG_NOSIGNAL. If nobody
 * chose a disposition it is caught and dropped (not ignored: that would be inherited by every command we start). */
#include "http/fetch_curl.h"

#include <dlfcn.h>
#include <signal.h>

enum { OLDEST = 0x075500 }; /* 7.85: CURLOPT_PROTOCOLS_STR */

static void drop_signal(int signo)
{
    (void)signo;
}

static void catch_sigpipe(void)
{
    struct sigaction old;
    if (sigaction(SIGPIPE, NULL, &old) || (old.sa_flags & SA_SIGINFO) || old.sa_handler != SIG_DFL)
        return;
    struct sigaction drop = {.sa_handler = drop_signal, .sa_flags = SA_RESTART};
    sigaction(SIGPIPE, &drop, NULL);
}

enum rc fetch_curl_load(const struct fetch_curl **ret, struct err *err)
{
    static struct fetch_curl table;
    static bool loaded;
    if (loaded) {
        *ret = &table;
        return RC_OK;
    }
    void *lib = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (!lib)
        return err_set(err, RC_NETWORK, "calling a provider needs libcurl, please install libcurl4 (%s)", dlerror());
    struct fetch_curl t;
#define X(name)                                                                                      \
    *(void **)&t.name = dlsym(lib, #name);                                                           \
    if (!t.name) {                                                                                   \
        dlclose(lib);                                                                                \
        return err_set(err, RC_NETWORK, "libcurl is too old (it has no %s): 7.85 is needed", #name); \
    }
    FETCH_CURL_FUNCTIONS(X)
#undef X
    CURLcode code = t.curl_global_init(CURL_GLOBAL_DEFAULT);
    if (code)
        return err_set(err, RC_NETWORK, "libcurl does not start: %s", t.curl_easy_strerror(code));
    const curl_version_info_data *info = t.curl_version_info(CURLVERSION_NOW);
    if (info->version_num < OLDEST)
        return err_set(err, RC_NETWORK, "libcurl %s is too old: 7.85 is needed", info->version);
    catch_sigpipe();
    table = t;
    loaded = true;
    *ret = &table;
    return RC_OK;
}
