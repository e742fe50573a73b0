#pragma once

// The keys of a profile that every proxy has, whichever role it serves in.

#include "base/config.h"
#include "http/proxy.h"

namespace candela::http {

void add_proxy_keys(ConfigSchema& schema);
void check_proxy_keys(const Config& config, ConfigProblems& problems);
// Of a configuration that was checked.
ProxyOptions read_proxy_options(const Config& config);

}  // namespace candela::http
