/* Errors: one code, one place, one sentence. The first cause wins; no
 * allocation; never a secret in the text. Codes are the table err.def. */
#ifndef TH_ERR_H
#define TH_ERR_H

enum err_code {
#define ERR(name, word, status, retry, title) ERR_##name,
#include "base/err.def"
#undef ERR
    ERR_COUNT
};

enum { ERR_PLACE_MAX = 160, ERR_TEXT_MAX = 320 };

/** An error as the caller sees it. place: "file:line" of a user's file, or a
 *  JSON path, or an account id; may be empty. Start with `struct err err = {0};`. */
struct err {
    enum err_code code;
    char place[ERR_PLACE_MAX];
    char text[ERR_TEXT_MAX];
};

/** err_set(err, code, place, fmt, ...): fill ${err} unless it is NULL or
 *  already holds an error (the first cause wins). Control characters in the
 *  text are replaced by '?'. place may be NULL. Returns ${code} always, so
 *  that `return err_set(...)` works. */
enum err_code err_set(struct err *err, enum err_code code, const char *place, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/** err_clear(err): make ${err} (NULL allowed) hold no error again. */
void err_clear(struct err *err);

/** err_word/err_status/err_is_retryable/err_title(code): the table's columns. */
const char *err_word(enum err_code code);
int err_status(enum err_code code);
int err_is_retryable(enum err_code code);
const char *err_title(enum err_code code);

#endif
