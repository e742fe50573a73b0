// Which host takes an instance, and why none does.

#include <algorithm>
#include <tuple>

#include "base/text.h"
#include "fleet.h"
#include "planner.h"

namespace candela::lighthouse {

namespace {

uint64_t share(uint64_t taken, uint64_t there_is) {
    return there_is == 0 ? 0 : taken * 1000 / there_is;
}

uint64_t left(uint64_t there_is, uint64_t taken) { return there_is > taken ? there_is - taken : 0; }

// A host that does not say has been there before there were walls.
int rank_of_level(std::string_view level) {
    if (level == "strict") return 2;
    return level == "isolated" ? 1 : 0;
}

// What runs the service's instances there; null where nothing does. Hosts have always had the
// process driver, and some do not say so.
bool has_protection(const Node& node, std::string_view name) {
    return std::ranges::any_of(node.protections, [&](const proto::Protection& each) {
        return each.name == name && each.is_on;
    });
}

const proto::HostDriver* driver_of(const Node& node, service::Driver wanted) {
    const auto found = std::ranges::find_if(node.drivers, [&](const proto::HostDriver& driver) {
        return driver.is_on && driver.name == service::to_string(wanted);
    });
    return found == node.drivers.end() ? nullptr : &*found;
}

std::string_view value_of(const service::Labels& labels, std::string_view label) {
    const auto found = labels.find(label);
    return found == labels.end() ? std::string_view() : std::string_view(found->second);
}

}  // namespace

Fleet::Needs::Needs(const Release& release)
    : cpu_millis(release.manifest.resources.cpu_millis),
      memory_bytes(release.manifest.resources.memory_bytes),
      ports(release.manifest.kind == service::Kind::kHttp ||
                    release.manifest.kind == service::Kind::kStatic
                ? 1
                : 0),
      bytes(assignment_bytes(release)) {}

uint64_t Fleet::Host::cpu_free() const { return left(node->cpu_millis_max, cpu_millis); }
uint64_t Fleet::Host::memory_free() const { return left(node->memory_bytes_max, memory_bytes); }

bool Fleet::Emptier::operator()(const Host* a, const Host* b) const {
    return std::tie(a->load, a->instances, a->node->name) <
           std::tie(b->load, b->instances, b->node->name);
}

void Fleet::take(Host& host, const Needs& needs) const {
    ++host.instances;
    host.ports += needs.ports;
    host.cpu_millis += needs.cpu_millis;
    host.memory_bytes += needs.memory_bytes;
    host.bytes += needs.bytes;
    host.load =
        static_cast<uint32_t>(std::max({share(host.instances, host.instances_max),
                                        share(host.cpu_millis, host.node->cpu_millis_max),
                                        share(host.memory_bytes, host.node->memory_bytes_max)}));
}

const service::LabelRule* Fleet::unmet(const Host& host, const Release& release) const {
    for (const service::LabelRule& rule : release.manifest.placement.constraints) {
        if (!rule.is_met_by(host.labels)) return &rule;
    }
    return nullptr;
}

Fleet::Refusal Fleet::refusal(const Host& host, const Release& release, const Needs& needs) const {
    if (!host.is_candidate) {
        if (host.presence != Presence::kHere || !host.node->heard_at || host.node->draining)
            return Refusal::kAway;
        return host.node->mode == NodeMode::kDraining ? Refusal::kDraining : Refusal::kCordoned;
    }
    if (!host.node->trouble.empty()) return Refusal::kTrouble;
    // What the service asks for comes first: of a host that it may not use nobody wants to hear
    // that it is full.
    if (unmet(host, release) != nullptr) return Refusal::kLabel;
    int level = rank_of_level(host.node->sandbox_level);
    if (release.manifest.driver != service::Driver::kProcess) {
        const proto::HostDriver* driver = driver_of(*host.node, release.manifest.driver);
        if (driver == nullptr) return Refusal::kDriver;
        level = rank_of_level(driver->sandbox_level);
    }
    if (level < static_cast<int>(release.manifest.sandbox)) return Refusal::kWalls;
    if (!release.manifest.has_network && !has_protection(*host.node, "network"))
        return Refusal::kNetwork;
    if (needs.cpu_millis > host.cpu_free() && needs.cpu_millis != 0) return Refusal::kCpu;
    if (needs.memory_bytes > host.memory_free() && needs.memory_bytes != 0) return Refusal::kMemory;
    if (host.instances >= host.instances_max) return Refusal::kInstances;
    const uint64_t ports_max = host.node->ports_max;
    if (ports_max != 0 && host.ports + needs.ports > ports_max) return Refusal::kPorts;
    if (host.bytes + needs.bytes > limits_.assignment_bytes_max) return Refusal::kSpecs;
    return Refusal::kNone;
}

bool Fleet::has_room(const Release& release) const {
    const Needs needs(release);
    return std::any_of(candidates_.begin(), candidates_.end(), [&](const Host* host) {
        return refusal(*host, release, needs) == Refusal::kNone;
    });
}

uint32_t Fleet::fewest(const OwnHosts& own) const {
    if (own.size() < candidates_.size()) return 0;
    uint32_t least = UINT32_MAX;
    for (const Host* host : candidates_) {
        const auto found = own.find(host);
        least = std::min(least, found == own.end() ? 0 : found->second);
        if (least == 0) break;
    }
    return least;
}

const std::vector<std::string>& Fleet::values_of(const std::string& label) {
    const auto known = values_.find(label);
    if (known != values_.end()) return known->second;
    std::set<std::string_view> values;
    for (const Host* host : candidates_) values.insert(value_of(host->labels, label));
    return values_.emplace(label, std::vector<std::string>(values.begin(), values.end()))
        .first->second;
}

std::string Fleet::place(const ServiceKey& service, const Release& release) {
    const Needs needs(release);
    const service::Placement& wish = release.manifest.placement;
    OwnHosts& own = own_[std::pair(service, release.number)];

    std::map<std::string_view, uint32_t> by_value;
    uint32_t least_of_values = 0;
    if (!wish.spread.empty()) {
        for (const std::string& value : values_of(wish.spread)) by_value[value] = 0;
        for (const auto& [host, count] : own) {
            const auto found = by_value.find(value_of(host->labels, wish.spread));
            if (found != by_value.end()) found->second += count;
        }
        least_of_values = UINT32_MAX;
        for (const auto& [value, count] : by_value)
            least_of_values = std::min(least_of_values, count);
    }
    // Nothing can rank before this: the first candidate that has it is the best, since they come in
    // the order of the rest of the rank.
    const auto ideal = std::tuple(least_of_values, size_t{0}, fewest(own));
    Host* best = nullptr;
    auto best_rank = ideal;
    for (Host* host : candidates_) {
        if (refusal(*host, release, needs) != Refusal::kNone) continue;
        const auto same = own.find(host);
        const auto missed = static_cast<size_t>(std::ranges::count_if(
            wish.affinities, [&](const auto& rule) { return !rule.is_met_by(host->labels); }));
        const auto rank =
            std::tuple(wish.spread.empty() ? 0 : by_value[value_of(host->labels, wish.spread)],
                       missed, same == own.end() ? 0 : same->second);
        if (best == nullptr || rank < best_rank) {
            best = host;
            best_rank = rank;
        }
        if (best_rank == ideal) break;
    }
    if (best == nullptr) return {};
    candidates_.erase(best);
    take(*best, needs);
    candidates_.insert(best);
    ++own[best];
    return best->node->name;
}

std::string Fleet::say(Refusal refusal, size_t hosts, const Needs& needs,
                       uint64_t most_free) const {
    const auto verb = [&](std::string_view one, std::string_view many) {
        return fmt::format("{} {}", hosts, hosts == 1 ? one : many);
    };
    switch (refusal) {
        case Refusal::kAway: return verb("is away", "are away");
        case Refusal::kCordoned: return verb("is cordoned", "are cordoned");
        case Refusal::kTrouble:
            return verb("is", "are") + " in trouble (candela ctl nodes show NODE)";
        case Refusal::kDraining: return verb("is being drained", "are being drained");
        case Refusal::kInstances:
            return verb("has", "have") + " as many instances as it may ([host] instances_max)";
        case Refusal::kPorts: return verb("has", "have") + " no port left ([host] ports_last)";
        case Refusal::kSpecs:
            return fmt::format("{} {} instances with all the arguments and variables that fit",
                               hosts, hosts == 1 ? "has" : "have");
        case Refusal::kCpu:
            return fmt::format("{} cpu ({:g} wanted, at most {:g} free)", verb("lacks", "lack"),
                               static_cast<double>(needs.cpu_millis) / 1000.0,
                               static_cast<double>(most_free) / 1000.0);
        case Refusal::kMemory:
            return fmt::format("{} memory ({} wanted, at most {} free)", verb("lacks", "lack"),
                               format_size(needs.memory_bytes), format_size(most_free));
        case Refusal::kDriver:
            return fmt::format("{} docker (candela ctl nodes show NODE)", verb("lacks", "lack"));
        case Refusal::kWalls:
            return fmt::format("{} the walls of its sandbox level (candela ctl nodes show NODE)",
                               verb("lacks", "lack"));
        case Refusal::kNetwork:
            return fmt::format(
                "{} networks for [sandbox] network = \"none\" (candela ctl nodes show "
                "NODE)",
                verb("lacks", "lack"));
        case Refusal::kNone:
        case Refusal::kLabel: break;  // the rules are told one by one
    }
    return verb("has room", "have room");
}

std::string Fleet::why_no_room(const Release& release) const {
    const Needs needs(release);
    struct Count {
        size_t hosts = 0;
        uint64_t most_free = 0;
    };
    std::map<Refusal, Count> counts;
    std::map<std::string, size_t> rules;
    for (const Host& host : hosts_) {
        const Refusal why = refusal(host, release, needs);
        if (why == Refusal::kLabel) {
            ++rules[to_string(*unmet(host, release))];
            continue;
        }
        Count& count = counts[why];
        ++count.hosts;
        const uint64_t free = why == Refusal::kCpu ? host.cpu_free() : host.memory_free();
        count.most_free = std::max(count.most_free, free);
    }
    if (hosts_.empty()) return "there is no host; candela ctl nodes lists the nodes";
    std::vector<std::string> reasons;
    for (const auto& [why, count] : counts) {
        reasons.push_back(say(why, count.hosts, needs, count.most_free));
    }
    for (const auto& [rule, hosts] : rules) {
        const bool is_negative = rule.starts_with('!') || rule.find("!=") != std::string::npos;
        reasons.push_back(
            is_negative
                ? fmt::format("{} {} not meet {}", hosts, hosts == 1 ? "does" : "do", rule)
                : fmt::format("{} {} no label {}", hosts, hosts == 1 ? "has" : "have", rule));
    }
    return fmt::format("no host has room for another instance; of {} host{}, {}", hosts_.size(),
                       hosts_.size() == 1 ? "" : "s", join(reasons, ", "));
}

}  // namespace candela::lighthouse
