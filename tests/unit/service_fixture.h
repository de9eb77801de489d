/* A whole service for a test: a store, a segment of shared memory and a provider of its own. */
#ifndef TH_SERVICE_FIXTURE_H
#define TH_SERVICE_FIXTURE_H
#include "account_fixture.h"
#include "cache/budget.h"
#include "health/report.h"
#include "health/service.h"
#include "http_double.h"
#include "store_fixture.h"
#include <sys/stat.h>

struct service_fixture {
    struct store_fixture store; /* the application's own connection */
    struct http_double provider;
    char conf[128], cache_name[64];
    struct config *cfg;
    struct service *service;
};

/* Of a provider call; long, as the machine may be busy. */
static int service_fixture_timeout_ms = 10000;

/** service_fixture_open(f, settings): settings: lines that end the configuration file, whose last section is [cache]; "" for none. */
static inline void service_fixture_open(struct service_fixture *f, const char *settings)
{
    struct err err = {0};
    FILE *conf;

    *f = (struct service_fixture){.service = NULL};
    store_fixture_open(&f->store);
    double_start(&f->provider);
    snprintf(f->conf, sizeof f->conf, "%s/conf", f->store.dir);
    snprintf(f->cache_name, sizeof f->cache_name, "/token-health-test-%d", (int)getpid());
    conf = fopen(f->conf, "w");
    assert_non_null(conf);
    fchmod(fileno(conf), 0600);
    fprintf(conf,
            "[store]\nuri = %s\ntimeout = 500ms\n[encryption]\nkey = " FIXTURE_KEY "\nglobal_salt = " FIXTURE_SALT
            "\nkdf_iterations = %d\n[provider]\ndirectory = shared/providers\noverride_directory = %s\n"
            "sandbox_url = http://127.0.0.1:%d\nconnect_timeout = 3s\ntimeout = %dms\n[spool]\npath = "
            "%s/spool/tokens.spool\n[cache]\nname = %s\nentries = 1024\n%s",
            f->store.uri, FIXTURE_KDF, f->store.dir, f->provider.port, service_fixture_timeout_ms, f->store.dir,
            f->cache_name, settings);
    fclose(conf);
    if (config_load(f->conf, &f->cfg, &err) != ERR_OK) fail_msg("config_load: %s: %s", err.place, err.text);
    unlink(f->conf);
    cache_unlink(f->cache_name, NULL);
    if (service_open(f->cfg, &f->service, &err) != ERR_OK) fail_msg("service_open: %s: %s", err.place, err.text);
}

static inline void service_fixture_close(struct service_fixture *f)
{
    service_close(f->service);
    config_free(f->cfg);
    cache_unlink(f->cache_name, NULL);
    double_stop(&f->provider);
    snprintf(f->conf, sizeof f->conf, "%s/spool/tokens.spool", f->store.dir);
    unlink(f->conf);
    snprintf(f->conf, sizeof f->conf, "%s/spool", f->store.dir);
    rmdir(f->conf);
    store_fixture_close(&f->store);
}

/** service_fixture_put(f, members): an account as the application would write it (fixture_doc). */
static inline void service_fixture_put(struct service_fixture *f, const char *members)
{
    struct json *doc = fixture_doc(members);

    store_fixture_put(&f->store, doc);
    json_free(doc);
}

/** service_fixture_change(f, id, field, value): one field, as the application would; value NULL: removed. */
static inline void service_fixture_change(struct service_fixture *f, const char *id, const char *field,
                                          const char *value)
{
    struct json *doc = store_fixture_doc(&f->store, id);

    json_remove(doc, field);
    if (value) {
        struct json *given = fixture_json(value);

        json_set(doc, field, fixture_filled(given));
        json_free(given);
    }
    store_fixture_put(&f->store, doc);
    json_free(doc);
}

/** The result of one validation, kept. */
struct kept_result {
    int calls; /* of the callback */
    struct account_report report;
    struct validate_result result; /* its pointers are not valid any more */
};

static inline void keep_result(void *arg, const struct validate_result *r)
{
    struct kept_result *kept = arg;

    kept->calls++;
    kept->result = *r;
    report_from_result(r, &kept->report);
}

static inline void service_fixture_submit(struct service_fixture *f, const char *id,
                                          const struct validate_options *options, struct kept_result *kept)
{
    struct account account = store_fixture_get(&f->store, id);
    struct err err = {0};

    memset(kept, 0, sizeof *kept);
    if (validator_submit(service_validator(f->service), &account, options, keep_result, kept, &err) != ERR_OK)
        fail_msg("validator_submit: %s", err.text);
}

/** service_fixture_validate(f, id, options): through the pipeline, to its end. */
static inline struct kept_result service_fixture_validate(struct service_fixture *f, const char *id,
                                                          const struct validate_options *options)
{
    struct kept_result kept;

    service_fixture_submit(f, id, options, &kept);
    validator_finish(service_validator(f->service));
    assert_int_equal(kept.calls, 1);
    return kept;
}

/** service_fixture_answers(f): the provider counts as one that answers: what failed before has opened no breaker. */
static inline void service_fixture_answers(struct service_fixture *f)
{
    budget_report(service_cache(f->service), "graph.instagram.com", &(struct budget_event){BUDGET_ANSWERED, -1, 0});
}

/** service_fixture_text(f, id, path): a text of the stored document, "" if there is none; valid until the next call. */
static inline const char *service_fixture_text(struct service_fixture *f, const char *id, const char *path)
{
    static char text[256];
    struct json *doc = store_fixture_doc(&f->store, id);
    const char *value = json_string(json_get(doc, path));

    snprintf(text, sizeof text, "%s", value ? value : "");
    json_free(doc);
    return text;
}

/** service_fixture_needs(f, id): needsReconnection as stored: 1, 0, or -1 if absent. */
static inline int service_fixture_needs(struct service_fixture *f, const char *id)
{
    struct json *doc = store_fixture_doc(&f->store, id);
    int needs = -1;

    json_bool(json_member(doc, "needsReconnection"), &needs);
    json_free(doc);
    return needs;
}

/** service_fixture_token(f, id): which of the tests' tokens encryptedAccessToken holds; "" none. */
static inline const char *service_fixture_token(struct service_fixture *f, const char *id)
{
    static const char *const tokens[] = {TOKEN_ONE, TOKEN_TWO, TOKEN_NEW};
    struct json *doc = store_fixture_doc(&f->store, id);
    const char *found = "";

    for (int i = 0; i < 3; i++)
        if (fixture_opens(json_member(doc, "encryptedAccessToken"), tokens[i])) found = tokens[i];
    json_free(doc);
    return found;
}

#endif
