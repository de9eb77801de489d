#include "ctl.h"
#include <errno.h>
#include <getopt.h>
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

static int read_question(int argc, char **argv, struct question *q)
{
    static const struct option options[] = {
        {"platform", required_argument, NULL, 'p'}, {"status", required_argument, NULL, 's'},
        {"login", required_argument, NULL, 'l'},    {"kind", required_argument, NULL, 'k'},
        {"header", required_argument, NULL, 'H'},   {NULL, 0, NULL, 0}};
    char *end = NULL;
    long status = 0;
    int opt, good = 1;

    while ((opt = getopt_long(argc, argv, "p:s:l:k:H:", options, NULL)) != -1) {
        if (opt == 'p') q->platform = optarg;
        if (opt == 'l') q->login = optarg;
        if (opt == 's') status = strtol(optarg, &end, 10);
        if (opt == 'k') good &= request_kind_parse(optarg, &q->kind);
        if (opt == 'H') good &= add_header(&q->answer, optarg);
        if (opt == '?') return 0;
    }
    q->answer.status = (int)status;
    return good && q->platform && end && *end == '\0' && status >= 100 && status <= 599 && argc - optind <= 1;
}

static int explain(const struct ctl *ctl, const struct login *login, const struct question *q)
{
    struct finding f = {0};
    struct json *j = json_object_new();
    enum reason_class class;
    struct verdict before = {0}, after;
    struct observation obs = {0};
    struct verdict_settings settings = {.confirmations = 1};

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
    if (f.message[0]) json_set(j, "message", json_new_string(f.message));
    finding_fini(&f);
    if (ctl->json) return ctl_print(j);
    printf("reason %s\nclass  %s\nstate  %s\naction %s\nrule   %s\n", json_string(json_member(j, "reason")),
           json_string(json_member(j, "class")), json_string(json_member(j, "state")),
           json_string(json_member(j, "action")), json_string(json_member(j, "rule")));
    json_free(j);
    return EXIT_DONE;
}

int cmd_explain(struct ctl *ctl, int argc, char **argv)
{
    struct question q = {.kind = REQUEST_VALIDATE, .answer.outcome = HTTP_ANSWERED};
    struct provider_set *set = NULL;
    const struct provider *provider;
    const struct login *login = NULL;
    struct secret none = {0};
    struct buf body = {0};
    struct err err = {0};
    FILE *stream = stdin;
    int status = EXIT_FAILED;

    if (!read_question(argc, argv, &q)) return ctl_usage("explain");
    if (argc > optind && strcmp(argv[optind], "-") != 0) stream = fopen(argv[optind], "re");
    if (!stream) return fprintf(stderr, "token-healthctl: %s: %s\n", argv[optind], strerror(errno)), EXIT_FAILED;
    if (provider_set_load(ctl->cfg->provider_directory, ctl->cfg->provider_override_directory, &set, &err) != ERR_OK ||
        ctl_read(stream, LIMIT_PROVIDER_ANSWER_BYTES, &body, &err) != ERR_OK) {
        ctl_fail(&err);
        goto out;
    }
    provider = provider_find(set, q.platform);
    if (provider) login = q.login ? provider_login_find(provider, q.login) : provider_login(provider, &none);
    if (!login) {
        fprintf(stderr, "token-healthctl: there is no such platform or login\n");
        goto out;
    }
    q.answer.body = buf_text(&body);
    q.answer.body_len = body.len;
    status = explain(ctl, login, &q);
out:
    if (stream != stdin) fclose(stream);
    buf_free(&body);
    provider_set_free(set);
    return status;
}
