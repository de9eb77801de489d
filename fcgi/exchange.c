#include "exchange.h"
#include "base/id_text.h"
#include <stdio.h>
#include <string.h>

int exchange_may_see(const struct exchange *x, const char *workspace)
{
    if (!x->key || !x->key->workspaces) return 1;
    for (int i = 0; i < x->key->workspace_count; i++)
        if (id_is_same(x->key->workspaces[i], workspace)) return 1;
    return 0;
}

void exchange_deny(struct exchange *x)
{
    err_clear(&x->err);
    err_set(&x->err, ERR_NOT_FOUND, NULL, "there is no such account or workspace");
}

int exchange_may_touch(struct exchange *x, const char *account_id)
{
    char workspace[LIMIT_ID_BYTES] = "";
    enum err_code rc = service_account_workspace(x->service, account_id, x->platform, workspace, &x->err);

    /* Also what is wrong with an account tells that it is there. */
    if (x->key->workspaces && rc != ERR_UNAVAILABLE && (!workspace[0] || !exchange_may_see(x, workspace)))
        rc = ERR_NOT_FOUND;
    if (rc == ERR_NOT_FOUND) exchange_deny(x);
    return rc == ERR_OK;
}

int64_t exchange_deadline(const struct exchange *x)
{
    int64_t timeout_ms = service_config(x->service)->request_timeout_ms;

    return timeout_ms ? x->began_mono_ms + timeout_ms : 0;
}

enum err_code exchange_id(struct exchange *x, const char *member, char out[LIMIT_ID_BYTES])
{
    const struct json *j = json_member(x->body, member);
    const char *text = json_string(j);
    int64_t number;

    if (!j) return err_set(&x->err, ERR_BAD_INPUT, member, "\"%s\" is missing in the JSON body", member);
    if (json_int(j, &number)) {
        snprintf(out, LIMIT_ID_BYTES, "%lld", (long long)number);
        return ERR_OK;
    }
    if (!text || !*text || json_string_len(j) >= LIMIT_ID_BYTES)
        return err_set(&x->err, ERR_BAD_INPUT, member, "\"%s\" must be a string of 1 to %d bytes or a whole number",
                       member, LIMIT_ID_BYTES - 1);
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return err_set(&x->err, ERR_BAD_INPUT, member, "\"%s\" holds a control character", member);
    memcpy(out, text, json_string_len(j) + 1);
    return ERR_OK;
}

int exchange_query(struct exchange *x, const char *name, char out[LIMIT_ID_BYTES])
{
    const char *at = x->req->query;
    size_t name_len = strlen(name);
    int found = 0;

    while (*at) {
        size_t len = strcspn(at, "&");

        if (len > name_len && at[name_len] == '=' && !memcmp(at, name, name_len)) {
            if (found++) {
                err_set(&x->err, ERR_BAD_INPUT, name, "%s stands twice in the query", name);
                return -1;
            }
            if (!url_decode(at + name_len + 1, len - name_len - 1, out, LIMIT_ID_BYTES) || !out[0]) {
                err_set(&x->err, ERR_BAD_INPUT, name, "%s in the query is empty, too long or badly encoded", name);
                return -1;
            }
        }
        at += len + (at[len] == '&');
    }
    return found;
}
