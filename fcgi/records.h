/* Whether what a web server has sent so far is a request that libfcgi can be given: it would wait for the rest of one that is not
 * whole, and take memory for as much as a parameter says that it has. FastCGI specification 1.0, 3.3 to 3.5. Pure. */
#ifndef TH_RECORDS_H
#define TH_RECORDS_H
#include <stddef.h>

enum records {
    RECORDS_PARTIAL,    /* so far so good */
    RECORDS_HEAD,       /* a request with all its parameters; of its input there is more to come */
    RECORDS_WHOLE,      /* and all its input */
    RECORDS_MANAGEMENT, /* a question about the application itself, and no request yet */
    RECORDS_TOO_LARGE,  /* more parameters than LIMIT_PARAMETERS_BYTES */
    RECORDS_BROKEN      /* no such protocol, another order, lengths that do not fit */
};
enum { RECORDS_REFUSAL_BYTES = 96 };
/** records_look(bytes, len): of what a connection has to say; the first request counts. */
enum records records_look(const unsigned char *bytes, size_t len);
/** records_refuse(bytes, out): the whole answer (431) to the request that begins there and is too large. Returns its length. */
size_t records_refuse(const unsigned char *bytes, unsigned char out[RECORDS_REFUSAL_BYTES]);

#endif
