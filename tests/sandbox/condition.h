/* The ways in which a call can end, as one table: condition.def. */
#ifndef SANDBOX_CONDITION_H
#define SANDBOX_CONDITION_H

enum condition {
#define CONDITION(name, word, effect, status, code, subcode, message) CONDITION_##name,
#include "condition.def"
#undef CONDITION
    CONDITION_COUNT
};
enum effect { EFFECT_SERVED, EFFECT_ERROR, EFFECT_RAW };

struct condition_row {
    const char *word;
    enum effect effect;
    int status, code, subcode;
    const char *message;
};
extern const struct condition_row condition_rows[CONDITION_COUNT];

/** condition_parse(word, &c): 1, or 0 if there is no such word (NULL included). */
int condition_parse(const char *word, enum condition *c);
/** condition_lifetime(c, &expires_in_s, &age_s): what a token of this condition is born with, unless told otherwise. */
void condition_lifetime(enum condition c, long *expires_in_s, long *age_s);

#endif
