#pragma once

// Where instances may and should run, and what they take of a host: [resources] and [placement] of
// service.toml. Values; docs/service-toml.md says what each means to its user.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace candela::service {

// A node's labels: `[node] labels` of its profile, and "node", its name.
using Labels = std::map<std::string, std::string, std::less<>>;

inline constexpr size_t kLabelsMax = 64;              // of a node
inline constexpr size_t kLabelRulesMax = 32;          // constraints, and affinities
inline constexpr uint32_t kCpuMillisMax = 1'024'000;  // of one instance
inline constexpr uint64_t kMemoryBytesMin = 1 << 20;
inline constexpr uint64_t kMemoryBytesMax = uint64_t{1} << 50;

// What one instance takes of its host: nothing else is given to others, and more it does not get.
// Zero: nothing is set aside, and there is no limit.
struct Resources {
    uint32_t cpu_millis = 0;  // thousandths of a core
    uint64_t memory_bytes = 0;

    friend bool operator==(const Resources&, const Resources&) = default;
};

// What a host's labels must, or should, be: "disk=ssd", "zone!=b", "gpu" (has it), "!gpu" (has
// not).
struct LabelRule {
    enum class Type : uint8_t { kEquals, kDiffers, kHas, kHasNot };

    Type type = Type::kEquals;
    std::string key;
    std::string value;

    bool is_met_by(const Labels& labels) const;
    friend bool operator==(const LabelRule&, const LabelRule&) = default;
};

// Letters, digits, "-", "_", "." and "/", at most 63.
bool is_label_key(std::string_view text);
bool is_label_value(std::string_view text);
Result<LabelRule> parse_label_rule(std::string_view text);
std::string to_string(const LabelRule& rule);

struct Placement {
    std::vector<LabelRule> constraints;  // all of them, or it is not placed
    std::vector<LabelRule> affinities;   // as many as can be
    std::string spread;                  // a label: as evenly over its values as can be

    friend bool operator==(const Placement&, const Placement&) = default;
};

}  // namespace candela::service
