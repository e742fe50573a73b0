#include "http/h2_call.h"

#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "http/exchange.h"
#include "http/h2_session_impl.h"
#include "http/h2_upstream_session.h"
#include "http/trailers.h"

namespace candela::http {
namespace {

// Of a request's body: kept until the answer begins, for the case that the peer says it has not
// processed the request.
constexpr size_t kRepeatableBytes = 64 * 1024;

// Takes the next line of a head off it.
std::string_view take_line(std::string_view& head) {
    const size_t end = head.find("\r\n");
    const std::string_view line = head.substr(0, end);
    head.remove_prefix(end + 2);
    return line;
}

// What the client is told when the peer has reset a stream in the middle of an answer. Those that
// are about the connection, or would have it believe that nothing was processed, are not for it.
uint32_t error_for_client(uint32_t h2_error) {
    switch (h2_error) {
        case NGHTTP2_CANCEL:
        case NGHTTP2_ENHANCE_YOUR_CALM:
        case NGHTTP2_INADEQUATE_SECURITY: return h2_error;
        default: return NGHTTP2_INTERNAL_ERROR;
    }
}

}  // namespace

void H2Call::prepare(bool session_was_used) {
    exchange_ = nullptr;
    id_ = 0;
    head_.clear();
    framing_ = Framing();
    trailers_.reset();
    reset_body(kRepeatableBytes);
    head_bytes_ = unconsumed_ = gathered_ = 0;
    session_was_used_ = session_was_used;
    is_head_request_ = has_request_body_ = has_head_ = is_bodiless_ = is_answered_ = false;
    is_too_large_ = is_paused_ = is_request_sent_ = false;
}

void H2Call::begin(Exchange& exchange, const ResponderRequest& request) {
    exchange_ = &exchange;
    is_head_request_ = request.is_head;
    has_request_body_ = request.has_body;
    submit(request);
    gathered_ = request.head.size();
}

// The head is written for HTTP/1.1; what only that has is left out (RFC 9113 §8.2.2).
void H2Call::submit(const ResponderRequest& request) {
    std::string_view rest = request.head;
    std::string_view line = take_line(rest);
    const size_t method_end = line.find(' ');
    const std::string_view target = line.substr(method_end + 1);
    H2Fields& fields = h2_fields();
    fields.begin();
    fields.add(":method", line.substr(0, method_end));
    fields.add(":scheme", "http");
    // The first field is the host (append_upstream_request), as ":authority" must be among the
    // first here.
    line = take_line(rest);
    fields.add(":authority", line.substr(line.find(": ") + 2));
    fields.add(":path", target.substr(0, target.rfind(' ')));
    for (line = take_line(rest); !line.empty(); line = take_line(rest)) {
        const size_t name_end = line.find(": ");
        const std::string_view name = line.substr(0, name_end);
        switch (field_id(name)) {
            case FieldId::kConnection:
            case FieldId::kKeepAlive:
            case FieldId::kProxyConnection:
            case FieldId::kTransferEncoding:
            case FieldId::kUpgrade: continue;
            default: fields.add(name, line.substr(name_end + 2));
        }
    }
    const nghttp2_data_provider body = h2_source_of(*this);
    id_ = nghttp2_submit_request(session_.session_.get(), nullptr, fields.data(), fields.size(),
                                 request.has_body ? &body : nullptr, this);
    CANDELA_CHECK(id_ > 0);  // has_room() was true
    session_.flush_soon();
}

void H2Call::send_body(std::string_view bytes) {
    append_body(bytes);
    gathered_ += bytes.size();
}

void H2Call::send_end(const Headers& trailers) {
    if (has_request_body_) end_body_with(trailers);
}

size_t H2Call::flush() {
    if (was_deferred()) nghttp2_session_resume_data(session_.session_.get(), id_);
    session_.flush_soon();
    return std::exchange(gathered_, 0);
}

void H2Call::on_body_taken() {
    constexpr size_t kLow = 64 * 1024;
    if (exchange_ != nullptr && waiting_bytes() <= kLow) session_.note_drained(*this);
}

void H2Call::tell_drained() {
    if (exchange_ != nullptr) exchange_->on_upstream_drained();
}

void H2Call::resume() {
    is_paused_ = false;
    consume();
}

// Gives the stream's window back. The connection's is given back at once, so that one client who is
// behind does not hold up the others.
void H2Call::consume() {
    const size_t bytes = std::exchange(unconsumed_, 0);
    if (bytes == 0 || is_answered_) return;
    nghttp2_session_consume_stream(session_.session_.get(), id_, bytes);
    session_.flush_soon();
}

void H2Call::give_back(Outcome outcome) {
    exchange_ = nullptr;
    const bool is_whole = is_answered_ && (!has_request_body_ || is_request_sent_);
    if (has_stream() && !is_whole) {
        nghttp2_submit_rst_stream(session_.session_.get(), NGHTTP2_FLAG_NONE, id_, NGHTTP2_CANCEL);
        session_.flush_soon();
    }
    if (outcome == Outcome::kTimedOut) session_.note_timeout();
    session_.let_go(*this);  // this may be no more
}

void H2Call::add_field(std::string_view name, std::string_view value) {
    const ParserLimits& limits = session_.owner_->options_.response_limits;
    const size_t count = head_.headers.size() + (trailers_ != nullptr ? trailers_->size() : 0);
    head_bytes_ += name.size() + value.size() + kH2FieldOverhead;
    if (head_bytes_ > limits.head_bytes_max + limits.field_count_max * kH2FieldOverhead ||
        count >= limits.field_count_max) {
        is_too_large_ = true;
        return;
    }
    if (has_head_) {
        if (trailers_ == nullptr) trailers_ = std::make_unique<Headers>();
        trailers_->add(name, value);
        const bool is_one = !trailers_->empty() &&
                            may_be_trailer(head_.headers, (*trailers_)[trailers_->size() - 1]);
        if (!trailers_->empty() && !is_one) trailers_->drop_last();
    } else if (name == ":status") {
        head_.status = static_cast<int>(parse_uint(value).value_or(0));
    } else if (!name.starts_with(':')) {
        head_.headers.add(name, value);
    }
}

void H2Call::on_block(bool is_last) {
    session_.turn_to(this);
    exchange_->on_answer_heard();
    if (is_too_large_) {
        on_broken({"answers with fields larger than is allowed"});
    } else if (has_head_) {
        on_trailers(is_last);
    } else {
        on_head(is_last);
    }
}

void H2Call::on_head(bool is_last) {
    const bool is_interim = head_.status < 200;
    if (head_.status < 100 || !head_.headers.first_invalid().empty() || (is_interim && is_last)) {
        on_broken({"answers with a malformed head"});
        return;
    }
    if (is_interim) {
        if (exchange_->on_interim(head_)) head_.clear();
        return;
    }
    has_head_ = true;
    forget_sent();
    is_bodiless_ = is_head_request_ || status_has_no_body(head_.status);
    const auto length = head_.headers.get(FieldId::kContentLength);
    if (is_last || is_bodiless_) {
        framing_.body = BodyKind::kNone;
        // On HTTP/1.1 an answer without a body has to say so.
        if (!is_bodiless_ && !length) head_.headers.add("Content-Length", "0");
    } else if (length) {
        framing_.body = BodyKind::kLength;
        framing_.content_length = parse_uint(*length).value_or(0);
    } else {
        framing_.body = BodyKind::kChunked;
    }
    exchange_->on_answer_head(head_, framing_);
    if (is_last) on_last_data();
}

void H2Call::on_trailers(bool is_last) {
    if (!is_last) {  // RFC 9113 §8.1
        on_broken({"answers with more than one head"});
        return;
    }
    on_last_data();
}

void H2Call::on_data(std::string_view bytes) {
    session_.turn_to(this);
    if (!has_head_ || is_bodiless_) {
        on_broken({has_head_ ? "answers with a body where there can be none"
                             : "answers with a body before its head"});
        return;
    }
    unconsumed_ += bytes.size();
    exchange_->on_answer_heard();
    exchange_->on_answer_body(bytes);
}

void H2Call::on_last_data() {
    session_.turn_to(this);
    is_answered_ = true;
    exchange_->on_answer_end(trailers_ != nullptr ? *trailers_ : kNoHeaders, true);
}

void H2Call::flush_client() {
    exchange_->flush_client();
    if (!is_paused_) consume();
}

void H2Call::on_closed(uint32_t h2_error) {
    using Kind = ResponderFailure::Kind;
    id_ = 0;
    if (!has_exchange()) {
        session_.let_go(*this);
        return;
    }
    ResponderFailure failure{"has reset the request", Kind::kBroken, error_for_client(h2_error)};
    if (h2_error == NGHTTP2_REFUSED_STREAM) {
        failure.what = "has refused the request";
        failure.kind = session_.is_closing() ? Kind::kGoingAway : Kind::kRefused;
    } else if (h2_error == NGHTTP2_PROTOCOL_ERROR) {
        failure.what = "and candela do not agree on the HTTP/2 of an answer";
    }
    on_broken(failure);
}

void H2Call::on_broken(const ResponderFailure& failure) {
    session_.turn_to(this);
    exchange_->on_failed(failure);
}

void H2Call::relay(std::string_view) { CANDELA_CHECK(false); }
void H2Call::end_relay() { CANDELA_CHECK(false); }

}  // namespace candela::http
