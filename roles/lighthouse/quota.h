#pragma once

// What the services of a space may want of the cloud, together. Checked when a service is deployed
// or scaled; what was there before a quota goes on. Pure.

#include <cstdint>
#include <string>

#include "base/json.h"
#include "model.h"

namespace candela::lighthouse {

inline constexpr size_t kServicesMax = 5000;            // of the whole cloud
inline constexpr uint64_t kInstancesTotalMax = 20'000;  // likewise

// 0: as much as there is.
struct Quota {
    uint64_t services = 0;
    uint64_t instances = 0;
    uint64_t cpu_millis = 0;  // of [resources], times instances
    uint64_t memory_bytes = 0;

    friend bool operator==(const Quota&, const Quota&) = default;
};

struct Usage {
    uint64_t services = 0;
    uint64_t instances = 0;
    uint64_t cpu_millis = 0;
    uint64_t memory_bytes = 0;
};

// What a space's services want; `except` is left out.
Usage usage_of(const Wanted& wanted, const std::string& space, const ServiceKey* except = nullptr);

// Whether the service may want so many instances that need so much. kExhausted names the quota,
// what it is, and what it would be.
Result<> check_quota(const Wanted& wanted, const Quota& quota, const ServiceKey& key,
                     const service::Resources& each, uint64_t instances);

Json quota_json(const Quota& quota);
// Members that are absent or 0 set no limit. kInvalid for what is no number.
Result<Quota> quota_from_json(const Json& json);
// Empty for one without limits.
std::string quota_text(const Quota& quota);
Result<Quota> quota_from_text(const std::string& text);

}  // namespace candela::lighthouse
