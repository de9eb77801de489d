/* One account on its way through the pipeline; private to validate.c and the job files. A job is in exactly one list of its
 * validator: ready (its next step runs in the next round), asleep (until a time), being opened (a key derivation is under
 * way, see opener.h: nobody touches its forms), at the provider (a call is under way) or done (the callback is due). The steps, each in its file:
 *   job.c          start: cache and single flight
 *   job_budget.c   whether a call may be made, and what it taught
 *   job_ask.c      opening the token, the question to the provider, retries, which stored form counts, what it means
 *   job_refresh.c  the refresh of a token that the provider accepts
 *   job_guard.c    do many accounts go bad together? Then nothing is decided
 *   job_end.c      verdict → store → cache → event */
#ifndef TH_JOB_H
#define TH_JOB_H
#include "base/http.h"
#include "cache/budget.h"
#include "health/intake.h"
#include "health/key_trust.h"
#include "health/refresh_store.h"
#include "health/validate.h"
#include <sys/queue.h>

struct job;
typedef void job_step_fn(struct job *job);
enum job_place { JOB_READY, JOB_ASLEEP, JOB_OPENING, JOB_AT_PROVIDER, JOB_DONE, JOB_PLACES, JOB_NOWHERE = JOB_PLACES };
TAILQ_HEAD(job_list, job);

struct validator {
    struct validator_parts parts;
    struct verdict_settings settings;
    struct key_trust trust;
    struct job_list lists[JOB_PLACES];
    struct opener *opener; /* NULL: keys are derived right here */
    int active;
    int hurry;                           /* see validator_hurry */
    int64_t wake_mono_ms;                /* no sleeper is due before; INT64_MAX: nobody sleeps */
    int64_t alarm_mono_ms[REASON_COUNT]; /* when the operator was last told of this; 0: never */
    int64_t unsaid[REASON_COUNT];        /* accounts since then */
    int refreshing;                      /* calls under way whose answers must not wait */
    int spool_failed;                    /* the operator knows that the spool cannot be written */
    int left_in_spool;                   /* answers of ours that did not get into the store: to be replayed … */
    int64_t replay_mono_ms;              /* … then */
    int weighing;                        /* jobs whose bad answers wait for other accounts' answers */
    int64_t answers;                     /* that were concluded */
};

/** A form of the token, a login of the provider that was asked about it, and what it said. */
struct verdict_of_form {
    struct form *form;
    const struct login *login, *first; /* that was asked; that was asked first about this form */
    struct finding finding;
};

/** The refresh of a job: at most one. */
struct refresh_run {
    int is_over;     /* begun and ended, or not to be begun any more */
    int would_be;    /* dry run: else it would have been begun */
    const char *why; /* static: it is wanted, and waits; NULL: it does not */
    int is_put_off;  /* to whoever has the time for it */
    char rule[RULE_NAME_BYTES];
    struct intake intake;       /* of the refresh token */
    const struct secret *token; /* the provider is asked with; in one of the intakes */
    struct refresh_state state;
    struct refresh_question question;
    struct refresh_record record;
    struct spool_ticket *ticket;
    struct refresh_tokens tokens; /* the answer */
    int is_kept, is_stored;       /* … is in the spool, in the store */
    enum refresh_end end;         /* what it was, if no success */
    int64_t give_up_mono_ms;      /* of what could not be kept */
};

struct job {
    TAILQ_ENTRY(job) entry;
    enum job_place place;
    job_step_fn *step;    /* what comes next, when ready or awake */
    int64_t wake_mono_ms; /* when asleep */
    struct validator *v;
    struct account account;
    struct validate_options options;
    validate_done_fn *done;
    void *arg;

    const struct provider *provider;
    struct cache_key key;
    uint32_t generation;
    uint64_t print64;
    int64_t started_at_ms, waiting_mono_ms; /* waiting: since when for another's answer, 0: not */
    int holds_flight;

    struct verdict before;
    struct intake intake;
    struct verdict_of_form asked;                     /* about which the provider is being asked, or was */
    struct verdict_of_form best;                      /* the better of those asked before; form NULL: none */
    int64_t budget_mono_ms;                           /* waiting for the budget: since when, 0: not */
    int retries, restarted, has_answer, is_unsettled; /* unsettled: a form got no answer that decides */
    int64_t provider_now_ms;                          /* the time when it last answered, by its own clock */
    struct refresh_run refresh;
    struct observation learnt;               /* what is to be decided */
    int is_counted, is_weighing;             /* by the mass-failure guard; waits for other accounts' answers … */
    int64_t weigh_from, weigh_until_mono_ms; /* … since so many had come, at most until then */
    struct validate_result result;
};

/** job_then(job, step): ${step} runs in the next round. job_sleep(job, ms, step): it runs in ${ms}. */
void job_then(struct job *job, job_step_fn *step);
void job_sleep(struct job *job, int64_t ms, job_step_fn *step);
/** job_left_ms(job): time to the deadline, 0 or less past it; INT64_MAX without one. */
int64_t job_left_ms(const struct job *job);
/** job_has_time(job): a whole call of the provider's fits before the deadline. */
int job_has_time(const struct job *job);
/** job_at_provider(job): a call is under way, whose callback moves the job on. */
void job_at_provider(struct job *job);
/** job_opens(job, in, again): the next form of ${in} needs a key derivation, which others do meanwhile; ${again} runs after it, and finds it done. 0: go
 *  on, now. */
int job_opens(struct job *job, struct intake *in, job_step_fn *again);
/** job_call(job, kind, done, err): start a call with the token of job->asked; the job waits at the provider for ${done}. The same
 *  in two steps: job_request builds it (http_request_fini), with ${refresh_token} unless NULL; job_send starts it. */
enum err_code job_call(struct job *job, enum request_kind kind, http_done_fn *done, struct err *err);
enum err_code job_request(struct job *job, enum request_kind kind, const struct secret *refresh_token,
                          struct http_request *req, struct err *err);
enum err_code job_send(struct job *job, const struct http_request *req, http_done_fn *done, struct err *err);
/** job_budget(job, kind, again, why): may the login of job->asked be called now? JOB_MAY: make the call, and tell its end to
 *  job_heard (or nothing, if it was not made). JOB_WAITS: the job sleeps, and ${again} asks anew; its flight is others' meanwhile.
 *  JOB_MAY_NOT: nor soon; *why says why. */
enum job_may { JOB_MAY, JOB_WAITS, JOB_MAY_NOT };
enum job_may job_budget(struct job *job, enum budget_kind kind, job_step_fn *again, enum budget_why *why);
/** job_take_time(job, answer): the provider's time. job_heard(job, answer, finding): that, and for the budget what the answer says of the
 *  whole app; tells the operator when calls stop and when they go again. job_heard_refresh: of the answer to a refresh. */
void job_take_time(struct job *job, const struct http_answer *answer);
void job_heard(struct job *job, const struct http_answer *answer, const struct finding *finding);
void job_heard_refresh(struct job *job, const struct http_answer *answer, const struct finding *finding);
/** job_release(job): others may ask about the account. */
void job_release(struct job *job);
/** job_reload(job): reads the account again and forgets what was made of the old reading; 0 if it cannot be read. */
int job_reload(struct job *job);
/** job_describe(job): what the account that was read holds: verdict, token forms, prints. */
void job_describe(struct job *job);
/** job_finish(job): the result is complete; the callback comes next. job_free: gives back all it holds, the flight too. */
void job_finish(struct job *job);
void job_free(struct job *job);
/** job_count(job, counter): one more. job_prefix: "instagram" → "INSTAGRAM VALIDATOR"; returns out. */
void job_count(struct job *job, enum counter counter);
enum { JOB_PREFIX_BYTES = 64 };
const char *job_prefix(const struct job *job, char out[JOB_PREFIX_BYTES]);

/** job_start(job): the first step, also of a job that starts again. */
void job_start(struct job *job);
/** job_ask_next(job): the step that asks the next login about the form, else the first one about the next stored form that gives a token. */
void job_ask_next(struct job *job);
/** job_conclude(job): what the provider said of job->asked is final: decide. */
void job_conclude(struct job *job);
/** job_refresh(job): start a refresh of the token that was asked about, if one is wanted and may be; 1: the job goes on by itself, 0: none
 *  was started, and job->refresh.why says whether one is wanted. job_refresh_free: gives back what it holds. */
int job_refresh(struct job *job);
void job_refresh_free(struct job *job);
/* Between job_refresh.c and job_refresh_end.c: the call whose lease is taken; always 1, the job goes on by itself. And: there was no call after
 * all, but what says so did not get into the store. */
int job_refresh_call(struct job *job, const struct http_request *req);
void job_refresh_uncalled(struct job *job);
/** job_refresh_replay(v): now and then, what of this process got no further than the spool. */
void job_refresh_replay(struct validator *v);
/** job_is_dead(reason): an access token that is refused so is no good any more, while a refresh may bring another. */
int job_is_dead(enum reason reason);
/** job_conclude_refused(job, obs): the access token is refused and no refresh has helped: what does that say of the account? ${obs}
 *  stays definitive only if there is no refresh token, or it is dead, too. */
void job_conclude_refused(struct job *job, struct observation *obs);
/** job_alarm(job, reason, why): tell the operator, at most once a minute of each reason. */
void job_alarm(struct job *job, enum reason reason, const char *why);
/** job_may_seal(job): is the key known to be the application's (key_trust.h)? */
int job_may_seal(struct job *job);
/** job_decide_unasked(job, reason, rule): without any answer of the provider. */
void job_decide_unasked(struct job *job, enum reason reason, const char *rule);
/** job_is_put_off(job): the provider wants the account not to be asked yet: the job ends without a call; 0: it may go on. */
int job_is_put_off(struct job *job);
/** job_decide(job, obs): what was learnt is weighed by the mass-failure guard, perhaps a while later, and settled. */
void job_decide(struct job *job, const struct observation *obs);
/** job_settle(job, obs, is_held): it becomes the verdict, or, held, is kept beside it: written, cached, told. Ends the job, or starts
 *  it again when the application wrote meanwhile. */
void job_settle(struct job *job, const struct observation *obs, int is_held);
/** job_weighed(job): it does not wait for other accounts' answers, or not any more. */
void job_weighed(struct job *job);

/** job_give_up(job): ends the job with what was known before it, unsaved. job_end_late: the same past the deadline. */
void job_give_up(struct job *job);
void job_end_late(struct job *job);

#endif
