#include "token/spool_record.h"
#include "base/buf.h"
#include "base/clock.h"
#include "token/crypto.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A slot: one line of one page, {"slot","at","mono","about"}; then one line in the other pages, blank until there is an answer,
 * {"slot","sealed":[access, refresh, more]}. A line: SHA-256 of the text, its length, the text, blanks, line feed. */
enum { RANDOM_BYTES = (SPOOL_ID_BYTES - 1) / 2, SUM_HEX = SHA256_HEX_BYTES - 1, PARTS = 3 };
enum { LINE_PREFIX = SUM_HEX + 10 /* and " 12345678 " */ };

/* ---- lines */

static enum err_code line_put(char *line, size_t size, const struct json *value, struct err *err)
{
    struct buf text = {0};
    char prefix[LINE_PREFIX + 1], sum[SHA256_HEX_BYTES];
    enum err_code rc = json_print(value, &text, err);

    if (rc == ERR_OK && text.len + LINE_PREFIX >= size)
        rc = err_set(err, ERR_BAD_INPUT, NULL, "%zu bytes are too many for the spool", text.len);
    if (rc == ERR_OK) {
        crypto_sha256_hex(text.data, text.len, sum);
        snprintf(prefix, sizeof prefix, "%s %08zu ", sum, text.len);
        memset(line, ' ', size - 1);
        line[size - 1] = '\n';
        memcpy(line, prefix, LINE_PREFIX);
        memcpy(line + LINE_PREFIX, text.data, text.len);
    }
    buf_free(&text);
    return rc;
}

/* ERR_BAD_INPUT: it is damaged. */
static enum err_code line_get(const char *line, size_t size, struct json **value)
{
    char prefix[LINE_PREFIX + 1], again[LINE_PREFIX + 32], sum[SHA256_HEX_BYTES];
    size_t len;

    memcpy(prefix, line, LINE_PREFIX);
    prefix[LINE_PREFIX] = '\0';
    len = strtoul(prefix + SUM_HEX, NULL, 10);
    if (len > size - LINE_PREFIX) return ERR_BAD_INPUT;
    crypto_sha256_hex(line + LINE_PREFIX, len, sum);
    snprintf(again, sizeof again, "%s %08zu ", sum, len);
    return strcmp(prefix, again) != 0 ? ERR_BAD_INPUT : json_parse(line + LINE_PREFIX, len, value, NULL);
}

/* ---- writing */

enum err_code spool_record_intend(const struct json *about, char id[SPOOL_ID_BYTES], char page[SPOOL_PAGE_BYTES],
                                  struct err *err)
{
    unsigned char random[RANDOM_BYTES];
    struct json *line = NULL;
    struct buf text = {0};
    enum err_code rc = crypto_random(random, sizeof random, err);

    if (rc == ERR_OK && json_type(about) != JSON_OBJECT)
        rc = err_set(err, ERR_BAD_INPUT, NULL, "the description of a refresh is no object");
    if (rc == ERR_OK) rc = json_print(about, &text, err);
    if (rc == ERR_OK && text.len > SPOOL_ABOUT_BYTES)
        rc = err_set(err, ERR_BAD_INPUT, NULL, "the description of a refresh has at most %d bytes", SPOOL_ABOUT_BYTES);
    buf_free(&text);
    if (rc != ERR_OK) return rc;
    for (int i = 0; i < RANDOM_BYTES; i++)
        snprintf(id + 2 * (size_t)i, 3, "%02x", random[i]);
    line = json_object_new();
    json_set(line, "slot", json_new_string(id));
    json_set(line, "at", json_new_int(clock_now_ms()));
    json_set(line, "mono", json_new_int(clock_mono_ms()));
    json_set(line, "about", json_copy(about));
    rc = line_put(page, SPOOL_PAGE_BYTES, line, err);
    json_free(line);
    return rc;
}

/* The first page's sum stands for its text: an answer opens nowhere but in its own place. */
struct binding {
    char field[SUM_HEX + 16];
    unsigned char of[SHA256_BYTES];
    struct fast_binding fast;
};

static void bind_part(const char *page, const char *id, int part, struct binding *b)
{
    snprintf(b->field, sizeof b->field, "%d:%.*s", part, SUM_HEX, page);
    crypto_sha256(page, SUM_HEX, b->of);
    b->fast = (struct fast_binding){.account_id = id, .platform = "spool", .field = b->field};
}

static enum err_code seal_parts(const struct keyring *ring, const char *page, const char *id,
                                const struct secret *const parts[PARTS], struct json *sealed, struct err *err)
{
    enum err_code rc = ERR_OK;

    for (int i = 0; rc == ERR_OK && i < PARTS; i++) {
        struct json *fast = NULL;
        struct binding b = {0};

        bind_part(page, id, i, &b);
        if (!secret_is_empty(parts[i])) rc = keyring_fast_seal(ring, parts[i], &b.fast, b.of, &fast, err);
        if (rc == ERR_OK) json_push(sealed, fast);
    }
    if (rc == ERR_OK && json_count(sealed) != PARTS) rc = err_set(err, ERR_NOMEM, NULL, "no memory for an answer");
    return rc;
}

static enum err_code print_more(const struct json *more, struct secret *text, struct err *err)
{
    struct buf printed = {0};
    enum err_code rc = more ? json_print(more, &printed, err) : ERR_OK;

    if (rc == ERR_OK && printed.len > SPOOL_MORE_BYTES)
        rc = err_set(err, ERR_BAD_INPUT, NULL, "what goes with an answer has at most %d bytes", SPOOL_MORE_BYTES);
    if (rc == ERR_OK && more) rc = secret_put(text, printed.data, printed.len, err);
    buf_free(&printed);
    return rc;
}

enum err_code spool_record_answer(const struct keyring *ring, const char *id, const struct spool_answer *answer,
                                  char slot[SPOOL_SLOT_BYTES], struct err *err)
{
    struct secret more = {0};
    const struct secret *const parts[PARTS] = {&answer->access, &answer->refresh, &more};
    struct json *line = json_object_new(), *sealed = json_array_new();
    enum err_code rc = print_more(answer->more, &more, err);

    if (secret_is_empty(parts[0]) && secret_is_empty(parts[1]))
        rc = err_set(err, ERR_BAD_INPUT, NULL, "an answer without a token");
    if (rc == ERR_OK) rc = seal_parts(ring, slot, id, parts, sealed, err);
    json_set(line, "slot", json_new_string(id));
    json_set(line, "sealed", sealed);
    if (rc == ERR_OK && json_count(line) != 2) rc = err_set(err, ERR_NOMEM, NULL, "no memory for an answer");
    if (rc == ERR_OK) rc = line_put(slot + SPOOL_PAGE_BYTES, SPOOL_ANSWER_BYTES, line, err);
    secret_free(&more);
    json_free(line);
    return rc;
}

void spool_record_no_answer(char slot[SPOOL_SLOT_BYTES])
{
    memset(slot + SPOOL_PAGE_BYTES, ' ', SPOOL_ANSWER_BYTES - 1);
    slot[SPOOL_SLOT_BYTES - 1] = '\n';
}

/* ---- reading */

static const char *id_of(const struct json *line)
{
    return json_string(json_member(line, "slot"));
}

enum err_code spool_record_parse(const char slot[SPOOL_SLOT_BYTES], struct spool_record *r, struct err *err)
{
    enum err_code rc;

    *r = (struct spool_record){.content = SPOOL_FREE};
    memcpy(r->page, slot, SPOOL_PAGE_BYTES);
    if (spool_file_is_blank(slot)) return ERR_OK;
    rc = line_get(slot, SPOOL_PAGE_BYTES, &r->intent);
    r->content = id_of(r->intent) ? SPOOL_INTENT : SPOOL_BAD_INTENT;
    if (r->content == SPOOL_INTENT && !spool_file_is_blank(slot + SPOOL_PAGE_BYTES)) {
        rc = line_get(slot + SPOOL_PAGE_BYTES, SPOOL_ANSWER_BYTES, &r->answer);
        r->content = rc == ERR_OK ? SPOOL_RECORD : SPOOL_BAD_ANSWER;
    }
    if (rc == ERR_OK || rc == ERR_BAD_INPUT) return ERR_OK;
    return err_set(err, rc, NULL, "no memory to read the spool");
}

void spool_record_fini(struct spool_record *r)
{
    json_free(r->intent);
    json_free(r->answer);
    r->intent = r->answer = NULL;
}

static int64_t number_of(const struct spool_record *r, const char *name)
{
    int64_t n = 0;

    json_int(json_member(r->intent, name), &n);
    return n;
}

int64_t spool_record_at_ms(const struct spool_record *r)
{
    return number_of(r, "at");
}

int64_t spool_record_mono_ms(const struct spool_record *r)
{
    return number_of(r, "mono");
}

enum err_code spool_record_open(const struct keyring *ring, const struct spool_record *r, struct spool_answer *answer,
                                struct json **more, struct err *err)
{
    struct secret text = {0}, *const parts[PARTS] = {&answer->access, &answer->refresh, &text};
    enum err_code rc = ERR_OK;

    for (int i = 0; rc == ERR_OK && i < PARTS; i++) {
        const struct json *fast = json_at(json_member(r->answer, "sealed"), (size_t)i);
        struct binding b = {0};

        bind_part(r->page, id_of(r->intent), i, &b);
        if (json_type(fast) != JSON_NULL) rc = keyring_fast_open(ring, fast, &b.fast, b.of, parts[i], err);
    }
    if (rc == ERR_OK && text.len) rc = json_parse((const char *)secret_bytes(&text), text.len, more, err);
    answer->more = *more;
    secret_free(&text);
    return rc;
}
