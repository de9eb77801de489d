/* rekey: all stored tokens under the write key; and whether an old key may go. */
#include "base/clock.h"
#include "ctl.h"
#include "health/rekey.h"
#include "token/spool.h"
#include <string.h>

enum { TELL_MS = 2000, DRAIN_MS = 60000 };

struct rekey {
    struct ctl *ctl;
    const char *drop; /* a key that is to go; nothing is written then */
    int dry_run;
    struct rekey_totals totals;
    struct spool_stat spool;
    int64_t total, told_mono_ms;
};

static void tell(void *arg, const struct rekey_totals *t)
{
    struct rekey *r = arg;
    const int64_t now_ms = clock_mono_ms();

    if (now_ms - r->told_mono_ms < TELL_MS) return;
    r->told_mono_ms = now_ms;
    fprintf(stderr, "rekey: %lld of %lld accounts, %lld %s\n", (long long)t->accounts, (long long)r->total,
            (long long)t->written, r->dry_run ? "would change" : "changed");
}

/* Of this host: what waits in the spool of another one is for that one to see. */
static int spool_is_empty(const struct rekey *r)
{
    return r->spool.records == 0 && r->spool.intents == 0 && r->spool.damaged == 0;
}

static int is_unused(const struct rekey *r, int key)
{
    return rekey_is_unused(&r->totals, key) && spool_is_empty(r);
}

static enum err_code look(struct rekey *r, struct err *err)
{
    struct service *service = r->ctl->service;
    const struct rekey_options options = {service_store(service), service_ring(service), r->dry_run, tell, r};
    struct store_counts counts;
    enum err_code rc = store_count(options.store, NULL, &counts, err);

    if (rc != ERR_OK) return rc;
    r->total = counts.total;
    r->told_mono_ms = clock_mono_ms();
    if (!r->dry_run) service_replay(service, DRAIN_MS);
    rc = spool_stat(service_spool(service), &r->spool, err);
    return rc == ERR_OK ? rekey_run(&options, &r->totals, err) : rc;
}

static struct json *keys_json(const struct rekey *r)
{
    const struct keyring *ring = service_ring(r->ctl->service);
    struct json *keys = json_object_new(), *key;

    for (int i = 0; keyring_kid(ring, i); i++) {
        key = json_object_new();
        json_set(key, "found", json_new_int(r->totals.found[i]));
        json_set(key, "left", json_new_int(r->totals.left[i]));
        if (i) json_set(key, "unused", json_new_bool(is_unused(r, i)));
        json_set(keys, keyring_kid(ring, i), key);
    }
    return keys;
}

static struct json *shut_json(const struct rekey_totals *t)
{
    struct json *list = json_array_new();

    for (int i = 0; i < REKEY_SHOWN && i < t->undecryptable; i++) {
        struct json *one = json_object_new();

        json_set(one, "accountId", json_new_string(t->shut[i].account));
        json_set(one, "field", json_new_string(t->shut[i].field));
        json_push(list, one);
    }
    return list;
}

static int show(const struct rekey *r)
{
    const struct rekey_totals *t = &r->totals;
    struct json *j = json_object_new();

    json_set(j, "dryRun", json_new_bool(r->dry_run));
    json_set(j, "complete", json_new_bool(t->is_whole));
    json_set(j, "accounts", json_new_int(t->accounts));
    json_set(j, "changed", json_new_int(t->written));
    json_set(j, "resealed", json_new_int(t->resealed));
    json_set(j, "writeKey", json_new_string(keyring_write_kid(service_ring(r->ctl->service))));
    json_set(j, "keys", keys_json(r));
    json_set(j, "plain", json_new_int(t->plain));
    json_set(j, "undecryptable", json_new_int(t->undecryptable));
    if (t->undecryptable) json_set(j, "undecryptableFirst", shut_json(t));
    json_set(j, "contended", json_new_int(t->contended));
    json_set(j, "unread", json_new_int(t->unread));
    json_set(j, "waitingInSpool", json_new_int(r->spool.records + r->spool.intents + r->spool.damaged));
    return ctl_show(r->ctl, j);
}

static int find_old_key(const struct rekey *r)
{
    const struct keyring *ring = service_ring(r->ctl->service);

    for (int i = 1; keyring_kid(ring, i); i++)
        if (!strcmp(keyring_kid(ring, i), r->drop)) return i;
    ctl_complain(strcmp(keyring_write_kid(ring), r->drop) ? "%s is no key of [encryption] old_keys"
                                                          : "%s is the key that is written with",
                 r->drop);
    return 0;
}

/* On standard error: standard output is the summary's. */
static int conclude(const struct rekey *r, int drop)
{
    const struct keyring *ring = service_ring(r->ctl->service);
    const struct rekey_totals *t = &r->totals;

    for (int i = 1; keyring_kid(ring, i); i++) {
        if (drop && i != drop) continue;
        if (is_unused(r, i))
            fprintf(stderr, "rekey: %s is used no more: take it out of [encryption] old_keys on every host\n",
                    keyring_kid(ring, i));
        else if (t->left[i])
            fprintf(stderr, "rekey: %s is in use by %lld tokens: it has to stay\n", keyring_kid(ring, i),
                    (long long)t->left[i]);
        else
            fprintf(stderr, "rekey: %s has to stay: not everything could be looked at\n", keyring_kid(ring, i));
    }
    if (drop) return is_unused(r, drop) ? EXIT_DONE : EXIT_FINDINGS;
    if (t->contended) return EXIT_FAILED;
    return t->undecryptable || t->unread || !spool_is_empty(r) ? EXIT_FINDINGS : EXIT_DONE;
}

static int run(struct rekey *r)
{
    struct err err = {0};
    enum err_code rc;
    int drop = 0, status;

    if (!ctl_service(r->ctl) || (r->drop && !(drop = find_old_key(r)))) return EXIT_FAILED;
    rc = look(r, &err);
    status = show(r);
    if (rc != ERR_OK) {
        ctl_fail(&err);
        return ctl_complain("run it again: it passes over what is done");
    }
    return status == EXIT_DONE ? conclude(r, drop) : status;
}

int cmd_rekey(struct ctl *ctl, int argc, char **argv)
{
    static const struct option options[] = {
        {"dry-run", no_argument, NULL, 'n'}, {"drop", required_argument, NULL, 'd'}, CTL_OPTIONS};
    struct rekey r = {.ctl = ctl};
    int opt;

    while ((opt = ctl_getopt(ctl, argc, argv, "nd:" CTL_LETTERS, options)) != -1) {
        if (opt == '?') return ctl_usage(ctl);
        if (opt == 'd') r.drop = optarg;
        r.dry_run = 1;
    }
    return optind == argc ? run(&r) : ctl_usage(ctl);
}
