#include "http/h2_body.h"

#include "http/h2_session_impl.h"

namespace candela::http {
namespace {

constexpr size_t kCompactBytes = 64 * 1024;  // sent, in front of what waits

}  // namespace

void H2Body::reset_body(size_t keep_bytes_max) {
    reset_text(body_);
    body_at_ = 0;
    keep_bytes_max_ = keep_bytes_max;
    trailers_.reset();
    taken_ = 0;
    is_ended_ = is_deferred_ = false;
}

void H2Body::append_body(std::string_view bytes) {
    if (body_.size() + bytes.size() > keep_bytes_max_) keep_bytes_max_ = 0;
    if (keep_bytes_max_ == 0 && body_at_ > kCompactBytes) {
        body_.erase(0, body_at_);
        body_at_ = 0;
    }
    body_.append(bytes);
}

void H2Body::end_body_with(const Headers& trailers) {
    is_ended_ = true;
    if (!trailers.empty()) trailers_ = std::make_unique<Headers>(trailers);
}

void H2Body::take_body(size_t bytes) {
    taken_ += bytes;
    body_at_ += bytes;
    if (body_at_ == body_.size() && keep_bytes_max_ == 0) {
        body_.clear();
        body_at_ = 0;
    }
    on_body_taken();
}

}  // namespace candela::http
