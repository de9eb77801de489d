/* The text of an id. */
#ifndef TH_ID_TEXT_H
#define TH_ID_TEXT_H

enum { ID_HEX_DIGITS = 24 };

/** id_is_hex(text): 24 hex digits, of either case? */
int id_is_hex(const char *text);
/** id_normal(text, room): how ids are compared and hashed: of 24 hex digits the lower case, as an ObjectId is the same in either,
 *  written to ${room} (ID_HEX_DIGITS + 1 bytes); any other ${text} itself. Nothing is allocated; the result lives as long as both. */
const char *id_normal(const char *text, char *room);
/** id_is_same(a, b): do both texts name the same? */
int id_is_same(const char *a, const char *b);

#endif
