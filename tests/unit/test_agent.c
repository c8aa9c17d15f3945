/* The conversation of a model step: turns, tools, corrections, bounds, and its return after a crash. */
#include "unit/bench.h"

#define ASK(step)         "workflow:\n  name: w\n  steps:\n    - {name: ask, type: claude, prompt: hello" step "}\n"
#define TOOLS             ", allowed_tools: [Read, Write, Bash]"
#define USAGE             "\"usage\": {\"input_tokens\": 10, \"output_tokens\": 5}, \"cost_usd\": 0.01"
#define END               "\"stop_reason\": \"end_turn\", " USAGE "}"
#define CALL(name, input) "{\"id\": \"i\", \"name\": \"" name "\", \"input\": " input "}"
#define CALLS(calls) \
    "{\"text\": \"let me see\", \"raw\": [1], \"stop_reason\": \"tool_use\", \"tool_calls\": [" calls "], " USAGE "}"

/* The messages of the pending call, canonical. */
static const char *messages(const char *path)
{
    struct rig_effect *e = rig_effect(&g, path);
    assert_non_null(e);
    return json_canonical(&g.arena, VAL_GET(e->e.request, "messages")).p;
}

static void assert_said(const char *path, const char *text)
{
    if (!strstr(messages(path), text))
        fail_msg("`%s` is not in %s", text, messages(path));
}

static void test_answer(void **state)
{
    (void)state;
    rig_start(&g, ASK(""));
    assert_string_equal(messages("ask/turn:1"),
                        "[{\"content\":[{\"text\":\"hello\",\"type\":\"text\"}],\"role\":\"user\"}]");
    rig_ok(&g, "ask/turn:1", "{\"text\": \"hi\", \"model\": \"m\", \"provider\": \"p\", " END);
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_non_null(strstr(rig_results(&g),
                           "\"text\":\"hi\",\"model\":\"m\",\"provider\":\"p\",\"stop_reason\":\"end_turn\","
                           "\"turns\":1,\"usage\":{\"input_tokens\":10,\"output_tokens\":5,"));
    assert_null(strstr(rig_results(&g), "\"data\""));
}

static const char *intent_hash(const char *path)
{
    struct val v;
    struct err err;
    assert_int_equal(json_parse(&g.arena, str_c(rig_data(&g, RECORD_INTENT, path)), &JSON_LIMITS_DEFAULT, &v, &err), 0);
    return arena_str(&g.arena, val_get_str(&v, STR("request_sha256"), STR(""))).p;
}

/* The intent's hash tells requests apart by all that was said, and is the same in every life. */
static void test_hash_of_a_request(void **state)
{
    (void)state;
    const char *hash[2], *same;
    for (int i = 0; i < 2; i++) {
        rig_start(&g, ASK(TOOLS));
        rig_ok(&g, "ask/turn:1", CALLS(CALL("Read", "{\"file_path\": \"a\"}")));
        rig_ok(&g, "ask/turn:1/tool:1", i ? "{\"text\": \"one\"}" : "{\"text\": \"two\"}");
        hash[i] = intent_hash("ask/turn:2");
        assert_int_equal(strlen(hash[i]), 64);
        assert_string_not_equal(hash[i], intent_hash("ask/turn:1"));
        rig_restart(&g, SIZE_MAX, false);
        rig_error(&g, "ask/turn:2", "{\"class\": \"unknown\"}");
        same = intent_hash("ask/turn:2");
        assert_int_equal(rig_count(&g, RECORD_INTENT, "ask/turn:2"), 2);
        assert_string_equal(same, hash[i]);
        hash[i] = strdup(hash[i]);
        rig_done(&g);
    }
    assert_string_not_equal(hash[0], hash[1]);
    free((char *)hash[0]);
    free((char *)hash[1]);
    rig_start(&g, ASK(""));
}

/* One after another, in the order asked; then all results go back in one message. */
static void test_tools_in_order(void **state)
{
    (void)state;
    rig_start(&g, ASK(TOOLS));
    rig_ok(&g, "ask/turn:1", CALLS(CALL("Read", "{\"file_path\": \"a\"}") "," CALL("Bash", "{\"command\": \"ls\"}")));
    assert_null(rig_effect(&g, "ask/turn:1/tool:2"));
    rig_ok(&g, "ask/turn:1/tool:1", "{\"text\": \"one\", \"is_error\": false}");
    rig_ok(&g, "ask/turn:1/tool:2", "{\"text\": \"two\", \"is_error\": true}");
    assert_said("ask/turn:2", "{\"raw\":[1],\"role\":\"assistant\"");
    assert_said("ask/turn:2",
                "[{\"id\":\"i\",\"is_error\":false,\"name\":\"Read\",\"text\":\"one\",\"type\":\"tool_result\"},"
                "{\"id\":\"i\",\"is_error\":true,\"name\":\"Bash\",\"text\":\"two\",\"type\":\"tool_result\"}]");
    rig_ok(&g, "ask/turn:2", "{\"text\": \"done\", " END);
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_non_null(strstr(rig_results(&g), "\"turns\":2"));
    assert_non_null(strstr(rig_results(&g), "\"cost_usd\":0.02"));
}

/* What the step does not allow is refused, whatever it is called, and never becomes an effect. */
static void test_tools_not_allowed(void **state)
{
    (void)state;
    static const char *const names[] = {"Edit", "read", "", "../Read", "Read/../Bash", "turn:9", "\\u0000", "Read\\n"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char reply[1000];
        rig_start(&g, ASK(TOOLS));
        snprintf(reply, sizeof reply, CALLS("{\"id\": \"i\", \"name\": \"%s\", \"input\": {}}"), names[i]);
        rig_ok(&g, "ask/turn:1", reply);
        assert_said("ask/turn:2", "\"is_error\":true");
        assert_said("ask/turn:2", "There is no tool");
        assert_int_equal(g.asked, 2);
        if (i + 1 < sizeof names / sizeof *names)
            rig_done(&g);
    }
}

static void test_no_tools_at_all(void **state)
{
    (void)state;
    rig_start(&g, ASK(""));
    rig_ok(&g, "ask/turn:1", CALLS(CALL("Read", "{}")));
    assert_said("ask/turn:2", "There is no tool `Read` here");
}

/* Replies of any shape: what is missing or of the wrong type is taken for absent. */
static void test_odd_replies(void **state)
{
    (void)state;
    static const char *const replies[] = {
        "null",
        "7",
        "[]",
        "\"text\"",
        "{}",
        "{\"text\": 7, \"usage\": 3, \"stop_reason\": []}",
        "{\"tool_calls\": [7]}",
        "{\"tool_calls\": [{\"name\": \"Read\", \"input\": 7}]}",
        "{\"tool_calls\": {\"name\": \"Read\"}}",
        "{\"tool_calls\": [{\"name\": [], \"id\": {}}]}",
        "{\"raw\": {\"a\": [1, {}]}, \"cost_usd\": \"x\", \"usage\": {}}",
    };
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        rig_start(&g, ASK(TOOLS));
        rig_ok(&g, "ask/turn:1", replies[i]);
        if (rig_effect(&g, "ask/turn:1/tool:1"))
            rig_ok(&g, "ask/turn:1/tool:1", replies[i]);
        rig_restart(&g, SIZE_MAX, false);
        if (rig_effect(&g, "ask/turn:2"))
            rig_ok(&g, "ask/turn:2", "{\"text\": \"x\", " END);
        rig_assert_status(&g, RUN_SUCCEEDED);
        if (i + 1 < sizeof replies / sizeof *replies)
            rig_done(&g);
    }
}

static void test_too_many_tools(void **state)
{
    (void)state;
    static char reply[64 << 10];
    rig_start(&g, ASK(TOOLS));
    size_t n = (size_t)snprintf(reply, sizeof reply, "{\"tool_calls\": [" CALL("Bash", "{}"));
    for (int i = 0; i < 128; i++)
        n += (size_t)snprintf(reply + n, sizeof reply - n, "," CALL("Bash", "{}"));
    snprintf(reply + n, sizeof reply - n, "]}");
    rig_ok(&g, "ask/turn:1", reply);
    rig_assert_status(&g, RUN_FAILED);
    assert_int_equal(g.asked, 1);
    assert_non_null(strstr(rig_run_error(&g), "129 tool calls at once"));
}

static void test_max_turns(void **state)
{
    (void)state;
    rig_start(&g, ASK(TOOLS ", max_turns: 2, retry: 3"));
    for (int i = 0; i < 2; i++) {
        rig_ok(&g, i ? "ask/turn:2" : "ask/turn:1", CALLS(CALL("Read", "{}")));
        rig_ok(&g, i ? "ask/turn:2/tool:1" : "ask/turn:1/tool:1", "{\"text\": \"x\"}");
    }
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(strstr(rig_run_error(&g), "\"code\":\"max_turns\""));
    assert_int_equal(g.asked, 4);
}

/* A paused answer goes on where it was; its parts are one text. */
static void test_pause(void **state)
{
    (void)state;
    rig_start(&g, ASK(""));
    rig_ok(&g, "ask/turn:1", "{\"text\": \"one \", \"stop_reason\": \"pause\", \"raw\": [2], " USAGE "}");
    assert_said("ask/turn:2", "\"raw\":[2]");
    rig_ok(&g, "ask/turn:2", "{\"text\": \"two \", \"stop_reason\": \"pause\"}");
    rig_ok(&g, "ask/turn:3", "{\"text\": \"three\", " END);
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_non_null(strstr(rig_results(&g), "\"text\":\"one two three\""));
}

#define SCHEMA ", output_schema: {type: object, required: [n], properties: {n: {type: integer}}}"

static void test_schema(void **state)
{
    (void)state;
    static const char *const good[] = {"{\\\"n\\\": 1}", "```json\\n{\\\"n\\\": 1}\\n```", "```\\n{\\\"n\\\": 1}```",
                                       " {\\\"n\\\": 1} \\n"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        char reply[500];
        rig_start(&g, ASK(SCHEMA));
        snprintf(reply, sizeof reply, "{\"text\": \"%s\", " END, good[i]);
        rig_ok(&g, "ask/turn:1", reply);
        rig_assert_status(&g, RUN_SUCCEEDED);
        assert_non_null(strstr(rig_results(&g), "\"data\":{\"n\":1}"));
        if (i + 1 < sizeof good / sizeof *good)
            rig_done(&g);
    }
}

/* The errors go back, twice; then the step fails. Fences that are none are just wrong answers. */
static void test_schema_corrections(void **state)
{
    (void)state;
    rig_start(&g, ASK(SCHEMA));
    rig_ok(&g, "ask/turn:1", "{\"text\": \"{\\\"n\\\": \\\"x\\\"}\", " END);
    assert_said("ask/turn:2", "does not fit the wanted JSON Schema");
    rig_ok(&g, "ask/turn:2", "{\"text\": \"``````\", " END);
    assert_said("ask/turn:3", "no JSON");
    size_t kept = g.nrecords;
    rig_ok(&g, "ask/turn:3", "{\"text\": \"\", " END);
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(strstr(rig_run_error(&g), "\"class\":\"schema\""));
    rig_restart(&g, kept, false); /* the third answer was right, this time */
    rig_ok(&g, "ask/turn:3", "{\"text\": \"{\\\"n\\\": 3}\", " END);
    rig_assert_status(&g, RUN_SUCCEEDED);
}

static void test_budget_of_a_step(void **state)
{
    (void)state;
    rig_start(&g, ASK(TOOLS ", budget: {usd: 0.015}"));
    rig_ok(&g, "ask/turn:1", CALLS(CALL("Read", "{}")));
    rig_ok(&g, "ask/turn:1/tool:1", "{\"text\": \"x\"}");
    rig_ok(&g, "ask/turn:2", CALLS(CALL("Read", "{}")));
    rig_ok(&g, "ask/turn:2/tool:1", "{\"text\": \"x\"}");
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(strstr(rig_run_error(&g), "\"class\":\"budget\""));
    assert_null(rig_effect(&g, "ask/turn:3"));
}

#define SPENT(budget)                                        \
    "workflow:\n  name: w\n  budget: " budget "\n  steps:\n" \
    "    - {name: ask, type: claude, prompt: hello}\n"       \
    "    - {name: more, type: claude, prompt: hello}\n"

/* A run whose money is gone waits; what was asked already is not asked again when it goes on with more. */
static void test_budget_of_the_run(void **state)
{
    (void)state;
    rig_start(&g, SPENT("{tokens: 15}"));
    rig_ok(&g, "ask/turn:1", "{\"text\": \"a\", " END);
    rig_assert_status(&g, RUN_WAITING);
    assert_non_null(strstr(rig_run_error(&g), "\"class\":\"budget\""));
    rig_restart(&g, SIZE_MAX, true); /* --force is no money */
    rig_assert_status(&g, RUN_WAITING);
    rig_restart_with(&g, SPENT("{tokens: 100}"), NULL);
    assert_null(rig_effect(&g, "ask/turn:1"));
    rig_ok(&g, "more/turn:1", "{\"text\": \"b\", " END);
    rig_assert_status(&g, RUN_SUCCEEDED);
    assert_int_equal(run_totals(g.run).calls, 2);
}

/* Cut after any record, the conversation goes on with the same words, and no turn or tool that has ended is done
 * again. */
static void test_same_words_after_a_crash(void **state)
{
    (void)state;
    rig_start(&g, ASK(TOOLS));
    rig_ok(&g, "ask/turn:1", CALLS(CALL("Read", "{\"file_path\": \"a\"}") "," CALL("Edit", "{}")));
    rig_ok(&g, "ask/turn:1/tool:1", "{\"text\": \"one\", \"is_error\": false}");
    const char *said = messages("ask/turn:2");
    struct str key = arena_str(&g.arena, rig_effect(&g, "ask/turn:2")->e.key);
    size_t all = g.nrecords;
    for (size_t keep = all; keep > 0; keep--) {
        rig_restart(&g, keep, false);
        if (rig_effect(&g, "ask/turn:1"))
            rig_ok(&g, "ask/turn:1", CALLS(CALL("Read", "{\"file_path\": \"a\"}") "," CALL("Edit", "{}")));
        if (rig_effect(&g, "ask/turn:1/tool:1"))
            rig_ok(&g, "ask/turn:1/tool:1", "{\"text\": \"one\", \"is_error\": false}");
        assert_string_equal(messages("ask/turn:2"), said);
        assert_true(str_eq(rig_effect(&g, "ask/turn:2")->e.key, key));
    }
}

/* Write and Edit say first what they will do; after a crash they are settled, not repeated. */
static void test_two_phases(void **state)
{
    (void)state;
    rig_start(&g, ASK(TOOLS));
    rig_ok(&g, "ask/turn:1", CALLS(CALL("Write", "{\"file_path\": \"a\", \"content\": \"x\"}")));
    assert_string_equal(val_get_str(rig_effect(&g, "ask/turn:1/tool:1")->e.request, STR("phase"), STR("")).p,
                        "prepare");
    assert_int_equal(rig_count(&g, RECORD_INTENT, "ask/turn:1/tool:1"), 0);
    rig_ok(&g, "ask/turn:1/tool:1", "{\"plan\": {\"path\": \"a\"}}");
    assert_non_null(strstr(rig_data(&g, RECORD_INTENT, "ask/turn:1/tool:1"), "\"plan\":{\"path\":\"a\"}"));
    size_t crash = g.nrecords;
    static const struct {
        const char *outcome;
        const char *phase; /* of what is pending then */
    } t[] = {{"done", NULL}, {"again", "prepare"}};
    for (size_t i = 0; i < 2; i++) {
        char settled[100];
        rig_restart(&g, crash, false);
        assert_true(
            str_is(val_get_str(rig_effect(&g, "ask/turn:1/tool:1")->e.request, STR("phase"), STR("")), "settle"));
        snprintf(settled, sizeof settled, "{\"outcome\": \"%s\", \"text\": \"as told\"}", t[i].outcome);
        rig_ok(&g, "ask/turn:1/tool:1", settled);
        struct rig_effect *e = rig_effect(&g, "ask/turn:1/tool:1");
        assert_int_equal(e != NULL, t[i].phase != NULL);
        if (!t[i].phase)
            assert_said("ask/turn:2", "as told");
    }
    rig_restart(&g, crash, false);
    rig_ok(&g, "ask/turn:1/tool:1", "{\"outcome\": \"changed\"}");
    rig_assert_status(&g, RUN_WAITING);
    rig_restart(&g, SIZE_MAX, true); /* a person has looked */
    assert_true(str_is(val_get_str(rig_effect(&g, "ask/turn:1/tool:1")->e.request, STR("phase"), STR("")), "prepare"));
}

/* A call that cannot work is its own result. */
static void test_two_phases_refused(void **state)
{
    (void)state;
    rig_start(&g, ASK(TOOLS));
    rig_ok(&g, "ask/turn:1", CALLS(CALL("Write", "{}")));
    rig_ok(&g, "ask/turn:1/tool:1", "{\"text\": \"no path\", \"is_error\": true}");
    assert_said("ask/turn:2", "no path");
    rig_restart(&g, SIZE_MAX, false);
    assert_said("ask/turn:2", "no path");
}

/* An interrupted shell command is for a person to look at, unless the workflow says otherwise. */
#define PLAN "{\"plan\": {\"snapshot\": \"0\"}}"

static void test_interrupted_shell(void **state)
{
    (void)state;
    rig_start(&g, ASK(TOOLS));
    rig_ok(&g, "ask/turn:1", CALLS(CALL("Bash", "{\"command\": \"make\"}")));
    rig_ok(&g, "ask/turn:1/tool:1", PLAN);
    rig_restart(&g, SIZE_MAX, false);
    rig_ok(&g, "ask/turn:1/tool:1", "{\"outcome\": \"kept\"}");
    rig_assert_status(&g, RUN_WAITING);
    rig_restart(&g, SIZE_MAX, true);
    rig_ok(&g, "ask/turn:1/tool:1", "{\"outcome\": \"again\"}");
    rig_ok(&g, "ask/turn:1/tool:1", PLAN);
    rig_ok(&g, "ask/turn:1/tool:1", "{\"text\": \"made\"}");
    assert_said("ask/turn:2", "made");
    rig_done(&g);
    rig_start(&g, ASK(TOOLS ", on_interrupt: fail, retry: 3"));
    rig_ok(&g, "ask/turn:1", CALLS(CALL("Bash", "{\"command\": \"make\"}")));
    rig_ok(&g, "ask/turn:1/tool:1", PLAN);
    rig_restart(&g, SIZE_MAX, false);
    rig_ok(&g, "ask/turn:1/tool:1", "{\"outcome\": \"again\"}");
    rig_assert_status(&g, RUN_FAILED); /* and the retries do not run it again */
    assert_non_null(strstr(rig_run_error(&g), "\"class\":\"interrupted\""));
}

/* ---- prompts ---- */

#define PROMPT(parts)                                                                   \
    "workflow:\n  name: w\n  inputs: {yes: {type: boolean, default: true}}\n  steps:\n" \
    "    - {name: a, type: test_echo, value: {text: \"Ünï\", list: [1, {k: v}]}}\n"   \
    "    - name: ask\n      type: claude\n      prompt:\n" parts

static void test_prompt_parts(void **state)
{
    (void)state;
    rig_start(&g, PROMPT("        - {type: static, content: \"one {{ inputs.yes }}\"}\n"
                         "        - {type: file, path: p.md}\n"
                         "        - {type: static, content: skipped, condition: \"not inputs.yes\"}\n"
                         "        - {type: previous_response, step: a}\n"
                         "        - {type: previous_response, step: a, extract: list}\n"
                         "        - {type: previous_response, step: a, max_length: 2}\n"));
    assert_null(rig_effect(&g, "ask/turn:1"));
    rig_ok(&g, "ask/file:2", "{\"text\": \"two\"}");
    assert_said("ask/turn:1",
                "\"one true\\n\\ntwo\\n\\nÜnï\\n\\n[\\n  1,\\n  {\\n    \\\"k\\\": \\\"v\\\"\\n  }\\n]\\n\\nÜn\"");
    const char *said = messages("ask/turn:1");
    rig_restart(&g, SIZE_MAX, false); /* the file is not read again */
    assert_string_equal(messages("ask/turn:1"), said);
    assert_int_equal(rig_count(&g, RECORD_INTENT, "ask/file:2"), 1);
}

static void test_prompt_file_missing(void **state)
{
    (void)state;
    rig_start(&g, PROMPT("        - {type: file, path: p.md}\n"));
    rig_error(&g, "ask/file:1", "{\"class\": \"not_found\", \"code\": \"not_found\", \"message\": \"no p.md\"}");
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(strstr(rig_run_error(&g), "no p.md"));
    rig_restart(&g, SIZE_MAX, false);
    rig_ok(&g, "ask/file:1", "{\"text\": \"here it is\"}");
    assert_said("ask/turn:1", "here it is");
}

static void test_prompt_empty(void **state)
{
    (void)state;
    rig_start(&g, PROMPT("        - {type: static, content: skipped, condition: \"not inputs.yes\"}\n"));
    rig_assert_status(&g, RUN_FAILED);
    assert_non_null(strstr(rig_run_error(&g), "the prompt is empty"));
}

int main(void)
{
#define T(name) cmocka_unit_test_teardown(name, done)
    static const struct CMUnitTest tests[] = {
        T(test_answer),
        T(test_hash_of_a_request),
        T(test_tools_in_order),
        T(test_tools_not_allowed),
        T(test_no_tools_at_all),
        T(test_odd_replies),
        T(test_too_many_tools),
        T(test_max_turns),
        T(test_pause),
        T(test_schema),
        T(test_schema_corrections),
        T(test_budget_of_a_step),
        T(test_budget_of_the_run),
        T(test_same_words_after_a_crash),
        T(test_two_phases),
        T(test_two_phases_refused),
        T(test_interrupted_shell),
        T(test_prompt_parts),
        T(test_prompt_file_missing),
        T(test_prompt_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
