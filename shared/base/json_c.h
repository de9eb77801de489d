/* json-c, with the two type names of its own that would clash with ours renamed. Private to json*.c; include it last. */
#ifndef TH_JSON_C_H
#define TH_JSON_C_H
#define json_type jsonc_type
#define json_bool jsonc_bool
#include <json-c/json.h>
#undef json_type
#undef json_bool

/** json_wipe(o): overwrite every string value below ${o}: they may be tokens. */
void json_wipe(struct json_object *o);

#endif
