#pragma once

// The [gateway] section of a profile.

#include "access_log.h"
#include "base/config.h"
#include "http/proxy.h"
#include "loop/address.h"
#include "tls_settings.h"

namespace candela::gateway {

struct Settings {
    Address listen;
    TlsSettings tls;
    AccessLogSettings access_log;
    http::ProxyOptions proxy;
    uint64_t cache_bytes_max = 0;  // 0: nothing is kept
    Duration jwks_refetch{};
};

const ConfigSchema& settings_schema();
void check_settings(const Config& config, ConfigProblems& problems);
// Of a configuration that was checked.
Settings read_settings(const Config& config);

}  // namespace candela::gateway
