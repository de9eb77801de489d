#include "ctl.h"
#include "token/apikey.h"
#include <getopt.h>
#include <string.h>

static int create(struct ctl *ctl, int argc, char **argv)
{
    static const struct option options[] = {{"name", required_argument, NULL, 'n'},
                                            {"scopes", required_argument, NULL, 's'},
                                            {"workspaces", required_argument, NULL, 'w'},
                                            {NULL, 0, NULL, 0}};
    struct apikey_request request = {0};
    struct buf text = {0};
    struct err err = {0};
    struct json *j;
    char id[32];
    int opt, status;

    while ((opt = getopt_long(argc, argv, "n:s:w:", options, NULL)) != -1) {
        if (opt == 'n') request.name = optarg;
        if (opt == 'w') request.workspaces = optarg;
        if (opt == '?' || (opt == 's' && !apikey_parse_scopes(optarg, &request.scopes))) return ctl_usage("key");
    }
    if (optind < argc || !request.name || !request.scopes) return ctl_usage("key");
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

static int list(struct ctl *ctl)
{
    struct apikeys *keys = NULL;
    struct err err = {0};
    struct json *all;
    struct buf line = {0};

    if (apikey_load(ctl->cfg->keys_file, &keys, &err) != ERR_OK) return ctl_fail(&err);
    all = json_array_new();
    for (int i = 0; i < apikey_count(keys); i++)
        json_push(all, apikey_to_json(apikey_at(keys, i)));
    apikey_free(keys);
    if (ctl->json) return ctl_print(all);
    for (size_t i = 0; i < json_count(all); i++) {
        buf_reset(&line);
        if (json_print(json_at(all, i), &line, NULL) == ERR_OK) puts(buf_text(&line));
    }
    buf_free(&line);
    json_free(all);
    return EXIT_DONE;
}

int cmd_key(struct ctl *ctl, int argc, char **argv)
{
    struct err err = {0};

    if (argc >= 2 && !strcmp(argv[1], "create")) return create(ctl, argc - 1, argv + 1);
    if (argc == 2 && !strcmp(argv[1], "list")) return list(ctl);
    if (argc != 3 || strcmp(argv[1], "revoke") != 0) return ctl_usage("key");
    if (apikey_revoke(ctl->cfg->keys_file, argv[2], &err) != ERR_OK) return ctl_fail(&err);
    puts("revoked");
    return EXIT_DONE;
}
