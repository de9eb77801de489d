#include "base/id_text.h"
#include <ctype.h>
#include <string.h>

int id_is_hex(const char *text)
{
    for (int i = 0; i < ID_HEX_DIGITS; i++)
        if (!isxdigit((unsigned char)text[i])) return 0;
    return !text[ID_HEX_DIGITS];
}

const char *id_normal(const char *text, char *room)
{
    if (!id_is_hex(text)) return text;
    for (int i = 0; i <= ID_HEX_DIGITS; i++)
        room[i] = (char)tolower((unsigned char)text[i]);
    return room;
}

int id_is_same(const char *a, const char *b)
{
    char room_a[ID_HEX_DIGITS + 1], room_b[ID_HEX_DIGITS + 1];

    return strcmp(id_normal(a, room_a), id_normal(b, room_b)) == 0;
}
