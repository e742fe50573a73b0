#pragma once

// The heads of HTTP/1.1 messages as values, and how they are written. A message that came in is
// always written anew from these, never forwarded byte by byte (RFC 9112 §11.2).

#include <cstdint>
#include <string>
#include <string_view>

#include "base/append.h"
#include "base/result.h"
#include "http/headers.h"

namespace candela::http {

enum class Version : uint8_t { kHttp10, kHttp11 };

struct RequestHead {
    std::string method = "GET";
    std::string target =
        "/";  // origin-form, or "*" for OPTIONS; parsers reduce absolute-form to it
    Version version = Version::kHttp11;
    Headers headers;

    void clear();    // keeps the memory
    void release();  // gives it back
};

struct ResponseHead {
    int status = 200;    // 100 to 999
    std::string reason;  // empty: the standard phrase
    Version version = Version::kHttp11;
    Headers headers;

    void clear();
    void release();
};

// "Not Found"; empty for a status without a registered phrase.
std::string_view reason_phrase(int status);

// RFC 9110 §9.2: may the request be sent twice with the effect of once?
bool is_idempotent(std::string_view method);
// Responses to these never have a body: 1xx, 204, 304 (RFC 9112 §6.3).
inline bool status_has_no_body(int status) {
    return status < 200 || status == 204 || status == 304;
}

// Appends the whole head with its empty line. What can't be sent safely (a field that Headers left
// out, a target with blanks or control bytes) is Code::kInvalid, and nothing is appended.
Result<> serialize(const RequestHead& head, std::string& out);
Result<> serialize(const ResponseHead& head, std::string& out);

// The pieces of it, for hot paths that write fields of their own in between. They trust their
// input, which must not be within `out`.
void append_request_line(std::string_view method, std::string_view target, std::string& out);
void append_status_line(int status, std::string_view reason, std::string& out);
inline void append_field(std::string_view name, std::string_view value, std::string& out) {
    append_all(out, name, ": ", value, "\r\n");
}

// The line before a chunk of that size ("1a\r\n"), written into `space`; after the chunk comes
// "\r\n", and the last chunk is kLastChunk.
struct ChunkLine {
    char space[20];
};
std::string_view chunk_line(size_t size_bytes, ChunkLine& line);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";
// The last chunk with trailers.
void append_last_chunk(const Headers& trailers, std::string& out);

// RFC 9110 §5.6.7: "Sun, 06 Nov 1994 08:49:37 GMT", for the Date field.
std::string format_http_date(int64_t unix_seconds);

}  // namespace candela::http
