/* cmocka and the headers it wants before it. */
#ifndef TH_CMOCKA_ALL_H
#define TH_CMOCKA_ALL_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#endif
