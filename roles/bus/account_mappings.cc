#include "account_mappings.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "auth/permissions.h"
#include "base/text.h"
#include "bus/subject.h"

namespace candela::bus_role {

namespace {

// A pattern sorts before those that contain it: it has as many literal tokens or more, and is no
// shorter where both are open at the end.
auto breadth_of(std::string_view pattern) {
    const std::vector<std::string_view> tokens = split(pattern, '.');
    const auto stars = std::count(tokens.begin(), tokens.end(), "*");
    const bool is_open = tokens.back() == ">";
    const auto literals = static_cast<ptrdiff_t>(tokens.size()) - stars - (is_open ? 1 : 0);
    return std::tuple(-literals, is_open, -static_cast<ptrdiff_t>(tokens.size()));
}

}  // namespace

Result<AccountMappings::Mapping> AccountMappings::make(
    const std::string& source, const std::vector<auth::WeightedMapping>& claims) {
    Mapping out;
    out.source = source;
    std::set<std::string_view> seen;
    unsigned end = 0;
    for (const auth::WeightedMapping& claim : claims) {
        if (!seen.insert(claim.subject).second) {
            return fail(Code::kInvalid, "\"{}\" is there twice", printable(claim.subject));
        }
        auto transform = SubjectTransform::create(source, claim.subject);
        if (!transform) {
            return fail(Code::kInvalid, "to \"{}\": {}", printable(claim.subject),
                        transform.error().text);
        }
        // Those of a cluster are for members of it.
        if (!claim.cluster.empty()) continue;
        end += claim.weight;
        out.destinations.push_back(Destination{std::move(*transform), end});
    }
    out.keeps_rest = !seen.contains(source);
    return out;
}

std::unique_ptr<AccountMappings> AccountMappings::create(const auth::SubjectMappings& claims,
                                                         const Refused& refused) {
    std::unique_ptr<AccountMappings> out(new AccountMappings());
    for (const auto& [source, destinations] : claims) {
        if (destinations.empty()) continue;
        Result<Mapping> made = make(source, destinations);
        if (!made) {
            refused(source, made.error().message());
        } else if (bus::has_wildcard(source)) {
            out->patterns_.push_back(std::move(*made));
        } else {
            out->literals_.emplace(source, std::move(*made));
        }
    }
    if (out->literals_.empty() && out->patterns_.empty()) return nullptr;
    std::stable_sort(out->patterns_.begin(), out->patterns_.end(),
                     [](const Mapping& a, const Mapping& b) {
                         return breadth_of(a.source) < breadth_of(b.source);
                     });
    return out;
}

const AccountMappings::Mapping* AccountMappings::find(std::string_view subject) {
    if (subject == last_subject_) return last_;
    last_subject_.assign(subject);
    last_ = nullptr;
    if (const auto literal = literals_.find(subject); literal != literals_.end()) {
        last_ = &literal->second;
        return last_;
    }
    const auto found = std::find_if(
        patterns_.begin(), patterns_.end(),
        [&](const Mapping& mapping) { return auth::subject_matches(mapping.source, subject); });
    if (found != patterns_.end()) last_ = &*found;
    return last_;
}

AccountMappings::Outcome AccountMappings::apply(std::string_view subject, Random& random,
                                                std::string& out) {
    const Mapping* mapping = find(subject);
    if (mapping == nullptr) return Outcome::kSame;
    const std::vector<Destination>& all = mapping->destinations;
    const bool has_one = all.size() == 1 && all.front().end == 100;
    const uint64_t lot = has_one ? 0 : random.below(100);
    for (const Destination& destination : all) {
        if (lot >= destination.end) continue;
        // A subject with empty tokens may match, and then makes no valid one; it is dropped as it
        // is.
        return destination.transform.apply(subject, out, tokens_) ? Outcome::kMapped
                                                                  : Outcome::kSame;
    }
    return mapping->keeps_rest ? Outcome::kSame : Outcome::kLost;
}

}  // namespace candela::bus_role
