#pragma once

// The body of a message that goes out on one HTTP/2 stream, and its trailers: bytes wait here until
// the session takes them, which it does as the peer's windows allow. Whoever appends looks at
// waiting_bytes(). It is what a session's data source points at (h2_session_impl.h).

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "http/headers.h"

struct nghttp2_session;

namespace candela::http {

struct H2SessionFreer {
    void operator()(nghttp2_session* session) const;
};
using H2SessionPtr = std::unique_ptr<nghttp2_session, H2SessionFreer>;

class H2Body {
public:
    std::string_view waiting_body() const { return std::string_view(body_).substr(body_at_); }
    size_t waiting_bytes() const { return body_.size() - body_at_; }
    const Headers& body_trailers() const { return trailers_ != nullptr ? *trailers_ : kNoHeaders; }
    bool is_ended() const { return is_ended_; }
    uint64_t taken_bytes() const { return taken_; }

    // For the session.
    void take_body(size_t bytes);
    void set_deferred() { is_deferred_ = true; }

protected:
    ~H2Body() = default;
    virtual void on_body_taken() = 0;

    // Before the first use, and between two. What was sent is kept until it is more than that, or
    // forget_sent().
    void reset_body(size_t keep_bytes_max = 0);
    void append_body(std::string_view bytes);
    void end_body_with(const Headers& trailers);
    // True where the session waits for more: it has to be told.
    bool was_deferred() { return std::exchange(is_deferred_, false); }
    bool has_whole_body() const { return keep_bytes_max_ != 0; }
    std::string take_whole_body() { return std::exchange(body_, std::string()); }
    void forget_sent() { keep_bytes_max_ = 0; }

private:
    std::string body_;  // from body_at_ on it waits
    size_t body_at_ = 0;
    size_t keep_bytes_max_ = 0;  // 0: nothing
    std::unique_ptr<Headers> trailers_;
    uint64_t taken_ = 0;
    bool is_ended_ = false;
    bool is_deferred_ = false;
};

}  // namespace candela::http
