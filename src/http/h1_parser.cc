#include "http/h1_parser.h"

#include <algorithm>
#include <cstring>

#include <llhttp.h>

#include "base/text.h"
#include "http/trailers.h"

namespace candela::http {

namespace detail {

namespace {

static_assert(sizeof(llhttp_t) <= 96 && alignof(llhttp_t) <= 8);

constexpr size_t kNameBytesMax = 256;  // of one field; 431
// RFC 9112 §2.2 lets a server skip empty lines before a request; two are plenty.
constexpr uint8_t kBlankBytesMax = 4;

llhttp_t* raw(unsigned char* storage) { return reinterpret_cast<llhttp_t*>(storage); }

}  // namespace

// llhttp's callbacks. They note what was seen in the parser and stop llhttp where there is an
// event.
struct H1Callbacks {
    static H1Parser& of(llhttp_t* llhttp) { return *static_cast<H1Parser*>(llhttp->data); }
    static int verdict(bool ok) { return ok ? HPE_OK : HPE_USER; }

    static int on_method(llhttp_t* llhttp, const char* at, size_t size) {
        static_cast<RequestParser&>(of(llhttp)).head_.method.append(at, size);
        return HPE_OK;
    }
    static int on_status(llhttp_t* llhttp, const char* at, size_t size) {
        static_cast<ResponseParser&>(of(llhttp)).head_.reason.append(at, size);
        return HPE_OK;
    }
    static int on_target(llhttp_t* llhttp, const char* at, size_t size) {
        H1Parser& parser = of(llhttp);
        if (!parser.target_begun_) {
            parser.target_begun_ = true;
            if (parser.byte_before(at, 1) != ' ' || parser.byte_before(at, 2) == ' ') {
                return verdict(parser.fail(400, "more than one blank after the method"));
            }
        }
        std::string& target = static_cast<RequestParser&>(parser).head_.target;
        target.append(at, size);
        if (target.size() <= parser.limits_.target_bytes_max) return HPE_OK;
        return verdict(parser.fail(414, "the request target is too long"));
    }
    static int on_version(llhttp_t* llhttp, const char* at, size_t) {
        H1Parser& parser = of(llhttp);
        if (parser.version_begun_) return HPE_OK;
        parser.version_begun_ = true;
        // Mostly all of the line is in one piece.
        const auto before = at - parser.piece_;
        const bool is_http = before >= 5 && std::memcmp(at - 5, "HTTP/", 5) == 0;
        if (is_http && !parser.is_request_) return HPE_OK;
        if (is_http && before >= 7 && at[-6] == ' ' && at[-7] != ' ') return HPE_OK;
        // llhttp takes RTSP/ and ICE/ as well, and any number of blanks.
        for (size_t distance = 5; distance > 0; --distance) {
            if (parser.byte_before(at, distance) != "HTTP/"[5 - distance]) {
                return verdict(parser.fail(400, "not an HTTP version"));
            }
        }
        if (!parser.is_request_) return HPE_OK;
        if (parser.byte_before(at, 6) == ' ' && parser.byte_before(at, 7) != ' ') return HPE_OK;
        return verdict(parser.fail(400, "more than one blank before the version"));
    }
    static int on_name(llhttp_t* llhttp, const char* at, size_t size) {
        H1Parser& parser = of(llhttp);
        const bool in_head = parser.phase_ == H1Parser::Phase::kHead;
        if (!parser.field_open_) {
            parser.field_open_ = true;
            parser.name_bytes_ = 0;
            const size_t count = in_head ? parser.headers_.size() : parser.trailer_count_++;
            if (count >= parser.limits_.field_count_max) {
                return verdict(parser.fail(431, "too many header fields"));
            }
            if (!in_head && parser.trailers_ == nullptr) {
                parser.trailers_ = std::make_unique<Headers>();
            }
            parser.fields().begin_field();
        }
        parser.name_bytes_ += size;
        if (parser.name_bytes_ > kNameBytesMax) {
            return verdict(parser.fail(431, "a header field's name is too long"));
        }
        parser.fields().append_name(std::string_view(at, size));
        return HPE_OK;
    }
    static int on_value(llhttp_t* llhttp, const char* at, size_t size) {
        of(llhttp).fields().append_value(std::string_view(at, size));
        return HPE_OK;
    }
    static int on_value_complete(llhttp_t* llhttp) {
        H1Parser& parser = of(llhttp);
        parser.field_open_ = false;
        const Headers::Field field = parser.fields().finish_field();
        if (parser.phase_ == H1Parser::Phase::kHead) return verdict(parser.note_field(field));
        if (!may_be_trailer(parser.headers_, field)) parser.trailers_->drop_last();
        return HPE_OK;
    }
    static int on_head_complete(llhttp_t* llhttp) {
        H1Parser& parser = of(llhttp);
        parser.framing_.content_length = parser.seen_.has_length ? llhttp->content_length : 0;
        if (!parser.check_version() || !parser.check_head()) return -1;
        parser.pending_ = ParseEvent::kHead;
        return HPE_PAUSED;
    }
    static int on_body(llhttp_t* llhttp, const char* at, size_t size) {
        if (size == 0) return HPE_OK;
        H1Parser& parser = of(llhttp);
        parser.body_ = std::string_view(at, size);
        parser.pending_ = ParseEvent::kBody;
        return HPE_PAUSED;
    }
    static int on_complete(llhttp_t* llhttp) {
        of(llhttp).pending_ = ParseEvent::kComplete;
        return HPE_PAUSED;
    }
    static int on_extension(llhttp_t* llhttp, const char*, size_t size) {
        H1Parser& parser = of(llhttp);
        parser.extension_bytes_ += size;
        if (parser.extension_bytes_ <= parser.limits_.chunk_extension_bytes_max) return HPE_OK;
        return verdict(parser.fail(400, "chunk extensions are too long"));
    }

    static llhttp_settings_t make_settings(bool is_request) {
        llhttp_settings_t settings;
        llhttp_settings_init(&settings);
        if (is_request) {
            settings.on_method = on_method;
            settings.on_url = on_target;
        } else {
            settings.on_status = on_status;
        }
        settings.on_version = on_version;
        settings.on_header_field = on_name;
        settings.on_header_value = on_value;
        settings.on_header_value_complete = on_value_complete;
        settings.on_headers_complete = on_head_complete;
        settings.on_body = on_body;
        settings.on_message_complete = on_complete;
        settings.on_chunk_extension_name = on_extension;
        settings.on_chunk_extension_value = on_extension;
        return settings;
    }
};

H1Parser::H1Parser(const ParserLimits& limits, bool is_request, Headers& headers)
    : limits_(limits), headers_(headers), is_request_(is_request) {
    static const llhttp_settings_t request_settings = H1Callbacks::make_settings(true);
    static const llhttp_settings_t response_settings = H1Callbacks::make_settings(false);
    llhttp_init(raw(llhttp_), is_request ? HTTP_REQUEST : HTTP_RESPONSE,
                is_request ? &request_settings : &response_settings);
    raw(llhttp_)->data = this;
}

bool H1Parser::fail(int status, std::string_view reason) {
    phase_ = Phase::kFailed;
    error_.status = is_request_ ? status : 502;
    error_.reason = reason;
    return false;
}

ParseEvent H1Parser::parse(std::string_view& bytes) {
    switch (phase_) {
        case Phase::kStart:
            if (!skip_blank_lines(bytes)) return ParseEvent::kError;
            if (bytes.empty()) return ParseEvent::kNeedMore;
            if (closed_) {
                fail(400, "data after the last message");
                return ParseEvent::kError;
            }
            begin_message();
            return parse_head(bytes);
        case Phase::kHead: return parse_head(bytes);
        case Phase::kBody: return parse_body(bytes);
        case Phase::kFailed: break;
    }
    return ParseEvent::kError;
}

ParseEvent H1Parser::finish() {
    if (phase_ == Phase::kStart) return ParseEvent::kNeedMore;
    if (phase_ == Phase::kBody) {
        if (framing_.body == BodyKind::kNone || framing_.body == BodyKind::kUntilClose) {
            return complete();
        }
        if (framing_.body == BodyKind::kLength && body_left_ == 0) return complete();
    }
    if (phase_ != Phase::kFailed) fail(400, "the connection ended in the middle of a message");
    return ParseEvent::kError;
}

bool H1Parser::skip_blank_lines(std::string_view& bytes) {
    while (!bytes.empty()) {
        const bool half = blank_bytes_ % 2 == 1;
        if (!half && bytes.front() != '\r' && bytes.front() != '\n') return true;
        if (bytes.front() != (half ? '\n' : '\r') || !is_request_ ||
            blank_bytes_ >= kBlankBytesMax) {
            return fail(400, "the message does not begin with a start line");
        }
        ++blank_bytes_;
        bytes.remove_prefix(1);
    }
    return true;
}

void H1Parser::begin_message() {
    llhttp_reset(raw(llhttp_));
    clear_head();
    phase_ = Phase::kHead;
    seen_ = Seen();
    framing_ = Framing();
    field_open_ = target_begun_ = version_begun_ = false;
    blank_bytes_ = 0;
    head_bytes_ = trailer_count_ = overhead_bytes_ = extension_bytes_ = 0;
    if (trailers_ != nullptr) trailers_->clear();
    std::memset(tail_, 0, sizeof tail_);
}

ParseEvent H1Parser::parse_head(std::string_view& bytes) {
    if (bytes.empty()) return ParseEvent::kNeedMore;
    // llhttp has no limits and does not report the blanks that it skips, so that what it is fed is
    // what counts.
    const size_t allowed = limits_.head_bytes_max - head_bytes_;
    const std::string_view piece = bytes.substr(0, allowed);
    if (piece.empty()) {
        fail(431, "the message's head is too long");
        return ParseEvent::kError;
    }
    pending_ = ParseEvent::kNeedMore;
    piece_ = piece.data();
    const llhttp_errno_t code = llhttp_execute(raw(llhttp_), piece.data(), piece.size());
    if (pending_ == ParseEvent::kHead) {
        const auto used = static_cast<size_t>(llhttp_get_error_pos(raw(llhttp_)) - piece.data());
        bytes.remove_prefix(used);
        phase_ = Phase::kBody;
        body_left_ = framing_.body == BodyKind::kLength ? framing_.content_length : 0;
        return ParseEvent::kHead;
    }
    if (code != HPE_OK) return fail_from_llhttp(code);
    head_bytes_ += piece.size();
    if (!version_begun_) keep_tail(piece);
    bytes.remove_prefix(piece.size());
    return bytes.empty() ? ParseEvent::kNeedMore : parse_head(bytes);
}

ParseEvent H1Parser::parse_body(std::string_view& bytes) {
    switch (framing_.body) {
        case BodyKind::kNone: return complete();
        case BodyKind::kChunked: return parse_chunked(bytes);
        case BodyKind::kLength:
            if (body_left_ == 0) return complete();
            body_ = bytes.substr(0, body_left_);
            body_left_ -= body_.size();
            break;
        case BodyKind::kUntilClose: body_ = bytes; break;
    }
    if (body_.empty()) return ParseEvent::kNeedMore;
    bytes.remove_prefix(body_.size());
    return ParseEvent::kBody;
}

ParseEvent H1Parser::parse_chunked(std::string_view& bytes) {
    // Without bytes llhttp would report an empty piece of an open chunk again and again.
    if (bytes.empty()) return ParseEvent::kNeedMore;
    llhttp_resume(raw(llhttp_));
    pending_ = ParseEvent::kNeedMore;
    body_ = {};
    piece_ = bytes.data();
    const llhttp_errno_t code = llhttp_execute(raw(llhttp_), bytes.data(), bytes.size());
    size_t used = bytes.size();
    if (pending_ != ParseEvent::kNeedMore) {
        used = static_cast<size_t>(llhttp_get_error_pos(raw(llhttp_)) - piece_);
    } else if (code != HPE_OK) {
        return fail_from_llhttp(code);
    }
    bytes.remove_prefix(used);
    overhead_bytes_ += used - body_.size();
    if (overhead_bytes_ > limits_.chunk_overhead_bytes_max) {
        fail(400, "a chunked body has too much between its chunks");
        return ParseEvent::kError;
    }
    if (pending_ == ParseEvent::kBody) overhead_bytes_ = 0;
    return pending_ == ParseEvent::kComplete ? complete() : pending_;
}

ParseEvent H1Parser::complete() {
    phase_ = Phase::kStart;
    closed_ = !framing_.keep_alive;
    return ParseEvent::kComplete;
}

ParseEvent H1Parser::fail_from_llhttp(int code) {
    if (phase_ == Phase::kFailed) return ParseEvent::kError;  // one of our own checks
    const char* const text = llhttp_get_error_reason(raw(llhttp_));
    const std::string_view reason = text != nullptr && *text != 0 ? text : "not HTTP";
    // HPE_INVALID_VERSION also stands for a line that is no start line at all.
    if (reason == "Invalid HTTP version" || code == HPE_PAUSED_H2_UPGRADE) {
        fail(505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    } else {
        fail(400, reason);
    }
    return ParseEvent::kError;
}

char H1Parser::byte_before(const char* at, size_t distance) const {
    const auto offset = static_cast<size_t>(at - piece_);
    return offset >= distance ? at[-static_cast<ptrdiff_t>(distance)]
                              : tail_[sizeof tail_ - (distance - offset)];
}

void H1Parser::keep_tail(std::string_view used) {
    const size_t kept = std::min(used.size(), sizeof tail_);
    std::memmove(tail_, tail_ + kept, sizeof tail_ - kept);
    std::memcpy(tail_ + sizeof tail_ - kept, used.data() + used.size() - kept, kept);
}

bool H1Parser::note_field(const Headers::Field& field) {
    switch (field.id) {
        case FieldId::kHost:
            if (++seen_.hosts > 1) return fail(400, "more than one Host field");
            return true;
        case FieldId::kContentLength: seen_.has_length = true; return true;
        case FieldId::kTransferEncoding: return note_transfer_encoding(field.value);
        case FieldId::kConnection: return note_connection(field.value);
        case FieldId::kUpgrade:
            seen_.has_upgrade = true;
            for_each_list_element(field.value, [&](std::string_view protocol) {
                seen_.has_h2c |= ascii_iequals(protocol.substr(0, 3), "h2c");
            });
            return true;
        case FieldId::kExpect:
            if (!is_request_) return true;
            if (!ascii_iequals(field.value, "100-continue")) {
                return fail(417, "an expectation other than 100-continue");
            }
            seen_.has_continue = true;
            return true;
        case FieldId::kOther: break;
        default: return true;
    }
    // CGI and WSGI turn both '-' and '_' into '_': "Content_Length" would be taken for the real
    // one.
    if (!is_request_ || field.name.find('_') == std::string_view::npos) return true;
    char dashed[kNameBytesMax];
    for (size_t at = 0; at < field.name.size(); ++at) {
        dashed[at] = field.name[at] == '_' ? '-' : field.name[at];
    }
    if (field_id(std::string_view(dashed, field.name.size())) == FieldId::kOther) return true;
    return fail(400, "a field name with underscores that could be taken for another");
}

bool H1Parser::note_connection(std::string_view value) {
    bool ok = true;
    for_each_list_element(value, [&](std::string_view option) {
        if (ascii_iequals(option, "close")) {
            seen_.has_close = true;
        } else if (ascii_iequals(option, "keep-alive")) {
            seen_.has_keep_alive = true;
        } else if (ascii_iequals(option, "upgrade")) {
            seen_.has_upgrade_option = true;
        } else {
            // RFC 9110 §7.6.1: a proxy drops the fields named here. These are not to be dropped.
            switch (field_id(option)) {
                case FieldId::kContentLength:
                case FieldId::kTransferEncoding:
                case FieldId::kHost:
                case FieldId::kExpect: ok = false; break;
                default: break;
            }
        }
    });
    return ok || fail(400, "the Connection field names a field of the message itself");
}

bool H1Parser::note_transfer_encoding(std::string_view value) {
    if (++seen_.transfer_encodings > 1) return fail(400, "more than one Transfer-Encoding field");
    seen_.is_chunked = ascii_iequals(value, "chunked");
    for_each_list_element(value, [&](std::string_view coding) {
        seen_.has_other_coding |= !ascii_iequals(coding, "chunked");
    });
    return true;
}

int H1Parser::status_code() const {
    return reinterpret_cast<const llhttp_t*>(llhttp_)->status_code;
}

unsigned H1Parser::raw_flags() const { return reinterpret_cast<const llhttp_t*>(llhttp_)->flags; }

bool H1Parser::check_version() {
    const llhttp_t* const llhttp = raw(llhttp_);
    if (llhttp->http_major != 1 || llhttp->http_minor > 1) {
        return fail(505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    }
    version_ = llhttp->http_minor == 0 ? Version::kHttp10 : Version::kHttp11;
    framing_.keep_alive =
        !seen_.has_close && (version_ == Version::kHttp11 || seen_.has_keep_alive);
    return true;
}

bool H1Parser::check_transfer_encoding() {
    if (seen_.transfer_encodings == 0) return true;
    // RFC 9112 §6.1: any of these may be an attempt to smuggle a message past somebody.
    if (version_ == Version::kHttp10) return fail(400, "Transfer-Encoding in HTTP/1.0");
    if (seen_.has_length) return fail(400, "both Transfer-Encoding and Content-Length");
    // llhttp must see it as we do, since it is what takes the chunks apart.
    const bool same = (raw_flags() & F_CHUNKED) != 0;
    if (seen_.is_chunked && same) return true;
    if (seen_.has_other_coding) return fail(501, "a transfer coding other than chunked");
    return fail(400, "a malformed Transfer-Encoding");
}

}  // namespace detail

}  // namespace candela::http
