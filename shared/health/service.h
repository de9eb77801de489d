/* What the programs can ask for: one call a use case, whole answers. Opens configuration-made parts (store, cache,
 * providers, key ring, HTTP client) once a process, after fork. Knows no HTTP status and no FastCGI. */
#ifndef TH_SERVICE_H
#define TH_SERVICE_H
#include "base/config.h"
#include "base/json.h"
#include "cache/cache.h"
#include "cache/guard_rule.h"
#include "health/validate.h"
#include "store/store.h"

struct service;
/** service_open(cfg, &service, err): Borrows cfg for its life. Blocks: key derivation (0.13 s a key). Fails: ERR_CONFIG and what
 *  the parts fail with. The store need not be up. Owns: caller, service_close. */
enum err_code service_open(const struct config *cfg, struct service **service, struct err *err);
/** service_check_platforms(cfg, providers, err): ERR_CONFIG names the first of [monitor] platforms without a provider file. */
enum err_code service_check_platforms(const struct config *cfg, const struct provider_set *providers, struct err *err);
void service_close(struct service *service);
struct cache *service_cache(struct service *service);
struct store *service_store(struct service *service);
struct validator *service_validator(struct service *service);
const struct provider_set *service_providers(const struct service *service);
const struct config *service_config(const struct service *service);
const struct keyring *service_ring(const struct service *service);
struct spool *service_spool(struct service *service);
/** service_call_at_once(service, calls): so many calls to providers at the same time, the others wait for their turn; at first
 *  [responder] concurrency. */
void service_call_at_once(struct service *service, int calls);

/** service_replay(service, max_ms): bring to its end what refreshes left in this host's spool; at the start of a program and of each sweep.
 *  Begins nothing more after ${max_ms}. Blocks: as the store does. What fails is in the log, and tried again the next time. */
void service_replay(struct service *service, int64_t max_ms);

struct settings_wish;
/** service_take_settings(service): the settings that were changed elsewhere come into force (settings.h), in service_config; 1: something changed.
 *  Costs a load when there is nothing new. service_load_settings(service, fresh): the
 *  same at the start (NULL), or when the file was read again. service_announce_settings: what
 *  comes into force is said in the log. */
int service_take_settings(struct service *service);
int service_load_settings(struct service *service, const struct config *fresh);
void service_announce_settings(struct service *service);
/** service_change_settings, service_settings: settings_change, settings_json. */
enum err_code service_change_settings(struct service *service, const struct settings_wish *wish, struct err *err);
enum err_code service_settings(struct service *service, struct json **out, struct err *err);
/** service_ask_sweep(service, by, &id, err): all accounts are swept again, from now on, by whatever monitors there are. ${id} tells it from others.
 *  service_monitor(service, out, err): {monitor: the statistics, settings, sweep: the last one that was asked for: {id, state, …} or null}. Owns:
 *  caller. */
enum err_code service_ask_sweep(struct service *service, const char *by, int64_t *id, struct err *err);
enum err_code service_monitor(struct service *service, struct json **out, struct err *err);

/** An account's result, plain data, for the answers of DESIGN 10. */
struct account_report {
    char id[LIMIT_ID_BYTES];
    char username[LIMIT_NAME_BYTES];
    char workspace[LIMIT_ID_BYTES];
    char platform[LIMIT_PLATFORM_BYTES];
    const char *token_format; /* static: "encrypted", "encrypted_json", "encrypted_in_access_field", "plain", "none" */
    const char *issue;        /* static or NULL: missing_access_token, encrypted_token_in_access_field,
                                 invalid_token_api_failed, validation_error */
    int has_token, is_valid, is_active, needs_reconnection, fixed;
    int64_t last_sync_at_ms, timestamp_ms, expires_at_ms;
    struct verdict verdict;
    enum source source;
    int is_late; /* see validate_result */
    int asked;   /* the provider was asked: the next fields count */
    int http_status;
    int64_t code, subcode;
    char rule[RULE_NAME_BYTES];
    char message[256];
};
struct report_list {
    struct account_report *items; /* heap; report_list_fini */
    int count, cap;
};
void report_list_fini(struct report_list *list);

/** How somebody wants accounts validated. deadline_mono_ms: see validate_options; accounts that it cuts off are in the answer, is_late. */
struct service_terms {
    int force; /* not from the cache */
    int64_t deadline_mono_ms;
};
/** service_validate(…): every account of the workspace, checked concurrently. */
enum err_code service_validate(struct service *service, const char *platform, const char *workspace,
                               const struct service_terms *terms, struct report_list *out, struct err *err);
/** service_status(…): what is stored, no provider call, nothing written. */
enum err_code service_status(struct service *service, const char *platform, const char *workspace,
                             struct report_list *out, struct err *err);
/** service_account_workspace(service, account_id, platform, workspace_out, err): for access control. ERR_NOT_FOUND;
 *  ERR_BAD_INPUT when the account is of another platform. workspace_out: LIMIT_ID_BYTES. */
enum err_code service_account_workspace(struct service *service, const char *account_id, const char *platform,
                                        char *workspace_out, struct err *err);
/** service_fix(…): read, put right what is stored wrongly, ask the provider (not from the cache, until the deadline if not 0), write. ERR_NOT_FOUND;
 *  ERR_BAD_INPUT for another platform. Fixes even with enable_auto_fix off: somebody asked for it. */
enum err_code service_fix(struct service *service, const char *platform, const char *account_id,
                          int64_t deadline_mono_ms, struct account_report *out, struct err *err);
/** service_clear_cache(service, platform, account_id or NULL): one account (and its workspace's worst verdict) or everything; here at once, on
 *  other hosts within 5 s. Fails: ERR_UNAVAILABLE: the other hosts could not be told; and as service_fix does for an account. */
enum err_code service_clear_cache(struct service *service, const char *platform, const char *account_id,
                                  struct err *err);

/** A check: the hot path. */
struct check_result {
    enum state state;
    enum reason reason;
    enum action action;
    int64_t checked_at_ms;
    int64_t expires_at_ms;   /* of a workspace: of its account that ends first; 0: not known */
    uint64_t workspace_hash; /* of the account's workspace, for access control without the store */
    enum source source;
    int stale; /* older than it should be: a newer one could not be had in time */
};
/** service_check_cached(service, platform, workspace or NULL, account or NULL, out): 1 from shared memory only, else 0. */
int service_check_cached(struct service *service, const char *platform, const char *workspace, const char *account_id,
                         struct check_result *out);
/** service_check(…): from the cache, else store and provider (single flight), for [responder] check_timeout; what is not known then is
 *  answered by the store's verdict, stale. Store away: a stale entry if there is one, else ERR_UNAVAILABLE. ERR_NOT_FOUND: no such account or no account in the workspace. Exactly one of workspace, account_id. */
enum err_code service_check(struct service *service, const char *platform, const char *workspace,
                            const char *account_id, struct check_result *out, struct err *err);

/** service_guard_status(service, platform or NULL, out, &tripped, err): the mass-failure guards of this host, of one platform or of all: {success,
 *  guards: [{platform, app, state, since?, until?, burst, bad, answers}]}; tripped: how many are (NULL allowed). Owns: caller.
 *  service_guard_order(service, platform, order, by, err): for all hosts, which obey within two seconds. Fails: ERR_BAD_INPUT: no such
 *  platform; ERR_UNAVAILABLE. */
enum err_code service_guard_status(struct service *service, const char *platform, struct json **out, int *tripped,
                                   struct err *err);
enum err_code service_guard_order(struct service *service, const char *platform, enum guard_order order, const char *by,
                                  struct err *err);

/** check_lasts(result, until_ms): is the token (all the workspace's tokens) good until then? Pure. NO: it is broken, or known to expire
 *  before. NOT_KNOWN: no verdict, or no expiry is known: one that had passed when the provider accepted the token is none. */
enum lasts { LASTS_NOT_KNOWN, LASTS_YES, LASTS_NO };
enum lasts check_lasts(const struct check_result *result, int64_t until_ms);

/** service_stats(service, platform, out, err): {validator, healthChecker, monitor, accounts, providers} of DESIGN 10. Owns: caller. */
enum err_code service_stats(struct service *service, const char *platform, struct json **out, struct err *err);
/** report_to_validate_json / report_to_status_json(report): the account objects of DESIGN 10; report_health_json: `health`. Owns: caller. */
struct json *report_to_validate_json(const struct account_report *report);
struct json *report_to_status_json(const struct account_report *report);
struct json *report_health_json(const struct account_report *report);

#endif
