/* Damaged inputs by the ten thousand, the same on each run: nothing crashes, nothing is read beyond its end (a sanitizer sees it), and
 * whatever is taken keeps its promises. Each input lies in memory of exactly its length. */
#include "base/clock.h"
#include "base/config.h"
#include "base/json.h"
#include "cmocka_all.h"
#include "token/crypto.h"
#include "token/envelope.h"
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* xorshift64*: the same numbers everywhere, unlike rand(). */
static uint64_t seed;
static unsigned draw(unsigned below)
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return (unsigned)((seed * UINT64_C(2685821657736338717)) >> 33) % below;
}

static const char interesting[] =
    "\"\\{}[],:0123456789.eE+-/ \t\r\n\0\x01\x1f\x7f\x80\xbf\xc3\xed\xf0\xf4\xff=#;uTZ_aA";
enum { INTERESTING = sizeof interesting - 1, MOST_BYTES = 2048 };

/* One to four changes of bytes, cuts, repetitions, or a piece of another sample. */
static size_t mutate(char *text, size_t len, const char *other)
{
    for (unsigned changes = 1 + draw(4); changes > 0 && len > 0; changes--) {
        size_t at = draw((unsigned)len), piece = 1 + draw(8), other_len = strlen(other);

        switch (draw(6)) {
        case 0:
            text[at] = interesting[draw(INTERESTING)];
            break;
        case 1:
            text[at] = (char)(text[at] ^ (1U << draw(8)));
            break;
        case 2: /* take out */
            if (piece > len - at) piece = len - at;
            memmove(text + at, text + at + piece, len - at - piece);
            len -= piece;
            break;
        case 3: /* twice */
            if (piece > len - at) piece = len - at;
            if (len + piece > MOST_BYTES) break;
            memmove(text + at + piece, text + at, len - at);
            len += piece;
            break;
        case 4: /* a piece of another one */
            if (other_len == 0) break;
            for (size_t from = draw((unsigned)other_len), i = 0; i < piece && at + i < len && from + i < other_len; i++)
                text[at + i] = other[from + i];
            break;
        default:
            len = at;
        }
    }
    return len;
}

typedef void try_fn(const char *text, size_t len);

/* text: ${len} bytes on the heap, without a NUL behind them. */
static void run(const char *const *samples, unsigned count, unsigned rounds, try_fn *try)
{
    static char room[MOST_BYTES];

    seed = UINT64_C(0x9e3779b97f4a7c15);
    for (unsigned round = 0; round < rounds; round++) {
        const char *sample = samples[draw(count)];
        size_t len = strlen(sample);
        char *text;

        snprintf(room, sizeof room, "%s", sample);
        if (round >= count) len = mutate(room, len, samples[draw(count)]);
        text = malloc(len ? len : 1);
        assert_non_null(text);
        memcpy(text, room, len);
        try(text, len);
        free(text);
    }
}

static char *with_nul(const char *text, size_t len)
{
    char *copy = malloc(len + 1);

    assert_non_null(copy);
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

/* ---- JSON: what is taken prints as JSON that is taken and equal */

static unsigned taken;

static void try_json(const char *text, size_t len)
{
    struct json *j = NULL, *again = NULL;
    struct buf printed = {0};
    struct err err = {0};
    size_t line = 0, column = 0;

    if (json_parse(text, len, &j, &err) != ERR_OK) {
        assert_null(j);
        if (!*err.text) fail_msg("refused without a reason");
        if (*err.place &&
            (sscanf(err.place, "line %zu, column %zu", &line, &column) != 2 || line == 0 || column > len + 1))
            fail_msg("the place is %s of %zu bytes", err.place, len);
        return;
    }
    taken++;
    assert_int_equal(json_print(j, &printed, &err), ERR_OK);
    if (json_parse(buf_text(&printed), printed.len, &again, &err) != ERR_OK)
        fail_msg("%.*s: printed as %s: %s", (int)len, text, buf_text(&printed), err.text);
    if (!json_equal(j, again)) fail_msg("%.*s: printed as %s", (int)len, text, buf_text(&printed));
    json_free(j);
    json_free(again);
    buf_free(&printed);
}

static void damaged_json_is_refused_or_means_something(void **state)
{
    static const char *const samples[] = {
        "{\"a\":1,\"b\":[true,false,null],\"c\":{\"d\":\"x\\u00e4\\ud83d\\ude00\\n\"}}",
        "[0,-0,1.5e-10,123456789012345678901234567890,9223372036854775807,[[],{}]]",
        "{\"error\":{\"message\":\"Error validating access token: Session has "
        "expired\",\"type\":\"OAuthException\",\"code\":190,"
        "\"error_subcode\":463,\"fbtrace_id\":\"AbC\"}}",
        "{\"_id\":{\"$oid\":\"65f000000000000000000001\"},\"workspaceId\":\"ws-1\",\"isActive\":true,\"expiresAt\":{\"$"
        "date\":1767323045678}}",
        " \r\n\t\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\" ",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
        "{\"a\":1,\"\\u0061\":2}"};

    (void)state;
    taken = 0;
    run(samples, 7, 40000, try_json);
    assert_true(taken > 1000); /* the damage is small enough to be interesting */
}

/* ---- envelopes: what is taken has parts of the right size, and prints as an envelope that is the same */

static void try_envelope(const char *text, size_t len)
{
    struct envelope env, again;
    struct json *object;
    struct err err = {0};

    envelope_looks_like(len ? text : "", len);
    if (envelope_parse_text(text, len, &env, &err) != ERR_OK) {
        assert_null(env.data);
        if (!*err.text) fail_msg("refused without a reason");
        envelope_fini(&env);
        return;
    }
    taken++;
    assert_true(env.data_len > 0 && env.data_len <= LIMIT_TOKEN_BYTES);
    assert_true(env.kdf >= 0 && env.kdf <= LIMIT_KDF_ITERATIONS);
    assert_int_equal(envelope_looks_like(text, len), 1);
    object = envelope_to_json(&env);
    assert_int_equal(envelope_parse(object, &again, NULL), ERR_OK);
    assert_memory_equal(again.data, env.data, env.data_len);
    assert_memory_equal(again.iv, env.iv, sizeof env.iv);
    assert_int_equal(again.kdf, env.kdf);
    json_free(object);
    envelope_fini(&again);
    envelope_fini(&env);
}

#define ENVELOPE                                                                                                       \
    "{\"encryptedData\":\"94vGPgRtf2LrApPH\",\"iv\":\"oJs9LZqIhbaSGmh1\",\"salt\":"                                    \
    "\"1XBMmPcZmLjK00VS8A7k6P+7oQuHnxfxhOB8RFokyDg=\",\"tag\":\"fJuaZRXiLanORosHgMzJ2A==\",\"kdf\":100000}"

static void damaged_envelopes_are_refused_or_whole(void **state)
{
    static const char *const samples[] = {
        ENVELOPE, "aes-256-gcm:" ENVELOPE,
        "\"{\\\"encryptedData\\\":\\\"94vG\\\",\\\"iv\\\":\\\"oJs9LZqIhbaSGmh1\\\",\\\"salt\\\":"
        "\\\"1XBMmPcZmLjK00VS8A7k6P-7oQuHnxfxhOB8RFokyDg\\\",\\\"tag\\\":\\\"fJuaZRXiLanORosHgMzJ2A\\\"}\"",
        "{\"tag\":\"fJuaZRXiLanORosHgMzJ2A==\",\"kdf\":1e5,\"salt\":\"1XBMmPcZmLjK00VS8A7k6P+7oQuHnxfxhOB8RFokyDg=\","
        "\"iv\":"
        "\"oJs9LZqIhbaSGmh1\",\"encryptedData\":\"94vGPgRtf2LrApPH\",\"more\":[{}]}"};

    (void)state;
    taken = 0;
    run(samples, 4, 25000, try_envelope);
    assert_true(taken > 100);
}

/* ---- Base64: what is taken encodes to the same text, up to alphabet and padding */

static void try_base64(const char *text, size_t len)
{
    unsigned char bytes[MOST_BYTES];
    struct buf encoded = {0};
    size_t size = 0, bare = len;

    if (!b64_decode(text, len, bytes, sizeof bytes, &size)) return;
    taken++;
    b64url_encode(bytes, size, &encoded);
    while (bare > 0 && text[bare - 1] == '=')
        bare--;
    assert_int_equal(encoded.len, bare);
    for (size_t i = 0; i < bare; i++)
        if (encoded.data[i] != (text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i]))
            fail_msg("%.*s", (int)len, text);
    if (size) assert_int_equal(b64_decode(text, len, bytes, size - 1, &size), 0);
    buf_free(&encoded);
}

static void damaged_base64_is_refused_or_exact(void **state)
{
    static const char *const samples[] = {"94vGPgRtf2LrApPH",
                                          "1XBMmPcZmLjK00VS8A7k6P+7oQuHnxfxhOB8RFokyDg=",
                                          "fJuaZRXiLanORosHgMzJ2A==",
                                          "1XBMmPcZmLjK00VS8A7k6P-7oQuHnxfxhOB8RFokyDg",
                                          "",
                                          "Zg=="};

    (void)state;
    taken = 0;
    run(samples, 6, 20000, try_base64);
    assert_true(taken > 1000);
}

/* ---- dates: what is taken is printed as a date that is the same */

static void try_date(const char *text, size_t len)
{
    char *copy = with_nul(text, len), printed[CLOCK_ISO_BYTES];
    int64_t at_ms = 42, again_ms;

    if (!clock_parse(copy, &at_ms)) {
        assert_int_equal(at_ms, 42);
    } else {
        taken++;
        clock_format(at_ms, printed);
        /* the first and last days may fall out of the four digits by their zone */
        if (strcmp(printed, "-") != 0 && (!clock_parse(printed, &again_ms) || again_ms != at_ms))
            fail_msg("%s: %lld printed as %s", copy, (long long)at_ms, printed);
    }
    free(copy);
}

static void damaged_dates_are_refused_or_dates(void **state)
{
    static const char *const samples[] = {"2026-01-02T03:04:05.678Z", "2024-02-29T23:59:60+00:00",
                                          "1970-01-01T00:00:00-0800", "9999-12-31T23:59:59.999+23:59",
                                          "0000-01-01T00:00:00Z"};

    (void)state;
    taken = 0;
    run(samples, 5, 25000, try_date);
    assert_true(taken > 300);
}

/* ---- configuration: what is refused has a place and a reason */

static char config_path[64];
static int config_fd;

static void try_config(const char *text, size_t len)
{
    struct config *cfg = NULL;
    struct err err = {0};

    assert_int_equal(ftruncate(config_fd, 0), 0);
    assert_int_equal(pwrite(config_fd, text, len, 0), (ssize_t)len);
    if (config_load(config_path, &cfg, &err) == ERR_OK) {
        taken++;
        assert_non_null(cfg);
        assert_true(cfg->cache_ttl_ms >= 100 && cfg->batch_size >= 1 && cfg->kdf_iterations >= 1);
        config_free(cfg);
        return;
    }
    assert_null(cfg);
    if (strncmp(err.place, config_path, strlen(config_path)) != 0 || !*err.text)
        fail_msg("place %s, reason %s", err.place, err.text);
    if (strstr(err.text, "SECRET")) fail_msg("%s: %s\n%.*s", err.place, err.text, (int)len, text);
}

static void damaged_configurations_are_refused_with_their_place(void **state)
{
    static const char *const samples[] = {
        "[store]\nuri = mongodb://h/d\ncollection=c\n[log]\nlevel = debug\n",
        "# comment\n\n[cache]\r\nttl = 5m\r\nentries = 65536\r\nmode = 0660\r\n; comment\n",
        "[encryption]\nkey = SECRETSECRET\nkdf_iterations = 100000\n[app.instagram]\nid = 17\nsecret = SECRETSECRET\n",
        "[monitor]\ncheck_interval = 30m\nbatch_size = 64\nenable_auto_fix = true\n[authorizer]\nmode = enforce\n"};

    (void)state;
    clearenv();
    config_fd = memfd_create("fuzz", MFD_CLOEXEC);
    assert_true(config_fd >= 0);
    assert_int_equal(fchmod(config_fd, 0600), 0);
    snprintf(config_path, sizeof config_path, "/proc/self/fd/%d", config_fd);
    taken = 0;
    run(samples, 4, 15000, try_config);
    assert_true(taken > 500);
    close(config_fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_json_is_refused_or_means_something),
        cmocka_unit_test(damaged_envelopes_are_refused_or_whole),
        cmocka_unit_test(damaged_base64_is_refused_or_exact),
        cmocka_unit_test(damaged_dates_are_refused_or_dates),
        cmocka_unit_test(damaged_configurations_are_refused_with_their_place),
    };

    return crypto_init(NULL) == ERR_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
