#pragma once

// What differs between two manifests in their JSON form, key by key: what `ctl plan` and `ctl diff`
// show. Pure.

#include <string>
#include <vector>

#include "base/json.h"

namespace candela::service {

struct Difference {
    std::string key;     // "probe.path", "env.GREETING", "route[1].host"
    std::string before;  // as JSON; empty: it was not there
    std::string after;   // as JSON; empty: it is not there any more

    friend bool operator==(const Difference&, const Difference&) = default;
};

// In the order of the keys; lists of texts are compared whole. A null stands for nothing at all.
std::vector<Difference> differences(const Json& before, const Json& after);

}  // namespace candela::service
