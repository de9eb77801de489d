/* Every limit of token-health, in one table. Sizes in bytes unless the name
 * says otherwise. Knows nothing of tokens but how long they may be. */
#ifndef TH_LIMITS_H
#define TH_LIMITS_H

enum {
    LIMIT_TOKEN_BYTES = 8192,              /* a token in the clear */
    LIMIT_ENVELOPE_BYTES = 32768,          /* an envelope as JSON text */
    LIMIT_KDF_ITERATIONS = 2000000,        /* DESIGN 3: a document must not burn a CPU */
    LIMIT_ID_BYTES = 256,                  /* account id, workspace id, with NUL */
    LIMIT_PLATFORM_BYTES = 32,             /* platform name, with NUL */
    LIMIT_NAME_BYTES = 256,                /* username and the like, with NUL */
    LIMIT_REQUEST_BODY_BYTES = 65536,      /* larger: 413 */
    LIMIT_REQUEST_DISCARD_BYTES = 1 << 20, /* of a body that is too large, read and thrown away before the answer */
    LIMIT_REQUEST_TARGET_BYTES = 4096,     /* path and query, each */
    LIMIT_INPUT_AHEAD_BYTES = 32768,       /* of a request, that have come before its input is waited for by a worker */
    LIMIT_REQUEST_STALL_S = 10,            /* a web server that stops in the middle of a request */
    LIMIT_REQUEST_READ_S = 15,             /* and one that goes on, but slowly: in all, and for reading a long answer */
    LIMIT_PARAMETERS_BYTES = 49152,        /* all FastCGI parameters of a request; larger: 431 */
    LIMIT_PEEK_BYTES = 65536,              /* looked at before a request is taken */
    LIMIT_VALID_FOR_S = 31536000,          /* that a check may ask about */
    LIMIT_KEPT_CONNECTIONS = 64,           /* of web servers, each worker */
    LIMIT_API_KEY_BYTES = 128,             /* Authorization value after "Bearer " */
    LIMIT_API_KEYS = 1024,                 /* keys in the key file */
    LIMIT_KEY_FILE_BYTES = 1 << 20,
    LIMIT_JSON_DEPTH = 32,
    LIMIT_JSON_BYTES = 16 << 20, /* any JSON text that we parse */
    LIMIT_CONFIG_FILE_BYTES = 1 << 20,
    LIMIT_CONFIG_LINE_BYTES = 1 << 17,
    LIMIT_PROVIDER_FILE_BYTES = 1 << 18,
    LIMIT_PROVIDER_ANSWER_BYTES = 1 << 18, /* a provider's body; a longer one is no answer */
    LIMIT_PROVIDER_HEADER_BYTES = 1 << 16, /* all headers of an answer */
    LIMIT_PROVIDER_RULES = 128,            /* rules in one provider file */
    LIMIT_WORKSPACE_ACCOUNTS = 2000,       /* accounts loaded for one request */
    LIMIT_IMPORT_LINE_BYTES = 1 << 20,
    LIMIT_SHUT_AGAIN_MS =
        86400000,                  /* an envelope that no key opens is not tried again with the same keys for so long */
    LIMIT_CLOCK_SKEW_MS = 600000,  /* how far the clocks of two hosts may be apart */
    LIMIT_SPOOL_SLOTS = 1024,      /* refreshes whose answers may wait for the store on one host */
    LIMIT_BUDGET_WAIT_MS = 300000, /* how long an account of a sweep waits for the provider's budget */
    LIMIT_RETRY_AFTER_MS = 86400000, /* a provider may put off one account for so long: refreshes wait, too */
    LIMIT_WORKERS = 256,
    LIMIT_OPENER_THREADS = 64,   /* that derive keys in one process */
    LIMIT_SLICE_ACCOUNTS = 5000, /* that one monitor takes at a time */
    LIMIT_PAGE_ACCOUNTS = 256,   /* read at a time in a sweep */
    LIMIT_AHEAD_PART = 4,        /* a fourth of batch_size is prepared while batch_size calls are under way */
    LIMIT_BATCH = 1024
};

#endif
