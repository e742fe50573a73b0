#include "model.h"

#include <algorithm>
#include <array>

namespace candela::lighthouse {

namespace {

constexpr std::array<std::string_view, 5> kRollouts = {"rolling", "done", "rolled_back", "failed",
                                                       "superseded"};
constexpr std::array<std::string_view, 3> kStages = {"run", "draining", "stopping"};
constexpr std::array<std::string_view, 3> kModes = {"open", "cordoned", "draining"};

template <class E, size_t kCount>
Result<E> parse(std::string_view what, std::string_view text,
                const std::array<std::string_view, kCount>& names) {
    for (size_t i = 0; i < kCount; ++i) {
        if (names[i] == text) return static_cast<E>(i);
    }
    return fail(Code::kCorrupt, "'{}' is not {}", text, what);
}

}  // namespace

std::string_view to_string(Rollout rollout) { return kRollouts[static_cast<size_t>(rollout)]; }
Result<Rollout> parse_rollout(std::string_view text) {
    return parse<Rollout>("the state of a release", text, kRollouts);
}

std::string_view to_string(Stage stage) { return kStages[static_cast<size_t>(stage)]; }
Result<Stage> parse_stage(std::string_view text) {
    return parse<Stage>("the stage of an instance", text, kStages);
}

std::string_view to_string(NodeMode mode) { return kModes[static_cast<size_t>(mode)]; }
Result<NodeMode> parse_node_mode(std::string_view text) {
    return parse<NodeMode>("the mode of a node", text, kModes);
}

bool Node::has_role(std::string_view role) const {
    return std::find(roles.begin(), roles.end(), role) != roles.end();
}

Duration silence(const Node& node, const Seen& seen, MonoTime now) {
    if (!seen.listening_since) return Duration::zero();
    const MonoTime heard = node.heard_at.value_or(*seen.listening_since);
    return std::max(Duration::zero(), now - std::max(heard, *seen.listening_since));
}

std::pair<Wanted::InstanceAt, Wanted::InstanceAt> Wanted::instances_named(
    const std::string& service, const std::string& after) const {
    const std::string first = service + '-';
    const std::string end = service + static_cast<char>('-' + 1);
    const auto last = instances.lower_bound(end);
    if (after >= end) return {last, last};
    return {after < first ? instances.lower_bound(first) : instances.upper_bound(after), last};
}

}  // namespace candela::lighthouse
