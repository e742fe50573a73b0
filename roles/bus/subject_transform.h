#pragma once

// Turns one subject into another by a pattern and a destination with mapping functions, as
// nats-server's subject mapping has them (ADR-30): {{wildcard(1)}} or $1, partition, split,
// splitFromLeft, splitFromRight, sliceFromLeft, sliceFromRight, left and right. Values; any thread.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace candela::bus_role {

class SubjectTransform {
public:
    // An empty pattern stands for ">". kInvalid: `source` names what is wrong with the pattern,
    // otherwise it is the destination.
    struct Problem {
        bool is_of_source = false;
        std::string text;
    };
    static std::expected<SubjectTransform, Problem> create(std::string_view pattern,
                                                           std::string_view destination);

    // Nothing where the pattern does not match. The result may be longer than what went in, and is
    // a valid subject where that one was.
    std::optional<std::string> apply(std::string_view subject) const;
    // The same into `out`; false where the pattern does not match. Allocates nothing once `out` and
    // `scratch` have grown.
    using Tokens = std::vector<std::string_view>;
    bool apply(std::string_view subject, std::string& out, Tokens& scratch) const;
    const std::string& pattern() const { return pattern_; }
    const std::string& destination() const { return destination_; }

private:
    enum class Kind : uint8_t {
        kLiteral,
        kRest,  // ">"
        kWildcard,
        kPartition,
        kSplit,
        kSplitFromLeft,
        kSplitFromRight,
        kSliceFromLeft,
        kSliceFromRight,
        kLeft,
        kRight,
    };
    struct Part {
        Kind kind = Kind::kLiteral;
        std::string text;               // literal; delimiter of a split
        std::vector<size_t> wildcards;  // at which tokens of the pattern they stand
        uint32_t number = 0;            // of partitions, or a length
    };
    static std::optional<Part> parse_part(std::string_view token, size_t wildcards,
                                          std::string& problem);
    static std::optional<Part> parse_function(std::string_view inner, size_t wildcards,
                                              std::string& problem);
    static void append(std::string& out, const Part& part, std::string_view value);

    std::string pattern_;
    std::string destination_;
    std::vector<Part> parts_;
    size_t rest_at_ = 0;  // the token from which on ">" takes all
};

}  // namespace candela::bus_role
