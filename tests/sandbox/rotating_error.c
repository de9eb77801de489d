/* Words and codes: developers.tiktok.com/doc/tiktok-api-v2-error-handling and …/oauth-error-handling, docs.x.com/x-api/fundamentals/
 * response-codes-and-errors, and recorded answers. UNKNOWN_TOKEN stands for all that is wrong with a token, unless it has a row of its
 * own; the last row of a table is for everything else. */
#include "rotating.h"
#include <stddef.h>

#define TIKTOK_DEAD "The access token is invalid or not found in the request."

static const struct refusal tiktok[] = {
    {CONDITION_UNKNOWN_TOKEN, 401, "access_token_invalid", TIKTOK_DEAD},
    {CONDITION_NO_TOKEN, 401, "access_token_invalid", TIKTOK_DEAD},
    {CONDITION_WRONG_PERMISSIONS, 401, "scope_not_authorized",
     "The user did not authorize the scope required for completing this request."},
    {CONDITION_RATE_LIMITED, 429, "rate_limit_exceeded", "The API rate limit was exceeded. Please try again later."},
    {CONDITION_RATE_LIMITED_USER, 429, "rate_limit_exceeded",
     "The API rate limit was exceeded. Please try again later."},
    {CONDITION_CODE2, 500, "internal_error", "Something went wrong. Please try again later."},
    {CONDITION_HTTP_500, 500, "internal_error", "Something went wrong. Please try again later."},
    {CONDITION_WRONG_FIELD, 400, "invalid_params", "One or more fields in request is invalid."},
    {CONDITION_WRONG_PATH, 404, "unsupported_path", "Unsupported path(Janus)"},
    {CONDITION_COUNT, 400, "something_new", "Something that nobody has seen before"},
};

static const struct refusal tiktok_grant[] = {
    {CONDITION_UNKNOWN_TOKEN, 400, "invalid_grant", "Refresh token is invalid or expired."},
    {CONDITION_NO_TOKEN, 400, "invalid_request", "The request parameters are malformed."},
    {CONDITION_WRONG_SECRET, 401, "invalid_client", "Client key or secret is incorrect."},
    {CONDITION_APP_MISCONFIGURED, 401, "invalid_client", "Client key or secret is incorrect."},
    {CONDITION_NO_CLIENT, 400, "invalid_request", "The request parameters are malformed."},
    {CONDITION_WRONG_GRANT, 400, "unsupported_grant_type", "Unsupported grant type."},
    {CONDITION_RATE_LIMITED, 429, "rate_limit_exceeded", "The API rate limit was exceeded. Please try again later."},
    {CONDITION_RATE_LIMITED_USER, 429, "rate_limit_exceeded",
     "The API rate limit was exceeded. Please try again later."},
    {CONDITION_CODE2, 500, "server_error", "Something went wrong. Please try again later."},
    {CONDITION_HTTP_500, 500, "server_error", "Something went wrong. Please try again later."},
    {CONDITION_COUNT, 400, "something_new", "Something that nobody has seen before"},
};

static const struct refusal x[] = {
    {CONDITION_REVOKED, 401, "89", "Invalid or expired token."},
    {CONDITION_PASSWORD_CHANGED, 401, "89", "Invalid or expired token."},
    {CONDITION_INVALID, 401, "32", "Could not authenticate you."},
    {CONDITION_UNKNOWN_TOKEN, 401, NULL, "Unauthorized"},
    {CONDITION_NO_TOKEN, 401, NULL, "Unauthorized"},
    {CONDITION_CHECKPOINT, 403, "326",
     "To protect our users from spam and other malicious activity, this account is temporarily locked. Please log in "
     "to "
     "https://x.com to unlock your account."},
    {CONDITION_BLOCKED, 403, "64", "Your account is suspended and is not permitted to access this feature."},
    {CONDITION_WRONG_PERMISSIONS, 403, NULL, "Forbidden"},
    {CONDITION_RATE_LIMITED, 429, NULL, "Too Many Requests"},
    {CONDITION_RATE_LIMITED_USER, 429, "88", "Rate limit exceeded"},
    {CONDITION_CODE2, 503, NULL, "Service Unavailable"},
    {CONDITION_HTTP_500, 500, "131", "Internal error"},
    {CONDITION_WRONG_PATH, 404, "34", "Sorry, that page does not exist."},
    {CONDITION_COUNT, 400, NULL, "Something that nobody has seen before"},
};

static const struct refusal x_grant[] = {
    {CONDITION_UNKNOWN_TOKEN, 400, "invalid_request", "Value passed for the token was invalid."},
    {CONDITION_NO_TOKEN, 400, "invalid_request", "Missing required parameter [refresh_token]."},
    {CONDITION_WRONG_SECRET, 401, "unauthorized_client", "Missing valid authorization header"},
    {CONDITION_APP_MISCONFIGURED, 401, "unauthorized_client", "Missing valid authorization header"},
    {CONDITION_NO_CLIENT, 401, "unauthorized_client", "Missing valid authorization header"},
    {CONDITION_WRONG_GRANT, 400, "unsupported_grant_type", "Unsupported grant type."},
    {CONDITION_RATE_LIMITED, 429, "too_many_requests", "Too Many Requests"},
    {CONDITION_RATE_LIMITED_USER, 429, "too_many_requests", "Too Many Requests"},
    {CONDITION_CODE2, 503, "temporarily_unavailable", "Service Unavailable"},
    {CONDITION_HTTP_500, 500, "server_error", "Internal error"},
    {CONDITION_COUNT, 400, "something_new", "Something that nobody has seen before"},
};

static const struct refusal *row_of(const struct refusal *row, enum condition end)
{
    while (row->end != end && row->end != CONDITION_COUNT)
        row++;
    return row;
}

static const struct refusal *find(const struct refusal *table, enum condition end)
{
    enum { GRAPH_TOKEN_ERROR = 190 };
    const struct refusal *row = row_of(table, end);

    if (row->end == CONDITION_COUNT && condition_rows[end].code == GRAPH_TOKEN_ERROR)
        row = row_of(table, CONDITION_UNKNOWN_TOKEN);
    return row;
}

const struct refusal *tiktok_refusal(enum condition end)
{
    return find(tiktok, end);
}

const struct refusal *tiktok_grant_refusal(enum condition end)
{
    return find(tiktok_grant, end);
}

const struct refusal *x_refusal(enum condition end)
{
    return find(x, end);
}

const struct refusal *x_grant_refusal(enum condition end)
{
    return find(x_grant, end);
}
