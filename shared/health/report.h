/* From documents and validation results to the plain answers of service.h. Pure. */
#ifndef TH_REPORT_H
#define TH_REPORT_H
#include "health/service.h"

/** report_from_result(r, report): after a validation. */
void report_from_result(const struct validate_result *r, struct account_report *report);
/** report_from_account(account, report): what is stored, nobody asked. */
void report_from_account(const struct account *account, struct account_report *report);
/** report_push(list): room for one more, zeroed; NULL when there is no memory. */
struct account_report *report_push(struct report_list *list);

#endif
