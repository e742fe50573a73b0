#include "http/h2_stream.h"

#include <nghttp2/nghttp2.h>

#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "http/h2_connection.h"
#include "http/h2_session_impl.h"
#include "http/target.h"
#include "http/trailers.h"

namespace candela::http {
namespace {

bool is_target(std::string_view target) {
    for (const char c : target) {
        if (c == '#' || static_cast<uint8_t>(c) <= 0x20 || static_cast<uint8_t>(c) >= 0x7f) {
            return false;
        }
    }
    return target.starts_with('/') || target == "*";
}

}  // namespace

void H2Stream::begin(int32_t id) {
    id_ = id;
    head_.clear();
    head_.method.clear();
    head_.target.clear();
    head_.version = Version::kHttp11;  // what goes upstream is that
    framing_ = Framing();
    scheme_.clear();
    authority_.clear();
    reset_text(cookie_);
    reset_text(pending_);
    reset_body();
    trailers_.reset();
    exchange_ = nullptr;
    head_bytes_ = 0;
    taken_seen_ = received_ = received_seen_ = progress_seen_ = 0;
    checked_at_ = connection_.proxy_.loop_.now();
    is_too_large_ = is_routed_ = is_complete_ = is_end_told_ = is_throttled_ = false;
    has_answer_ = has_body_ = false;
}

void H2Stream::add_field(std::string_view name, std::string_view value) {
    const ParserLimits& limits = connection_.proxy_.options_.request_limits;
    head_bytes_ += name.size() + value.size() + kH2FieldOverhead;
    // Pseudo-fields and the parts of a split cookie are not counted as fields.
    if (head_bytes_ > limits.head_bytes_max + limits.field_count_max * kH2FieldOverhead ||
        head_.headers.size() + request_trailers().size() >= limits.field_count_max) {
        is_too_large_ = true;
        return;
    }
    if (is_routed_) {
        if (trailers_ == nullptr) trailers_ = std::make_unique<Headers>();
        trailers_->add(name, value);
        if (!trailers_->empty() &&
            !may_be_trailer(head_.headers, (*trailers_)[trailers_->size() - 1])) {
            trailers_->drop_last();
        }
        return;
    }
    if (name == ":method") {
        head_.method.assign(value);
    } else if (name == ":path") {
        head_.target.assign(value);
    } else if (name == ":scheme") {
        scheme_.assign(value);
    } else if (name == ":authority") {
        authority_.assign(value);
    } else if (name == "cookie") {
        // RFC 9113 §8.2.3: it may come in pieces, and goes on as one.
        if (!cookie_.empty()) cookie_ += "; ";
        cookie_ += value;
    } else if (!name.starts_with(':')) {
        head_.headers.add(name, value);
    }
}

const char* H2Stream::check_head(bool has_body, int& status) {
    const ParserLimits& limits = connection_.proxy_.options_.request_limits;
    status = 431;
    if (is_too_large_) return "the request's fields are larger than is allowed";
    status = 414;
    if (head_.target.size() > limits.target_bytes_max) return "the request target is too long";
    status = 400;
    if (!head_.headers.first_invalid().empty()) return "a field that is not allowed";
    if (!is_token(head_.method)) return "a method that is none";
    if (!is_target(head_.target)) return "a request target that is no path";
    if (head_.target == "*" && head_.method != "OPTIONS") return "target * without OPTIONS";
    const auto host = head_.headers.get(FieldId::kHost);
    if (head_.headers.count(FieldId::kHost) > 1) return "more than one Host field";
    // RFC 9113 §8.3.1: two names that differ are a request for nobody.
    if (host && !authority_.empty() && !ascii_iequals(*host, authority_)) {
        return "a Host field that is not the :authority";
    }
    if (!host) {
        if (authority_.empty()) return "neither :authority nor Host";
        head_.headers.add("host", authority_);
    }
    if (!cookie_.empty()) head_.headers.add("cookie", cookie_);
    // Nothing was added that could move the fields from here on.
    const auto authority = parse_authority(*head_.headers.get(FieldId::kHost));
    if (!authority) return "an :authority that names no host";
    framing_.host = authority->host;
    const auto length = head_.headers.get(FieldId::kContentLength);
    if (head_.headers.count(FieldId::kContentLength) > 1) return "two lengths";
    if (!has_body) {
        framing_.body = BodyKind::kNone;
    } else if (length) {
        const Result<uint64_t> parsed = parse_uint(*length);
        if (!parsed) return "a Content-Length that is no number";
        framing_.body = *parsed > 0 ? BodyKind::kLength : BodyKind::kNone;
        framing_.content_length = *parsed;
    } else {
        framing_.body = BodyKind::kChunked;
    }
    framing_.expects_continue = head_.headers.has_token(FieldId::kExpect, "100-continue");
    return nullptr;
}

void H2Stream::on_head(bool has_body) {
    Proxy& proxy = connection_.proxy_;
    is_routed_ = true;
    bump(proxy.counters_.requests);
    int status = 0;
    if (const char* problem = check_head(has_body, status)) {
        bump(proxy.counters_.requests_malformed);
        answer(status, problem);
        return;
    }
    const RoutedRequest routed = proxy.find_route(*this);
    if (routed.route.upstream == nullptr) {
        answer(routed.route.status, routed.route.text, *routed.fields, routed.pages());
        return;
    }
    exchange_ = &proxy.take_exchange();
    exchange_->begin(*this, routed);
    // All streams share what gathers for the upstreams.
    if (exchange_ != nullptr) exchange_->flush_upstream();
}

void H2Stream::on_trailers() {
    if (!is_too_large_ || exchange_ == nullptr) return;
    if (exchange_->has_response()) {
        reset_stream(NGHTTP2_ENHANCE_YOUR_CALM);
        return;
    }
    std::exchange(exchange_, nullptr)->abort();
    answer(431, "the request's trailers are larger than is allowed", kNoHeaders);
}

void H2Stream::on_body(std::string_view bytes) {
    received_ += bytes.size();
    if (exchange_ == nullptr) {  // answered already: it only has to go by
        consume(bytes.size());
        return;
    }
    if (received_ > exchange_->body_bytes_max()) {
        consume(bytes.size());
        exchange_->refuse_body();
        return;
    }
    if (pending_.empty() && exchange_->takes_body() && !exchange_->is_upstream_full()) {
        exchange_->send_body(bytes);
        exchange_->flush_upstream();
        consume(bytes.size());
        return;
    }
    is_throttled_ = true;
    pending_.append(bytes);  // no more than the window that the client was given
}

void H2Stream::on_request_end() {
    is_complete_ = true;
    feed();
}

// Hands on what the upstream takes of the request.
void H2Stream::feed() {
    if (exchange_ == nullptr) return;
    if (!pending_.empty() && exchange_->takes_body() && !exchange_->is_upstream_full()) {
        const std::string taken = std::exchange(pending_, std::string());
        exchange_->send_body(taken);
        exchange_->flush_upstream();
        consume(taken.size());
        if (exchange_ == nullptr) return;
    }
    const bool is_bodiless = framing_.body == BodyKind::kNone;
    if (is_complete_ && !is_end_told_ && pending_.empty() &&
        (is_bodiless || exchange_->takes_body())) {
        is_end_told_ = true;
        exchange_->end_body();
    }
    // What is stored has answered by now.
    if (exchange_ != nullptr) exchange_->flush_upstream();
}

void H2Stream::consume(size_t bytes) {
    nghttp2_session_consume(connection_.session_.get(), id_, bytes);
    connection_.flush_soon();
}

void H2Stream::drop_pending() {
    if (pending_.empty()) return;
    // The connection's window gets back what the stream took of it.
    nghttp2_session_consume_connection(connection_.session_.get(), pending_.size());
    reset_text(pending_);
}

void H2Stream::on_closed() {
    if (exchange_ != nullptr) std::exchange(exchange_, nullptr)->abort();
    drop_pending();
    id_ = 0;
}

const Stream* H2Stream::connection() const { return connection_.stream_.get(); }

ClientInfo H2Stream::client_info() const { return connection_.client_info(); }

ClientCertificates* H2Stream::client_certificates() {
    return connection_.certificates_of(connection_.stream_.get());
}

void H2Stream::send_interim(const ResponseHead& head) {
    // RFC 9110 §15.2.1: 100 is for those who wait for it.
    if (head.status == 100 && !framing_.expects_continue) return;
    H2Fields& fields = h2_fields();
    fields.begin(head.status);
    AnswerFields answer(head, false, false, AnswerEdits());
    for (const Headers::Field field : head.headers) {
        if (answer.passes(field)) fields.add(field.name, field.value);
    }
    nghttp2_submit_headers(connection_.session_.get(), NGHTTP2_FLAG_NONE, id_, nullptr,
                           fields.data(), fields.size(), nullptr);
}

void H2Stream::send_head(const ResponseHead& head, const Framing& framing,
                         const AnswerEdits& edits) {
    const bool is_bodiless = head_.method == "HEAD" || status_has_no_body(head.status);
    const bool has_body = !is_bodiless && framing.body != BodyKind::kNone;
    submit(head, has_body, head.status != 204, edits);
}

void H2Stream::submit(const ResponseHead& head, bool has_body, bool may_have_length,
                      const AnswerEdits& edits) {
    has_answer_ = true;
    has_body_ = has_body;
    if (!has_body) end_body_with(kNoHeaders);
    H2Fields& fields = h2_fields();
    fields.begin(head.status);
    AnswerFields answer(head, may_have_length, has_body, edits);
    for (const Headers::Field field : head.headers) {
        if (answer.passes(field)) fields.add(field.name, field.value);
    }
    edits.for_each_added(
        [&fields](std::string_view name, std::string_view value) { fields.add(name, value); });
    if (!answer.has_date()) fields.add("date", connection_.proxy_.date());
    const nghttp2_data_provider body = h2_source_of(*this);
    if (nghttp2_submit_response(connection_.session_.get(), id_, fields.data(), fields.size(),
                                has_body ? &body : nullptr) != 0) {
        reset_stream(NGHTTP2_INTERNAL_ERROR);
    }
}

void H2Stream::send_body(std::string_view bytes) {
    if (has_body_) append_body(bytes);
}

void H2Stream::flush() {
    if (was_deferred()) nghttp2_session_resume_data(connection_.session_.get(), id_);
    connection_.flush_soon();
}

void H2Stream::on_body_taken() {
    if (exchange_ != nullptr && queued_bytes() <= kBodyMax / 2) connection_.note_drained(*this);
}

void H2Stream::tell_drained() {
    if (exchange_ != nullptr) exchange_->on_client_drained();
}

bool H2Stream::has_taken_more() {
    return taken_bytes() != std::exchange(taken_seen_, taken_bytes());
}

void H2Stream::exchange_done() {
    exchange_ = nullptr;
    drop_pending();
    flush();
}

void H2Stream::answer_for_exchange(int status, std::string_view text, const Headers& fields,
                                   const ErrorPages* pages) {
    exchange_ = nullptr;
    drop_pending();
    const OwnAnswer own = make_own_answer(head_, status, text, fields, pages);
    const bool is_bodiless = head_.method == "HEAD" || status_has_no_body(status);
    submit(own.head, !is_bodiless, true, AnswerEdits());
    if (!is_bodiless) append_body(own.body);
    end_body_with(kNoHeaders);
    flush();
}

void H2Stream::answer(int status, std::string_view text, const Headers& fields,
                      const ErrorPages* pages) {
    answer_for_exchange(status, text, fields, pages);
    connection_.proxy_.router_.on_done(
        ProxyRecord{head_, nullptr, {}, status, Duration(0), 0, text.size(), client_info(), {}});
}

void H2Stream::close() { reset_stream(NGHTTP2_INTERNAL_ERROR); }

void H2Stream::cut(uint32_t h2_error) { reset_stream(h2_error); }

void H2Stream::reset_stream(uint32_t error_code) {
    if (exchange_ != nullptr) std::exchange(exchange_, nullptr)->abort();
    nghttp2_submit_rst_stream(connection_.session_.get(), NGHTTP2_FLAG_NONE, id_, error_code);
    connection_.flush_soon();
}

bool H2Stream::check_progress(MonoTime now) {
    const ProxyOptions& options = connection_.proxy_.options_;
    const bool is_sending = exchange_ == nullptr && has_answer_;
    const Duration window = is_sending ? options.send_timeout : options.body_rate_window;
    if (now - checked_at_ < window) return true;
    checked_at_ = now;
    if (is_sending) {
        // All of the answer is here: it is the client's to take it.
        return taken_bytes() != std::exchange(progress_seen_, taken_bytes()) || queued_bytes() == 0;
    }
    const auto seconds = std::chrono::duration<double>(window).count();
    const auto wanted =
        static_cast<uint64_t>(static_cast<double>(options.body_rate_bytes_min) * seconds);
    const bool is_our_fault =
        std::exchange(is_throttled_, !pending_.empty()) || !pending_.empty() ||
        (exchange_ != nullptr && (!exchange_->takes_body() || exchange_->is_dialogue()));
    const uint64_t received = received_ - std::exchange(received_seen_, received_);
    if (is_complete_ || is_our_fault || received >= wanted) return true;
    if (exchange_ != nullptr && !exchange_->has_response()) {
        std::exchange(exchange_, nullptr)->abort();
        answer(408, "the request's body comes too slowly");
        return true;
    }
    return false;
}

void H2Stream::start_relay() { CANDELA_CHECK(false); }
void H2Stream::relay_to_client(std::string_view) { CANDELA_CHECK(false); }
void H2Stream::end_relay() { CANDELA_CHECK(false); }
void H2Stream::pause_reading() { CANDELA_CHECK(false); }
void H2Stream::resume_reading() { CANDELA_CHECK(false); }

}  // namespace candela::http
