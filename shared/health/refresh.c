#include "health/refresh.h"

int64_t refresh_due_at(const struct refresh_policy *policy, int64_t expires_at_ms, uint64_t spread)
{
    int64_t width_ms = (policy->window_start_s - policy->window_end_s) * 1000;

    if (policy->model == REFRESH_NONE || expires_at_ms == 0) return 0;
    if (width_ms <= 0) return expires_at_ms - policy->window_end_s * 1000;
    return expires_at_ms - policy->window_start_s * 1000 + (int64_t)(spread % (uint64_t)width_ms);
}

int refresh_is_due(const struct refresh_policy *policy, int64_t expires_at_ms, int64_t token_since_ms, uint64_t spread,
                   int64_t now_ms)
{
    int64_t due_ms = refresh_due_at(policy, expires_at_ms, spread);

    if (policy->model != REFRESH_EXTEND || due_ms == 0) return 0;
    if (token_since_ms && now_ms - token_since_ms < policy->min_age_s * 1000) return 0;
    return now_ms >= due_ms && now_ms < expires_at_ms;
}

int refresh_is_late(const struct refresh_policy *policy, int64_t expires_at_ms, int64_t now_ms)
{
    if (policy->model == REFRESH_NONE || expires_at_ms == 0) return 0;
    return now_ms >= expires_at_ms - policy->window_end_s * 1000;
}
