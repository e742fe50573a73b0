#pragma once

// What an exchange on a route with a cache has to do with it, from look-up to storing. Owned by its
// exchange, which acts on it (exchange_cache.cc).

#include <memory>
#include <string>

#include "http/response_cache.h"

namespace candela::http {

struct CacheCall {
    explicit CacheCall(std::shared_ptr<ResponseCache> shared) : cache(std::move(shared)) {}
    // Whoever waits for a fetch that comes to nothing is told.
    ~CacheCall();
    CacheCall(const CacheCall&) = delete;
    CacheCall& operator=(const CacheCall&) = delete;

    // The fetch that was led is over.
    void end_fetch(FetchEnd end);
    void stop_waiting();
    // More of the answer's body is gathered; false: it is too large, or there is no room.
    bool gather(std::string_view bytes, uint64_t bytes_max);
    void drop_gathered();

    enum class Swallow : uint8_t { kNothing, kNotModified, kError };

    const std::shared_ptr<ResponseCache> cache;
    MonoTime now{};  // at the last look
    std::string key, origin, fetch;
    std::string service, host, path;
    std::string target, public_target, prefix;  // as routed, to fetch it again
    CacheControl asked;
    Headers added_to_request;
    bool is_bypass = false;  // nothing is looked up or kept
    bool is_forced = false;  // fetched anew, whatever there is
    bool is_ready = false;   // serve `found` without asking anybody
    bool is_served = false;  // `found` is the answer
    bool is_leading = false;
    bool has_conditions = false;  // of the client's, answered here
    bool wants_newer = false;     // after this answer, another is fetched
    FetchWaiterPtr waiter;        // while another fetches
    MonoTime wait_until{};
    StoredAnswerPtr found;     // good or not
    size_t head_bytes = 0;     // of the request upstream, before validators
    int64_t requested_at = 0;  // Unix time

    bool is_filling = false;
    bool is_body_kept_back = false;  // the client is answered 304, the body is for the cache
    std::shared_ptr<StoredAnswer> made;
    std::string body;
    uint64_t reserved = 0;
    Swallow swallow = Swallow::kNothing;  // what comes of the answer is not for the client
};

}  // namespace candela::http
