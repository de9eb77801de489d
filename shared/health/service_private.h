/* What the use cases of the service share. Private to service*.c. */
#ifndef TH_SERVICE_PRIVATE_H
#define TH_SERVICE_PRIVATE_H
#include "health/service.h"

/** service_options(cfg, terms): how accounts are validated for a request: no retries, as somebody waits. */
struct validate_options service_options(const struct config *cfg, const struct service_terms *terms);
/** service_find_account(service, account_id, platform, account, err): ERR_NOT_FOUND; ERR_BAD_INPUT when it is of another platform, and
 *  then it is given all the same. account: caller's, account_fini. */
enum err_code service_find_account(struct service *service, const char *account_id, const char *platform,
                                   struct account *account, struct err *err);
/** service_validate_account(service, account, options, report, &store_error, err): one account through the pipeline, to its end.
 *  Takes the account's content. */
enum err_code service_validate_account(struct service *service, struct account *account,
                                       const struct validate_options *options, struct account_report *report,
                                       enum err_code *store_error, struct err *err);

#endif
