/* What the tests of shared/provider share: the shipped files, files written for a test, answers. Run from the top
 * folder. */
#ifndef TH_PROVIDER_FIXTURE_H
#define TH_PROVIDER_FIXTURE_H
#include "provider/provider.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PROVIDER_DIR "shared/providers"

__attribute__((unused)) static struct provider_set *fixture_shipped(void)
{
    struct provider_set *set = NULL;
    struct err err = {0};
    if (provider_set_load(PROVIDER_DIR, NULL, &set, &err) != ERR_OK) fail_msg("%s: %s", err.place, err.text);
    return set;
}

__attribute__((unused)) static const struct login *fixture_login(const struct provider_set *set, const char *platform,
                                                                 const char *login)
{
    const struct provider *p = provider_find(set, platform);
    assert_non_null(p);
    const struct login *l = provider_login_find(p, login);
    if (!l) fail_msg("no login %s of %s", login, platform);
    return l;
}

/** A directory of its own in /tmp; fixture_dir_remove deletes it with the files in it. */
__attribute__((unused)) static void fixture_dir_make(char dir[64])
{
    snprintf(dir, 64, "/tmp/th-provider-XXXXXX");
    assert_non_null(mkdtemp(dir));
}

__attribute__((unused)) static void fixture_write(const char *dir, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    assert_int_equal(fwrite(text, 1, strlen(text), out), strlen(text));
    assert_int_equal(fclose(out), 0);
}

__attribute__((unused)) static void fixture_read(const char *path, struct buf *out)
{
    char chunk[4096];
    size_t n;
    FILE *in = fopen(path, "re");
    if (!in) fail_msg("%s cannot be opened", path);
    while ((n = fread(chunk, 1, sizeof chunk, in)) > 0)
        buf_put(out, chunk, n);
    fclose(in);
}

__attribute__((unused)) static void fixture_dir_remove(const char *dir, const char *const *names)
{
    char path[256];
    for (; *names; names++) {
        snprintf(path, sizeof path, "%s/%s", dir, *names);
        unlink(path);
    }
    rmdir(dir);
}

/** A set of one file with this content; fails the test if it is refused. */
__attribute__((unused)) static struct provider_set *fixture_load_text(const char *text)
{
    char dir[64];
    struct provider_set *set = NULL;
    struct err err = {0};
    fixture_dir_make(dir);
    fixture_write(dir, "one.json", text);
    if (provider_set_load(dir, NULL, &set, &err) != ERR_OK) fail_msg("%s: %s", err.place, err.text);
    fixture_dir_remove(dir, (const char *const[]){"one.json", NULL});
    return set;
}

__attribute__((unused)) static struct http_answer fixture_answer(int status, const char *body)
{
    return (struct http_answer){.outcome = HTTP_ANSWERED, .status = status, .body = body, .body_len = strlen(body)};
}

/** A platform with a rotating refresh token, another error shape and an own host for tokens: what later platforms need.
 */
__attribute__((unused)) static const char fixture_rotating[] =
    "{\n"
    "  \"platform\": \"clip\",\n"
    "  \"error\": {\"in\": \"error\", \"code\": [\"error.code\", \"error\"], \"message\": \"error.message\", "
    "\"ok_codes\": \"ok\"},\n"
    "  \"logins\": [{\n"
    "    \"name\": \"clip\", \"prefixes\": [\"act.\"], \"host\": \"api.clip.example\", \"other_hosts\": "
    "[\"login.clip.example\"],\n"
    "    \"requests\": {\n"
    "      \"validate\": {\"method\": \"GET\", \"url\": \"https://api.clip.example/v2/user/\", \"query\": {\"fields\": "
    "\"open_id\"},\n"
    "        \"headers\": {\"Authorization\": \"Bearer {access_token}\"},\n"
    "        \"success\": {\"require\": [\"data.user.open_id\"], \"fields\": {\"account_id\": "
    "\"data.user.open_id\"}}},\n"
    "      \"refresh\": {\"method\": \"POST\", \"url\": \"https://login.clip.example/oauth/token/\", \"auth\": "
    "\"basic\",\n"
    "        \"form\": {\"client_key\": \"{app_id}\", \"grant_type\": \"refresh_token\", \"refresh_token\": "
    "\"{refresh_token}\"},\n"
    "        \"error\": {\"in\": \"error\", \"code\": \"error\", \"message\": \"error_description\"},\n"
    "        \"success\": {\"status\": [200, 201], \"fields\": {\"access_token\": \"access_token\",\n"
    "          \"refresh_token\": \"refresh_token\", \"expires_in_s\": \"expires_in\"}}}\n"
    "    },\n"
    "    \"refresh\": {\"model\": \"refresh_token\", \"rotates\": true, \"window_start\": \"8h\", \"window_end\": "
    "\"90m\"},\n"
    "    \"rules\": [{\"name\": \"clip_own\", \"when\": {\"code\": \"both\"}, \"reason\": \"blocked\"}]\n"
    "  }],\n"
    "  \"usage_headers\": [{\"name\": \"x-rate-limit-reset\", \"value\": \"reset_at_s\"}],\n"
    "  \"rules\": [\n"
    "    {\"name\": \"all_own\", \"when\": {\"code\": \"both\"}, \"reason\": \"transient\"},\n"
    "    {\"name\": \"token_refused\", \"when\": {\"code\": \"access_token_invalid\", \"status\": 401}, \"reason\": "
    "\"expired\"},\n"
    "    {\"name\": \"grant_dead\", \"kinds\": [\"refresh\"], \"when\": {\"code\": \"invalid_grant\"}, \"reason\": "
    "\"revoked\"},\n"
    "    {\"name\": \"client\", \"when\": {\"code\": [\"invalid_client\", \"unauthorized_client\"]}, \"reason\": "
    "\"app_misconfigured\"}\n"
    "  ]\n"
    "}\n";

#endif
