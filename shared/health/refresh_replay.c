#include "health/refresh_replay.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include <string.h>

static const char prefix[] = "TOKEN HEALTH";
/* An owner that has not stored its answer by then hangs; should it come back, only one of the two writes has an effect. */
enum { HANGS_AFTER_MS = 300000 };

struct replay {
    struct store *store;
    const struct keyring *ring;
    int64_t until_mono_ms;
    struct refresh_replayed *done;
};

static enum spool_fate settled(struct replay *r, const struct refresh_record *record, enum err_code rc,
                               const struct err *err)
{
    if (rc == ERR_OK || rc == ERR_NOT_FOUND) return SPOOL_DONE;
    r->done->left++;
    if (rc == ERR_UNAVAILABLE || rc == ERR_NOSPACE) return SPOOL_STOP; /* the store's trouble, not this record's */
    log_error(prefix, "a refresh stays in the spool", LOG_S("account", record->id.text), LOG_S("why", err->text));
    return SPOOL_KEEP;
}

/* The account's lease is ours as long as nobody else has taken one. */
static enum spool_fate settle_intent(struct replay *r, const struct refresh_record *record)
{
    const struct refresh_policy policy = {.model = record->uses_refresh_token ? REFRESH_TOKEN : REFRESH_EXTEND,
                                          .rotates = record->rotates};
    struct moment now = moment_now();
    struct account account = {0};
    struct refresh_state state = {0};
    struct err err = {0};
    enum err_code rc = store_read_account(r->store, &record->id, &account, &err);

    if (rc == ERR_OK) refresh_state_parse(account.health, record->used, &state);
    account_fini(&account);
    if (rc != ERR_OK || strcmp(state.lease, record->lease) != 0) return settled(r, record, rc, &err);
    if (record->is_uncalled)
        state.lease[0] = '\0';
    else
        refresh_fail(&state, &policy, REFRESH_AMBIGUOUS, REASON_TRANSIENT, "interrupted", &now);
    rc = refresh_note(r->store, &record->id, record->lease, &state, 0, &err);
    if (rc != ERR_OK || record->is_uncalled) return settled(r, record, rc, &err);
    r->done->settled++;
    log_event(record->rotates ? LOG_ERROR : LOG_WARN, prefix,
              record->rotates ? "a refresh was cut off, and its refresh token may be used up" : "a refresh was cut off",
              (const struct log_field[]){LOG_S("account", record->id.text), LOG_S("platform", record->platform)}, 2);
    return SPOOL_DONE;
}

static enum spool_fate store_answer(struct replay *r, const struct refresh_record *record,
                                    const struct spool_answer *answer)
{
    /* Borrowed: the spool's. */
    struct refresh_tokens tokens = {.access = answer->access, .refresh = answer->refresh};
    enum refresh_put what = REFRESH_PUT_THEIRS;
    struct account account = {0};
    struct err err = {0};
    enum err_code rc;

    if (!json_int(json_member(answer->more, "expiresAt"), &tokens.expires_at_ms)) tokens.expires_at_ms = 0;
    rc = refresh_put(r->store, r->ring, record, &tokens, &account, &what, &err);
    account_fini(&account);
    if (rc != ERR_OK) return settled(r, record, rc, &err);
    fault_point(FAULT_replay_stored);
    r->done->stored++;
    log_info(prefix, "new tokens from the spool", LOG_S("account", record->id.text),
             LOG_S("platform", record->platform),
             LOG_S("end", what == REFRESH_PUT_STORED    ? "stored"
                          : what == REFRESH_PUT_ALREADY ? "they were stored"
                                                        : "the account has others"));
    return SPOOL_DONE;
}

static enum spool_fate replay_one(void *arg, const struct json *about, const struct spool_answer *answer)
{
    struct replay *r = arg;
    struct refresh_record record;

    if (clock_mono_ms() >= r->until_mono_ms) {
        r->done->left++;
        return SPOOL_STOP;
    }
    fault_point(FAULT_replay_found);
    if (!refresh_record_parse(about, &record)) {
        r->done->left++;
        log_error(prefix, "the spool holds a record that is none of ours");
        return SPOOL_KEEP;
    }
    return answer ? store_answer(r, &record, answer) : settle_intent(r, &record);
}

enum err_code refresh_replay(struct spool *spool, struct store *store, const struct keyring *ring, int64_t max_ms,
                             struct refresh_replayed *done, struct err *err)
{
    struct refresh_replayed ignored;
    struct replay r = {store, ring, clock_mono_ms() + max_ms, done ? done : &ignored};
    struct spool_counts counts = {0};
    enum err_code rc;

    *r.done = (struct refresh_replayed){0};
    rc = spool_replay(spool, HANGS_AFTER_MS, replay_one, &r, &counts, err);
    if (counts.undecryptable || counts.damaged)
        log_error(prefix, "the spool holds what cannot be used", LOG_I("undecryptable", counts.undecryptable),
                  LOG_I("damaged", counts.damaged));
    return rc;
}
