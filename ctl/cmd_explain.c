#include "ctl.h"
#include <stdlib.h>
#include <string.h>

struct question {
    const char *platform, *login;
    enum request_kind kind;
    struct http_answer answer;
};

static int add_header(struct http_answer *answer, char *line)
{
    char *colon = strchr(line, ':');

    if (!colon || colon == line || answer->header_count == HTTP_ANSWER_HEADERS_MAX) return 0;
    *colon++ = '\0';
    colon += strspn(colon, " ");
    answer->headers[answer->header_count++] = (struct http_header){line, colon};
    return 1;
}

static int read_status(const char *text, int *status)
{
    char *end;
    long number = strtol(text, &end, 10);

    *status = (int)number;
    return *text && *end == '\0' && number >= 100 && number <= 599;
}

/* 0 after saying what is wrong with the option's value. */
static int take_option(int opt, struct question *q)
{
    if (opt == 'p') q->platform = optarg;
    if (opt == 'l') q->login = optarg;
    if (opt == 's' && !read_status(optarg, &q->answer.status)) {
        ctl_complain("--status %s: an HTTP status of 100 to 599 is expected", optarg);
        return 0;
    }
    if (opt == 'k' && !request_kind_parse(optarg, &q->kind)) {
        ctl_complain("--kind %s: validate, introspect, refresh and exchange are known", optarg);
        return 0;
    }
    if (opt == 'H' && !add_header(&q->answer, optarg)) {
        ctl_complain("--header: 'Name: value' is expected, at most %d times", HTTP_ANSWER_HEADERS_MAX);
        return 0;
    }
    return opt != '?';
}

static int read_question(struct ctl *ctl, int argc, char **argv, struct question *q)
{
    static const struct option options[] = {
        {"platform", required_argument, NULL, 'p'}, {"status", required_argument, NULL, 's'},
        {"login", required_argument, NULL, 'l'},    {"kind", required_argument, NULL, 'k'},
        {"header", required_argument, NULL, 'H'},   CTL_OPTIONS};
    int opt;

    while ((opt = ctl_getopt(ctl, argc, argv, "p:s:l:k:H:" CTL_LETTERS, options)) != -1)
        if (!take_option(opt, q)) return 0;
    return q->platform && q->answer.status && argc - optind <= 1;
}

static const struct login *find_login(const struct provider_set *set, const struct question *q)
{
    const struct provider *provider = provider_find(set, q->platform);
    struct secret none = {0};
    const struct login *login = NULL;

    if (!provider) {
        ctl_complain("there is no provider file for the platform \"%s\"", q->platform);
        return NULL;
    }
    login = q->login ? provider_login_find(provider, q->login) : provider_login(provider, &none);
    if (!login) ctl_complain("%s has no login \"%s\"", q->platform, q->login);
    if (login && !login_has_request(login, q->kind)) {
        ctl_complain("the login \"%s\" of %s has no request %s", login_name(login), q->platform,
                     request_kind_word(q->kind));
        return NULL;
    }
    return login;
}

static void put_details(struct json *j, const struct finding *f)
{
    if (f->code) json_set(j, "code", json_new_int(f->code));
    if (f->subcode) json_set(j, "subcode", json_new_int(f->subcode));
    if (f->retry_after_s) json_set(j, "retryAfterSeconds", json_new_int(f->retry_after_s));
    if (f->message[0]) json_set(j, "message", json_new_string(f->message));
}

static struct json *explanation(const struct login *login, const struct question *q)
{
    struct finding f = {0};
    struct json *j = json_object_new();
    struct verdict before = {0}, after;
    struct observation obs = {0};
    struct verdict_settings settings = {.confirmations = 1};
    enum reason_class class;

    login_classify(login, q->kind, &q->answer, &f);
    class = reason_class(f.reason);
    obs.reason = f.reason;
    verdict_decide(&before, &obs, &(struct moment){.at_ms = 1}, &settings, &after);
    json_set(j, "platform", json_new_string(q->platform));
    json_set(j, "login", json_new_string(login_name(login)));
    json_set(j, "reason", json_new_string(reason_word(f.reason)));
    json_set(j, "class", json_new_string(reason_class_word(class)));
    json_set(j, "state", json_new_string(class == CLASS_INCONCLUSIVE ? "unchanged" : state_word(after.state)));
    json_set(j, "action", json_new_string(action_word(reason_action(f.reason))));
    json_set(j, "rule", json_new_string(f.rule));
    put_details(j, &f);
    finding_fini(&f);
    return j;
}

static int explain(const struct ctl *ctl, struct question *q, FILE *stream)
{
    struct provider_set *set = NULL;
    const struct login *login;
    struct buf body = {0};
    struct err err = {0};
    int status = EXIT_FAILED;

    if (provider_set_load(ctl->cfg->provider_directory, ctl->cfg->provider_override_directory, &set, &err) != ERR_OK ||
        ctl_read(stream, LIMIT_PROVIDER_ANSWER_BYTES, &body, &err) != ERR_OK) {
        ctl_fail(&err);
    } else if ((login = find_login(set, q))) {
        q->answer.body = buf_text(&body);
        q->answer.body_len = body.len;
        status = ctl_show(ctl, explanation(login, q));
    }
    buf_free(&body);
    provider_set_free(set);
    return status;
}

int cmd_explain(struct ctl *ctl, int argc, char **argv)
{
    struct question q = {.kind = REQUEST_VALIDATE, .answer.outcome = HTTP_ANSWERED};
    FILE *stream;
    int status;

    if (!read_question(ctl, argc, argv, &q)) return ctl_usage(ctl);
    if (!ctl_open(argv[optind], &stream)) return EXIT_FAILED;
    status = explain(ctl, &q, stream);
    ctl_close(stream);
    return status;
}
