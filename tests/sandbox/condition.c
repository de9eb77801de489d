#include "condition.h"
#include <string.h>

const struct condition_row condition_rows[CONDITION_COUNT] = {
#define CONDITION(name, word, effect, status, code, subcode, message)                                                  \
    {word, EFFECT_##effect, status, code, subcode, message},
#include "condition.def"
#undef CONDITION
};

int condition_parse(const char *word, enum condition *c)
{
    for (int i = 0; word && i < CONDITION_COUNT; i++) {
        if (strcmp(word, condition_rows[i].word) != 0) continue;
        *c = (enum condition)i;
        return 1;
    }
    return 0;
}

void condition_lifetime(enum condition c, long *expires_in_s, long *age_s)
{
    enum { HOUR = 3600, DAY = 24 * HOUR, LIFE = 60 };

    switch (c) {
    case CONDITION_EXPIRING:
        *expires_in_s = 3L * DAY;
        break;
    case CONDITION_TOO_YOUNG:
        *expires_in_s = 60L * DAY - HOUR;
        break;
    case CONDITION_EXPIRED:
        *expires_in_s = -1L * DAY;
        break;
    default:
        *expires_in_s = 50L * DAY;
    }
    *age_s = (long)LIFE * DAY - *expires_in_s;
}
