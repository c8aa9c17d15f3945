/* The step types that ask a model in a manner of their own: options, presets, fallbacks, functions, extraction. */
#include "unit/bench.h"

#define USAGE     "\"usage\": {\"input_tokens\": 10, \"output_tokens\": 5}, \"cost_usd\": 0.01"
#define SAYS(t)   "{\"text\": \"" t "\", \"raw\": [1], \"stop_reason\": \"end_turn\", " USAGE "}"
#define ERROR(c)  "{\"class\": \"" c "\", \"message\": \"it was " c "\"}"
#define FLOW(top) "workflow:\n  name: w\n" top "  steps:\n"
#define STEP(s)   FLOW("") "    - {name: ask, prompt: hello, " s "}\n"

static const char *field(const char *path, const char *key)
{
    struct rig_effect *e = rig_effect(&g, path);
    if (!e)
        fail_msg("nothing was asked at %s", path);
    const struct val *v = val_get(e->e.request, str_c(key));
    return v ? json_canonical(&g.arena, v).p : "";
}

static void assert_result(const char *part)
{
    if (!strstr(rig_results(&g), part))
        fail_msg("`%s` is not in %s", part, rig_results(&g));
}

/* ---- options ---- */

static void test_which_option_wins(void **state)
{
    (void)state;
    static const struct {
        const char *top, *step, *model, *system;
    } rows[] = {
        {"", "type: claude", "\"sonnet\"", ""},
        {"", "type: claude_smart", "\"sonnet\"", "development assistant"},
        {"", "type: claude_smart, preset: analysis", "\"opus\"", "code analysis expert"},
        {"", "type: claude_smart, preset: chat", "\"haiku\"", "clear, concise"},
        {"  defaults: {claude_preset: analysis}\n", "type: claude_smart", "\"opus\"", "code analysis expert"},
        {"  defaults: {claude_preset: analysis, claude_model: haiku}\n", "type: claude_smart", "\"haiku\"", "expert"},
        {"  defaults: {claude_model: haiku}\n", "type: claude_smart, preset: analysis", "\"opus\"", "expert"},
        {"  defaults: {claude_model: haiku}\n", "type: claude_smart, preset: chat", "\"haiku\"", "concise"},
        {"  defaults: {claude_options: {system_prompt: mine}}\n", "type: claude_smart", "\"sonnet\"", "mine"},
        {"", "type: claude_smart, preset: analysis, claude_options: {model: haiku}", "\"haiku\"", "expert"},
        {"", "type: claude_smart, claude_options: {model: haiku}, model: sonnet", "\"sonnet\"", ""},
        {"", "type: claude, claude_options: {system_prompt: a}, system: b", "\"sonnet\"", "\"b\""},
        {"", "type: claude, claude_options: {system_prompt: a, append_system_prompt: b}", "\"sonnet\"", "\"a\\n\\nb\""},
        {"  environment: {mode: production}\n", "type: claude_smart, environment_aware: true", "\"opus\"",
         "production"},
        {"  environment: {mode: production}\n", "type: claude_smart", "\"sonnet\"", "development"},
        {"", "type: claude_robust", "\"opus\"", "production"},
        {"", "type: claude_extract", "\"opus\"", "expert"},
        {"  defaults: {gemini_model: g1}\n", "type: gemini", "\"g1\"", ""},
        {"  defaults: {gemini_model: g1}\n", "type: gemini_instructor, model: g2", "\"g2\"", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char yaml[1000];
        snprintf(yaml, sizeof yaml, "workflow:\n  name: w\n%s  steps:\n    - {name: ask, prompt: hello, %s}\n",
                 rows[i].top, rows[i].step);
        rig_start(&g, yaml);
        if (strcmp(field("ask/turn:1", "model"), rows[i].model) != 0)
            fail_msg("%s%s asks %s", rows[i].top, rows[i].step, field("ask/turn:1", "model"));
        if (!strstr(field("ask/turn:1", "system"), rows[i].system))
            fail_msg("%s%s says %s", rows[i].top, rows[i].step, field("ask/turn:1", "system"));
        if (i + 1 < sizeof rows / sizeof *rows)
            rig_done(&g);
    }
}

static void test_tools(void **state)
{
    (void)state;
    static const struct {
        const char *step, *has, *lacks;
    } rows[] = {
        {"type: claude_smart", "\"Bash\"", "Search"},
        {"type: claude_smart, preset: production", "\"Read\"", "Glob"},
        {"type: claude_smart, preset: chat", "", "Read"},
        {"type: claude_smart, preset: production, claude_options: {allowed_tools: [Write]}", "\"Write\"", "Read"},
        {"type: claude, claude_options: {allowed_tools: [Search, Read, Delete, Grep]}", "\"Grep\"", "Delete"},
        {"type: claude_smart, claude_options: {disallowed_tools: [Bash]}", "\"Edit\"", "Bash"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char yaml[1000];
        snprintf(yaml, sizeof yaml, "workflow:\n  name: w\n  steps:\n    - {name: ask, prompt: hello, %s}\n",
                 rows[i].step);
        rig_start(&g, yaml);
        const char *tools = field("ask/turn:1", "tools");
        char lacks[64];
        snprintf(lacks, sizeof lacks, "\"name\":\"%s\"", rows[i].lacks);
        if (!strstr(tools, rows[i].has) || strstr(tools, lacks))
            fail_msg("%s gives %s", rows[i].step, tools);
        if (i + 1 < sizeof rows / sizeof *rows)
            rig_done(&g);
    }
}

/* A run that is resumed elsewhere goes on with what it had settled. */
static void test_settled_once(void **state)
{
    (void)state;
    rig_start(&g, STEP("type: claude_smart, preset: analysis"));
    rig_restart(&g, SIZE_MAX, false);
    assert_string_equal(field("ask/turn:1", "model"), "\"opus\"");
    assert_non_null(strstr(rig_data(&g, RECORD_OPEN, "ask"), "\"model\":\"opus\""));
    assert_int_equal(rig_count(&g, RECORD_OPEN, "ask"), 1);
}

/* ---- fallback_model, time of a call ---- */

static void test_fallback_model(void **state)
{
    (void)state;
    rig_start(&g, STEP("type: claude, model: opus, claude_options: {fallback_model: haiku}, allowed_tools: [Read]"));
    rig_error(&g, "ask/turn:1", ERROR("network")); /* tried again: another model would not help */
    rig_pass(&g, 5000);
    assert_string_equal(field("ask/turn:1", "model"), "\"opus\"");
    rig_error(&g, "ask/turn:1", ERROR("overloaded"));
    assert_string_equal(field("ask/turn:1:fallback", "model"), "\"haiku\"");
    rig_restart(&g, SIZE_MAX, false);
    assert_string_equal(field("ask/turn:1:fallback", "model"), "\"haiku\"");
    rig_ok(&g, "ask/turn:1:fallback",
           "{\"text\": \"\", \"raw\": [1], \"stop_reason\": \"tool_use\", \"tool_calls\": [{\"id\": \"i\", \"name\": "
           "\"Read\", "
           "\"input\": {}}], " USAGE "}");
    rig_ok(&g, "ask/turn:1/tool:1", "{\"text\": \"x\", \"is_error\": false}");
    assert_string_equal(field("ask/turn:2:fallback", "model"), "\"haiku\""); /* it stays with it */
    rig_ok(&g, "ask/turn:2:fallback", SAYS("hi"));
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_result("\"model\":\"haiku\"");
}

/* What the fallback model answered, and what was done for it, stands when the run failed later and is resumed. */
static void test_fallback_model_after_a_failure(void **state)
{
    (void)state;
    rig_start(&g, STEP("type: claude, model: opus, claude_options: {fallback_model: haiku}, allowed_tools: [Read]"));
    rig_error(&g, "ask/turn:1", ERROR("overloaded"));
    rig_ok(&g, "ask/turn:1:fallback",
           "{\"text\": \"\", \"raw\": [1], \"stop_reason\": \"tool_use\", \"tool_calls\": [{\"id\": \"i\", \"name\": "
           "\"Read\", "
           "\"input\": {}}], " USAGE "}");
    rig_ok(&g, "ask/turn:1/tool:1", "{\"text\": \"x\", \"is_error\": false}");
    rig_error(&g, "ask/turn:2:fallback", ERROR("auth"));
    rig_assert_status(&g, RUN_FAILED);
    rig_restart(&g, SIZE_MAX, false);
    assert_null(rig_effect(&g, "ask/turn:1"));
    rig_ok(&g, "ask/turn:2:fallback", SAYS("hi"));
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_result("\"model\":\"haiku\"");

    /* One that has answered nothing leaves it to the step's own. */
    rig_done(&g);
    rig_start(&g, STEP("type: claude, model: opus, claude_options: {fallback_model: haiku}"));
    rig_error(&g, "ask/turn:1", ERROR("overloaded"));
    rig_error(&g, "ask/turn:1:fallback", ERROR("auth"));
    rig_assert_status(&g, RUN_FAILED);
    rig_restart(&g, SIZE_MAX, false);
    rig_ok(&g, "ask/turn:1", SAYS("hi"));
    rig_assert_status(&g, RUN_SUCCEEDED);
}

static void test_time_of_a_call(void **state)
{
    (void)state;
    rig_start(&g, STEP("type: claude, claude_options: {timeout_ms: 2000, retry_config: {max_retries: 1}}"));
    rig_pass(&g, 1900);
    assert_false(rig_effect(&g, "ask/turn:1")->cancelled);
    rig_pass(&g, 200);
    assert_true(rig_effect(&g, "ask/turn:1")->cancelled);
    rig_stop(&g);
    assert_non_null(strstr(rig_data(&g, RECORD_RESULT, "ask/turn:1"), "\"class\":\"timeout\""));
    rig_pass(&g, 1100); /* the wait before the second attempt */
    rig_pass(&g, 2100);
    rig_stop(&g);
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(strstr(rig_run_error(&g), "\"class\":\"timeout\""));
    assert_int_equal(rig_count(&g, RECORD_INTENT, "ask/turn:1"), 2);
}

/* An answer that comes while the call is being stopped was paid for, and counts. */
static void test_answer_in_the_last_moment(void **state)
{
    (void)state;
    rig_start(&g, STEP("type: claude, claude_options: {timeout_ms: 2000}"));
    rig_pass(&g, 2100);
    assert_true(rig_effect(&g, "ask/turn:1")->cancelled);
    rig_ok(&g, "ask/turn:1", SAYS("just so"));
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_result("just so");
}

/* ---- claude_robust ---- */

static void fail_calls(int n)
{
    for (int i = 0; i < n; i++) {
        rig_error(&g, "ask/turn:1", ERROR("server"));
        rig_pass(&g, 100000);
    }
}

static void test_robust_recovers(void **state)
{
    (void)state;
    rig_start(
        &g, STEP("type: claude_robust, retry_config: {max_retries: 2, backoff_strategy: linear, base_delay_ms: 1000}"));
    rig_error(&g, "ask/turn:1", ERROR("server"));
    rig_pass(&g, 999);
    assert_null(rig_effect(&g, "ask/turn:1"));
    rig_pass(&g, 1);
    rig_restart(&g, SIZE_MAX, false);
    rig_error(&g, "ask/turn:1", ERROR("server"));
    rig_pass(&g, 1999);
    assert_null(rig_effect(&g, "ask/turn:1"));
    rig_pass(&g, 1);
    rig_ok(&g, "ask/turn:1", SAYS("at last"));
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_result("\"attempt_number\":3,\"total_attempts\":3");
    assert_result("\"error_history\":[{\"attempt\":1,\"error\":\"it was server\",\"class\":\"server\"");
    assert_result("{\"attempt\":3,\"error\":\"it was server\"");
    assert_result("\"recovery_successful\":true");
}

static void test_robust_conditions(void **state)
{
    (void)state;
    rig_start(&g, STEP("type: claude_robust, retry_config: {max_retries: 5, retry_conditions: [timeout]}"));
    rig_error(&g, "ask/turn:1", ERROR("server")); /* not one of them */
    rig_assert_status(&g, RUN_FAILED);
}

static void test_robust_fallbacks(void **state)
{
    (void)state;
    static const struct {
        const char *action, *part;
        enum run_status status;
    } rows[] = {
        {"graceful_degradation", "\"degraded\":true,\"degraded_mode\":true,\"original_error\":\"it was server\"",
         RUN_SUCCEEDED},
        {"emergency_response", "EMERGENCY RESPONSE", RUN_SUCCEEDED},
        {"mock_response", "\"fallback_type\":\"mock_response\"", RUN_SUCCEEDED},
        {"skip", "\"skipped\":true,\"reason\":\"no answer: it was server\"", RUN_SUCCEEDED},
        {"fail", "", RUN_FAILED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char yaml[1000];
        snprintf(yaml, sizeof yaml, STEP("type: claude_robust, retry_config: {max_retries: 1, fallback_action: %s}"),
                 rows[i].action);
        rig_start(&g, yaml);
        fail_calls(2);
        rig_assert_status(&g, rows[i].status);
        assert_result(rows[i].part);
        if (i + 1 < sizeof rows / sizeof *rows)
            rig_done(&g);
    }
}

static void test_robust_simpler(void **state)
{
    (void)state;
    rig_start(&g, STEP("type: claude_robust, retry_config: {max_retries: 0, fallback_action: simplified_prompt}"));
    fail_calls(1);
    assert_non_null(strstr(field("ask/fallback/turn:1", "messages"), "brief, simple answer to this:\\n\\nhello"));
    assert_string_equal(field("ask/fallback/turn:1", "tools"), "");
    rig_restart(&g, SIZE_MAX, false);
    rig_ok(&g, "ask/fallback/turn:1", SAYS("short"));
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_result("\"text\":\"short\"");
    assert_result("\"degraded\":true");
    rig_done(&g);
    rig_start(&g, STEP("type: claude_robust, retry_config: {max_retries: 0, fallback_action: simplified_prompt}"));
    fail_calls(1);
    rig_error(&g, "ask/fallback/turn:1", ERROR("network"));
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(strstr(rig_run_error(&g), "it was server; the simpler question failed too: it was network"));
}

static void test_robust_earlier_answer(void **state)
{
    static const char yaml[] = STEP("type: claude_robust, retry_config: {max_retries: 0, "
                                    "fallback_action: cached_response}");
    char entry[100];
    (void)state;
    rig_start(&g, yaml);
    rig_ok(&g, "ask/turn:1", SAYS("kept"));
    assert_string_equal(field("ask/answer:keep", "op"), "\"keep\"");
    assert_non_null(strstr(field("ask/answer:keep", "result"), "\"text\":\"kept\""));
    snprintf(entry, sizeof entry, "%s", field("ask/answer:keep", "entry"));
    rig_restart(&g, SIZE_MAX, false);
    rig_error(&g, "ask/answer:keep", ERROR("disk_full")); /* which is no matter of the answer */
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_result("\"text\":\"kept\"");
    rig_done(&g);
    rig_start(&g, yaml);
    fail_calls(1);
    assert_string_equal(field("ask/answer:find", "op"), "\"find\"");
    assert_string_equal(field("ask/answer:find", "entry"), entry);
    rig_restart(&g, SIZE_MAX, false);
    rig_ok(&g, "ask/answer:find", "{\"found\":true,\"result\":{\"text\":\"kept\",\"cost_usd\":7}}");
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_result("\"text\":\"kept\",\"cost_usd\":0.0,\"cached_response\":true,\"usage\":{\"input_tokens\":0");
    assert_result("\"degraded\":true,\"degraded_mode\":true,\"original_error\":\"it was server\"");
    rig_done(&g);
    rig_start(&g, yaml);
    fail_calls(1);
    rig_ok(&g, "ask/answer:find", "{\"found\":false}");
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(strstr(rig_run_error(&g), "it was server; no earlier answer to the same prompt"));
}

/* ---- functions, forms ---- */

#define CALLS(name, args)                                                                                              \
    "{\"text\": \"\", \"raw\": [1], \"stop_reason\": \"tool_use\", \"tool_calls\": [{\"id\": \"i\", \"name\": \"" name \
    "\", "                                                                                                             \
    "\"input\": " args "}], " USAGE "}"
#define FUNCTIONS                                                                                                      \
    FLOW("  gemini_functions:\n    grade: {description: d, parameters: {type: object, required: [score], properties: " \
         "{score: {type: integer}}}}\n")                                                                               \
    "    - {name: ask, type: gemini, functions: [grade], prompt: hello}\n"

static void test_functions(void **state)
{
    (void)state;
    rig_start(&g, FUNCTIONS);
    assert_non_null(strstr(field("ask/turn:1", "tools"), "\"name\":\"grade\""));
    rig_ok(&g, "ask/turn:1", CALLS("grade", "{}"));
    assert_non_null(strstr(field("ask/turn:2", "messages"), "do not fit"));
    rig_restart(&g, SIZE_MAX, false);
    rig_ok(&g, "ask/turn:2", CALLS("grade", "{\"score\": 7}"));
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_result("\"function_calls\":[{\"name\":\"grade\",\"arguments\":{\"score\":7}}]");
    assert_result("\"data\":{\"score\":7}");
}

static void test_function_not_called(void **state)
{
    (void)state;
    rig_start(&g, FUNCTIONS);
    rig_ok(&g, "ask/turn:1", SAYS("no need"));
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_null(strstr(rig_results(&g), "function_calls"));
}

static void test_instructor(void **state)
{
    (void)state;
    rig_start(&g, STEP("type: gemini_instructor, schema: {a: integer}"));
    assert_non_null(strstr(field("ask/turn:1", "schema"), "\"required\":[\"a\"]"));
    rig_ok(&g, "ask/turn:1", SAYS("{}"));
    rig_ok(&g, "ask/turn:2", SAYS("{}"));
    rig_ok(&g, "ask/turn:3", SAYS("{}"));
    rig_assert_status(&g, RUN_FAILED);
    rig_done(&g);
    rig_start(&g, STEP("type: gemini_instructor, schema: {a: integer}, validation_mode: loose"));
    for (int i = 1; i <= 3; i++) {
        char path[32];
        snprintf(path, sizeof path, "ask/turn:%d", i);
        rig_ok(&g, path, SAYS("{}"));
    }
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_result("\"violations\":[");
    assert_result("\"data\":{}");
}

static void test_extract(void **state)
{
    (void)state;
    rig_start(&g, STEP("type: claude_extract, extraction_config: {format: json, post_processing: [extract_links], "
                       "include_metadata: true}"));
    rig_ok(&g, "ask/turn:1", SAYS("{\\\"u\\\": \\\"see https://a.b/c\\\"}"));
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_result("\"text\":\"{\\\"u\\\":\\\"see https://a.b/c\\\"}\""); /* JSON still */
    assert_result("\"data\":{\"u\":\"see https://a.b/c\"}");
    assert_result("\"extracted\":{\"links\":[\"https://a.b/c\"]}");
    assert_result("\"extraction_metadata\":{\"format\":\"json\"");
    rig_done(&g);
    rig_start(
        &g, STEP("type: claude_extract, extraction_config: {format: markdown, post_processing: [extract_key_points]}"));
    rig_ok(&g, "ask/turn:1", SAYS("- one\\n- two"));
    assert_result("\"text\":\"# Extracted Content\\n\\n- one\\n- two\\n\\n## Key Points\\n\\n- one\\n- two\"");
}

static void test_extract_text_for_json(void **state)
{
    (void)state;
    rig_start(&g, STEP("type: claude_extract, extraction_config: {format: json}"));
    for (int i = 1; i <= 3; i++) {
        char path[32];
        snprintf(path, sizeof path, "ask/turn:%d", i);
        rig_ok(&g, path, SAYS("plain words"));
    }
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_result("\"data\":{\"content\":\"plain words\",\"format\":\"json\"}");
}

#define BEFORE                                                                                         \
    "\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"before\"}]}, " \
    "{\"role\": \"assistant\", \"raw\": [9], \"text\": \"yes\"}]}"

static void talk_until_read(void)
{
    rig_start(&g, STEP("type: claude_session, session_config: {session_name: talk}"));
    rig_ok(&g, "ask/session:read", "{\"turns\": 1, \"bytes\": 9, \"sha256\": \"aa\", " BEFORE);
}

/* The history is what was read; what was said is added under one key, whatever crashes. The journal says only which
 * history it was, and a later life asks for the same. */
static void test_session(void **state)
{
    (void)state;
    talk_until_read();
    assert_string_equal(rig_data(&g, RECORD_RESULT, "ask/session:read"),
                        "{\"ok\":{\"turns\":1,\"bytes\":9,\"sha256\":\"aa\"}}");
    assert_non_null(strstr(field("ask/turn:1", "messages"), "before"));
    rig_restart(&g, SIZE_MAX, false);
    assert_null(rig_effect(&g, "ask/turn:1"));
    assert_string_equal(field("ask/session:read", "phase"), "\"again\"");
    assert_string_equal(field("ask/session:read", "plan"), "{\"bytes\":9,\"sha256\":\"aa\",\"turns\":1}");
    rig_ok(&g, "ask/session:read", "{\"turns\": 7, " BEFORE);
    assert_non_null(strstr(field("ask/turn:1", "messages"), "before"));
    assert_non_null(strstr(field("ask/turn:1", "messages"), "hello"));
    rig_ok(&g, "ask/turn:1", SAYS("hi"));
    char key[200];
    snprintf(key, sizeof key, "%s", field("ask/session:append", "key"));
    assert_null(strstr(field("ask/session:append", "messages"), "before")); /* only what is new */
    assert_non_null(strstr(field("ask/session:append", "messages"), "hello"));
    rig_restart(&g, SIZE_MAX, false);
    rig_ok(&g, "ask/session:read", "{\"turns\": 7, " BEFORE);
    assert_string_equal(field("ask/session:append", "key"), key);
    rig_ok(&g, "ask/session:append", "{\"turns\": 2}");
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_int_equal(rig_count(&g, RECORD_RESULT, "ask/session:read"), 1);
    assert_result("\"session_name\":\"talk\"");
    assert_result("\"turn\":2");
}

/* A conversation that is no longer what it was: a person decides, and no answer is paid for twice. */
static void test_session_changed_meanwhile(void **state)
{
    (void)state;
    talk_until_read();
    rig_ok(&g, "ask/turn:1", SAYS("hi"));
    for (int i = 0; i < 2; i++) {
        rig_restart(&g, SIZE_MAX, false);
        rig_error(&g, "ask/session:read", "{\"class\": \"conflict\", \"message\": \"the session has been changed\"}");
        rig_assert_status(&g, RUN_WAITING);
        assert_non_null(strstr(rig_run_error(&g), "the session has been changed; put back what was there"));
    }
    rig_restart(&g, SIZE_MAX, false); /* it has been put back */
    rig_ok(&g, "ask/session:read", "{\"turns\": 1, " BEFORE);
    assert_non_null(strstr(field("ask/session:append", "messages"), "hi"));
    rig_restart(&g, SIZE_MAX, true);
    rig_error(&g, "ask/session:read", "{\"class\": \"conflict\", \"message\": \"the session has been changed\"}");
    assert_string_equal(field("ask/session:read", "phase"), "");
    rig_ok(&g, "ask/session:read", "{\"turns\": 0, \"messages\": []}");
    assert_non_null(strstr(field("ask/session:append", "messages"), "hi"));
    rig_ok(&g, "ask/session:append", "{\"turns\": 1}");
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_int_equal(rig_count(&g, RECORD_INTENT, "ask/turn:1"), 1);
}

/* A journal of before, in which the history itself stands. */
static void test_session_recorded_whole(void **state)
{
    (void)state;
    talk_until_read();
    struct str was = arena_printf(&g.arena, "{\"ok\":{\"turns\":1,%s}", BEFORE);
    for (struct rig_record *r = g.records; r; r = r->next)
        if (r->r.kind == RECORD_RESULT)
            r->r.data = was;
    rig_restart(&g, SIZE_MAX, false);
    assert_null(rig_effect(&g, "ask/session:read"));
    assert_non_null(strstr(field("ask/turn:1", "messages"), "before"));
}

/* What was answered is not asked again, neither after a crash nor when a later exchange is tried again. */
static void test_conversation(void **state)
{
    (void)state;
    rig_start(&g, FLOW("") "    - {name: ask, type: claude_session, continue_session: false, retry: {max_attempts: 2, "
                           "delay: 1s}, conversation: [one, \"{{ steps.turn_1.text }} two\"]}\n");
    rig_ok(&g, "ask/conversation/turn_1/session:read", "{\"turns\": 7, \"messages\": []}");
    rig_ok(&g, "ask/conversation/turn_1/turn:1", SAYS("1"));
    assert_non_null(strstr(field("ask/conversation/turn_1/session:append", "name"), "ask"));
    assert_non_null(strstr(field("ask/conversation/turn_1/session:append", "fresh"), "true"));
    rig_ok(&g, "ask/conversation/turn_1/session:append", "{\"turns\": 1}");
    rig_restart(&g, SIZE_MAX, false);
    assert_null(rig_effect(&g, "ask/conversation/turn_1/turn:1"));
    rig_ok(&g, "ask/conversation/turn_2/session:read", "{\"turns\": 1, \"messages\": []}");
    rig_error(&g, "ask/conversation/turn_2/turn:1", ERROR("server"));
    rig_restart(&g, SIZE_MAX, false);
    rig_ok(&g, "ask/conversation/turn_2/session:read", "{\"turns\": 1, \"messages\": []}");
    rig_pass(&g, 2000);
    assert_null(rig_effect(&g, "ask/conversation/turn_1/turn:1"));
    assert_non_null(strstr(field("ask/conversation/turn_2/turn:1", "messages"), "1 two"));
    rig_ok(&g, "ask/conversation/turn_2/turn:1", SAYS("2"));
    assert_string_equal(field("ask/conversation/turn_2/session:append", "fresh"), "");
    rig_ok(&g, "ask/conversation/turn_2/session:append", "{\"turns\": 2}");
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_result("\"text\":\"2\"");
    assert_result("\"exchanges\":[{");
}

/* Whatever model it asks: what an attempt changed with tools is taken back before the next. */
static void test_attempts_begin_clean(void **state)
{
    (void)state;
    static const char *const types[] = {"claude", "gemini", "llm, model: openai/x", "claude_smart", "claude_extract"};
    rig_start(&g, STEP("type: claude"));
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        char yaml[400];
        snprintf(
            yaml, sizeof yaml,
            FLOW("") "    - {name: ask, prompt: hello, retry: {max_attempts: 2, delay: 1s, on: any}, timeout: 60s, "
                     "type: %s}\n",
            types[i]);
        rig_done(&g);
        rig_start(&g, yaml);
        rig_pass(&g, 60000);
        rig_stop(&g);
        rig_pass(&g, 1000);
        if (!rig_count(&g, RECORD_RESULT, "ask~2/rollback:1"))
            fail_msg("nothing was taken back (%s)", types[i]);
        rig_ok(&g, "ask~2/turn:1", SAYS("hi"));
        rig_assert_status(&g, RUN_SUCCEEDED);
    }
}

#define TEST(t) cmocka_unit_test_teardown(t, done)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_which_option_wins),
        TEST(test_tools),
        TEST(test_settled_once),
        TEST(test_fallback_model),
        TEST(test_fallback_model_after_a_failure),
        TEST(test_time_of_a_call),
        TEST(test_answer_in_the_last_moment),
        TEST(test_robust_recovers),
        TEST(test_robust_conditions),
        TEST(test_robust_fallbacks),
        TEST(test_robust_simpler),
        TEST(test_robust_earlier_answer),
        TEST(test_functions),
        TEST(test_function_not_called),
        TEST(test_instructor),
        TEST(test_extract),
        TEST(test_session),
        TEST(test_session_changed_meanwhile),
        TEST(test_session_recorded_whole),
        TEST(test_conversation),
        TEST(test_extract_text_for_json),
        TEST(test_attempts_begin_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
