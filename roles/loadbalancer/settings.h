#pragma once

// The [loadbalancer] section of a profile.

#include <string>
#include <vector>

#include "base/config.h"
#include "http/proxy.h"
#include "loop/address.h"

namespace candela::loadbalancer {

struct CheckSettings {
    std::string path;  // empty: no active checks
    Duration interval = 2s;
    Duration timeout = 1s;
    int healthy_after = 2;    // good answers in a row
    int unhealthy_after = 3;  // bad ones, or none
    friend bool operator==(const CheckSettings&, const CheckSettings&) = default;
};

struct Settings {
    Address listen;
    std::vector<Address> upstreams;
    CheckSettings check;
    http::UpstreamOptions pool;
    http::ProxyOptions proxy;
};

const ConfigSchema& settings_schema();
void check_settings(const Config& config, ConfigProblems& problems);
// Of a configuration that was checked.
Settings read_settings(const Config& config);

}  // namespace candela::loadbalancer
