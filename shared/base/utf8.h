/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef TH_UTF8_H
#define TH_UTF8_H
#include <stddef.h>

/** utf8_length(text, left): bytes of the character at ${text}, of which ${left} bytes may be read; 0 if there is no well-formed one. */
size_t utf8_length(const char *text, size_t left);

#endif
