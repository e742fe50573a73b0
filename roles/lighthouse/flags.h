#pragma once

// Feature flags of spaces: named values that services read live from a bucket of their space's bus
// (flag_publisher.h), and that people change without a release. What a flag says to a client is
// told by its document alone, so that any language reads it in a few lines: docs/flags.md. Plain
// values and pure functions.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "base/time.h"

namespace candela::lighthouse {

struct Change;
struct Wanted;

enum class FlagKind : uint8_t {
    kBool,
    kString,
    kPercentage,  // true for so many of the clients, always the same ones
};
std::string_view to_string(FlagKind kind);

using FlagValue = std::variant<bool, std::string>;

// What some clients get, whatever others do.
struct FlagRule {
    std::vector<std::string> clients;
    FlagValue value;
};

struct Flag {
    FlagKind kind = FlagKind::kBool;
    FlagValue value;                  // kBool, kString: of everybody else
    uint32_t percent_hundredths = 0;  // kPercentage: of everybody else, 0 to 10,000
    std::vector<FlagRule> rules;      // the first one that names a client is its
    std::string description;
};

// As people write it: {kind, value | percent, rules: [{clients, value}], description}. kInvalid
// names the member.
Result<Flag> flag_from_json(const Json& json);
Json to_json(const Flag& flag);
// As services read it: the same with "version", and of a percentage "below".
std::string document_of(const Flag& flag, uint64_t version);

// A client's number: the first four bytes, big-endian, of the SHA-256 of "flag:client". A
// percentage is true for numbers below its share of 2^32.
uint32_t client_number(std::string_view flag, std::string_view client);
uint64_t numbers_below(uint32_t percent_hundredths);

struct FlagAnswer {
    FlagValue value;
    std::string reason;  // for people
};
FlagAnswer evaluate(const Flag& flag, std::string_view name, std::string_view client);

// Letters, digits, "_" and "-", in parts between dots; a letter first. It is a key of a bucket.
bool is_flag_name(std::string_view name);

inline constexpr size_t kFlagNameMax = 64;
inline constexpr size_t kFlagRulesMax = 100;
inline constexpr size_t kFlagClientsMax = 2000;  // of all rules
inline constexpr size_t kFlagClientBytesMax = 256;
inline constexpr size_t kFlagStringBytesMax = 16 << 10;
inline constexpr size_t kFlagDescriptionBytesMax = 1000;
inline constexpr size_t kFlagBytesMax = 128 << 10;  // as JSON
inline constexpr size_t kFlagsOfSpaceMax = 500;
inline constexpr size_t kFlagVersionsMax = 20;              // that are kept of one
inline constexpr uint64_t kFlagsOfSpaceBytesMax = 4 << 20;  // of all versions

struct FlagKey {
    std::string space;
    std::string name;
    auto operator<=>(const FlagKey&) const = default;
};

struct FlagVersion {
    uint64_t number = 0;
    Flag flag;
    uint64_t bytes = 0;  // as JSON
    std::string author;
    WallTime created_at{};
};

// The versions of one, the last of which counts; never without any.
using FlagVersions = std::map<uint64_t, FlagVersion>;
using Flags = std::map<FlagKey, FlagVersions>;

// What an entity tag has.
std::string revision_of(const FlagVersion& version);

// A new version. kExhausted where there are too many flags, or they are too large together.
Result<Change> change_flag(const Wanted& wanted, const FlagKey& key, const Flag& flag,
                           std::string_view who, WallTime wall);
Result<Change> remove_flag(const Wanted& wanted, const FlagKey& key, std::string_view who);

// What the bucket of the space holds: documents by name.
std::map<std::string, std::string> documents_of(const Flags& flags, const std::string& space);

}  // namespace candela::lighthouse
