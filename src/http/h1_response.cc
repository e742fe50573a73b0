// How long a response is, by what was asked and what it says (RFC 9112 §6.3).

#include "http/h1_parser.h"

namespace candela::http {

ResponseParser::ResponseParser(const ParserLimits& limits)
    : H1Parser(limits, false, head_.headers) {}

void ResponseParser::expect(bool head_request, bool upgrade_offered) {
    head_request_ = head_request;
    upgrade_offered_ = upgrade_offered;
}

bool ResponseParser::check_head() {
    head_.version = version_;
    head_.status = status_code();
    if (head_.status < 100) return fail(502, "a status below 100");
    if (head_.status == 101) {
        if (!upgrade_offered_) return fail(502, "101 without an upgrade asked for");
        framing_.upgrade = true;
    } else if (head_.status < 200) {
        framing_.keep_alive = true;  // an interim response says nothing about the connection
    }
    if (head_request_ || status_has_no_body(head_.status)) return true;
    if (!check_transfer_encoding()) return false;
    if (seen_.is_chunked) {
        framing_.body = BodyKind::kChunked;
    } else if (seen_.has_length) {
        framing_.body = length_body();
    } else {
        framing_.body = BodyKind::kUntilClose;
        framing_.keep_alive = false;
    }
    return true;
}

}  // namespace candela::http
