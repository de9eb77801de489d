#include "store/account.h"
#include "base/clock.h"
#include "store/ejson.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const account_fields[] = {"_id",
                                      "workspaceId",
                                      "platform",
                                      "username",
                                      "accountId",
                                      "pageId",
                                      "encryptedAccessToken",
                                      "encryptedRefreshToken",
                                      "accessToken",
                                      "refreshToken",
                                      "expiresAt",
                                      "tokenStatus",
                                      "isActive",
                                      "needsReconnection",
                                      "lastSyncAt",
                                      "lastTokenValidation",
                                      "lastTokenFix",
                                      "updatedAt",
                                      "tokenHealth",
                                      NULL};

static void note_fault(struct account *a, const char *field, const char *expected)
{
    if (!a->fault[0]) snprintf(a->fault, sizeof a->fault, "%s is not %s", field, expected);
}

/* A field that is null is treated as one that is absent, everywhere. */
static const struct json *present(const struct account *a, const char *field)
{
    const struct json *j = json_member(a->doc, field);

    return json_type(j) == JSON_NULL ? NULL : j;
}

static void read_text(struct account *a, const char *field, char *out, size_t size)
{
    const struct json *j = present(a, field);
    const char *text = json_string(j);

    if (!j) return;
    if (text && json_string_len(j) < size)
        memcpy(out, text, json_string_len(j) + 1);
    else
        note_fault(a, field, text ? "a text of this length" : "a text");
}

/* Some applications keep the provider's id as a number; a double has lost digits and would be another account's. */
static void read_provider_id(struct account *a)
{
    int64_t v;

    if (json_int(present(a, "accountId"), &v))
        snprintf(a->provider_account_id, sizeof a->provider_account_id, "%lld", (long long)v);
    else
        read_text(a, "accountId", a->provider_account_id, sizeof a->provider_account_id);
}

/* It only ever speaks for a token, so an odd one is no fault. */
static void read_page_id(struct account *a)
{
    const char *text = json_string(present(a, "pageId"));
    int64_t v;

    if (json_int(present(a, "pageId"), &v))
        snprintf(a->provider_page_id, sizeof a->provider_page_id, "%lld", (long long)v);
    else if (text && strlen(text) < sizeof a->provider_page_id)
        snprintf(a->provider_page_id, sizeof a->provider_page_id, "%s", text);
}

static enum tri read_bool(struct account *a, const char *field)
{
    const struct json *j = present(a, field);
    int v;

    if (!j) return TRI_ABSENT;
    if (json_bool(j, &v)) return v ? TRI_TRUE : TRI_FALSE;
    note_fault(a, field, "true or false");
    return TRI_ABSENT;
}

int account_date(const struct json *j, int64_t *at_ms)
{
    const struct json *date = json_member(j, "$date");
    const char *text = json_string(date);

    return text ? clock_parse(text, at_ms) : ejson_int(date, at_ms);
}

static int64_t read_date(struct account *a, const char *field)
{
    const struct json *j = present(a, field);
    int64_t at_ms = 0;

    if (j && !account_date(j, &at_ms)) note_fault(a, field, "a date");
    return at_ms;
}

static const struct json *read_envelope(struct account *a, const char *field)
{
    const struct json *j = present(a, field);

    if (!j || json_type(j) == JSON_OBJECT || json_type(j) == JSON_STRING) return j;
    note_fault(a, field, "an envelope or its text");
    return NULL;
}

static const struct json *read_plain(const struct account *a, const char *field)
{
    const struct json *j = present(a, field);

    return json_string(j) && json_string_len(j) == 0 ? NULL : j;
}

static void read_fields(struct account *a)
{
    if (present(a, "workspaceId") && id_parse(present(a, "workspaceId"), &a->workspace, NULL) != ERR_OK)
        note_fault(a, "workspaceId", "an id");
    read_text(a, "username", a->username, sizeof a->username);
    read_provider_id(a);
    read_page_id(a);
    a->encrypted_access = read_envelope(a, "encryptedAccessToken");
    a->encrypted_refresh = read_envelope(a, "encryptedRefreshToken");
    a->plain_access = read_plain(a, "accessToken");
    a->plain_refresh = read_plain(a, "refreshToken");
    a->expires_at_ms = read_date(a, "expiresAt");
    read_text(a, "tokenStatus", a->token_status, sizeof a->token_status);
    a->is_active = read_bool(a, "isActive");
    a->needs_reconnection = read_bool(a, "needsReconnection");
    a->last_sync_at_ms = read_date(a, "lastSyncAt");
    a->last_validation_at_ms = read_date(a, "lastTokenValidation");
    a->health = present(a, "tokenHealth");
    if (a->health && json_type(a->health) != JSON_OBJECT) {
        note_fault(a, "tokenHealth", "an object");
        a->health = NULL;
    }
    a->has_companion_fields =
        present(a, "tokenStatus") && present(a, "lastTokenValidation") && present(a, "needsReconnection");
}

enum err_code account_parse(struct json *doc, struct account *account, struct err *err)
{
    const struct json *platform = json_member(doc, "platform");
    struct err why = {0};

    *account = (struct account){.doc = doc};
    if (json_type(doc) != JSON_OBJECT) {
        err_set(err, ERR_BAD_INPUT, NULL, "not a document");
    } else if (!present(account, "_id")) {
        err_set(err, ERR_BAD_INPUT, "_id", "is missing");
    } else if (id_parse(json_member(doc, "_id"), &account->id, &why) != ERR_OK) {
        err_set(err, ERR_BAD_INPUT, "_id", "%s", why.text);
    } else if (!present(account, "platform")) {
        err_set(err, ERR_BAD_INPUT, "platform", "is missing");
    } else if (!json_string(platform) || !json_string_len(platform) ||
               json_string_len(platform) >= sizeof account->platform) {
        err_set(err, ERR_BAD_INPUT, "platform", "is not a name of 1 to %d bytes", LIMIT_PLATFORM_BYTES - 1);
    } else {
        memcpy(account->platform, json_string(platform), json_string_len(platform) + 1);
        read_fields(account);
        return ERR_OK;
    }
    account_fini(account);
    return ERR_BAD_INPUT;
}

void account_fini(struct account *account)
{
    if (!account) return;
    json_free(account->doc);
    *account = (struct account){0};
}

enum err_code account_check_import(const struct json *doc, struct err *err)
{
    struct account account;
    char field[sizeof account.fault];
    enum err_code rc = account_parse(json_copy(doc), &account, err);

    if (rc != ERR_OK) return rc;
    if (account.fault[0]) {
        snprintf(field, sizeof field, "%.*s", (int)strcspn(account.fault, " "), account.fault);
        rc = err_set(err, ERR_BAD_INPUT, field, "%s", account.fault);
    }
    account_fini(&account);
    return rc;
}
