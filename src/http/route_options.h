#pragma once

// What a route asks of the proxy beyond where it leads: redirects, rewriting, fields set and
// removed, cross-origin rules, limits. Made once for a table of routes, then shared by all loops
// and by the requests on it; nothing in it changes but its counter.

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.h"
#include "http/basic_auth.h"
#include "http/cors.h"
#include "http/error_pages.h"
#include "http/headers.h"
#include "http/jwt.h"
#include "http/rate_limiter.h"
#include "http/stored_answer.h"
#include "http/traffic_split.h"
#include "tls/client_authority.h"

namespace candela::http {

class TrustedPeers;

// Fields of a message that are set or removed as it passes, whatever its sender wrote.
class FieldEdits {
public:
    using Edit = std::pair<std::string, std::string>;  // name and value; an empty value removes

    FieldEdits() = default;
    explicit FieldEdits(std::vector<Edit> edits) : edits_(std::move(edits)) {}

    bool empty() const { return edits_.empty(); }
    const std::vector<Edit>& edits() const { return edits_; }
    // The edit of that name, or null.
    const Edit* find(std::string_view name) const;

private:
    std::vector<Edit> edits_;
};

// Copies of requests for another service, whose answers nobody sees.
struct MirrorRules {
    std::string service;  // "space/service"
    uint32_t percent = 100;
    uint64_t body_bytes_max = 64 * 1024;  // larger ones are not copied
};

struct RouteOptions {
    // An answer in the service's stead.
    bool https_only = false;  // plain HTTP is led to HTTPS
    std::string redirect;     // where else to go; what follows the route's path is appended
    int redirect_status = 308;
    int answer_status = 0;  // an answer of this status, such as 503 for maintenance; 0: none
    std::string answer_text;
    bool is_in_maintenance = false;  // 503, but for those allowed
    Duration maintenance_retry{};
    std::shared_ptr<const TrustedPeers> maintenance_allowed;
    std::shared_ptr<const ErrorPages> pages;  // for answers of the proxy's own; null: none

    // What the service sees, and what the client sees of its answer.
    std::optional<std::string> rewrite;  // instead of the route's path; "": nothing
    FieldEdits request_fields;
    FieldEdits answer_fields;
    std::optional<Cors> cors;
    bool compress = false;                    // answers, for clients that take it
    std::shared_ptr<const CacheRules> cache;  // null: nothing of it is kept

    // Other services than the route's own.
    std::optional<TrafficSplit> split;
    std::optional<MirrorRules> mirror;

    // Limits. 0: the proxy's own, or none.
    std::shared_ptr<RateLimiter> rate_limiter;
    std::shared_ptr<const JwtCheck> jwt;          // null: anybody may ask
    std::shared_ptr<const BasicAuth> basic_auth;  // the same
    // Whose client certificates are taken; null: none is looked at.
    std::shared_ptr<const tls::ClientAuthority> client_authority;
    bool needs_client_certificate = false;  // otherwise a client may come without one
    std::string rate_key_field;  // the field that is counted by; empty: the client's address
    uint64_t body_bytes_max = 0;
    uint32_t requests_max = 0;  // in flight
    Duration response_timeout{};

    // One more request is in flight, unless there are too many. leave() is owed.
    bool enter() const;
    void leave() const { requests_.fetch_sub(1, std::memory_order_relaxed); }

private:
    mutable std::atomic<uint32_t> requests_{0};
};
using RouteOptionsPtr = std::shared_ptr<const RouteOptions>;

// What becomes of an answer's fields on its way to the client. Borrowed.
struct AnswerEdits {
    const RouteOptions* options = nullptr;
    const Headers* added = nullptr;  // for this request only
    bool is_coded = false;           // the body goes on compressed

    // The service's own field of that name does not go on.
    bool drops(std::string_view name) const;
    template <class Visit>
    void for_each_added(Visit visit) const {
        if (options != nullptr) {
            for (const auto& [name, value] : options->answer_fields.edits()) {
                if (!value.empty()) visit(std::string_view(name), std::string_view(value));
            }
        }
        if (added == nullptr) return;
        for (const Headers::Field field : *added) visit(field.name, field.value);
    }
};

}  // namespace candela::http
