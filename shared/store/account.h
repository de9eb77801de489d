/* An account document (DESIGN 2) as token-health sees it: the fields it needs, read strictly, once, from the
 * document as MongoDB Extended JSON; and a patch: the single fields that a write sets or unsets. Both stores share this. */
#ifndef TH_ACCOUNT_H
#define TH_ACCOUNT_H
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/secret.h"

/** An id of a document: its type and text. OBJECTID: 24 hex digits; NUMBER: decimal integer text. */
enum id_type { ID_NONE, ID_STRING, ID_OBJECTID, ID_NUMBER };
struct account_id {
    enum id_type type;
    char text[LIMIT_ID_BYTES];
};
/** id_parse(json, &id, err): from Extended JSON: "text", {"$oid":…}, 5, {"$numberInt"|"$numberLong"|"$numberDouble":…} with an integral value.
 *  Fails: ERR_BAD_INPUT (other type, empty, too long, control characters). */
enum err_code id_parse(const struct json *j, struct account_id *id, struct err *err);
/** id_forms(text, out): every typed id that an API text can stand for: as string always; as ObjectId if 24 hex digits; as
 *  number if it is a canonical decimal integer of 64 bits. Returns the count (1…3). Fails with 0: empty, too long, control characters. */
int id_forms(const char *text, struct account_id out[3]);
/** id_to_json(id): Extended JSON (relaxed). Owns: caller. */
struct json *id_to_json(const struct account_id *id);
/** id_key(id, out): "o:hex", "s:text", "n:5": unique and ordered by bytes; the primary key in SQLite. out: LIMIT_ID_BYTES + 4. */
void id_key(const struct account_id *id, char *out, size_t size);
void id_of_key(const char *key, struct account_id *id); /* back again; ID_NONE if it is no key */

enum tri { TRI_ABSENT, TRI_FALSE, TRI_TRUE };

struct account {
    struct account_id id;
    struct account_id workspace; /* ID_NONE when absent or null */
    char platform[LIMIT_PLATFORM_BYTES];
    char username[LIMIT_NAME_BYTES];
    char provider_account_id[LIMIT_NAME_BYTES]; /* document field accountId; "" if absent */
    char provider_page_id[LIMIT_NAME_BYTES];    /* document field pageId; "" if absent or odd */
    const struct json
        *encrypted_access; /* encryptedAccessToken: object or string; NULL if absent or null. Borrowed from doc */
    const struct json *encrypted_refresh;
    const struct json *plain_access; /* accessToken: any non-null value; NULL if absent, null or "" */
    const struct json *plain_refresh;
    int64_t expires_at_ms; /* 0: absent or null */
    char token_status[32]; /* "" if absent */
    enum tri is_active;    /* absent counts as active */
    enum tri needs_reconnection;
    int64_t last_sync_at_ms;
    int64_t last_validation_at_ms;
    const struct json *health; /* tokenHealth; NULL if absent. Its content is health/'s business */
    int has_companion_fields;  /* tokenStatus, lastTokenValidation and needsReconnection are all there */
    struct json *doc;          /* owned: the projected document; tokens in it are wiped by account_fini */
    char fault[128]; /* "" or why a field could not be read: "expiresAt is not a date"; the field counts as absent */
};
/** account_date(json, &at_ms): 1 if it is a date of Extended JSON: {"$date": "…Z"}, {"$date": {"$numberLong": "ms"}}; else 0. */
int account_date(const struct json *j, int64_t *at_ms);
/** The fields that are read, for a projection: NULL-terminated names. */
extern const char *const account_fields[];
/** account_parse(doc, account, err): takes doc (also on failure). Fails: ERR_BAD_INPUT only if _id or platform is unusable;
 *  any other odd field is named in fault. */
enum err_code account_parse(struct json *doc, struct account *account, struct err *err);
void account_fini(struct account *account);
/** account_check_import(doc, err): is this a document that may be imported: object, _id and platform usable,
 *  field types as in DESIGN 2? ERR_BAD_INPUT with the field as place. */
enum err_code account_check_import(const struct json *doc, struct err *err);

/* A patch: fields to set or unset, and guards that must hold for it to be applied (compare-and-swap). */
enum patch_op { PATCH_SET, PATCH_UNSET };
enum { PATCH_MAX = 32 };
struct patch_field {
    enum patch_op op;
    const char *path;   /* static text, dotted: "tokenHealth.state" */
    struct json *value; /* Extended JSON: dates as {"$date": "…Z"}; owned by the patch; NULL with UNSET */
};
struct fence;
struct patch {
    struct patch_field fields[PATCH_MAX];
    int field_count;
    struct patch_field guards
        [PATCH_MAX]; /* SET: field must equal value (any type, objects field by field); UNSET: must be absent or null */
    int guard_count;
    int loose; /* need not survive a power cut or a fail-over: it holds no token, and the next check writes it again */
    struct fence *fence; /* NULL, or borrowed: the write gets through only while it holds (lease.h) */
    int overflow; /* more than PATCH_MAX were put, or memory ran out: store_update refuses it with ERR_INTERNAL */
};
/** patch_set(p, path, value): takes value; replaces an earlier one of that path. A NULL value (no memory) spoils the patch. Two
 *  paths of a patch, one inside the other ("a" and "a.b"), are refused by store_update with ERR_INTERNAL. Parents that are
 *  missing or no objects ("tokenHealth": null) become objects. */
void patch_set(struct patch *p, const char *path, struct json *value);
void patch_set_string(struct patch *p, const char *path, const char *text); /* NULL: unset */
void patch_set_bool(struct patch *p, const char *path, int v);
void patch_set_int(struct patch *p, const char *path, int64_t v);
void patch_set_date(struct patch *p, const char *path, int64_t at_ms); /* 0: unset */
void patch_unset(struct patch *p, const char *path);
/** patch_guard(p, path, value): ${value} copied; NULL: the field must be absent or null. */
void patch_guard(struct patch *p, const char *path, const struct json *value);
/** patch_parents(p, &parents): the objects around the fields that are set, outer ones before inner ones, each once: the first len
 *  bytes of path. 1, or 0 if there are too many. */
enum { PATCH_PARENTS_MAX = 2 * PATCH_MAX };
struct patch_parents {
    struct patch_parent {
        const char *path;
        size_t len;
    } list[PATCH_PARENTS_MAX];
    int count;
};
int patch_parents(const struct patch *p, struct patch_parents *parents);
/** patch_guard_holds(held, wanted): is what a document holds (NULL: absent) what the guard wants? Objects: each member of wanted
 *  must be there with its value, in any order; members that wanted does not name do not matter ({} wants an empty object).
 *  Arrays: element by element. Numbers by value, dates by instant. */
int patch_guard_holds(const struct json *held, const struct json *wanted);
int patch_guards_hold(const struct json *doc, const struct patch *p);
/** patch_is_sound(p): did everything fit, and is no path inside another? */
int patch_is_sound(const struct patch *p);
/** patch_apply(doc, p): set and unset the fields in ${doc}. 0: memory ran out or a name is too long; doc is then half done. */
int patch_apply(struct json *doc, const struct patch *p);
int patch_apply_field(struct json *doc, const struct patch_field *field);
/** patch_blocked(p, doc, &blocked): the parents that ${doc} holds as something else than an object. None is inside another. 1, or 0
 *  if there are too many. */
int patch_blocked(const struct patch *p, const struct json *doc, struct patch_parents *blocked);
void patch_fini(struct patch *p);

#endif
