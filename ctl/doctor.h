/* What doctor looks at, one function a part. Each tells what it found and, when that is not good, what to do. */
#ifndef TH_DOCTOR_H
#define TH_DOCTOR_H
#include "ctl.h"

enum finding_level { FINDING_OK, FINDING_WARN, FINDING_BAD };

struct checkup {
    struct ctl *ctl;
    struct json *list; /* NULL: printed for people as it comes */
    int bad;
};

/** doctor_tell(c, level, what, text, advice): advice: a sentence, or NULL when there is nothing to do. */
void doctor_tell(struct checkup *c, enum finding_level level, const char *what, const char *text, const char *advice);
/** doctor_result(c, what, rc, err, good, advice): ${good} or what the error says. Returns whether it is good. */
int doctor_result(struct checkup *c, const char *what, enum err_code rc, const struct err *err, const char *good,
                  const char *advice);
/** doctor_access_advice(path, otherwise, advice, size): if we may not read ${path}, whose it is and what to do; else ${otherwise}. */
void doctor_access_advice(const char *path, const char *otherwise, char *advice, size_t size);

/* These need the configuration alone. */
void doctor_files(struct checkup *c);
void doctor_keys(struct checkup *c);
void doctor_clock(struct checkup *c);
void doctor_responder(struct checkup *c);
/* These need the open service. */
void doctor_store(struct checkup *c);
void doctor_tokens(struct checkup *c);
void doctor_cache(struct checkup *c);
void doctor_providers(struct checkup *c);
void doctor_monitor(struct checkup *c);

#endif
