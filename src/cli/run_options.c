/* Files named here are made absolute, for a resumed run may be started elsewhere. */
#include "cli/run_options.h"

#include "data/yaml.h"
#include "executor/tier.h"
#include "llm/mock_fixture.h"

enum { FIXTURES_MAX = 16 << 20 };

static enum rc absolute(struct session *s, const char *given, const char **ret, struct err *err)
{
    struct str path;
    *ret = NULL;
    if (!given)
        return RC_OK;
    enum rc rc = absolute_path(str_c(given), &s->arena, &path, err);
    if (rc == RC_OK)
        *ret = path.p;
    return rc;
}

/* Checked here, where the file's name is known: a journal keeps only the text. */
static enum rc read_fixtures(struct session *s, const char *file, struct err *err)
{
    struct err why;
    struct val v;
    struct mock_fixtures f;
    enum rc rc = read_file(file, FIXTURES_MAX, &s->arena, &s->fixtures, err);
    if (rc != RC_OK || !s->fixtures.n)
        return rc;
    rc = yaml_parse(&s->arena, s->fixtures, file, &YAML_LIMITS_DEFAULT, &v, err);
    if (rc != RC_OK)
        return rc;
    rc = mock_fixtures_read(&f, &v, &why);
    if (rc != RC_OK)
        return err_set(err, rc, "%s:%s", file, why.msg);
    mock_fixtures_done(&f);
    return RC_OK;
}

enum rc run_options_read(struct session *s, const struct args *args, struct err *err)
{
    const char *mock = args_get(args, "mock"), *replay = args_get(args, "replay"), *record = args_get(args, "record");
    s->json = args_get(args, "json") != NULL;
    s->quiet = args_get(args, "quiet") != NULL;
    s->stay = args_get(args, "wait") ? STAY_FOR_ANSWERS : STAY_NO;
    const char *tier = args_get(args, "sandbox");
    if (tier ? tier_parse(tier, &s->tier, err) != RC_OK : tier_settle(&s->tier, err) != RC_OK)
        return err->rc;
    if (mock && replay)
        return err_set(err, RC_USAGE, "--mock and --replay exclude each other; give one of them");
    if (record && replay)
        return err_set(err, RC_USAGE, "--record and --replay exclude each other; give one of them");
    if (mock) {
        s->mode = SESSION_MOCK;
        s->fixtures = str_n("", 0);
        if (*mock) {
            enum rc rc = read_fixtures(s, mock, err);
            if (rc != RC_OK)
                return rc;
        }
    }
    if (replay) {
        s->mode = SESSION_REPLAY;
        enum rc rc = absolute(s, replay, &s->replay_file, err);
        if (rc != RC_OK)
            return rc;
    }
    return record ? absolute(s, record, &s->record_file, err) : RC_OK;
}
