#pragma once

// Text put together from pieces on hot paths: the room is made once, and pieces of known size are
// copied without a call.

#include <cstring>
#include <string>
#include <string_view>

namespace candela {

namespace detail {

inline std::string_view piece_of(std::string_view text) { return text; }
// A literal, whose size the compiler knows.
template <size_t kSize>
std::string_view piece_of(const char (&text)[kSize]) {
    return {text, kSize - 1};
}

}  // namespace detail

// Appends the pieces in order. None of them may point into `out`.
template <class... Pieces>
inline void append_all(std::string& out, const Pieces&... pieces) {
    const size_t before = out.size();
    const size_t after = (before + ... + detail::piece_of(pieces).size());
    // libstdc++ 12 hands on the capacity that it made in place of the size asked for.
    out.resize_and_overwrite(after, [&](char* bytes, size_t) {
        char* to = bytes + before;
        const auto put = [&to](std::string_view piece) {
            std::memcpy(to, piece.data(), piece.size());
            to += piece.size();
        };
        (put(detail::piece_of(pieces)), ...);
        return after;
    });
}

}  // namespace candela
