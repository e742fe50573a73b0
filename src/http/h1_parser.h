#pragma once

// HTTP/1.1 parsers for one connection, request and response side: llhttp, and every check of RFC
// 9112 and 9110 that llhttp leaves out. They are pulled, so there are no callbacks to re-enter:
//
//     while (true) switch (parser.parse(bytes)) {     // `bytes` loses what was used
//         case ParseEvent::kNeedMore: return;         // all used; come back with more
//         case ParseEvent::kHead:     ...             // parser.head(), parser.framing()
//         case ParseEvent::kBody:     ...             // parser.body(): a view into `bytes`
//         case ParseEvent::kComplete: ...             // what is left in `bytes` is the next
//         message case ParseEvent::kError:    ...             // parser.error(): answer it, then
//         close
//     }
//
// The caller may stop after any event and go on later with the rest. The head is good until parse()
// is called after kComplete; so are the trailers, of which only those are kept that may be
// (trailers.h). After warm-up a message without trailers costs no allocation. Bodies are not copied
// and not limited here.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "http/message.h"

namespace candela::http {

struct ParserLimits {
    size_t target_bytes_max = 8 * 1024;           // 414
    size_t head_bytes_max = 32 * 1024;            // request line and fields, as received; 431
    size_t field_count_max = 100;                 // 431
    size_t chunk_extension_bytes_max = 1024;      // per message; 400
    size_t chunk_overhead_bytes_max = 16 * 1024;  // between two pieces of body, and trailers; 400
};

enum class ParseEvent : uint8_t { kNeedMore, kHead, kBody, kComplete, kError };

struct ParseError {
    int status = 0;           // what a server answers; a response parser always says 502
    std::string_view reason;  // a static text for the answer and the log
};

enum class BodyKind : uint8_t { kNone, kLength, kChunked, kUntilClose };

// What the head means for the connection.
struct Framing {
    BodyKind body = BodyKind::kNone;
    uint64_t content_length = 0;    // with kLength
    bool keep_alive = true;         // another message may follow
    bool expects_continue = false;  // requests: Expect: 100-continue on HTTP/1.1
    // Requests: Connection: upgrade, an Upgrade field and no body, HTTP/1.1, and not h2c. After
    // kComplete the caller either forwards the rest of the bytes as another protocol or goes on
    // parsing. Upgrade on any other request is to be ignored: do not forward it (RFC 9110 §7.8).
    // Responses: the 101 that was allowed by expect(); after kComplete the rest is another
    // protocol.
    bool upgrade = false;
    // Requests: the Host field's host without its port, as sent; empty only in HTTP/1.0 without
    // one. A view into the head's fields, good until they are changed.
    std::string_view host;
};

namespace detail {

struct H1Callbacks;

// What both parsers share. llhttp parses heads and chunked bodies; the other bodies are only
// counted.
class H1Parser {
public:
    H1Parser(const H1Parser&) = delete;
    H1Parser& operator=(const H1Parser&) = delete;
    virtual ~H1Parser() = default;

    // Uses the front of `bytes`, up to and with the next event, and cuts it off. Call it again
    // after every event but kNeedMore and kError, even where no bytes are left: kComplete needs
    // none.
    ParseEvent parse(std::string_view& bytes);
    // The peer ended its direction. kNeedMore: between messages, all is well. kComplete: a body
    // that ends with the connection has ended. kError: the message is cut off.
    ParseEvent finish();

    const Framing& framing() const { return framing_; }
    std::string_view body() const { return body_; }
    // After kComplete.
    const Headers& trailers() const { return trailers_ != nullptr ? *trailers_ : kNoHeaders; }
    const ParseError& error() const { return error_; }
    // True before the first byte of a message and after kComplete.
    bool is_between_messages() const { return phase_ == Phase::kStart; }
    // True while the head has begun but is not complete (for the head timeout).
    bool is_in_head() const { return phase_ == Phase::kHead; }

protected:
    friend struct H1Callbacks;
    enum class Phase : uint8_t { kStart, kHead, kBody, kFailed };

    // What the fields of the current head said, noted as each was complete.
    struct Seen {
        uint8_t hosts = 0;
        uint8_t transfer_encodings = 0;
        bool is_chunked = false;  // the only coding is exactly "chunked"
        bool has_other_coding = false;
        bool has_length = false;
        bool has_close = false;
        bool has_keep_alive = false;
        bool has_upgrade_option = false;
        bool has_upgrade = false;
        bool has_h2c = false;
        bool has_continue = false;
    };

    H1Parser(const ParserLimits& limits, bool is_request, Headers& headers);

    // Called when the empty line was seen; sets framing_. False after fail().
    virtual bool check_head() = 0;
    virtual void clear_head() = 0;
    int status_code() const;
    unsigned raw_flags() const;  // llhttp's
    bool check_version();
    bool check_transfer_encoding();
    bool fail(int status, std::string_view reason);
    void release_trailers() { trailers_.reset(); }
    // kLength, or kNone for an empty body.
    BodyKind length_body() const {
        return framing_.content_length > 0 ? BodyKind::kLength : BodyKind::kNone;
    }

    const ParserLimits limits_;
    Headers& headers_;
    const bool is_request_;
    Version version_ = Version::kHttp11;
    Seen seen_;
    Framing framing_;

private:
    ParseEvent parse_head(std::string_view& bytes);
    ParseEvent parse_body(std::string_view& bytes);
    ParseEvent parse_chunked(std::string_view& bytes);
    ParseEvent complete();
    ParseEvent fail_from_llhttp(int code);
    bool skip_blank_lines(std::string_view& bytes);
    void begin_message();
    // Where a field goes that is being read: the head, or the trailers.
    Headers& fields() { return phase_ == Phase::kHead ? headers_ : *trailers_; }
    bool note_field(const Headers::Field& field);
    bool note_connection(std::string_view value);
    bool note_transfer_encoding(std::string_view value);
    char byte_before(const char* at, size_t distance) const;
    void keep_tail(std::string_view used);

    Phase phase_ = Phase::kStart;
    ParseEvent pending_ = ParseEvent::kNeedMore;  // what a callback has just seen
    bool closed_ = false;                         // no message may follow
    bool field_open_ = false;                     // a field's name has begun
    bool target_begun_ = false;
    bool version_begun_ = false;
    uint8_t blank_bytes_ = 0;  // CR and LF before the request line
    // llhttp_t; its header stays in the .cc file.
    alignas(8) unsigned char llhttp_[96];
    std::string_view body_;
    ParseError error_;
    uint64_t body_left_ = 0;  // kLength
    size_t head_bytes_ = 0;   // of this message, as received
    size_t name_bytes_ = 0;   // of the field that is open
    size_t trailer_count_ = 0;
    std::unique_ptr<Headers> trailers_;  // made when the first one comes
    size_t overhead_bytes_ = 0;          // of a chunked body, since the last piece of body
    size_t extension_bytes_ = 0;         // chunk extensions of this message
    // The bytes before the piece being parsed, for checks that look back over a split.
    char tail_[8] = {};
    const char* piece_ = nullptr;
};

}  // namespace detail

// Requests. Refuses what could mean two things to two parsers: see
// tests/unit/http/hostile_requests.cc.
class RequestParser final : public detail::H1Parser {
public:
    explicit RequestParser(const ParserLimits& limits = ParserLimits());

    RequestHead& head() { return head_; }
    const RequestHead& head() const { return head_; }
    // Gives memory back while a connection is idle; only between messages.
    void release() {
        head_.release();
        release_trailers();
    }

private:
    friend struct detail::H1Callbacks;
    bool check_head() override;
    bool check_target();
    bool check_host();
    bool check_absolute_target();
    void clear_head() override { head_.clear(); }

    RequestHead head_;
};

// Responses. Interim ones (1xx but 101) come as kHead and kComplete too; is_interim() tells them
// from the answer, and the parser goes on with the same request.
class ResponseParser final : public detail::H1Parser {
public:
    explicit ResponseParser(const ParserLimits& limits = ParserLimits());

    // Before each response: what was asked, since a response's framing depends on it.
    void expect(bool head_request, bool upgrade_offered);
    bool is_interim() const { return head_.status < 200 && !framing_.upgrade; }

    ResponseHead& head() { return head_; }
    const ResponseHead& head() const { return head_; }
    void release() {
        head_.release();
        release_trailers();
    }

private:
    friend struct detail::H1Callbacks;
    bool check_head() override;
    void clear_head() override { head_.clear(); }

    ResponseHead head_;
    bool head_request_ = false;
    bool upgrade_offered_ = false;
};

}  // namespace candela::http
