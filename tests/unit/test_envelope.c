/* What is an envelope and what is not: every form the application writes is read, anything else is refused with a
 * reason and before any key derivation. */
#include "keyring_fixture.h"

#define IV    "oJs9LZqIhbaSGmh1"
#define SALT  "1XBMmPcZmLjK00VS8A7k6P+7oQuHnxfxhOB8RFokyDg="
#define TAG   "fJuaZRXiLanORosHgMzJ2A=="
#define DATA  "94vGPgRtf2LrApPH"
#define PARTS "\"encryptedData\":\"" DATA "\",\"iv\":\"" IV "\",\"salt\":\"" SALT "\",\"tag\":\"" TAG "\""
#define WHOLE "{" PARTS ",\"kdf\":100000}"

/* An envelope whose parts are the given JSON values; NULL leaves the part out. */
static void build(struct buf *out, const char *data, const char *iv, const char *salt, const char *tag, const char *kdf)
{
    const char *names[] = {"encryptedData", "iv", "salt", "tag", "kdf"}, *values[] = {data, iv, salt, tag, kdf};
    const char *comma = "";

    buf_puts(out, "{");
    for (int i = 0; i < 5; i++) {
        if (!values[i]) continue;
        buf_printf(out, "%s\"%s\":%s", comma, names[i], values[i]);
        comma = ",";
    }
    buf_puts(out, "}");
}

static void assert_read(const char *text, int64_t kdf)
{
    struct envelope env;
    struct err err = {0};
    static const unsigned char iv[3] = {0xa0, 0x9b, 0x3d};

    if (envelope_parse_text(text, strlen(text), &env, &err) != ERR_OK) fail_msg("%s: refused: %s", text, err.text);
    assert_int_equal(env.kdf, kdf);
    assert_int_equal(env.data_len, 12);
    assert_memory_equal(env.iv, iv, sizeof iv);
    assert_int_equal(env.salt[31], 0x38);
    assert_int_equal(env.tag[15], 0xd8);
    envelope_fini(&env);
    assert_null(env.data);
}

static void assert_refused(const char *text, size_t len, const char *reason)
{
    struct envelope env;
    struct err err = {0};
    enum err_code rc = envelope_parse_text(text, len, &env, &err);

    fixture_refused(rc, ERR_UNDECRYPTABLE, &err, text);
    if (!strstr(err.text, reason)) fail_msg("%s: the reason is \"%s\", expected \"%s\"", text, err.text, reason);
    assert_null(env.data);
    assert_int_equal(env.data_len, 0);
    envelope_fini(&env);
}

static void every_form_is_read(void **state)
{
    (void)state;
    assert_read(WHOLE, 100000);
    assert_read("{" PARTS "}", 0);
    assert_read("aes-256-gcm:" WHOLE, 100000);
    assert_read("aes-256-gcm: \n" WHOLE "\n", 100000);
    assert_read(" \t\r\n" WHOLE " \n", 100000);
    assert_read("{\"v\":1,\"note\":{\"iv\":[1,null,{}]}," PARTS ",\"kdf\":1,\"alg\":\"aes-256-gcm\"}", 1);
    assert_read(
        "{\"tag\":\"" TAG "\",\"kdf\":7,\"salt\":\"" SALT "\",\"iv\":\"" IV "\",\"encryptedData\":\"" DATA "\"}", 7);
    assert_read("{\"encryptedData\":\"94vGPgRtf2LrApPH\",\"iv\":\"oJs9LZqIhbaSGmh1\",\"salt\":"
                "\"1XBMmPcZmLjK00VS8A7k6P-7oQuHnxfxhOB8RFokyDg\",\"tag\":\"fJuaZRXiLanORosHgMzJ2A\"}",
                0);
    assert_read("{\"encrypted\\u0044ata\":\"" DATA "\",\"iv\":\"oJs9LZqIhbaSGmh\\u0031\",\"salt\":\"" SALT
                "\",\"tag\":\"" TAG "\"}",
                0);
}

static void an_object_is_read_like_its_text_and_like_its_text_in_quotes(void **state)
{
    struct json *object = fixture_json(WHOLE), *text = json_new_string(WHOLE);
    struct buf quoted = {0};
    struct envelope env;

    (void)state;
    assert_int_equal(envelope_parse(object, &env, NULL), ERR_OK);
    envelope_fini(&env);
    assert_int_equal(envelope_parse(text, &env, NULL), ERR_OK);
    envelope_fini(&env);
    assert_int_equal(json_print(text, &quoted, NULL), ERR_OK);
    assert_read(buf_text(&quoted), 100000);
    json_free(object);
    json_free(text);
    buf_free(&quoted);
}

static void the_iteration_count_is_a_whole_number_in_its_range(void **state)
{
    static const struct {
        const char *kdf;
        int64_t value; /* -1: refused */
    } cases[] = {{"1", 1},
                 {"2", 2},
                 {"600000", 600000},
                 {"2000000", 2000000},
                 {"1e5", 100000},
                 {"100000.0", 100000},
                 {"2E6", 2000000},
                 {"0", -1},
                 {"-0", -1},
                 {"-1", -1},
                 {"2000001", -1},
                 {"2000000.5", -1},
                 {"1.5", -1},
                 {"0.999999", -1},
                 {"1e-5", -1},
                 {"1e6000", -1},
                 {"1000000000", -1},
                 {"4294967297", -1},
                 {"9223372036854775807", -1},
                 {"-9223372036854775808", -1},
                 {"18446744073709551617", -1},
                 {"99999999999999999999", -1},
                 {"\"100000\"", -1},
                 {"\"lots\"", -1},
                 {"null", -1},
                 {"true", -1},
                 {"[100000]", -1},
                 {"{}", -1},
                 {"{\"$numberInt\":\"5\"}", -1}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf text = {0};

        build(&text, "\"" DATA "\"", "\"" IV "\"", "\"" SALT "\"", "\"" TAG "\"", cases[i].kdf);
        if (cases[i].value > 0)
            assert_read(buf_text(&text), cases[i].value);
        else
            assert_refused(buf_text(&text), text.len, strcmp(cases[i].kdf, "1e6000") ? "kdf" : "");
        buf_free(&text);
    }
}

static void a_wrong_or_missing_part_is_named_in_the_reason(void **state)
{
    static const char d[] = "\"" DATA "\"", i[] = "\"" IV "\"", s[] = "\"" SALT "\"", t[] = "\"" TAG "\"";
    static const struct {
        const char *data, *iv, *salt, *tag, *reason;
    } cases[] = {{NULL, i, s, t, "encryptedData is missing"},
                 {d, NULL, s, t, "iv is missing"},
                 {d, i, NULL, t, "salt is missing"},
                 {d, i, s, NULL, "tag is missing"},
                 {"\"\"", i, s, t, "encryptedData is empty"},
                 {d, "\"\"", s, t, "iv is 0 bytes, not 12"},
                 {d, "\"oJs9LZqIhbaSGmg=\"", s, t, "iv is 11 bytes, not 12"},
                 {d, "\"oJs9LZqIhbaSGmh1AA\"", s, t, "iv is 13 bytes, not 12"},
                 {d, i, "\"1XBMmPcZmLjK00VS8A7k6A==\"", t, "salt is 16 bytes, not 32"},
                 {d, i, s, "\"fJuaZRXiLanORosH\"", "tag is 12 bytes, not 16"},
                 {d, i, s, "\"fJuaZRXiLanORosHgMzJ\"", "tag is 15 bytes, not 16"},
                 {"null", i, s, t, "encryptedData is not a string"},
                 {d, "12", s, t, "iv is not a string"},
                 {d, i, "{\"$binary\":\"x\"}", t, "salt is not a string"},
                 {d, i, s, "[]", "tag is not a string"},
                 {"\"!!!! not base64 !!!!\"", i, s, t, "encryptedData is not base64"},
                 {"\"94vGPgRt f2LrApPH\"", i, s, t, "encryptedData is not base64"},
                 {"\"94vGPgRtf2LrApPH\\n\"", i, s, t, "encryptedData is not base64"},
                 {"\"94vG+gRtf2L_ApPH\"", i, s, t, "encryptedData is not base64"},
                 {d, "\"oJs9LZqIhbaSGmh1=\"", s, t, "iv is not base64"}};

    (void)state;
    for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
        struct buf text = {0};

        build(&text, cases[n].data, cases[n].iv, cases[n].salt, cases[n].tag, "100000");
        assert_refused(buf_text(&text), text.len, cases[n].reason);
        buf_free(&text);
    }
}

static void what_is_no_envelope_at_all_is_refused(void **state)
{
    static const char *const texts[] = {"",
                                        " ",
                                        "null",
                                        "true",
                                        "0",
                                        "[]",
                                        "[1,2,3]",
                                        "\"\"",
                                        "\"null\"",
                                        "{}",
                                        "not json at all",
                                        "aes-256-gcm:",
                                        "aes-256-gcm:null",
                                        "aes-256-gcm",
                                        "AES-256-GCM:" WHOLE,
                                        "aes-256-gcm:aes-256-gcm:" WHOLE,
                                        "[" WHOLE "]",
                                        WHOLE WHOLE,
                                        WHOLE "x",
                                        WHOLE ",",
                                        "x" WHOLE,
                                        "{" PARTS ",}",
                                        "{" PARTS ",\"iv\":\"" IV "\"}",
                                        "{'iv':1}",
                                        "// c\n" WHOLE,
                                        "\xef\xbb\xbf" WHOLE,
                                        "aes-256-gcm:\"" DATA "\"",
                                        "{\"v\":\"\xff\"," PARTS "}",
                                        "{\"v\":\"\\u0000\"," PARTS "}"};
    struct json *value = fixture_json("[1]"), *quoted = json_new_string("\"{}\"");
    struct envelope env;
    struct err err = {0};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_refused(texts[i], strlen(texts[i]), "");
    assert_refused(WHOLE "\0", sizeof WHOLE, "");
    fixture_refused(envelope_parse(NULL, &env, &err), ERR_UNDECRYPTABLE, &err, "absent");
    err_clear(&err);
    fixture_refused(envelope_parse(value, &env, &err), ERR_UNDECRYPTABLE, &err, "array");
    err_clear(&err);
    fixture_refused(envelope_parse(quoted, &env, &err), ERR_UNDECRYPTABLE, &err, "text of a text");
    json_free(value);
    json_free(quoted);
}

static void text_of_a_text_is_not_what_a_document_holds(void **state)
{
    struct json *once = json_new_string(WHOLE), *twice;
    struct buf text = {0};
    struct envelope env;

    (void)state;
    assert_int_equal(json_print(once, &text, NULL), ERR_OK);
    twice = json_new_string(buf_text(&text));
    assert_int_equal(envelope_parse(twice, &env, NULL), ERR_UNDECRYPTABLE);
    json_free(once);
    json_free(twice);
    buf_free(&text);
}

static void the_longest_token_is_read_and_nothing_longer(void **state)
{
    static unsigned char bytes[LIMIT_TOKEN_BYTES + 1];

    (void)state;
    for (size_t len = LIMIT_TOKEN_BYTES - 1; len <= sizeof bytes; len++) {
        struct buf data = {0}, text = {0};
        struct envelope env;

        buf_puts(&data, "\"");
        b64_encode(bytes, len, &data);
        buf_puts(&data, "\"");
        build(&text, buf_text(&data), "\"" IV "\"", "\"" SALT "\"", "\"" TAG "\"", NULL);
        if (len <= LIMIT_TOKEN_BYTES) {
            assert_int_equal(envelope_parse_text(buf_text(&text), text.len, &env, NULL), ERR_OK);
            assert_int_equal(env.data_len, len);
            envelope_fini(&env);
        } else {
            assert_refused(buf_text(&text), text.len, "8192 bytes");
        }
        buf_free(&data);
        buf_free(&text);
    }
}

static void a_huge_or_deep_text_is_refused_at_once(void **state)
{
    struct buf text = {0};
    int64_t start_ms = fixture_cpu_ms();

    (void)state;
    for (int i = 0; i < 10000; i++)
        buf_puts(&text, "[");
    assert_refused(buf_text(&text), text.len, "deep");
    buf_reset(&text);
    for (int i = 0; i < 5000; i++)
        buf_puts(&text, "{\"a\":");
    assert_refused(buf_text(&text), text.len, "deep");
    buf_reset(&text);
    buf_puts(&text, WHOLE);
    while (text.len < 1000000)
        buf_puts(&text, " ");
    assert_refused(buf_text(&text), text.len, "longer than");
    assert_true(fixture_cpu_ms() - start_ms < 200);
    buf_free(&text);
}

static void a_refusal_costs_no_key_derivation(void **state)
{
    static const char *const kdfs[] = {"2000001", "1000000000", "0"};
    int64_t start_ms = fixture_cpu_ms();

    (void)state;
    for (int i = 0; i < 300; i++) {
        struct buf text = {0};

        build(&text, "\"" DATA "\"", "\"" IV "\"", "\"" SALT "\"", "\"" TAG "\"", kdfs[i % 3]);
        assert_refused(buf_text(&text), text.len, "kdf");
        buf_free(&text);
    }
    assert_true(fixture_cpu_ms() - start_ms < 1000); /* 300 derivations of 100000 iterations take 7 s */
}

static void a_text_cut_short_anywhere_is_refused(void **state)
{
    (void)state;
    for (size_t len = 0; len < strlen(WHOLE); len++) {
        char *cut = malloc(len + 1);

        assert_non_null(cut);
        memcpy(cut, WHOLE, len);
        cut[len] = '\0';
        assert_refused(cut, len, "");
        free(cut);
    }
}

/* Nothing is known of the outcome but this: it is read, or it is refused with a reason and leaves nothing behind. */
static void any_byte_may_be_anything(void **state)
{
    static const unsigned char replacements[] = {0, '"', '\\', '{', '}', '=', ' ', ':', ',', 'A', '9', 0x80, 0xff};
    char text[sizeof WHOLE];

    (void)state;
    for (size_t at = 0; at < sizeof WHOLE - 1; at++)
        for (size_t i = 0; i < sizeof replacements; i++) {
            struct envelope env;
            struct err err = {0};

            memcpy(text, WHOLE, sizeof text);
            text[at] = (char)replacements[i];
            if (envelope_parse_text(text, sizeof WHOLE - 1, &env, &err) == ERR_OK)
                assert_true(env.data_len > 0 && env.kdf >= 0 && env.kdf <= LIMIT_KDF_ITERATIONS);
            else
                fixture_refused(err.code, ERR_UNDECRYPTABLE, &err, text);
            envelope_fini(&env);
        }
}

static void an_envelope_is_told_from_a_token(void **state)
{
    static const char *const envelopes[] = {WHOLE,
                                            "aes-256-gcm:" WHOLE,
                                            " \n" WHOLE,
                                            "{\"encryptedData\":\"x\"}",
                                            "{\"encryptedData\":null}",
                                            "{\"encryptedData\":\"94vGPg",
                                            "{\"encr",
                                            "aes-256-gcm:",
                                            "{" PARTS ",\"kdf\":0}",
                                            WHOLE "x",
                                            "\"{\\\"encryptedData\\\":\\\"94vG\\\"}\"",
                                            " \"{\\\"encr",
                                            "\"aes-256-gcm:{"};
    static const char *const tokens[] = {"",
                                         " ",
                                         FIXTURE_TOKEN,
                                         "EAABsbCS1iHgBO",
                                         "act.example",
                                         "null",
                                         "aes-256-gcm",
                                         "{}",
                                         "eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
                                         "{\"access_token\":\"x\"}",
                                         "[" WHOLE "]",
                                         "\"EAABsbCS1iHgBO\"",
                                         "ya29.a0{"};
    char cut[] = WHOLE;

    (void)state;
    for (size_t i = 0; i < sizeof envelopes / sizeof *envelopes; i++)
        if (!envelope_looks_like(envelopes[i], strlen(envelopes[i])))
            fail_msg("not seen as an envelope: %s", envelopes[i]);
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
        if (envelope_looks_like(tokens[i], strlen(tokens[i]))) fail_msg("not seen as a token: %s", tokens[i]);
    assert_int_equal(envelope_looks_like(cut, 0), 0); /* the length counts, not the NUL */
    assert_int_equal(envelope_looks_like(" {", 1), 0);
}

static void what_is_written_is_what_the_application_writes(void **state)
{
    static const char *const names[] = {"encryptedData", "iv", "salt", "tag", "kdf"};
    struct envelope env;
    struct buf text = {0};
    struct json *object;

    (void)state;
    assert_int_equal(envelope_parse_text(WHOLE, strlen(WHOLE), &env, NULL), ERR_OK);
    object = envelope_to_json(&env);
    assert_int_equal(json_count(object), 5);
    for (size_t i = 0; i < 5; i++) {
        const char *key = NULL;

        json_member_at(object, i, &key);
        assert_string_equal(key, names[i]);
    }
    assert_int_equal(json_print(object, &text, NULL), ERR_OK);
    assert_string_equal(buf_text(&text), WHOLE);
    json_free(object);
    env.kdf = 0; /* a document without kdf is not given one */
    object = envelope_to_json(&env);
    assert_null(json_member(object, "kdf"));
    json_free(object);
    buf_free(&text);
    envelope_fini(&env);
    envelope_fini(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_is_read),
        cmocka_unit_test(an_object_is_read_like_its_text_and_like_its_text_in_quotes),
        cmocka_unit_test(the_iteration_count_is_a_whole_number_in_its_range),
        cmocka_unit_test(a_wrong_or_missing_part_is_named_in_the_reason),
        cmocka_unit_test(what_is_no_envelope_at_all_is_refused),
        cmocka_unit_test(text_of_a_text_is_not_what_a_document_holds),
        cmocka_unit_test(the_longest_token_is_read_and_nothing_longer),
        cmocka_unit_test(a_huge_or_deep_text_is_refused_at_once),
        cmocka_unit_test(a_refusal_costs_no_key_derivation),
        cmocka_unit_test(a_text_cut_short_anywhere_is_refused),
        cmocka_unit_test(any_byte_may_be_anything),
        cmocka_unit_test(an_envelope_is_told_from_a_token),
        cmocka_unit_test(what_is_written_is_what_the_application_writes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
