/* What is in a slot of the spool, as bytes: an intent and its answer, printed, sealed, checked, read. No I/O. Private to spool.c. */
#ifndef TH_SPOOL_RECORD_H
#define TH_SPOOL_RECORD_H
#include "token/spool.h"
#include "token/spool_file.h"

enum { SPOOL_ID_BYTES = 33, SPOOL_ANSWER_BYTES = SPOOL_SLOT_BYTES - SPOOL_PAGE_BYTES };

/** spool_record_intend(about, id, page, err): a new id and the slot's first page. Fails: ERR_BAD_INPUT, ERR_NOMEM, ERR_CRYPTO. */
enum err_code spool_record_intend(const struct json *about, char id[SPOOL_ID_BYTES], char page[SPOOL_PAGE_BYTES],
                                  struct err *err);
/** spool_record_answer(ring, id, answer, slot, err): the slot's other pages, sealed for what its first page says. Fails:
 *  ERR_BAD_INPUT, ERR_NOMEM, ERR_CRYPTO. */
enum err_code spool_record_answer(const struct keyring *ring, const char *id, const struct spool_answer *answer,
                                  char slot[SPOOL_SLOT_BYTES], struct err *err);
/** spool_record_no_answer(slot): its other pages blank. */
void spool_record_no_answer(char slot[SPOOL_SLOT_BYTES]);

enum spool_content {
    SPOOL_FREE,
    SPOOL_INTENT,
    SPOOL_RECORD,
    SPOOL_BAD_INTENT, /* from here on: a wrong checksum, or cannot be read */
    SPOOL_BAD_ANSWER, /* the intent is good */
    SPOOL_UNREADABLE
};
struct spool_record {
    enum spool_content content;
    struct json *intent, *answer;
    char page[SPOOL_PAGE_BYTES]; /* as it was */
};
/** spool_record_parse(slot, r, err): r: the caller's, spool_record_fini. Fails: ERR_NOMEM. */
enum err_code spool_record_parse(const char slot[SPOOL_SLOT_BYTES], struct spool_record *r, struct err *err);
void spool_record_fini(struct spool_record *r);
int64_t spool_record_at_ms(const struct spool_record *r);
int64_t spool_record_mono_ms(const struct spool_record *r);
/** spool_record_open(ring, r, answer, &more, err): secrets and more are the caller's, also on failure. Fails: ERR_NOT_FOUND,
 *  ERR_UNDECRYPTABLE (no key of the ring opens it), ERR_NOMEM, ERR_CRYPTO. */
enum err_code spool_record_open(const struct keyring *ring, const struct spool_record *r, struct spool_answer *answer,
                                struct json **more, struct err *err);

#endif
