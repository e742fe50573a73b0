#pragma once

// A Secret holds bytes that must not be seen: it has no formatter, does not print, copies only by
// clone(), and wipes its memory when it ends. reveal() is the one way in, so that uses can be
// found.

#include <string>
#include <string_view>
#include <utility>

namespace candela {

class Secret {
public:
    Secret() = default;
    explicit Secret(std::string value) : value_(std::move(value)) {}
    explicit Secret(std::string_view value) : value_(value) {}
    Secret(Secret&& other) noexcept : value_(other.value_) { other.wipe(); }
    Secret& operator=(Secret&& other) noexcept {
        if (this == &other) return *this;
        wipe();
        value_ = other.value_;
        other.wipe();
        return *this;
    }
    Secret(const Secret&) = delete;
    Secret& operator=(const Secret&) = delete;
    ~Secret() { wipe(); }

    Secret clone() const { return Secret(std::string_view(value_)); }
    std::string_view reveal() const { return value_; }
    bool empty() const { return value_.empty(); }

private:
    // explicit_bzero is not removed by the optimiser. The short-string buffer is covered too.
    void wipe();
    std::string value_;
};

}  // namespace candela
