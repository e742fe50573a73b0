#pragma once

// Secrets and config values of spaces: what is known of each version but for its content, which
// stays in SQL. A release is pinned to the versions that it was made with, so that an automatic
// rollback is one of the values, too. Plain values and pure functions.

#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "service/manifest.h"

namespace candela::lighthouse {

struct Change;
struct Service;
struct Wanted;

struct ValueKey {
    std::string space;
    service::ValueKind kind = service::ValueKind::kSecret;
    std::string name;
    auto operator<=>(const ValueKey&) const = default;
};
std::string to_string(const ValueKey& key);  // "the secret db-password"

struct ValueVersion {
    uint64_t number = 0;
    uint64_t bytes = 0;
    std::string author;
    WallTime created_at{};
    uint64_t copy_of = 0;  // the version that a rollback made anew
};

// The versions of one, the last of which counts; never without any.
using ValueVersions = std::map<uint64_t, ValueVersion>;
using Values = std::map<ValueKey, ValueVersions>;

// What a release uses: kind and name, and which version.
using ValuePins = std::map<std::pair<service::ValueKind, std::string>, uint64_t>;
std::string to_text(const ValuePins& pins);
Result<ValuePins> parse_value_pins(const std::string& text);

inline constexpr size_t kValuesOfSpaceMax = 500;  // of each kind
inline constexpr size_t kValueVersionsMax = 20;   // of one, besides those in use

inline constexpr uint64_t kValuesOfSpaceBytesMax = 16 << 20;  // of all versions, both kinds

// The versions that a release of this manifest gets. Code::kNotFound names all that the space
// lacks and how to set them; kExhausted: they are too large together.
Result<ValuePins> pin_values(const Values& values, const std::string& space,
                             const service::Manifest& manifest);

struct NewValue {
    ValueKey key;
    uint64_t bytes = 0;
    std::string content;  // as SQL keeps it: base64, of a secret sealed
    std::string author;
    uint64_t copy_of = 0;
    bool restarts = true;  // otherwise what asks for a restart waits for its next release
};

// What a change of this value would do: which services get a new release, and which are told
// at once.
struct ValueEffect {
    std::vector<std::string> restarted;
    std::vector<std::string> told;
};
ValueEffect effect_of(const Wanted& wanted, const NewValue& value);

// A new version, and what becomes of the services that use it. Code::kConflict where a rollout
// stands still that would have to begin anew, kExhausted where there are too many or they are too
// large.
Result<Change> change_value(const Wanted& wanted, const NewValue& value, MonoTime now,
                            WallTime wall);
// Code::kConflict while a service uses it.
Result<Change> remove_value(const Wanted& wanted, const ValueKey& key, std::string_view who);

// Services that use it: by the release that should run, or one that still does.
std::vector<std::string> users_of(const Wanted& wanted, const ValueKey& key);

}  // namespace candela::lighthouse
