/* monitor: its settings and statistics, and a sweep now; from a shell. */
#include "ctl.h"
#include "health/settings.h"
#include <pwd.h>
#include <string.h>
#include <unistd.h>

static const char *asker(char out[64])
{
    const struct passwd *user = getpwuid(getuid());

    if (user)
        snprintf(out, 64, "user %.58s", user->pw_name);
    else
        snprintf(out, 64, "user #%u", (unsigned)getuid());
    return out;
}

static int get(struct ctl *ctl)
{
    struct json *told = NULL;
    struct err err = {0};

    if (!ctl_service(ctl)) return EXIT_FAILED;
    return service_monitor(ctl->service, &told, &err) == ERR_OK ? ctl_show(ctl, told) : ctl_fail(&err);
}

/* KEY=VALUE, or KEY=default: no longer set. */
static int parse(int argc, char **argv, struct json *changes)
{
    for (int i = 0; i < argc; i++) {
        char *equals = strchr(argv[i], '=');

        if (!equals || equals == argv[i]) {
            ctl_complain("%s: KEY=VALUE is expected", argv[i]);
            return 0;
        }
        *equals = '\0';
        json_set(changes, argv[i], strcmp(equals + 1, "default") ? json_new_string(equals + 1) : NULL);
    }
    return 1;
}

static int set(struct ctl *ctl, int argc, char **argv)
{
    struct json *changes = json_object_new();
    char by[64];
    const struct settings_wish wish = {.changes = changes, .by = asker(by), .as_text = 1};
    struct err err = {0};
    int status = EXIT_USAGE;

    if (parse(argc, argv, changes)) {
        status = EXIT_FAILED;
        if (ctl_service(ctl) && service_change_settings(ctl->service, &wish, &err) == ERR_OK) status = get(ctl);
        if (err.code) ctl_fail(&err);
    }
    json_free(changes);
    return status;
}

static int sweep(struct ctl *ctl)
{
    struct err err = {0};
    char by[64];
    int64_t id = 0;
    struct json *j;

    if (!ctl_service(ctl)) return EXIT_FAILED;
    if (service_ask_sweep(ctl->service, asker(by), &id, &err) != ERR_OK) return ctl_fail(&err);
    j = json_object_new();
    json_set(j, "success", json_new_bool(1));
    json_set(j, "id", json_new_int(id));
    return ctl_show(ctl, j);
}

int cmd_monitor(struct ctl *ctl, int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    int rest;

    if (argc < 2 || !ctl_no_options(ctl, argc - 1, argv + 1)) return ctl_usage(ctl);
    rest = argc - 1 - optind;
    if (!strcmp(verb, "get") && !rest) return get(ctl);
    if (!strcmp(verb, "set") && rest) return set(ctl, rest, argv + 1 + optind);
    if (!strcmp(verb, "sweep") && !rest) return sweep(ctl);
    return ctl_usage(ctl);
}
