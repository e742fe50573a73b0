#pragma once

// Where an account's JWT has its clients' messages go instead: literal subjects and patterns, each
// with one or more destinations of a share each ("mappings", ADR-30). A literal subject goes before
// patterns, and a pattern before those that contain it. What the shares leave over keeps its
// subject, unless that is a destination of its own: then it is lost, as on nats-server. A message
// is mapped once. One loop's, owned by its Account; made anew when the claims change.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "auth/sharing.h"
#include "base/random.h"
#include "subject_transform.h"

namespace candela::bus_role {

class AccountMappings {
public:
    // Called for each that can't act, with what is wrong.
    using Refused = std::function<void(std::string_view source, std::string_view problem)>;
    // Null where none acts.
    static std::unique_ptr<AccountMappings> create(const auth::SubjectMappings& claims,
                                                   const Refused& refused);
    AccountMappings(const AccountMappings&) = delete;
    AccountMappings& operator=(const AccountMappings&) = delete;

    enum class Outcome : uint8_t { kSame, kMapped, kLost };
    // kMapped: `out` is the new subject. Nothing is allocated once `out` has grown.
    Outcome apply(std::string_view subject, Random& random, std::string& out);

private:
    struct Destination {
        SubjectTransform transform;
        unsigned end;  // percent, of this one and those before it
    };
    struct Mapping {
        std::string source;
        std::vector<Destination> destinations;
        bool keeps_rest = true;
    };
    AccountMappings() = default;
    static Result<Mapping> make(const std::string& source,
                                const std::vector<auth::WeightedMapping>& claims);
    const Mapping* find(std::string_view subject);

    std::map<std::string, Mapping, std::less<>> literals_;
    std::vector<Mapping> patterns_;  // the narrower first
    // Most publishers repeat themselves.
    std::string last_subject_;
    const Mapping* last_ = nullptr;
    SubjectTransform::Tokens tokens_;
};

}  // namespace candela::bus_role
