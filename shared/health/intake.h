/* Taking an account's token in, access or refresh: which fields hold one, in which form, which form opens, and what is wrong with how it is
 * stored. To describe costs microseconds and opens nothing. To open costs a key derivation (about 22 ms a key) unless a
 * fast envelope fits, or it is remembered that no key opens it (shut.h); so a form is opened only when its token is wanted. No I/O. */
#ifndef TH_INTAKE_H
#define TH_INTAKE_H
#include "health/shut.h"
#include "health/verdict.h"
#include "store/account.h"
#include "token/opener.h"

enum form_kind {
    FORM_ABSENT,   /* nothing, null, a blank text, or a type that can hold no token */
    FORM_ENVELOPE, /* a well-formed envelope */
    FORM_DAMAGED,  /* meant as an envelope, but no key will ever open it */
    FORM_PLAIN,    /* a token in the clear; blanks around it do not count */
    FORM_JUNK /* a text that is no token: JSON, control characters, over LIMIT_TOKEN_BYTES; never sent to anybody */
};
enum form_field { FIELD_ENCRYPTED, FIELD_PLAIN, FIELD_COUNT }; /* encryptedAccessToken, accessToken; …RefreshToken */
enum { PRINT_BYTES = 48 };

/** What one field holds. */
struct form {
    enum form_kind kind;
    char print[PRINT_BYTES]; /* fingerprint; "" if absent */
    struct envelope env;     /* FORM_ENVELOPE */
    struct secret token;     /* FORM_PLAIN; FORM_ENVELOPE once opened */
    int was_fast;            /* opened from the fast envelope */
    int is_shut;             /* well-formed, but no key of the ring opens it */
    struct shut shut;
    struct opening opening;   /* FORM_ENVELOPE, when a key derivation is needed */
    int is_dead;              /* the provider refused its token for good: set by who asked */
    int is_copy;              /* holds the same token as the form before */
    unsigned char mirror[32]; /* of an envelope that was opened: keyring_mirror */
};

struct intake {
    const char *what; /* static: "access" or "refresh" */
    struct form forms[FIELD_COUNT];
    int next;                 /* the first form that intake_next has not looked at */
    int faults;               /* FAULT_… of validate.h that concern storage */
    int was_slow;             /* a key derivation was paid */
    int has_opened;           /* an envelope opened: the key is the application's */
    char why[ERR_TEXT_MAX];   /* why a form gave no token, for the log */
    char print[PRINT_BYTES];  /* of all that is stored; "" if nothing is */
    const char *token_format; /* static: see service.h */
    int has_token;            /* something is stored */
};

/** intake_describe(account, ring, in): forms, prints and faults. ring NULL: a plain token has no print then. Owns: caller, intake_fini. */
void intake_describe(const struct account *account, const struct keyring *ring, struct intake *in);
/** intake_describe_refresh(account, ring, in): the same of the refresh token; its faults are counted with the access token's. */
void intake_describe_refresh(const struct account *account, const struct keyring *ring, struct intake *in);
/** intake_next(account, ring, in): the next form that gives a token, another one than those before; opened. NULL: there is none
 *  (more). The encrypted field comes first. */
struct form *intake_next(const struct account *account, const struct keyring *ring, struct intake *in);
/** intake_closed(account, ring, in): the form that intake_next could only give by a key derivation; NULL: it needs none. Whoever has its ${opening}
 *  done first (opener.h) spares intake_next that. */
struct form *intake_closed(const struct account *account, const struct keyring *ring, struct intake *in);
/** intake_reason(in): after intake_next gave nothing at all: undecryptable (also junk) or missing_token. */
enum reason intake_reason(const struct intake *in);
void intake_fini(struct intake *in);
/** intake_print(encrypted, plain, out): the print of an account from those of its two fields ("" absent). out may be either. */
void intake_print(const char *encrypted, const char *plain, char out[PRINT_BYTES]);
/** envelope_fingerprint(env, out): SHA-256 over the decoded parts, base64: the same for object and text, whatever key is set. */
void envelope_fingerprint(const struct envelope *env, char out[PRINT_BYTES]);
/** token_is_sendable(text, len): could a provider have issued this: printable ASCII without blanks (RFC 6749 A.12), no JSON. */
int token_is_sendable(const unsigned char *text, size_t len);
/** value_is_envelope(value), value_is_blank(value): a stored value meant as an envelope; one that holds nothing. */
int value_is_envelope(const struct json *value);
int value_is_blank(const struct json *value);

#endif
