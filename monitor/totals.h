/* What became of the accounts of a sweep, or of a part of one: plain numbers, to be added up over slices and hosts. */
#ifndef TH_TOTALS_H
#define TH_TOTALS_H
#include "health/validate.h"

struct totals {
    int64_t started_at_ms, finished_at_ms; /* wall time; 0: not yet */
#define TOTAL(field, name) int64_t field;
#include "totals.def"
#undef TOTAL
};
/** totals_count(t, result): one account more. */
void totals_count(struct totals *t, const struct validate_result *result);
/** totals_add(sum, t): numbers are added; the sum starts with the first and ends with the last. An empty one changes nothing. */
void totals_add(struct totals *sum, const struct totals *t);
/** totals_print(t), totals_parse(json, t): for a document and back; what is missing is 0. totals_print: owns: caller. */
struct json *totals_print(const struct totals *t);
void totals_parse(const struct json *json, struct totals *t);

#endif
