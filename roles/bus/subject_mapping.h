#pragma once

// How an import names the same subjects in two accounts: one pattern, and where its wildcards stand
// in the other one's. Wildcards are neither lost nor doubled, so that it works both ways. Nothing
// is allocated once `out` has grown. Values; any thread. Source: ADR-14, ADR-30 (of which imports
// may use no function but wildcard).

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace candela::bus_role {

class SubjectMapping {
public:
    // A destination names the wildcards of the pattern: "a.*.*" → "b.$2.{{wildcard(1)}}"; a "*" of
    // its own is the next one in turn. Both end with ">", or neither. kInvalid otherwise.
    static Result<SubjectMapping> create(std::string_view pattern, std::string_view destination);
    // What it is when read from right to left.
    SubjectMapping reversed() const;

    // The subject must match pattern().
    void apply(std::string_view subject, std::string& out) const;

    const std::string& pattern() const { return pattern_; }
    // The destination with "*" for what it takes from the pattern.
    const std::string& destination() const { return destination_; }

private:
    struct Part {
        std::string literal;
        size_t token = 0;  // of the subject, where is_literal is false
        bool is_literal = true;
        bool is_rest = false;  // and all that follow
    };
    static SubjectMapping build(std::string_view pattern, std::string_view destination,
                                const std::vector<size_t>& order);

    std::string pattern_;
    std::string destination_;
    std::vector<size_t> order_;  // which wildcard of the pattern each of the destination is, from 0
    std::vector<Part> parts_;
    bool is_same_ = false;
};

}  // namespace candela::bus_role
