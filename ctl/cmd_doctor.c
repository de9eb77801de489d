#include "doctor.h"
#include <errno.h>
#include <unistd.h>

void doctor_tell(struct checkup *c, enum finding_level level, const char *what, const char *text, const char *advice)
{
    static const char *const words[] = {"ok", "warn", "bad"};
    struct json *one;

    if (level == FINDING_BAD) c->bad = 1;
    if (level == FINDING_OK) advice = NULL;
    if (!c->list) {
        printf("%-4s %-14s %s\n", level == FINDING_BAD ? "BAD" : words[level], what, text);
        if (advice) printf("%-4s %-14s → %s\n", "", "", advice);
        return;
    }
    one = json_object_new();
    json_set(one, "check", json_new_string(what));
    json_set(one, "ok", json_new_bool(level != FINDING_BAD));
    json_set(one, "level", json_new_string(words[level]));
    json_set(one, "text", json_new_string(text));
    json_set(one, "advice", json_new_string(advice));
    json_push(c->list, one);
}

int doctor_result(struct checkup *c, const char *what, enum err_code rc, const struct err *err, const char *good,
                  const char *advice)
{
    char text[ERR_PLACE_MAX + ERR_TEXT_MAX + 4];

    snprintf(text, sizeof text, "%s%s%s", err->place, err->place[0] ? ": " : "", err->text);
    doctor_tell(c, rc == ERR_OK ? FINDING_OK : FINDING_BAD, what, rc == ERR_OK ? good : text, advice);
    return rc == ERR_OK;
}

void doctor_access_advice(const char *path, const char *otherwise, char *advice, size_t size)
{
    char owner[64];

    if (access(path, R_OK) != 0 && errno == EACCES && ctl_owner_name(path, owner, sizeof owner))
        snprintf(advice, size,
                 "%s belongs to %s: run this as that user (sudo -u %s token-healthctl …); if the service runs as "
                 "another, give the file to that one with chown",
                 path, owner, owner);
    else
        snprintf(advice, size, "%s", otherwise);
}

static void warn_of_variable(void *arg, const char *name)
{
    char text[200];

    snprintf(text, sizeof text, "%s names no key", name);
    doctor_tell(arg, FINDING_WARN, "environment", text, "correct its name, unless it is meant for something else");
}

static int check_configuration(struct checkup *c)
{
    struct ctl *ctl = c->ctl;
    struct err err = {0};
    enum err_code rc = config_load(ctl->config_path, &ctl->cfg, &err);
    int is_missing = rc != ERR_OK && access(ctl->config_path, F_OK) != 0 && errno == ENOENT;

    if (!doctor_result(c, "configuration", rc, &err, ctl->config_path,
                       is_missing ? "name another with --config FILE, or make it: make install does, and "
                                    "token-healthctl config prints a sample"
                                  : "correct it at this place; token-health.conf(5) has all keys"))
        return 0;
    config_stray_variables(warn_of_variable, c);
    return 1;
}

/* Root would make the segment and the database, and the service could not open them. */
static int open_service(struct checkup *c)
{
    struct ctl *ctl = c->ctl;
    struct err err = {0};
    char owner[64], advice[512], segment[256];
    enum err_code rc;

    if (ctl_foreign_owner(ctl_state_file(ctl->cfg), owner, sizeof owner)) {
        snprintf(advice, sizeof advice, "sudo -u %s token-healthctl doctor looks at them too", owner);
        doctor_tell(c, FINDING_WARN, "parts", "not opened: what root makes, the service could not open", advice);
        return 0;
    }
    rc = service_open(ctl->cfg, &ctl->service, &err);
    snprintf(segment, sizeof segment, "/dev/shm%.200s", ctl->cfg->cache_name);
    doctor_access_advice(segment, "nothing runs without this part; correct it first", advice, sizeof advice);
    return doctor_result(c, "parts", rc, &err, "key ring, cache, providers and store are open", advice);
}

static void check_all(struct checkup *c)
{
    if (!check_configuration(c)) return;
    doctor_files(c);
    doctor_keys(c);
    doctor_clock(c);
    if (open_service(c)) {
        doctor_store(c);
        doctor_tokens(c);
        doctor_cache(c);
        doctor_providers(c);
        doctor_monitor(c);
    }
    doctor_responder(c);
}

int cmd_doctor(struct ctl *ctl, int argc, char **argv)
{
    struct checkup c = {.ctl = ctl};
    int status = EXIT_DONE;

    if (!ctl_no_options(ctl, argc, argv) || optind < argc) return ctl_usage(ctl);
    if (ctl->json) c.list = json_array_new();
    check_all(&c);
    if (ctl->json) status = ctl_print(c.list);
    return status == EXIT_DONE && c.bad ? EXIT_FINDINGS : status;
}
