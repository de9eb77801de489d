#include "health/shut.h"
#include "base/clock.h"
#include "token/crypto.h"
#include <stdio.h>
#include <string.h>

static const char path[] = "tokenHealth.shut";

void shut_print(const struct keyring *ring, const struct envelope *env, int64_t now_ms, char print[SHUT_PRINT_BYTES])
{
    uint32_t spread; /* or else all accounts would be tried again at the same time */
    unsigned char sum[SHA256_BYTES];
    struct buf text = {0};

    memcpy(&spread, env->salt, sizeof spread);
    keyring_shut_print(ring, env, (now_ms + spread % LIMIT_SHUT_AGAIN_MS) / LIMIT_SHUT_AGAIN_MS, sum);
    b64_encode(sum, sizeof sum, &text);
    snprintf(print, SHUT_PRINT_BYTES, "%s", buf_text(&text));
    buf_free(&text);
}

static int is_remembered(const struct json *health, const char *print)
{
    const struct json *list = json_member(health, "shut");

    for (size_t i = 0; i < json_count(list); i++) {
        const char *text = json_string(json_at(list, i));

        if (text && !strcmp(text, print)) return 1;
    }
    return 0;
}

int shut_recall(const struct account *account, const struct keyring *ring, const struct envelope *env,
                struct shut *shut)
{
    *shut = (struct shut){.was_tried = 0};
    shut_print(ring, env, clock_now_ms(), shut->print);
    return is_remembered(account->health, shut->print);
}

void shut_tried(struct shut *shut, enum err_code rc)
{
    shut->was_tried = 1;
    if (rc != ERR_UNDECRYPTABLE) shut->print[0] = '\0';
}

enum err_code shut_open(const struct account *account, const struct keyring *ring, const struct envelope *env,
                        struct secret *token, struct shut *shut)
{
    enum err_code rc;

    if (shut_recall(account, ring, env, shut)) return ERR_UNDECRYPTABLE;
    rc = keyring_open(ring, env, token, NULL, NULL);
    shut_tried(shut, rc);
    return rc;
}

void shut_note(struct shut_list *list, const char *print)
{
    for (int i = 0; i < list->count; i++)
        if (!strcmp(list->prints[i], print)) return;
    if (print[0] && list->count < SHUT_MAX) snprintf(list->prints[list->count++], SHUT_PRINT_BYTES, "%s", print);
}

void shut_put(const struct shut_list *list, const struct json *health, struct patch *patch)
{
    const struct json *old = json_member(health, "shut");
    struct shut_list all = *list;
    struct json *fresh;

    if (!list->count) {
        if (old) patch_unset(patch, path);
        return;
    }
    for (size_t i = 0; i < json_count(old); i++)
        if (json_string(json_at(old, i))) shut_note(&all, json_string(json_at(old, i)));
    fresh = json_array_new();
    for (int i = 0; i < all.count; i++)
        json_push(fresh, json_new_string(all.prints[i]));
    if (json_equal(fresh, old))
        json_free(fresh);
    else
        patch_set(patch, path, fresh);
}
