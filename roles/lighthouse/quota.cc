#include "quota.h"

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace candela::lighthouse {

namespace {

constexpr int64_t kNumberMax = int64_t{1} << 52;  // exact in every reader of JSON

void add(Usage& usage, const service::Resources& each, uint64_t instances) {
    ++usage.services;
    usage.instances += instances;
    usage.cpu_millis += each.cpu_millis * instances;
    usage.memory_bytes += each.memory_bytes * instances;
}

Result<> check(const std::string& space, std::string_view what, uint64_t limit, uint64_t wanted,
               std::string (*shown)(uint64_t)) {
    if (limit == 0 || wanted <= limit) return {};
    return fail(Code::kExhausted, "the space {} would have {} {}; its quota is {}", space,
                shown(wanted), what, shown(limit));
}

std::string as_count(uint64_t number) { return std::to_string(number); }
std::string as_cores(uint64_t millis) {
    return fmt::format("{:g}", static_cast<double>(millis) / 1000.0);
}
std::string as_size(uint64_t bytes) { return format_size(bytes); }

Result<uint64_t> number_of(const Json& json, std::string_view name) {
    const auto found = json.find(name);
    if (found == json.end() || found->is_null()) return 0;
    if (!found->is_number_integer() || found->get<int64_t>() < 0 ||
        found->get<int64_t>() > kNumberMax) {
        return fail(Code::kInvalid, "{} must be a number, 0 for no limit", name);
    }
    return found->get<uint64_t>();
}

}  // namespace

Usage usage_of(const Wanted& wanted, const std::string& space, const ServiceKey* except) {
    Usage usage;
    auto at = wanted.services.lower_bound(ServiceKey(space, ""));
    for (; at != wanted.services.end() && at->first.first == space; ++at) {
        if (except != nullptr && at->first == *except) continue;
        const Release* target = at->second.find(at->second.target);
        if (target == nullptr)
            add(usage, service::Resources(), 0);
        else
            add(usage, target->manifest.resources, target->instances);
    }
    return usage;
}

Result<> check_quota(const Wanted& wanted, const Quota& quota, const ServiceKey& key,
                     const service::Resources& each, uint64_t instances) {
    if (!wanted.services.contains(key) && wanted.services.size() >= kServicesMax) {
        return fail(Code::kExhausted, "there are {} services already", kServicesMax);
    }
    uint64_t total = instances;
    for (const auto& [other, service] : wanted.services) {
        const Release* target = service.find(service.target);
        if (other != key && target != nullptr) total += target->instances;
    }
    if (total > kInstancesTotalMax) {
        return fail(Code::kExhausted, "the cloud would have {} instances; {} is the most", total,
                    kInstancesTotalMax);
    }
    if (quota == Quota()) return {};
    Usage usage = usage_of(wanted, key.first, &key);
    add(usage, each, instances);
    // What needs nothing in particular would get round a limit of it.
    if (quota.cpu_millis != 0 && each.cpu_millis == 0 && instances > 0) {
        return fail(Code::kInvalid, "the space {} has a quota of CPU: say [resources] cpu",
                    key.first);
    }
    if (quota.memory_bytes != 0 && each.memory_bytes == 0 && instances > 0) {
        return fail(Code::kInvalid, "the space {} has a quota of memory: say [resources] memory",
                    key.first);
    }
    CANDELA_TRY(check(key.first, "services", quota.services, usage.services, as_count));
    CANDELA_TRY(check(key.first, "instances", quota.instances, usage.instances, as_count));
    CANDELA_TRY(check(key.first, "cores", quota.cpu_millis, usage.cpu_millis, as_cores));
    return check(key.first, "of memory", quota.memory_bytes, usage.memory_bytes, as_size);
}

Json quota_json(const Quota& quota) {
    return Json{{"services", quota.services},
                {"instances", quota.instances},
                {"cpu_millis", quota.cpu_millis},
                {"memory_bytes", quota.memory_bytes}};
}

Result<Quota> quota_from_json(const Json& json) {
    Quota quota;
    CANDELA_TRY_ASSIGN(quota.services, number_of(json, "services"));
    CANDELA_TRY_ASSIGN(quota.instances, number_of(json, "instances"));
    CANDELA_TRY_ASSIGN(quota.cpu_millis, number_of(json, "cpu_millis"));
    CANDELA_TRY_ASSIGN(quota.memory_bytes, number_of(json, "memory_bytes"));
    return quota;
}

std::string quota_text(const Quota& quota) {
    return quota == Quota() ? std::string() : dump_json(quota_json(quota));
}

Result<Quota> quota_from_text(const std::string& text) {
    if (text.empty()) return Quota();
    CANDELA_TRY_ASSIGN(const Json json, parse_json(text));
    return quota_from_json(json);
}

}  // namespace candela::lighthouse
