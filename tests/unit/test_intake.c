/* Taking tokens in: every way in which an application can store a token, and what is said of it. */
#include "account_fixture.h"

#define BOTH_MISPLACED (FAULT_ENVELOPE_IN_PLAIN_FIELD | FAULT_NO_COMPANIONS)

static const struct row {
    const char *name, *members;
    enum form_kind encrypted, plain;
    int faults;
    const char *format;
    const char *tokens[2]; /* what intake_next gives, in order */
    enum reason reason;    /* when it gives nothing */
} rows[] = {
    {"an envelope object and nothing else",
     "{\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE "\"}}",
     FORM_ENVELOPE,
     FORM_ABSENT,
     FAULT_NO_COMPANIONS,
     "encrypted",
     {TOKEN_ONE},
     0},
    {"an envelope text with its companions",
     "{\"encryptedAccessToken\":{\"$sealText\":\"" TOKEN_ONE
     "\"},\"tokenStatus\":\"valid\",\"needsReconnection\":false,"
     "\"lastTokenValidation\":{\"$date\":\"2026-01-01T00:00:00.000Z\"}}",
     FORM_ENVELOPE,
     FORM_ABSENT,
     0,
     "encrypted_json",
     {TOKEN_ONE},
     0},
    {"an envelope object in accessToken",
     "{\"accessToken\":{\"$seal\":\"" TOKEN_ONE "\"}}",
     FORM_ABSENT,
     FORM_ENVELOPE,
     FAULT_ENVELOPE_IN_PLAIN_FIELD,
     "encrypted_in_access_field",
     {TOKEN_ONE},
     0},
    {"an envelope text in accessToken",
     "{\"accessToken\":{\"$sealText\":\"" TOKEN_ONE "\"}}",
     FORM_ABSENT,
     FORM_ENVELOPE,
     FAULT_ENVELOPE_IN_PLAIN_FIELD,
     "encrypted_in_access_field",
     {TOKEN_ONE},
     0},
    {"a plain token",
     "{\"accessToken\":\"" TOKEN_ONE "\"}",
     FORM_ABSENT,
     FORM_PLAIN,
     FAULT_PLAIN_AT_REST,
     "plain",
     {TOKEN_ONE},
     0},
    {"nothing", "{}", FORM_ABSENT, FORM_ABSENT, 0, "none", {NULL}, REASON_MISSING_TOKEN},
    {"nulls",
     "{\"encryptedAccessToken\":null,\"accessToken\":null}",
     FORM_ABSENT,
     FORM_ABSENT,
     0,
     "none",
     {NULL},
     REASON_MISSING_TOKEN},
    {"blank texts",
     "{\"encryptedAccessToken\":\" \",\"accessToken\":\" \\t\\r\\n\"}",
     FORM_ABSENT,
     FORM_ABSENT,
     0,
     "none",
     {NULL},
     REASON_MISSING_TOKEN},
    {"empty texts",
     "{\"encryptedAccessToken\":\"\",\"accessToken\":\"\"}",
     FORM_ABSENT,
     FORM_ABSENT,
     0,
     "none",
     {NULL},
     REASON_MISSING_TOKEN},
    {"values that can hold no token",
     "{\"encryptedAccessToken\":5,\"accessToken\":[\"x\"]}",
     FORM_ABSENT,
     FORM_ABSENT,
     0,
     "none",
     {NULL},
     REASON_MISSING_TOKEN},
    {"true in accessToken",
     "{\"accessToken\":true}",
     FORM_ABSENT,
     FORM_ABSENT,
     0,
     "none",
     {NULL},
     REASON_MISSING_TOKEN},
    {"two different tokens",
     "{\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE "\"},\"accessToken\":\"" TOKEN_TWO "\"}",
     FORM_ENVELOPE,
     FORM_PLAIN,
     FAULT_PLAIN_AT_REST | FAULT_NO_COMPANIONS,
     "encrypted",
     {TOKEN_ONE, TOKEN_TWO},
     0},
    {"two different envelopes",
     "{\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE "\"},\"accessToken\":{\"$sealText\":\"" TOKEN_TWO "\"}}",
     FORM_ENVELOPE,
     FORM_ENVELOPE,
     BOTH_MISPLACED,
     "encrypted",
     {TOKEN_ONE, TOKEN_TWO},
     0},
    {"the same token twice",
     "{\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE "\"},\"accessToken\":\"" TOKEN_ONE "\"}",
     FORM_ENVELOPE,
     FORM_PLAIN,
     FAULT_PLAIN_AT_REST | FAULT_NO_COMPANIONS,
     "encrypted",
     {TOKEN_ONE},
     0},
    {"the same token in two envelopes",
     "{\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE "\"},\"accessToken\":{\"$seal\":\"" TOKEN_ONE "\"}}",
     FORM_ENVELOPE,
     FORM_ENVELOPE,
     BOTH_MISPLACED,
     "encrypted",
     {TOKEN_ONE},
     0},
    {"a damaged envelope beside a plain token",
     "{\"encryptedAccessToken\":{\"encryptedData\":\"AAAA\",\"iv\":\"AA\"},\"accessToken\":\"" TOKEN_TWO "\"}",
     FORM_DAMAGED,
     FORM_PLAIN,
     FAULT_PLAIN_AT_REST | FAULT_NO_COMPANIONS,
     "encrypted",
     {TOKEN_TWO},
     0},
    {"another key's envelope beside a plain token",
     "{\"encryptedAccessToken\":{\"$other\":\"" TOKEN_ONE "\"},\"accessToken\":\"" TOKEN_TWO "\"}",
     FORM_ENVELOPE,
     FORM_PLAIN,
     FAULT_PLAIN_AT_REST | FAULT_NO_COMPANIONS,
     "encrypted",
     {TOKEN_TWO},
     0},
    {"another key's envelope alone",
     "{\"encryptedAccessToken\":{\"$other\":\"" TOKEN_ONE "\"}}",
     FORM_ENVELOPE,
     FORM_ABSENT,
     FAULT_NO_COMPANIONS,
     "encrypted",
     {NULL},
     REASON_UNDECRYPTABLE},
    {"another key's envelope in accessToken",
     "{\"accessToken\":{\"$other\":\"" TOKEN_ONE "\"}}",
     FORM_ABSENT,
     FORM_ENVELOPE,
     FAULT_ENVELOPE_IN_PLAIN_FIELD,
     "encrypted_in_access_field",
     {NULL},
     REASON_UNDECRYPTABLE},
    {"an envelope cut short in accessToken",
     "{\"accessToken\":\"{\\\"encryptedData\\\":\\\"AAAA\"}",
     FORM_ABSENT,
     FORM_DAMAGED,
     FAULT_ENVELOPE_IN_PLAIN_FIELD,
     "encrypted_in_access_field",
     {NULL},
     REASON_UNDECRYPTABLE},
    {"a text that is no envelope in encryptedAccessToken",
     "{\"encryptedAccessToken\":\"" TOKEN_ONE "\"}",
     FORM_DAMAGED,
     FORM_ABSENT,
     FAULT_NO_COMPANIONS,
     "encrypted_json",
     {NULL},
     REASON_UNDECRYPTABLE},
    {"an object that is no envelope in accessToken",
     "{\"accessToken\":{\"access_token\":\"" TOKEN_ONE "\"}}",
     FORM_ABSENT,
     FORM_DAMAGED,
     FAULT_ENVELOPE_IN_PLAIN_FIELD,
     "encrypted_in_access_field",
     {NULL},
     REASON_UNDECRYPTABLE},
    {"a provider's answer saved as the token",
     "{\"accessToken\":\"{\\\"access_token\\\":\\\"" TOKEN_ONE "\\\"}\"}",
     FORM_ABSENT,
     FORM_JUNK,
     FAULT_PLAIN_AT_REST,
     "plain",
     {NULL},
     REASON_UNDECRYPTABLE},
    {"a token in quotes",
     "{\"accessToken\":\"\\\"" TOKEN_ONE "\\\"\"}",
     FORM_ABSENT,
     FORM_JUNK,
     FAULT_PLAIN_AT_REST,
     "plain",
     {NULL},
     REASON_UNDECRYPTABLE},
    {"a list as text",
     "{\"accessToken\":\"[1]\"}",
     FORM_ABSENT,
     FORM_JUNK,
     FAULT_PLAIN_AT_REST,
     "plain",
     {NULL},
     REASON_UNDECRYPTABLE},
    {"blanks around the token",
     "{\"accessToken\":\" \\t" TOKEN_ONE "\\r\\n\"}",
     FORM_ABSENT,
     FORM_PLAIN,
     FAULT_PLAIN_AT_REST,
     "plain",
     {TOKEN_ONE},
     0},
    {"blanks around the token in an envelope",
     "{\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE "\\n\"}}",
     FORM_ENVELOPE,
     FORM_ABSENT,
     FAULT_NO_COMPANIONS,
     "encrypted",
     {TOKEN_ONE},
     0},
    {"a line feed in the middle",
     "{\"accessToken\":\"" TOKEN_ONE "\\n" TOKEN_ONE "\"}",
     FORM_ABSENT,
     FORM_JUNK,
     FAULT_PLAIN_AT_REST,
     "plain",
     {NULL},
     REASON_UNDECRYPTABLE},
    {"a NUL in the token",
     "{\"accessToken\":\"IGAA\\u0001x\"}",
     FORM_ABSENT,
     FORM_JUNK,
     FAULT_PLAIN_AT_REST,
     "plain",
     {NULL},
     REASON_UNDECRYPTABLE},
    {"letters beyond ASCII",
     "{\"accessToken\":\"IGAA\\u00e9\"}",
     FORM_ABSENT,
     FORM_JUNK,
     FAULT_PLAIN_AT_REST,
     "plain",
     {NULL},
     REASON_UNDECRYPTABLE},
    {"junk beside a good envelope",
     "{\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE "\"},\"accessToken\":\"a b\"}",
     FORM_ENVELOPE,
     FORM_JUNK,
     FAULT_PLAIN_AT_REST | FAULT_NO_COMPANIONS,
     "encrypted",
     {TOKEN_ONE},
     0},
    {"an envelope that holds junk",
     "{\"encryptedAccessToken\":{\"$seal\":\"two words\"}}",
     FORM_ENVELOPE,
     FORM_ABSENT,
     FAULT_NO_COMPANIONS,
     "encrypted",
     {NULL},
     REASON_UNDECRYPTABLE},
    {"an envelope in an envelope",
     "{\"encryptedAccessToken\":{\"$seal\":\"{\\\"encryptedData\\\":1}\"}}",
     FORM_ENVELOPE,
     FORM_ABSENT,
     FAULT_NO_COMPANIONS,
     "encrypted",
     {NULL},
     REASON_UNDECRYPTABLE},
    {"a plain refresh token",
     "{\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE "\"},\"refreshToken\":\"refresh-one\"}",
     FORM_ENVELOPE,
     FORM_ABSENT,
     FAULT_PLAIN_AT_REST | FAULT_NO_COMPANIONS,
     "encrypted",
     {TOKEN_ONE},
     0},
    {"an envelope in refreshToken",
     "{\"encryptedAccessToken\":{\"$seal\":\"" TOKEN_ONE "\"},\"refreshToken\":{\"$seal\":\"refresh-one\"}}",
     FORM_ENVELOPE,
     FORM_ABSENT,
     BOTH_MISPLACED,
     "encrypted",
     {TOKEN_ONE},
     0},
    {"a blank refresh token",
     "{\"accessToken\":\"" TOKEN_ONE "\",\"refreshToken\":\"  \"}",
     FORM_ABSENT,
     FORM_PLAIN,
     FAULT_PLAIN_AT_REST,
     "plain",
     {TOKEN_ONE},
     0},
};

static void check_row(const struct row *row)
{
    struct account account = fixture_account(row->members);
    struct intake in;
    struct form *form;
    int given = 0;

    intake_describe(&account, fixture_keys, &in);
    if (in.was_slow) fail_msg("%s: describing paid a key derivation", row->name);
    if (in.forms[FIELD_ENCRYPTED].kind != row->encrypted || in.forms[FIELD_PLAIN].kind != row->plain)
        fail_msg("%s: forms %d and %d, expected %d and %d", row->name, in.forms[FIELD_ENCRYPTED].kind,
                 in.forms[FIELD_PLAIN].kind, row->encrypted, row->plain);
    if (in.faults != row->faults) fail_msg("%s: faults %d, expected %d", row->name, in.faults, row->faults);
    if (strcmp(in.token_format, row->format) != 0)
        fail_msg("%s: format %s, expected %s", row->name, in.token_format, row->format);
    if (in.has_token != (row->encrypted != FORM_ABSENT || row->plain != FORM_ABSENT) ||
        (in.print[0] != 0) != in.has_token)
        fail_msg("%s: has_token %d, print \"%s\"", row->name, in.has_token, in.print);
    while ((form = intake_next(&account, fixture_keys, &in))) {
        const char *wanted = given < 2 ? row->tokens[given] : NULL;

        if (!wanted || strcmp((const char *)secret_bytes(&form->token), wanted) != 0)
            fail_msg("%s: token %d is %s, expected %s", row->name, given, secret_bytes(&form->token), wanted);
        given++;
    }
    if (given < 2 && row->tokens[given]) fail_msg("%s: %s was not given", row->name, row->tokens[given]);
    if (!given && intake_reason(&in) != row->reason)
        fail_msg("%s: %s, expected %s", row->name, reason_word(intake_reason(&in)), reason_word(row->reason));
    if (!given && row->reason != REASON_MISSING_TOKEN && !in.why[0]) fail_msg("%s: no word why", row->name);
    if (strstr(in.why, "IGAA")) fail_msg("%s: a token in: %s", row->name, in.why);
    intake_fini(&in);
    account_fini(&account);
}

static void every_stored_form_is_known(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_row(&rows[i]);
}

static void a_token_is_at_most_as_long_as_the_limit(void **state)
{
    (void)state;
    for (int over = 0; over <= 1; over++) {
        struct buf members = {0};
        struct account account;
        struct intake in;

        buf_puts(&members, "{\"accessToken\":\"");
        for (int i = 0; i < LIMIT_TOKEN_BYTES + over; i++)
            buf_puts(&members, "x");
        buf_puts(&members, "\"}");
        account = fixture_account(buf_text(&members));
        intake_describe(&account, fixture_keys, &in);
        assert_int_equal(in.forms[FIELD_PLAIN].kind, over ? FORM_JUNK : FORM_PLAIN);
        intake_fini(&in);
        account_fini(&account);
        buf_free(&members);
    }
}

static void what_can_be_sent_is_printable_ascii_and_no_json(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        unsigned char text[3] = {'a', (unsigned char)c, 'b'}, first[2] = {(unsigned char)c, 'b'};

        assert_int_equal(token_is_sendable(text, 3), c > 0x20 && c < 0x7f);
        assert_int_equal(token_is_sendable(first, 2), c > 0x20 && c < 0x7f && c != '{' && c != '[' && c != '"');
    }
    assert_false(token_is_sendable((const unsigned char *)"", 0));
}

/* ---- prints ---- */

static void print_of(const char *members, char out[PRINT_BYTES])
{
    struct account account = fixture_account(members);
    struct intake in;

    intake_describe(&account, fixture_keys, &in);
    memcpy(out, in.print, PRINT_BYTES);
    intake_fini(&in);
    account_fini(&account);
}

#define PARTS                                                                                                          \
    "\"encryptedData\":\"AAAA\",\"iv\":\"AAAAAAAAAAAAAAAA\",\"tag\":\"AAAAAAAAAAAAAAAAAAAAAA==\","                     \
    "\"salt\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\""
#define PARTS_TEXT                                                                                                     \
    "\\\"encryptedData\\\":\\\"AAAA\\\",\\\"iv\\\":\\\"AAAAAAAAAAAAAAAA\\\",\\\"tag\\\":"                              \
    "\\\"AAAAAAAAAAAAAAAAAAAAAA\\\","                                                                                  \
    "\\\"salt\\\":\\\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\\\""

static void an_envelope_has_one_print_however_it_is_written(void **state)
{
    static const char *const same[] = {
        "{\"encryptedAccessToken\":{" PARTS "}}",
        "{\"encryptedAccessToken\":{\"x\":1," PARTS "}}",
        "{\"encryptedAccessToken\":\"{" PARTS_TEXT "}\"}",
        "{\"encryptedAccessToken\":\"aes-256-gcm:{" PARTS_TEXT "}\"}",
        "{\"accessToken\":{" PARTS "}}",
        "{\"encryptedAccessToken\":{" PARTS "},\"accessToken\":\"  \"}",
    };
    static const char *const others[] = {
        "{\"encryptedAccessToken\":{" PARTS ",\"kdf\":5}}",
        "{\"encryptedAccessToken\":{" PARTS "},\"accessToken\":\"" TOKEN_ONE "\"}",
        "{\"encryptedAccessToken\":{" PARTS "},\"accessToken\":\"" TOKEN_TWO "\"}",
        "{\"encryptedAccessToken\":{" PARTS "},\"accessToken\":{" PARTS "}}",
        "{\"accessToken\":\"" TOKEN_ONE "\"}",
        "{\"accessToken\":\"" TOKEN_TWO "\"}",
        "{\"accessToken\":\"not a token\"}",
        "{\"encryptedAccessToken\":{\"iv\":5}}",
    };
    char first[PRINT_BYTES], print[8][PRINT_BYTES];

    (void)state;
    print_of(same[0], first);
    for (size_t i = 1; i < sizeof same / sizeof *same; i++) {
        print_of(same[i], print[0]);
        if (strcmp(print[0], first) != 0) fail_msg("%s: print %s, expected %s", same[i], print[0], first);
    }
    for (int i = 0; i < 8; i++) {
        print_of(others[i], print[i]);
        if (!strcmp(print[i], first)) fail_msg("%s: the print of another", others[i]);
        for (int j = 0; j < i; j++)
            if (!strcmp(print[i], print[j])) fail_msg("%s and %s: the same print", others[i], others[j]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_stored_form_is_known),
        cmocka_unit_test(a_token_is_at_most_as_long_as_the_limit),
        cmocka_unit_test(what_can_be_sent_is_printable_ascii_and_no_json),
        cmocka_unit_test(an_envelope_has_one_print_however_it_is_written),
    };

    return cmocka_run_group_tests(tests, fixture_keys_setup, fixture_keys_teardown);
}
