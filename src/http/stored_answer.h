#pragma once

// An answer in the response cache, and what RFC 9111 says may be done with it. Pure: times are
// handed in, in seconds of Unix time. Immutable once it is in the cache, and shared by all loops.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.h"
#include "http/cache_control.h"
#include "http/h1_parser.h"
#include "http/message.h"

namespace candela::http {

// What a route says of its caching.
struct CacheRules {
    uint64_t object_bytes_max = 1 << 20;  // of a body; larger ones pass by
    Duration fresh{};                     // of answers that say nothing of it; 0: not kept
    Duration stale_while_revalidate{};    // of answers that say nothing of it
    Duration stale_if_error{};            // the same
    std::string identity;                 // differs where another route makes another request of it
};

// How long an answer is good, and what for (§4.2).
struct Freshness {
    int64_t received_at = 0;  // Unix time
    int64_t initial_age = 0;  // when it was received
    int64_t lifetime = 0;
    int64_t stale_while_revalidate = 0;  // seconds beyond the lifetime
    int64_t stale_if_error = 0;
    bool always_revalidate = false;  // no-cache
    bool never_stale = false;        // must-revalidate, proxy-revalidate, s-maxage

    int64_t age(int64_t now) const;
    int64_t ttl(int64_t now) const { return lifetime - age(now); }  // below 0: stale
};

struct StoredAnswer {
    std::string key;                                        // cache_key.h
    std::string origin;                                     // the same
    std::string service;                                    // "space/service"
    std::string host;                                       // without port, in lower case
    std::string path;                                       // without query
    std::vector<std::pair<std::string, std::string>> vary;  // name and the request's value
    ResponseHead head;                                      // fit for any client; with its length
    std::shared_ptr<const std::string> body;
    Freshness freshness;

    uint64_t size_bytes() const;
};
using StoredAnswerPtr = std::shared_ptr<const StoredAnswer>;

// What is to be known of the exchange to say whether its answer may be kept.
struct AnswerFacts {
    const Headers& request;
    const Headers* added_to_request = nullptr;  // by the gateway, for this client alone
    const ResponseHead& head;
    const Framing& framing;
    int64_t requested_at = 0;
    int64_t received_at = 0;
};
// Asked by somebody in particular (§3.5).
bool is_personal(const Headers& request);
// §3: whether and how. Nothing: it passes by.
std::optional<Freshness> may_store(const AnswerFacts& facts, const CacheRules& rules);

// What of the answer is kept: without the fields that are for one hop, this client, or this moment.
// Content-Length is added once it is known.
void copy_for_store(const ResponseHead& head, ResponseHead& out);
// §3.2: the stored answer with the fields of a 304. Null where the 304 is of another answer.
std::shared_ptr<StoredAnswer> refresh(const StoredAnswer& stored, const AnswerFacts& facts,
                                      const CacheRules& rules);

// §4.1. Names in lower case, sorted; nothing for "*" or more than kVaryNamesMax.
inline constexpr size_t kVaryNamesMax = 16;
std::optional<std::vector<std::string>> vary_names(const Headers& answer);
// All of the request's fields of that name as one, blanks in one form.
std::string vary_value(const Headers& request, std::string_view name);
bool matches_vary(const StoredAnswer& stored, const Headers& request);

enum class Usable : uint8_t {
    kYes,           // as it is
    kWhileFetched,  // at once, and a newer one is fetched meanwhile (RFC 5861 §3)
    kNo,            // not before it is validated
};
Usable may_use(const StoredAnswer& stored, const CacheControl& asked, int64_t now);
// Where fetching failed (RFC 5861 §4).
bool may_use_after_error(const StoredAnswer& stored, const CacheControl& asked, int64_t now);
bool has_validator(const ResponseHead& head);
// Appends If-None-Match and If-Modified-Since to a request's fields.
void append_validators(const ResponseHead& stored, std::string& out);

// What a request with conditions or a range is answered from an answer that is good (RFC 9110
// §13.2, §14.2).
struct Selection {
    int status = 200;  // or 206, 304, 416; other than 200 only where the answer is a 200
    uint64_t begin = 0;
    uint64_t end = 0;  // of the body
};
bool is_not_modified(const Headers& request, const ResponseHead& answer);
Selection select(const Headers& request, const ResponseHead& answer, uint64_t body_bytes);
// The head that goes with it.
ResponseHead selected_head(const ResponseHead& stored, const Selection& selection,
                           uint64_t body_bytes);

}  // namespace candela::http
