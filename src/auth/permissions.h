#pragma once

// Decides what a user may publish and subscribe to, as nats-server does: an empty allow list allows
// everything, deny wins. Built once from claims, then immutable. Any thread.

#include <string>
#include <string_view>
#include <vector>

#include "auth/claims.h"

namespace candela::auth {

// "foo.*.bar" and "foo.>" against a subject without wildcards, token by token.
bool subject_matches(std::string_view pattern, std::string_view subject);
// Every subject that `inner` matches, `outer` matches too.
bool pattern_contains(std::string_view outer, std::string_view inner);
// Some subject is matched by both.
bool patterns_overlap(std::string_view a, std::string_view b);

class PermissionSet {
public:
    PermissionSet() = default;
    explicit PermissionSet(const Permissions& permissions);

    // Without what allow_responses adds, which depends on what was delivered: see response().
    bool may_publish(std::string_view subject) const;
    // An entry of the form "subject queue" applies to members of that queue.
    bool may_subscribe(std::string_view subject, std::string_view queue = {}) const;
    // Subscribing was allowed, and yet some message that it would get is denied: each is to be
    // checked with may_receive().
    bool needs_delivery_check(std::string_view subject) const;
    bool may_receive(std::string_view subject) const;

    const std::optional<ResponsePermission>& response() const { return permissions_.response; }

private:
    Permissions permissions_;
};

}  // namespace candela::auth
