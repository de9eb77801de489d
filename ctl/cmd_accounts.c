/* status, validate, fix, clear-cache: the use cases of the API from a shell. */
#include "base/clock.h"
#include "ctl.h"
#include "token/opener.h"

struct arguments {
    const char *workspace, *account, *platform;
    int force;
};

static int read_arguments(struct ctl *ctl, int argc, char **argv, struct arguments *a)
{
    static const struct option options[] = {{"workspace", required_argument, NULL, 'w'},
                                            {"account", required_argument, NULL, 'a'},
                                            {"platform", required_argument, NULL, 'p'},
                                            {"force", no_argument, NULL, 'f'},
                                            CTL_OPTIONS};
    int opt;

    *a = (struct arguments){.platform = "instagram"};
    while ((opt = ctl_getopt(ctl, argc, argv, "w:a:p:f" CTL_LETTERS, options)) != -1) {
        if (opt == 'w') a->workspace = optarg;
        if (opt == 'a') a->account = optarg;
        if (opt == 'p') a->platform = optarg;
        if (opt == 'f') a->force = 1;
        if (opt == '?') return 0;
    }
    return optind == argc;
}

#define COLUMNS "%-26s %-20s %-12s %-18s %-18s %s"

static void print_line(const struct account_report *r)
{
    char checked[CLOCK_ISO_BYTES] = "never", username[LIMIT_NAME_BYTES];
    const struct verdict *v = &r->verdict;

    if (v->checked_at_ms) clock_format(v->checked_at_ms, checked);
    printf(COLUMNS "%s%s%s\n", r->id, r->username[0] ? ctl_printable(r->username, username, sizeof username) : "-",
           state_word(v->state), v->reason == REASON_NONE ? "-" : reason_word(v->reason), action_word(v->action),
           checked, r->fixed ? "  (stored fields put right)" : "", v->attempt_reason ? "  last attempt: " : "",
           v->attempt_reason ? reason_word(v->attempt_reason) : "");
}

static int print_list(const struct ctl *ctl, const struct report_list *list,
                      struct json *(*to_json)(const struct account_report *))
{
    struct json *all = ctl->json ? json_array_new() : NULL;
    int status = EXIT_DONE;

    if (!ctl->json && list->count) printf(COLUMNS "\n", "account", "username", "state", "reason", "action", "checked");
    for (int i = 0; i < list->count; i++) {
        if (list->items[i].verdict.state == STATE_BROKEN) status = EXIT_FINDINGS;
        if (ctl->json)
            json_push(all, to_json(&list->items[i]));
        else
            print_line(&list->items[i]);
    }
    if (!ctl->json && list->count == 0) puts("no accounts");
    if (ctl->json && ctl_print(all) != EXIT_DONE) status = EXIT_FAILED;
    return status;
}

static int check_platform(struct service *service, const char *platform)
{
    if (provider_find(service_providers(service), platform)) return 1;
    ctl_complain("there is no provider file for the platform \"%s\"", platform);
    return 0;
}

int cmd_status(struct ctl *ctl, int argc, char **argv)
{
    struct report_list list = {0};
    struct err err = {0};
    struct arguments a;
    int status;

    if (!read_arguments(ctl, argc, argv, &a) || !a.workspace) return ctl_usage(ctl);
    if (!ctl_service(ctl) || !check_platform(ctl->service, a.platform)) return EXIT_FAILED;
    if (service_status(ctl->service, a.platform, a.workspace, &list, &err) == ERR_OK)
        status = print_list(ctl, &list, report_to_status_json);
    else
        status = ctl_fail(&err);
    report_list_fini(&list);
    return status;
}

int cmd_validate(struct ctl *ctl, int argc, char **argv)
{
    struct report_list list = {0};
    struct err err = {0};
    struct arguments a;
    int status;

    if (!read_arguments(ctl, argc, argv, &a) || !a.workspace) return ctl_usage(ctl);
    if (!ctl_service(ctl) || !check_platform(ctl->service, a.platform)) return EXIT_FAILED;
    validator_spread(service_validator(ctl->service), opener_cores());
    if (service_validate(ctl->service, a.platform, a.workspace, &(struct service_terms){.force = a.force}, &list,
                         &err) == ERR_OK)
        status = print_list(ctl, &list, report_to_validate_json);
    else
        status = ctl_fail(&err);
    report_list_fini(&list);
    return status;
}

int cmd_fix(struct ctl *ctl, int argc, char **argv)
{
    struct account_report report = {0};
    struct err err = {0};
    struct arguments a;
    int status = EXIT_DONE;

    if (!read_arguments(ctl, argc, argv, &a) || !a.account) return ctl_usage(ctl);
    if (!ctl_service(ctl) || !check_platform(ctl->service, a.platform)) return EXIT_FAILED;
    if (service_fix(ctl->service, a.platform, a.account, 0, &report, &err) != ERR_OK) return ctl_fail(&err);
    if (ctl->json)
        status = ctl_print(report_to_validate_json(&report));
    else
        print_line(&report);
    return status == EXIT_DONE && report.verdict.state == STATE_BROKEN ? EXIT_FINDINGS : status;
}

int cmd_clear_cache(struct ctl *ctl, int argc, char **argv)
{
    struct err err = {0};
    struct arguments a;

    if (!read_arguments(ctl, argc, argv, &a)) return ctl_usage(ctl);
    if (!ctl_service(ctl)) return EXIT_FAILED;
    if (service_clear_cache(ctl->service, a.platform, a.account, &err) != ERR_OK) return ctl_fail(&err);
    if (ctl->json) {
        struct json *j = json_object_new();

        json_set(j, "success", json_new_bool(1));
        json_set(j, "accountId", json_new_string(a.account));
        return ctl_print(j);
    }
    puts(a.account ? "the account's verdict is forgotten" : "all verdicts are forgotten");
    return EXIT_DONE;
}

int cmd_stats(struct ctl *ctl, int argc, char **argv)
{
    struct json *stats = NULL;
    struct err err = {0};
    struct arguments a;

    if (!read_arguments(ctl, argc, argv, &a)) return ctl_usage(ctl);
    if (!ctl_service(ctl)) return EXIT_FAILED;
    if (service_stats(ctl->service, a.platform, &stats, &err) != ERR_OK) return ctl_fail(&err);
    return ctl_show(ctl, stats);
}
