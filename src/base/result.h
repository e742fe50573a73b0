#pragma once

// Errors as values. Every fallible function of candela returns Result<T>; nothing of ours throws.
// An Error says what happened in one sentence, of which kind it is (so that callers can decide),
// and, where the kernel or a library said something, its number. Context is added once, at a
// boundary. All types here are values: copy, move and send them between threads freely.

#include <expected>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <fmt/format.h>

namespace candela {

// What a caller can do about an error; ctl's exit codes and the API's HTTP statuses follow from it.
enum class Code {
    kInvalid,      // the input is wrong: say where, do not retry
    kNotFound,     // no such thing
    kDenied,       // not authenticated, or not allowed
    kConflict,     // the thing exists, or has changed meanwhile
    kUnreachable,  // a peer or device did not answer: a retry may help
    kTimeout,      // a deadline passed
    kCancelled,    // whoever asked no longer wants it
    kExhausted,    // a named limit was met
    kCorrupt,      // stored or received bytes do not verify
    kUnsupported,  // this machine or build can't
    kIo,           // the operating system refused
    kInternal,     // a fault of candela's own
};

std::string_view to_string(Code code);

class [[nodiscard]] Error {
public:
    Error(Code code, std::string message, int system_errno = 0)
        : code_(code), system_errno_(system_errno), message_(std::move(message)) {}

    // An error of the operating system: the message becomes "<what>: <strerror(errno_value)>".
    static Error system(std::string_view what, int errno_value);

    Code code() const { return code_; }
    int system_errno() const { return system_errno_; }
    const std::string& message() const { return message_; }

    // The same error seen from further out: "<context>: <message>".
    Error in(std::string_view context) const {
        return Error(code_, fmt::format("{}: {}", context, message_), system_errno_);
    }

private:
    Code code_;
    int system_errno_;
    std::string message_;
};

template <class T = void>
class [[nodiscard]] Result : public std::expected<T, Error> {
public:
    using value_type = T;
    using std::expected<T, Error>::expected;

    // Adds context to a failure and leaves a success as it is.
    Result in(std::string_view context) && {
        if (this->has_value()) return std::move(*this);
        return std::unexpected<Error>(this->error().in(context));
    }
};

// return fail(Code::kInvalid, "port {} is above 65535", port);
template <class... Args>
std::unexpected<Error> fail(Code code, fmt::format_string<Args...> format, Args&&... args) {
    return std::unexpected<Error>(Error(code, fmt::format(format, std::forward<Args>(args)...)));
}
inline std::unexpected<Error> fail(Error error) { return std::unexpected<Error>(std::move(error)); }
inline std::unexpected<Error> fail_errno(std::string_view what, int errno_value) {
    return std::unexpected<Error>(Error::system(what, errno_value));
}

}  // namespace candela

#define CANDELA_CONCAT_INNER(a, b) a##b
#define CANDELA_CONCAT(a, b) CANDELA_CONCAT_INNER(a, b)

// CANDELA_TRY(read_file(path));                   returns from this function on failure
// CANDELA_TRY_ASSIGN(auto text, read_file(path)); and otherwise names the value
// CO_TRY and CO_TRY_ASSIGN are the same in a coroutine; the expression may contain co_await.
#define CANDELA_TRY_IMPL(name, expr, ret)                        \
    do {                                                         \
        auto name = (expr);                                      \
        if (!name) ret ::candela::fail(std::move(name).error()); \
    } while (false)
#define CANDELA_TRY_ASSIGN_IMPL(name, decl, expr, ret)       \
    auto name = (expr);                                      \
    if (!name) ret ::candela::fail(std::move(name).error()); \
    decl = std::move(*name)

#define CANDELA_TRY(expr) CANDELA_TRY_IMPL(CANDELA_CONCAT(try_, __LINE__), expr, return)
#define CANDELA_TRY_ASSIGN(decl, expr) \
    CANDELA_TRY_ASSIGN_IMPL(CANDELA_CONCAT(try_, __LINE__), decl, expr, return)
#define CO_TRY(expr) CANDELA_TRY_IMPL(CANDELA_CONCAT(try_, __LINE__), expr, co_return)
#define CO_TRY_ASSIGN(decl, expr) \
    CANDELA_TRY_ASSIGN_IMPL(CANDELA_CONCAT(try_, __LINE__), decl, expr, co_return)

#if __GNUC__ >= 13
// std::expected's own == takes an expected on either side, which newer libstdc++ finds ambiguous
// for what derives from it; with g++ 12 this one would be what makes it ambiguous.
namespace candela {
template <class T, class U>
    requires(!std::is_base_of_v<std::expected<T, Error>, U> &&
             requires(const T& a, const U& b) { static_cast<bool>(a == b); })
bool operator==(const Result<T>& result, const U& value) {
    return result.has_value() && *result == value;
}
}  // namespace candela
#endif
