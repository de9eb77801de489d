#include "provider/provider.h"
#include <string.h>

static const struct {
    const char *word;
    enum reason_class class;
} reasons[REASON_COUNT] = {
#define REASON(name, word, class) [REASON_##name] = {word, CLASS_##class},
#include "provider/reason.def"
#undef REASON
};

const char *reason_word(enum reason reason)
{
    return (unsigned)reason < REASON_COUNT ? reasons[reason].word : reasons[REASON_NONE].word;
}

int reason_parse(const char *word, enum reason *out)
{
    for (unsigned i = 0; word && i < REASON_COUNT; i++) {
        if (strcmp(word, reasons[i].word) == 0) {
            *out = (enum reason)i;
            return 1;
        }
    }
    return 0;
}

enum reason_class reason_class(enum reason reason)
{
    return (unsigned)reason < REASON_COUNT ? reasons[reason].class : CLASS_INCONCLUSIVE;
}

const char *reason_class_word(enum reason_class c)
{
    switch (c) {
    case CLASS_DEFINITIVE:
        return "definitive";
    case CLASS_ACCEPTED:
        return "accepted";
    case CLASS_INCONCLUSIVE:
        break;
    }
    return "inconclusive";
}
