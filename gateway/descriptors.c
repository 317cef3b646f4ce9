#include "gateway/descriptors.h"

#include <sys/resource.h>

#include "common/log.h"

size_t descriptors_limit(size_t needed)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return needed;
    rlim_t allowed = needed < limit.rlim_max ? needed : limit.rlim_max;
    if (allowed < needed)
        log_warn("descriptors_limited", LOG_UINT("needed", needed), LOG_UINT("allowed", allowed));
    limit.rlim_cur = allowed;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? allowed : needed;
}
