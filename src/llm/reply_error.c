/* What an HTTP status or a provider's error word means to us, and how long it asks us to wait.
 *
 * The status decides; a word overrules it only where the table says so (a spent quota arrives as 429, a prompt that is
 * too long as 400). Dates are computed here, without the C library's locale and time zone. */
#include "llm/reply.h"

static const struct {
    int status;
    enum rc rc;
} statuses[] = {
    {400, RC_INVALID_REQUEST}, {401, RC_AUTH},       {402, RC_BILLING}, {403, RC_AUTH},
    {404, RC_NOT_FOUND},       {408, RC_TIMEOUT},    {409, RC_SERVER},  {413, RC_CONTEXT},
    {429, RC_RATE_LIMIT},      {503, RC_OVERLOADED}, {504, RC_TIMEOUT}, {529, RC_OVERLOADED},
};

enum rc reply_error_class(int status, struct str word, const struct reply_error_word *words)
{
    for (; words->word; words++) {
        if ((words->always || status == 0) && str_is(word, words->word))
            return words->rc;
    }
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        if (statuses[i].status == status)
            return statuses[i].rc;
    }
    return status == 0 || status >= 500 ? RC_SERVER : RC_INVALID_REQUEST;
}

bool reply_says_too_long(struct str message)
{
    static const char *const phrases[] = {
        "prompt is too long",   "maximum context length", "exceeds the maximum number of tokens",
        "exceed context limit", "available context size", "context window",
    };
    for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++) {
        if (str_find(message, str_c(phrases[i])) != SIZE_MAX)
            return true;
    }
    return false;
}

/* ---- waiting times ---- */

int64_t reply_decimal_ms(struct str s, int64_t unit)
{
    const int64_t max = INT32_MAX;
    int64_t whole = 0, part = 0, scale = 1;
    size_t i = 0, digits = 0;
    for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++, digits++) {
        whole = whole * 10 + (s.p[i] - '0');
        if (whole > max)
            return -1;
    }
    if (i < s.n && s.p[i] == '.') {
        for (i++; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++, digits++) {
            if (scale >= 1000000)
                continue;
            part = part * 10 + (s.p[i] - '0');
            scale *= 10;
        }
    }
    if (digits == 0 || i != s.n)
        return -1;
    int64_t ms = whole * unit + (part * unit + scale - 1) / scale;
    return ms <= max ? ms : -1;
}

static bool digits(struct str s, size_t at, size_t n, int *ret)
{
    *ret = 0;
    for (size_t i = at; i < at + n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        *ret = *ret * 10 + (s.p[i] - '0');
    }
    return true;
}

/* Days from 1970-01-01 in the Gregorian calendar; years are counted from March so that leap days come last. */
static int64_t days_since_epoch(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t from_march = month > 2 ? month - 3 : month + 9;
    int64_t day_of_year = (153 * from_march + 2) / 5 + day - 1;
    return y * 365 + y / 4 - y / 100 + y / 400 + day_of_year - 719468;
}

int64_t reply_http_date(struct str s)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int day, year, hour, minute, second;
    if (s.n != 29 || s.p[3] != ',' || !str_ends(s, STR(" GMT")) || s.p[19] != ':' || s.p[22] != ':')
        return -1;
    if (!digits(s, 5, 2, &day) || !digits(s, 12, 4, &year) || !digits(s, 17, 2, &hour) || !digits(s, 20, 2, &minute) ||
        !digits(s, 23, 2, &second))
        return -1;
    size_t at = str_find(str_c(months), str_n(s.p + 8, 3));
    if (at == SIZE_MAX || at % 3 || year < 1970 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60)
        return -1;
    int64_t days = days_since_epoch(year, (int)(at / 3) + 1, day);
    return (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000;
}

int64_t reply_retry_after(struct str value, int64_t now_ms)
{
    int64_t ms = reply_decimal_ms(value, 1000);
    if (ms >= 0)
        return ms;
    int64_t date = reply_http_date(value);
    if (date < 0)
        return -1;
    ms = date - now_ms;
    return ms < 0 ? 0 : ms > INT32_MAX ? -1 : ms;
}
