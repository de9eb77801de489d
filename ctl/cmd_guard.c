/* guard: the mass-failure guard. */
#include "cache/guard_rule.h"
#include "ctl.h"
#include <pwd.h>
#include <string.h>
#include <unistd.h>

static void print_guard(const struct json *guard)
{
    const char *since = json_string(json_member(guard, "since")), *until = json_string(json_member(guard, "until"));
    int64_t bad = 0, answers = 0;

    json_int(json_member(guard, "bad"), &bad);
    json_int(json_member(guard, "answers"), &answers);
    printf("%-12s %-12s %-10s %10lld %10lld  %s%s\n", json_string(json_member(guard, "platform")),
           json_string(json_member(guard, "app")), json_string(json_member(guard, "state")), (long long)bad,
           (long long)answers,
           since   ? "since "
           : until ? "until "
                   : "",
           since   ? since
           : until ? until
                   : "");
}

static int print_status(struct ctl *ctl, const char *platform)
{
    struct json *status = NULL;
    const struct json *guards;
    struct err err = {0};
    int tripped = 0, printed = EXIT_DONE;

    if (service_guard_status(ctl->service, platform, &status, &tripped, &err) != ERR_OK) return ctl_fail(&err);
    guards = json_member(status, "guards");
    if (!ctl->json) printf("%-12s %-12s %-10s %10s %10s\n", "platform", "app", "state", "bad", "answers");
    for (size_t i = 0; !ctl->json && i < json_count(guards); i++)
        print_guard(json_at(guards, i));
    if (ctl->json)
        printed = ctl_print(status);
    else
        json_free(status);
    return printed == EXIT_DONE && tripped ? EXIT_FINDINGS : printed;
}

static int give(struct ctl *ctl, const char *platform, enum guard_order order)
{
    const struct passwd *user = getpwuid(getuid());
    struct err err = {0};
    char by[64];

    snprintf(by, sizeof by, "user %s", user ? user->pw_name : "without a name");
    return service_guard_order(ctl->service, platform, order, by, &err) == ERR_OK ? EXIT_DONE : ctl_fail(&err);
}

/* To whom it is not said otherwise: where the guard has tripped, as far as this host knows. */
static int give_all(struct ctl *ctl, enum guard_order order)
{
    struct json *status = NULL;
    const struct json *guards;
    struct err err = {0};
    int tripped = 0, result = EXIT_DONE;

    if (service_guard_status(ctl->service, NULL, &status, &tripped, &err) != ERR_OK) return ctl_fail(&err);
    guards = json_member(status, "guards");
    for (size_t i = 0; i < json_count(guards) && result == EXIT_DONE; i++)
        if (!strcmp(json_string(json_member(json_at(guards, i), "state")), guard_mode_word(GUARD_TRIPPED)))
            result = give(ctl, json_string(json_member(json_at(guards, i), "platform")), order);
    json_free(status);
    return tripped ? result : ctl_complain("no guard of this host has tripped: name the --platform");
}

int cmd_guard(struct ctl *ctl, int argc, char **argv)
{
    static const struct option options[] = {{"platform", required_argument, NULL, 'p'}, CTL_OPTIONS};
    const char *platform = NULL;
    enum guard_order order;
    int opt, is_order, result;

    while ((opt = ctl_getopt(ctl, argc, argv, "p:" CTL_LETTERS, options)) != -1) {
        if (opt == 'p') platform = optarg;
        if (opt == '?') return ctl_usage(ctl);
    }
    if (optind + 1 != argc) return ctl_usage(ctl);
    is_order = guard_order_parse(argv[optind], &order);
    if (!is_order && strcmp(argv[optind], "status") != 0) return ctl_usage(ctl);
    if (!ctl_service(ctl)) return EXIT_FAILED;
    if (!is_order) return print_status(ctl, platform);
    result = platform ? give(ctl, platform, order) : give_all(ctl, order);
    if (result != EXIT_DONE) return result;
    print_status(ctl, platform);
    return EXIT_DONE;
}
