#include "space_values.h"

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/text.h"
#include "changes.h"

namespace candela::lighthouse {

using service::OnChange;
using service::ValueKind;
using service::ValueUse;

namespace {

uint64_t latest(const ValueVersions& versions) { return versions.rbegin()->first; }

bool uses(const service::Manifest& manifest, const ValueKey& key, OnChange change) {
    return std::ranges::any_of(manifest.values, [&](const ValueUse& use) {
        return use.kind == key.kind && use.name == key.name && use.on_change == change;
    });
}

// Whether its file is replaced while it runs.
bool takes_at_once(const service::Manifest& manifest, const ValueKey& key) {
    return std::ranges::any_of(manifest.values, [&](const ValueUse& use) {
        return use.kind == key.kind && use.name == key.name && !use.file.empty() &&
               use.on_change != OnChange::kRestart;
    });
}

// A job that has run is not run again for a value's sake.
bool restarts(const Release& target, const NewValue& value) {
    return value.restarts && target.manifest.kind != service::Kind::kJob &&
           uses(target.manifest, value.key, OnChange::kRestart);
}

const Release* target_of(const Service& service, const std::string& space) {
    if (service.key.first != space || service.deleting) return nullptr;
    return service.find(service.target);
}

// Releases that run, should run, or would after an automatic rollback.
std::set<uint64_t> releases_in_use(const Wanted& wanted, const Service& service) {
    std::set<uint64_t> numbers = {service.target, service.stable};
    for (const auto& [id, instance] : wanted.instances) {
        if (instance.service == service.key) numbers.insert(instance.release);
    }
    return numbers;
}

Result<> check_sizes(const Values& values, const NewValue& value, const Service& service,
                     const Release& target) {
    uint64_t bytes = value.bytes;
    for (const auto& [use, version] : target.values) {
        const ValueKey key{value.key.space, use.first, use.second};
        const auto found = values.find(key);
        if (key != value.key && found != values.end())
            bytes += found->second.rbegin()->second.bytes;
    }
    if (bytes <= service::kValuesOfServiceBytesMax) return {};
    return fail(Code::kExhausted, "the values that {} uses would have {} together; at most {}",
                service.key.second, format_size(bytes),
                format_size(service::kValuesOfServiceBytesMax));
}

void append(Change& change, Change more) {
    for (Service& service : more.services) change.services.push_back(std::move(service));
    for (auto& release : more.releases) change.releases.push_back(std::move(release));
    for (EventRecord& event : more.events) change.events.push_back(std::move(event));
}

Result<Change> restart_with(const Wanted& wanted, const Service& service, const NewValue& value,
                            ValuePins pins, MonoTime now, WallTime wall) {
    const Release& target = *service.find(service.target);
    if (service.paused) {
        return fail(Code::kConflict,
                    "{} has to be restarted for it, and its rollout is paused: resume it first, or "
                    "set the value with --no-restart",
                    service.key.second);
    }
    Release release =
        copy_of(target, fmt::format("{} {}", to_string(value.key.kind), value.key.name));
    release.author = value.author;
    release.values = std::move(pins);
    const bool is_unproven = !target.promoted && service.find(service.stable) != nullptr;
    Change change = start_release(wanted, service.key, std::move(release), now, wall);
    // What was on probation stays so.
    if (is_unproven) change.releases.back().second.promoted = false;
    return change;
}

// Versions beyond those kept, but for those that releases are pinned to.
void prune(const Wanted& wanted, const ValueKey& key, const ValueVersions& versions,
           Change& change) {
    if (versions.size() < kValueVersionsMax) return;
    std::set<uint64_t> used = {latest(versions)};
    for (const auto& [name, service] : wanted.services) {
        if (name.first != key.space) continue;
        for (const uint64_t number : releases_in_use(wanted, service)) {
            const Release* release = service.find(number);
            if (release == nullptr) continue;
            const auto pin = release->values.find({key.kind, key.name});
            if (pin != release->values.end()) used.insert(pin->second);
        }
    }
    size_t excess = versions.size() + 1 - kValueVersionsMax;
    for (const auto& [number, version] : versions) {
        if (excess == 0) break;
        if (used.contains(number)) continue;
        change.gone_values.emplace_back(key, number);
        --excess;
    }
}

}  // namespace

std::string to_string(const ValueKey& key) {
    return fmt::format("the {} {}", key.kind == ValueKind::kSecret ? "secret" : "config value",
                       key.name);
}

std::string to_text(const ValuePins& pins) {
    if (pins.empty()) return "";
    Json json = Json::object();
    for (const auto& [use, version] : pins) {
        json[std::string(service::to_string(use.first))][use.second] = version;
    }
    return dump_json(json);
}

Result<ValuePins> parse_value_pins(const std::string& text) {
    ValuePins pins;
    if (text.empty()) return pins;
    CANDELA_TRY_ASSIGN(const Json json, parse_json(text));
    for (const auto& [kind_text, names] : json.items()) {
        CANDELA_TRY_ASSIGN(const ValueKind kind, service::parse_value_kind(kind_text));
        for (const auto& [name, version] : names.items()) {
            if (version.is_number_unsigned()) pins[{kind, name}] = version.get<uint64_t>();
        }
    }
    return pins;
}

Result<ValuePins> pin_values(const Values& values, const std::string& space,
                             const service::Manifest& manifest) {
    ValuePins pins;
    std::vector<std::string> missing;
    uint64_t bytes = 0;
    for (const ValueUse& use : manifest.values) {
        const ValueKey key{space, use.kind, use.name};
        const auto found = values.find(key);
        if (found == values.end()) {
            missing.push_back(to_string(key));
            continue;
        }
        const auto added = pins.emplace(std::pair(use.kind, use.name), latest(found->second));
        if (added.second) bytes += found->second.rbegin()->second.bytes;
    }
    if (!missing.empty()) {
        const bool is_secret = missing.front().starts_with("the secret");
        return fail(Code::kNotFound,
                    "{} uses what the space {} does not have: {}; set it by candela ctl {} set",
                    manifest.name, space, join(missing, ", "), is_secret ? "secrets" : "config");
    }
    if (bytes > service::kValuesOfServiceBytesMax) {
        return fail(Code::kExhausted, "the values that {} uses have {} together; at most {}",
                    manifest.name, format_size(bytes),
                    format_size(service::kValuesOfServiceBytesMax));
    }
    return pins;
}

ValueEffect effect_of(const Wanted& wanted, const NewValue& value) {
    ValueEffect effect;
    for (const auto& [key, service] : wanted.services) {
        const Release* target = target_of(service, value.key.space);
        if (target == nullptr) continue;
        if (restarts(*target, value)) {
            effect.restarted.push_back(key.second);
        } else if (takes_at_once(target->manifest, value.key)) {
            effect.told.push_back(key.second);
        }
    }
    return effect;
}

Result<Change> change_value(const Wanted& wanted, const NewValue& value, MonoTime now,
                            WallTime wall) {
    Change change;
    const auto known = wanted.values.find(value.key);
    const auto count = std::ranges::count_if(wanted.values, [&](const auto& entry) {
        return entry.first.space == value.key.space && entry.first.kind == value.key.kind;
    });
    if (known == wanted.values.end() && static_cast<size_t>(count) >= kValuesOfSpaceMax) {
        return fail(Code::kExhausted, "the space {} has {} of them already", value.key.space,
                    kValuesOfSpaceMax);
    }
    uint64_t bytes = value.bytes;
    for (const auto& [key, versions] : wanted.values) {
        if (key.space != value.key.space) continue;
        for (const auto& [number, kept] : versions) bytes += kept.bytes;
    }
    if (bytes > kValuesOfSpaceBytesMax) {
        return fail(Code::kExhausted,
                    "all versions of what the space {} keeps would have {}; at most {}",
                    value.key.space, format_size(bytes), format_size(kValuesOfSpaceBytesMax));
    }
    ValueVersion version;
    version.number = known == wanted.values.end() ? 1 : latest(known->second) + 1;
    version.bytes = value.bytes;
    version.author = value.author;
    version.created_at = wall;
    version.copy_of = value.copy_of;
    if (known != wanted.values.end()) prune(wanted, value.key, known->second, change);
    change.events.push_back(
        EventRecord(fmt::format("{}_set", service::to_string(value.key.kind)), value.key.space, "",
                    value.key.name, fmt::format("version {} by {}", version.number, value.author)));
    const std::pair use(value.key.kind, value.key.name);
    for (const auto& [key, service] : wanted.services) {
        const Release* target = target_of(service, value.key.space);
        if (target == nullptr || !target->values.contains(use)) continue;
        CANDELA_TRY(check_sizes(wanted.values, value, service, *target));
        if (restarts(*target, value)) {
            ValuePins pins = target->values;
            pins[use] = version.number;
            CANDELA_TRY_ASSIGN(Change restart,
                               restart_with(wanted, service, value, std::move(pins), now, wall));
            append(change, std::move(restart));
            continue;
        }
        // The next run of a job has it, without a release.
        const bool is_job = target->manifest.kind == service::Kind::kJob && value.restarts;
        for (const uint64_t number : releases_in_use(wanted, service)) {
            const Release* release = service.find(number);
            if (release == nullptr || !release->values.contains(use)) continue;
            if (!is_job && !takes_at_once(release->manifest, value.key)) continue;
            Release told = *release;
            told.values[use] = version.number;
            change.releases.emplace_back(key, std::move(told));
        }
    }
    change.values.push_back(ValueWrite(value.key, std::move(version), value.content));
    return change;
}

std::vector<std::string> users_of(const Wanted& wanted, const ValueKey& key) {
    std::vector<std::string> users;
    for (const auto& [name, service] : wanted.services) {
        if (name.first != key.space) continue;
        const auto numbers = releases_in_use(wanted, service);
        const bool is_used = std::ranges::any_of(numbers, [&](uint64_t number) {
            const Release* release = service.find(number);
            return release != nullptr && release->values.contains({key.kind, key.name});
        });
        if (is_used) users.push_back(name.second);
    }
    return users;
}

Result<Change> remove_value(const Wanted& wanted, const ValueKey& key, std::string_view who) {
    const auto found = wanted.values.find(key);
    if (found == wanted.values.end()) {
        return fail(Code::kNotFound, "the space {} has not {}", key.space, to_string(key));
    }
    const auto users = users_of(wanted, key);
    if (!users.empty()) {
        return fail(Code::kConflict, "{} is used by {}; deploy without it first", to_string(key),
                    join(users, ", "));
    }
    Change change;
    for (const auto& [number, version] : found->second) {
        change.gone_values.emplace_back(key, number);
    }
    change.events.push_back(EventRecord(fmt::format("{}_removed", service::to_string(key.kind)),
                                        key.space, "", key.name, fmt::format("by {}", who)));
    return change;
}

}  // namespace candela::lighthouse
