#include "ctl.h"
#include "token/crypto.h"
#include "token/keyring.h"
#include <string.h>

static struct json *envelope_json(const struct envelope *env, const char *kid, const struct secret *token,
                                  const struct err *err)
{
    struct json *j = json_object_new();
    char hex[SHA256_HEX_BYTES];

    json_set(j, "wellFormed", json_new_bool(env->data != NULL));
    if (env->data) {
        json_set(j, "iterations", env->kdf ? json_new_int(env->kdf) : json_new_string("default"));
        json_set(j, "tokenBytes", json_new_int((int64_t)env->data_len));
    }
    json_set(j, "opens", json_new_bool(kid != NULL));
    if (kid) {
        crypto_sha256_hex(secret_bytes(token), token->len, hex);
        json_set(j, "keyId", json_new_string(kid));
        json_set(j, "tokenSha256", json_new_string(hex));
    } else {
        json_set(j, "reason", json_new_string(err->text));
    }
    return j;
}

static const char *format_of(const char *text)
{
    text += strspn(text, " \t\r\n");
    if (*text == '{') return "object";
    return *text == '"' ? "JSON string" : "prefixed text";
}

static int check(const struct ctl *ctl, FILE *stream)
{
    struct buf text = {0};
    struct envelope env = {0};
    struct secret token = {0};
    struct err err = {0};
    struct json *j;
    const char *kid = NULL;
    int status = EXIT_FAILED;

    if (ctl_read(stream, LIMIT_ENVELOPE_BYTES, &text, &err) != ERR_OK) {
        ctl_fail(&err);
        goto out;
    }
    while (text.len && strchr(" \t\r\n", text.data[text.len - 1]))
        text.data[--text.len] = '\0';
    if (envelope_parse_text(buf_text(&text), text.len, &env, &err) == ERR_OK &&
        keyring_open(service_ring(ctl->service), &env, &token, &kid, &err) != ERR_OK)
        kid = NULL;
    j = envelope_json(&env, kid, &token, &err);
    json_set(j, "format", json_new_string(format_of(buf_text(&text))));
    status = ctl_show(ctl, j);
    if (status == EXIT_DONE && !kid) status = EXIT_FINDINGS;
out:
    secret_free(&token);
    envelope_fini(&env);
    buf_free(&text);
    return status;
}

int cmd_envelope(struct ctl *ctl, int argc, char **argv)
{
    FILE *stream;
    int status = EXIT_FAILED;

    if (argc < 2 || strcmp(argv[1], "check") != 0) return ctl_usage(ctl);
    if (!ctl_no_options(ctl, argc - 1, argv + 1) || argc - 1 - optind > 1) return ctl_usage(ctl);
    if (!ctl_open(argv[1 + optind], &stream)) return EXIT_FAILED;
    if (ctl_service(ctl)) status = check(ctl, stream);
    ctl_close(stream);
    return status;
}
