/* One write of the pipeline for the writeback tests: a document, the form that was judged, the patch that follows. */
#ifndef TH_WRITEBACK_FIXTURE_H
#define TH_WRITEBACK_FIXTURE_H
#include "account_fixture.h"
#include "health/writeback.h"
#include "store_fixture.h"

#define E_ONE "\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE "\"}"
#define P_TWO "\"accessToken\":\"" TOKEN_TWO "\""
enum { NONE = -1, E = FIELD_ENCRYPTED, P = FIELD_PLAIN };
enum { FIX = 1, SEAL = 2, DROP = 4, USES_REFRESH = 8, ALL = FIX | SEAL | DROP };
enum { GONE, SAME, MOVED /* what another field held is in it now */ };
static const int64_t noon = INT64_C(1800000000000);

struct row {
    const char *name, *members;
    int winner; /* the form that was judged */
    enum reason reason;
    int how;
    const char *encrypted; /* the token in encryptedAccessToken afterwards; NULL: the field is as it was */
    int plain;             /* accessToken afterwards: GONE or SAME */
    int fixed;
    const char *status; /* tokenStatus afterwards; NULL: as it was */
};

struct written {
    struct account account;
    struct intake intake;
    struct verdict before, after;
    struct patch patch;
    struct writeback_effect effect;
};

static inline void build(struct account account, const struct row *row, struct written *w)
{
    struct observation obs = {.reason = row->reason, .rule = "rule"};
    struct writeback job = {.account = &w->account, .intake = &w->intake, .before = &w->before, .after = &w->after};
    struct err err = {0};

    memset(w, 0, sizeof *w);
    w->account = account;
    intake_describe(&w->account, fixture_keys, &w->intake);
    while (row->winner != E && intake_next(&w->account, fixture_keys, &w->intake))
        ;
    if (row->winner == E)
        while (intake_next(&w->account, fixture_keys, &w->intake))
            ;
    obs.print = w->intake.print;
    verdict_parse(w->account.health, &w->before);
    w->before.needs_reconnection = w->account.needs_reconnection == TRI_TRUE;
    job.winner = row->winner == NONE ? NULL : &w->intake.forms[row->winner];
    job.ring = fixture_keys;
    job.now = (struct moment){noon, 1000, 7};
    job.fix = (row->how & FIX) != 0;
    job.may_seal = (row->how & SEAL) != 0;
    job.drop_other = (row->how & DROP) != 0;
    job.uses_refresh = (row->how & USES_REFRESH) != 0;
    job.accepted = reason_class(row->reason) == CLASS_ACCEPTED;
    verdict_decide(&w->before, &obs, &job.now,
                   &(struct verdict_settings){.confirmations = 2, .confirm_interval_ms = 60000}, &w->after);
    if (writeback_build(&job, &w->patch, &w->effect, &err) != ERR_OK) fail_msg("%s: %s", row->name, err.text);
    for (int i = 0; i < w->patch.field_count; i++)
        if (w->patch.fields[i].op == PATCH_SET) fixture_no_token(w->patch.fields[i].value, row->name);
}

static inline void written_fini(struct written *w)
{
    patch_fini(&w->patch);
    intake_fini(&w->intake);
    account_fini(&w->account);
}

#endif
