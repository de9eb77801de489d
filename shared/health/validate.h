/* The validation pipeline (DESIGN 6), for many accounts at once: open the token → cache → provider → classify → identity →
 * refresh if due → verdict → write only what changed → cache → event. Accounts are jobs on one HTTP client; nothing here blocks
 * but the store writes. The same pipeline serves responder, monitor and CLI. */
#ifndef TH_VALIDATE_H
#define TH_VALIDATE_H
#include "base/config.h"
#include "cache/cache.h"
#include "health/verdict.h"
#include "provider/provider.h"
#include "store/store.h"
#include "token/keyring.h"
#include "token/spool.h"

struct validator;
struct validator_parts { /* borrowed */
    const struct config *cfg;
    struct store *store;
    struct cache *cache;
    const struct provider_set *providers;
    const struct keyring *ring;
    struct http_client *http;
    struct spool *spool; /* NULL: no single-use refresh token is used */
};
enum err_code validator_new(const struct validator_parts *parts, struct validator **v, struct err *err);
/** validator_spread(v, threads): from now on keys are derived in so many threads (opener_cores), and everything else goes on meanwhile; 0, or none can
 *  be started: in the caller's, as at first. At most once, after fork. A process that has done so may not fork. */
void validator_spread(struct validator *v, int threads);
/** validator_free(v): drops jobs under way without calling done; waits for the key derivations that are under way, one a thread. Free the HTTP
 *  client before: its calls point to jobs. */
void validator_free(struct validator *v);

struct validate_options {
    int force;        /* do not answer from the cache */
    int64_t since_ms; /* with force: but a verdict of this Unix time or later is new enough; 0: none is */
    int fix;          /* put right what is stored wrongly */
    int refresh;      /* refresh when due */
    int learn;        /* and ask for an expiry that is not known, or refresh it away, at most once a day */
    int max_retries;  /* of inconclusive calls */
    int64_t retry_delay_ms;
    int64_t
        budget_wait_ms; /* how long a call may wait for the provider's budget; then, and with 0 at once, the account ends as
                               rate_limited or transient without it */
    /* 0: none. Then nothing more is begun: no call, no wait, no try again; a question under way is cut off, and what cannot be
     * concluded without ends with what was known before (is_late). A refresh is never cut off: it is begun only while a whole
     * [provider] timeout is left. */
    int64_t deadline_mono_ms;
    /* Nothing is written, cached or refreshed, and nobody waits for the answer: the result says what would have been fixed, refreshed and
     * changed. */
    int dry_run;
    struct fence *fence; /* NULL, or borrowed until done was called: lost, the account is another's (see below) */
};
/** What became of one account. Borrowed by the callback. */
struct validate_result {
    const struct account *account; /* as it was read */
    struct verdict verdict;
    int64_t expires_at_ms;
    enum source source;
    const char *token_format;
    int has_token;
    int faults; /* FAULT_… found */
    int fixed;  /* faults that were put right in the store */
    int asked;  /* the provider was asked: finding counts */
    const struct finding *finding;
    int state_changed;
    int refreshed;
    int is_late; /* the deadline came first: the verdict is the one before, with an attempt that timed out; nothing was saved */
    enum err_code store_error; /* ERR_OK, or why the write did not happen (ERR_UNAVAILABLE, ERR_CONFLICT) */
};
enum {
    FAULT_ENVELOPE_IN_PLAIN_FIELD = 1, /* accessToken or refreshToken holds an envelope */
    FAULT_PLAIN_AT_REST = 2,           /* a plain token is stored */
    FAULT_NO_COMPANIONS = 4, /* an encrypted token without tokenStatus, needsReconnection, lastTokenValidation */
    FAULT_STALE_STATUS = 8   /* tokenStatus or needsReconnection contradicts the verdict */
};
/* Flags of a cached verdict. */
enum {
    CACHED_AFTER_FIX = 1, /* what is stored wrongly was put right then, as far as it can be */
    CACHED_LATE = 2,      /* time was too short to ask: the verdict is an older one */
    CACHED_PUT_OFF = 4    /* a refresh waits for who has the time for it: to them this is no answer */
};
typedef void validate_done_fn(void *arg, const struct validate_result *result);
/** validator_submit(v, account, options, done, arg, err): takes the account (its content is moved; *account is empty then). done is
 *  called exactly once, from validator_run, never from here. Fails: ERR_NOMEM. */
enum err_code validator_submit(struct validator *v, struct account *account, const struct validate_options *options,
                               validate_done_fn *done, void *arg, struct err *err);
/* An account whose fence is lost: no call about it is begun any more and nothing about it is written; it ends with what was known before,
 * unsaved (store_error: ERR_CONFLICT). Only what a refresh that was already asked for has given is still put into the store. */
/** validator_run(v, wait_ms): move all jobs on; waits at most wait_ms for something to happen. Returns jobs still under way. */
int validator_run(struct validator *v, int wait_ms);
/** validator_active(v): jobs under way. validator_finish(v): run until none is. */
int validator_active(const struct validator *v);
void validator_finish(struct validator *v);
/** validator_hurry(v): the process is to end: from now on no retry, no refresh and no waiting for another's answer is begun, and
 *  who sleeps for one goes on. Who waits for another's answer, or would ask about a second form, ends with what was known
 *  before, unsaved (store_error: ERR_CONFLICT). Jobs are over within one provider call then. */
void validator_hurry(struct validator *v);
/** validator_settings(v): the verdict settings in force. */
const struct verdict_settings *validator_settings(const struct validator *v);

#endif
