#include "base/log.h"
#include "health/report.h"
#include "health/service_private.h"
#include "health/watch.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a workspace ---- */

/* The accounts of one workspace on their way through the pipeline: each begins as it is read, so that only those under way are in
 * memory. */
struct gathering {
    struct service *service;
    const struct validate_options *options;
    struct gathered *jobs;   /* LIMIT_WORKSPACE_ACCOUNTS */
    struct report_list *out; /* one report an account, in the same order */
    int late;
    enum err_code rc;
    struct err *err;
};
struct gathered {
    struct gathering *g;
    int index;
};

static void gathered_done(void *arg, const struct validate_result *r)
{
    struct gathered *one = arg;

    report_from_result(r, &one->g->out->items[one->index]);
    one->g->late += r->is_late;
}

static int gather(void *arg, struct account *account)
{
    struct gathering *g = arg;
    struct validator *v = service_validator(g->service);
    struct gathered *one = &g->jobs[g->out->count];

    *one = (struct gathered){g, g->out->count};
    while (validator_active(v) >= service_config(g->service)->responder_concurrency)
        validator_run(v, 1000);
    g->rc = report_push(g->out) ? validator_submit(v, account, g->options, gathered_done, one, g->err)
                                : err_set(g->err, ERR_NOMEM, NULL, "no memory for the answers");
    if (g->rc != ERR_OK) account_fini(account);
    return g->rc == ERR_OK;
}

static enum err_code run_workspace(struct gathering *g, const char *platform, const char *workspace, struct err *err)
{
    enum err_code rc =
        store_find_workspace(service_store(g->service), platform, workspace, LIMIT_WORKSPACE_ACCOUNTS, gather, g, err);

    validator_finish(service_validator(g->service)); /* also after a failure: the jobs point into our memory */
    if (rc == ERR_UNAVAILABLE) counter_add(service_cache(g->service), COUNT_store_errors, 1);
    return rc == ERR_OK ? g->rc : rc;
}

struct validate_options service_options(const struct config *cfg, const struct service_terms *terms)
{
    return (struct validate_options){.force = terms->force,
                                     .fix = cfg->enable_auto_fix,
                                     .refresh = cfg->enable_auto_refresh,
                                     .deadline_mono_ms = terms->deadline_mono_ms};
}

enum err_code service_validate(struct service *service, const char *platform, const char *workspace,
                               const struct service_terms *terms, struct report_list *out, struct err *err)
{
    struct validate_options options = service_options(service_config(service), terms);
    struct gathering g = {.service = service, .options = &options, .out = out, .err = err};
    enum err_code rc;

    g.jobs = calloc(LIMIT_WORKSPACE_ACCOUNTS, sizeof *g.jobs);
    if (!g.jobs) return err_set(err, ERR_NOMEM, workspace, "no memory for its accounts");
    rc = run_workspace(&g, platform, workspace, err);
    if (g.late)
        log_warn("TOKEN HEALTH", "the time was over before all accounts were checked", LOG_S("workspace", workspace),
                 LOG_I("accounts", out->count), LOG_I("late", g.late));
    free(g.jobs);
    return rc;
}

static int report_stored(void *arg, struct account *account)
{
    struct report_list *out = arg;
    struct account_report *report = report_push(out);

    if (report) report_from_account(account, report);
    account_fini(account);
    return report != NULL;
}

enum err_code service_status(struct service *service, const char *platform, const char *workspace,
                             struct report_list *out, struct err *err)
{
    enum err_code rc = store_find_workspace(service_store(service), platform, workspace, LIMIT_WORKSPACE_ACCOUNTS,
                                            report_stored, out, err);

    if (rc == ERR_UNAVAILABLE) counter_add(service_cache(service), COUNT_store_errors, 1);
    return rc;
}

/* ---- one account ---- */

enum err_code service_find_account(struct service *service, const char *account_id, const char *platform,
                                   struct account *account, struct err *err)
{
    enum err_code rc = store_find_account(service_store(service), account_id, account, err);

    if (rc == ERR_UNAVAILABLE) counter_add(service_cache(service), COUNT_store_errors, 1);
    if (rc == ERR_OK && strcmp(account->platform, platform) != 0)
        rc = err_set(err, ERR_BAD_INPUT, account->id.text, "the account is not on the platform %s", platform);
    return rc;
}

enum err_code service_account_workspace(struct service *service, const char *account_id, const char *platform,
                                        char *workspace_out, struct err *err)
{
    struct account account = {0};
    enum err_code rc = service_find_account(service, account_id, platform, &account, err);

    /* The workspace is wanted even when the platform is another one: access comes first. */
    snprintf(workspace_out, LIMIT_ID_BYTES, "%s", account.workspace.text);
    account_fini(&account);
    return rc;
}

struct single {
    struct account_report *out;
    enum err_code *store_error;
};

static void single_done(void *arg, const struct validate_result *r)
{
    struct single *one = arg;

    report_from_result(r, one->out);
    *one->store_error = r->store_error;
}

enum err_code service_validate_account(struct service *service, struct account *account,
                                       const struct validate_options *options, struct account_report *report,
                                       enum err_code *store_error, struct err *err)
{
    struct validator *v = service_validator(service);
    struct single one = {report, store_error};
    enum err_code rc = validator_submit(v, account, options, single_done, &one, err);

    if (rc == ERR_OK) validator_finish(v);
    return rc;
}

enum err_code service_fix(struct service *service, const char *platform, const char *account_id,
                          int64_t deadline_mono_ms, struct account_report *out, struct err *err)
{
    struct validate_options options = {.force = 1,
                                       .fix = 1,
                                       .refresh = service_config(service)->enable_auto_refresh,
                                       .deadline_mono_ms = deadline_mono_ms};
    struct account account = {0};
    enum err_code store_error = ERR_OK, rc = service_find_account(service, account_id, platform, &account, err);

    if (rc == ERR_OK) rc = service_validate_account(service, &account, &options, out, &store_error, err);
    if (store_error == ERR_UNAVAILABLE)
        rc = err_set(err, store_error, account_id, "the account store cannot be reached; nothing was written");
    else if (store_error != ERR_OK && store_error != ERR_CONFLICT)
        rc = err_set(err, store_error, account_id, "the result could not be saved");
    account_fini(&account);
    return rc;
}

enum err_code service_clear_cache(struct service *service, const char *platform, const char *account_id,
                                  struct err *err)
{
    struct account account = {0};
    enum err_code rc;

    if (!account_id) return watch_clear(service_cache(service), service_store(service), err);
    rc = service_find_account(service, account_id, platform, &account, err);
    if (rc == ERR_OK) rc = watch_drop(service_cache(service), service_store(service), &account, err);
    account_fini(&account);
    return rc;
}
