/* For the unit tests of ids, accounts and patches: JSON from text and back. */
#ifndef TH_JSON_FIXTURE_H
#define TH_JSON_FIXTURE_H
#include "store/account.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static inline struct json *fixture_json(const char *text)
{
    struct json *json = NULL;
    struct err err = {0};

    if (json_parse(text, strlen(text), &json, &err) != ERR_OK) fail_msg("%s: %s %s", text, err.place, err.text);
    return json;
}

/** fixture_expect_json(json, expected, what): is it this text? */
static inline void fixture_expect_json(const struct json *json, const char *expected, const char *what)
{
    struct buf text = {0};

    if (json) assert_int_equal(json_print(json, &text, NULL), ERR_OK);
    if (strcmp(json ? buf_text(&text) : "absent", expected) != 0)
        fail_msg("%s: got %s, expected %s", what, json ? buf_text(&text) : "absent", expected);
    buf_free(&text);
}

#endif
