#include "ctl.h"
#include "token/apikey.h"
#include <string.h>

static int read_request(struct ctl *ctl, int argc, char **argv, struct apikey_request *request)
{
    static const struct option options[] = {{"name", required_argument, NULL, 'n'},
                                            {"scopes", required_argument, NULL, 's'},
                                            {"workspaces", required_argument, NULL, 'w'},
                                            CTL_OPTIONS};
    int opt;

    while ((opt = ctl_getopt(ctl, argc, argv, "n:s:w:" CTL_LETTERS, options)) != -1) {
        if (opt == 'n') request->name = optarg;
        if (opt == 'w') request->workspaces = optarg;
        if (opt == '?') return 0;
        if (opt == 's' && !apikey_parse_scopes(optarg, &request->scopes)) {
            ctl_complain("--scopes %s: read, write and admin are known, separated by commas", optarg);
            return 0;
        }
    }
    return optind == argc && request->name && request->scopes;
}

static int create(struct ctl *ctl, int argc, char **argv)
{
    struct apikey_request request = {0};
    struct buf text = {0};
    struct err err = {0};
    struct json *j;
    char id[32];
    int status;

    if (!read_request(ctl, argc, argv, &request)) return ctl_usage(ctl);
    if (apikey_create(ctl->cfg->keys_file, &request, &text, id, &err) != ERR_OK) {
        status = ctl_fail(&err);
    } else if (ctl->json) {
        j = json_object_new();
        json_set(j, "id", json_new_string(id));
        json_set(j, "key", json_new_string(buf_text(&text)));
        status = ctl_print(j);
    } else {
        printf("%s\n", buf_text(&text));
        fprintf(stderr, "key %s; it is shown only now\n", id);
        status = EXIT_DONE;
    }
    buf_free(&text);
    return status;
}

static void print_words(const struct json *list)
{
    for (size_t i = 0; i < json_count(list); i++)
        printf("%s%s", i ? "," : "", json_string(json_at(list, i)));
}

static void print_key(const struct json *key)
{
    printf("%-14s %-24s ", json_string(json_member(key, "id")), json_string(json_member(key, "name")));
    print_words(json_member(key, "scopes"));
    fputs("  workspaces ", stdout);
    print_words(json_member(key, "workspaces"));
    putchar('\n');
}

static int list(struct ctl *ctl, int argc, char **argv)
{
    struct apikeys *keys = NULL;
    struct err err = {0};
    struct json *all;

    if (!ctl_no_options(ctl, argc, argv) || optind < argc) return ctl_usage(ctl);
    if (apikey_load(ctl->cfg->keys_file, &keys, &err) != ERR_OK) return ctl_fail(&err);
    all = json_array_new();
    for (int i = 0; i < apikey_count(keys); i++)
        json_push(all, apikey_to_json(apikey_at(keys, i)));
    apikey_free(keys);
    if (ctl->json) return ctl_print(all);
    for (size_t i = 0; i < json_count(all); i++)
        print_key(json_at(all, i));
    if (json_count(all) == 0) puts("no keys");
    json_free(all);
    return EXIT_DONE;
}

static int revoke(struct ctl *ctl, int argc, char **argv)
{
    struct err err = {0};
    struct json *j;

    if (!ctl_no_options(ctl, argc, argv) || optind + 1 != argc) return ctl_usage(ctl);
    if (apikey_revoke(ctl->cfg->keys_file, argv[optind], &err) != ERR_OK) return ctl_fail(&err);
    if (!ctl->json) return puts("revoked") >= 0 ? EXIT_DONE : EXIT_FAILED;
    j = json_object_new();
    json_set(j, "success", json_new_bool(1));
    json_set(j, "id", json_new_string(argv[optind]));
    return ctl_print(j);
}

int cmd_key(struct ctl *ctl, int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";

    if (!ctl_may_touch(ctl->cfg->keys_file)) return EXIT_FAILED;
    if (!strcmp(verb, "create")) return create(ctl, argc - 1, argv + 1);
    if (!strcmp(verb, "list")) return list(ctl, argc - 1, argv + 1);
    if (!strcmp(verb, "revoke")) return revoke(ctl, argc - 1, argv + 1);
    return ctl_usage(ctl);
}
