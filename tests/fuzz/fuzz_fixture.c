/* Fixture files and schemas: any JSON is refused with a message, or answers; instances of any schema come to an end. */
#include "base/panic.h"
#include "data/json.h"
#include "llm/mock.h"
#include "llm/mock_fixture.h"
#include "llm/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a = {0};
    struct val v, fitted;
    struct err err;
    struct mock_fixtures f;
    if (size > (size_t)1 << 16 ||
        json_parse(&a, str_n((const char *)data, size), &JSON_LIMITS_DEFAULT, &v, &err) != RC_OK) {
        arena_done(&a);
        return 0;
    }
    if (mock_fixtures_read(&f, &v, &err) == RC_OK) {
        struct mock_call call = {STR("a/b/c"), STR("claude"), STR("some text to match\nof two lines"), 1, 1};
        struct regex_match groups;
        for (int i = 0; i < 3; i++)
            mock_fixtures_match(&f, &call, &groups);
        CHECK(mock_fixtures_explain(&f, &call, &a).n > 0);
        mock_fixtures_done(&f);
    } else {
        CHECK(err.rc == RC_INVALID && err.msg[0]);
    }
    struct val made = mock_instance(&a, &v);
    CHECK(val_weight(&made) < (size_t)256 << 20);
    for (int dialect = WIRE_ANTHROPIC; dialect <= WIRE_OPENAI; dialect++) {
        if (wire_schema(&a, &v, (enum wire_dialect)dialect, &fitted))
            CHECK(val_is(&fitted, VAL_OBJECT));
    }
    arena_done(&a);
    return 0;
}
