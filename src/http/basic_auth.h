#pragma once

// User names and passwords on a route: HTTP Basic authentication (RFC 7617). Hashes are slow to
// check, which is their purpose: that is done on a pool thread, a bounded number at a time, and
// what was right is remembered by a keyed digest, so that a user's next requests cost little. Any
// thread.

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>

#include "http/headers.h"

namespace candela::http {

struct BasicCredentials {
    std::string user;
    std::string password;
};

// Of an Authorization field's value; nothing where it is of another kind or malformed.
std::optional<BasicCredentials> parse_basic(std::string_view authorization);

class BasicAuth {
public:
    static constexpr uint32_t kChecksMax = 8;  // at once
    static constexpr size_t kKnownMax = 4096;

    // By user: an argon2id hash that crypto::check_password_hash() takes.
    BasicAuth(std::map<std::string, std::string, std::less<>> users, std::string realm);

    // Whether these were right before.
    bool knows(const BasicCredentials& credentials) const;
    // Slow: for a pool thread. Takes as long for a user that is not known.
    bool verify(const BasicCredentials& credentials) const;
    // One more check is running, unless there are too many. end_check() is owed.
    bool begin_check() const;
    void end_check() const { checks_.fetch_sub(1, std::memory_order_relaxed); }

    // What WWW-Authenticate says.
    const std::string& challenge() const { return challenge_; }

private:
    using Digest = std::array<uint8_t, 32>;
    Digest digest_of(const BasicCredentials& credentials) const;

    std::map<std::string, std::string, std::less<>> users_;
    std::string nobody_;  // a hash that no password fits
    std::string challenge_;
    Digest key_;
    mutable std::atomic<uint32_t> checks_{0};
    mutable std::mutex mutex_;
    mutable std::unordered_set<std::string> known_;  // digests
};

}  // namespace candela::http
