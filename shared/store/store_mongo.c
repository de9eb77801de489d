#include "store/store_backend.h"

enum err_code store_mongo_open(const struct store_options *options, void **state, struct err *err)
{
    (void)options;
    *state = NULL;
    return err_set(err, ERR_CONFIG, "[store] uri", "MongoDB is not built in");
}

const struct store_backend store_mongo = {.kind = "mongodb"};
