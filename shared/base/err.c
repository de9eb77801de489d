#include "base/err.h"
#include <stdarg.h>
#include <stdio.h>

static const struct {
    const char *word;
    int status;
    int retryable;
    const char *title;
} errors[ERR_COUNT] = {
#define ERR(name, word, status, retry, title) [ERR_##name] = {word, status, retry, title},
#include "base/err.def"
#undef ERR
};

static void make_printable(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f) *text = '?';
}

enum err_code err_set(struct err *err, enum err_code code, const char *place, const char *fmt, ...)
{
    va_list args;

    if (!err || err->code != ERR_OK) return code;
    err->code = code;
    snprintf(err->place, sizeof err->place, "%s", place ? place : "");
    va_start(args, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    make_printable(err->place);
    make_printable(err->text);
    return code;
}

void err_clear(struct err *err)
{
    if (!err) return;
    err->code = ERR_OK;
    err->place[0] = '\0';
    err->text[0] = '\0';
}

static enum err_code known(enum err_code code)
{
    return (unsigned)code < ERR_COUNT ? code : ERR_INTERNAL;
}

const char *err_word(enum err_code code)
{
    return errors[known(code)].word;
}

int err_status(enum err_code code)
{
    return errors[known(code)].status;
}

int err_is_retryable(enum err_code code)
{
    return errors[known(code)].retryable;
}

const char *err_title(enum err_code code)
{
    return errors[known(code)].title;
}
