#include "doctor.h"

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

static void check_all(struct checkup *c)
{
    struct ctl *ctl = c->ctl;
    struct err err = {0};
    enum err_code rc = config_load(ctl->config_path, &ctl->cfg, &err);

    if (!doctor_result(c, "configuration", rc, &err, ctl->config_path,
                       "correct it at this place; token-health.conf(5) has all keys"))
        return;
    doctor_files(c);
    doctor_keys(c);
    doctor_clock(c);
    rc = service_open(ctl->cfg, &ctl->service, &err);
    if (doctor_result(c, "parts", rc, &err, "key ring, cache, providers and store are open",
                      "nothing runs without this part; correct it first")) {
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
