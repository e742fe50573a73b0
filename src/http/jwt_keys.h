#pragma once

// The keys of a JSON Web Key Set that somebody else fetches and brings up to date, as the checks of
// all loops see them. Any thread.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tls/verify_key.h"

namespace candela::http {

struct JwtKey {
    std::string id;  // empty: none was said
    tls::VerifyKey key;
};
using JwtKeySet = std::shared_ptr<const std::vector<JwtKey>>;

class JwtKeys {
public:
    // `on_unknown` is called, on any loop's thread, when a token names a key that is not there:
    // once until the next set() or forgive().
    explicit JwtKeys(std::function<void()> on_unknown) : on_unknown_(std::move(on_unknown)) {}

    // Null until the first set().
    JwtKeySet current() const {
        const std::lock_guard lock(mutex_);
        return keys_;
    }
    // Grows with each set().
    uint64_t generation() const { return generation_.load(std::memory_order_acquire); }
    void set(JwtKeySet keys) {
        {
            const std::lock_guard lock(mutex_);
            keys_ = std::move(keys);
            generation_.fetch_add(1, std::memory_order_release);
        }
        forgive();
    }
    void forgive() { was_told_.store(false, std::memory_order_relaxed); }
    void tell_unknown() {
        if (!was_told_.exchange(true, std::memory_order_relaxed)) on_unknown_();
    }

private:
    const std::function<void()> on_unknown_;
    mutable std::mutex mutex_;
    JwtKeySet keys_;
    std::atomic<uint64_t> generation_{1};
    std::atomic<bool> was_told_{false};
};

}  // namespace candela::http
