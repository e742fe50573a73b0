#include "http/cached_body.h"

#include <algorithm>

#include "http/exchange.h"

namespace candela::http {
namespace {

constexpr uint64_t kPieceBytes = 64 * 1024;

}  // namespace

ResponderPtr CachedBody::make(std::shared_ptr<const std::string> body, uint64_t begin,
                              uint64_t end) {
    return ResponderPtr(new CachedBody(std::move(body), begin, end));
}

void CachedBody::resume() {
    is_paused_ = false;
    if (is_sending_) return;
    is_sending_ = true;
    bool is_gone = false;
    is_gone_ = &is_gone;
    while (at_ < end_) {
        const uint64_t size = std::min(end_ - at_, kPieceBytes);
        const std::string_view piece(body_->data() + at_, size);
        at_ += size;
        exchange_->on_answer_body(piece);
        if (at_ == end_) break;
        exchange_->flush_client();
        if (is_gone) return;
        if (is_paused_) {
            is_sending_ = false;
            is_gone_ = nullptr;
            return;
        }
    }
    // What is sent is borrowed until it is flushed, which the exchange does before it lets go.
    exchange_->on_answer_end(kNoHeaders, true);
}

void CachedBody::give_back(Outcome) {
    if (is_gone_ != nullptr) *is_gone_ = true;
    delete this;
}

}  // namespace candela::http
