#include "http/message.h"

#include <algorithm>
#include <charconv>
#include <ctime>

#include "base/text.h"

namespace candela::http {

namespace {

bool is_sendable_target(std::string_view target) {
    return !target.empty() && std::all_of(target.begin(), target.end(), [](char c) {
        return static_cast<uint8_t>(c) > 0x20 && static_cast<uint8_t>(c) < 0x7f;
    });
}

Result<> check_fields(const Headers& headers) {
    if (headers.first_invalid().empty()) return {};
    return fail(Code::kInvalid,
                "header field \"{}\" can't be sent: its name is not a token, or its "
                "value has control bytes",
                headers.first_invalid());
}

void append_fields(const Headers& headers, std::string& out) {
    for (const Headers::Field field : headers) append_field(field.name, field.value, out);
    out.append("\r\n", 2);
}

}  // namespace

void RequestHead::clear() {
    method.clear();
    target.clear();
    version = Version::kHttp11;
    headers.clear();
}

void RequestHead::release() { *this = RequestHead(); }

void ResponseHead::clear() {
    status = 200;
    reason.clear();
    version = Version::kHttp11;
    headers.clear();
}

void ResponseHead::release() { *this = ResponseHead(); }

std::string_view reason_phrase(int status) {
    switch (status) {  // The IANA registry of HTTP status codes.
        case 100: return "Continue";
        case 101: return "Switching Protocols";
        case 102: return "Processing";
        case 103: return "Early Hints";
        case 200: return "OK";
        case 201: return "Created";
        case 202: return "Accepted";
        case 203: return "Non-Authoritative Information";
        case 204: return "No Content";
        case 205: return "Reset Content";
        case 206: return "Partial Content";
        case 207: return "Multi-Status";
        case 208: return "Already Reported";
        case 226: return "IM Used";
        case 300: return "Multiple Choices";
        case 301: return "Moved Permanently";
        case 302: return "Found";
        case 303: return "See Other";
        case 304: return "Not Modified";
        case 305: return "Use Proxy";
        case 307: return "Temporary Redirect";
        case 308: return "Permanent Redirect";
        case 400: return "Bad Request";
        case 401: return "Unauthorized";
        case 402: return "Payment Required";
        case 403: return "Forbidden";
        case 404: return "Not Found";
        case 405: return "Method Not Allowed";
        case 406: return "Not Acceptable";
        case 407: return "Proxy Authentication Required";
        case 408: return "Request Timeout";
        case 409: return "Conflict";
        case 410: return "Gone";
        case 411: return "Length Required";
        case 412: return "Precondition Failed";
        case 413: return "Content Too Large";
        case 414: return "URI Too Long";
        case 415: return "Unsupported Media Type";
        case 416: return "Range Not Satisfiable";
        case 417: return "Expectation Failed";
        case 421: return "Misdirected Request";
        case 422: return "Unprocessable Content";
        case 423: return "Locked";
        case 424: return "Failed Dependency";
        case 425: return "Too Early";
        case 426: return "Upgrade Required";
        case 428: return "Precondition Required";
        case 429: return "Too Many Requests";
        case 431: return "Request Header Fields Too Large";
        case 451: return "Unavailable For Legal Reasons";
        case 500: return "Internal Server Error";
        case 501: return "Not Implemented";
        case 502: return "Bad Gateway";
        case 503: return "Service Unavailable";
        case 504: return "Gateway Timeout";
        case 505: return "HTTP Version Not Supported";
        case 506: return "Variant Also Negotiates";
        case 507: return "Insufficient Storage";
        case 508: return "Loop Detected";
        case 511: return "Network Authentication Required";
        default: return {};
    }
}

bool is_idempotent(std::string_view method) {
    return method == "GET" || method == "HEAD" || method == "PUT" || method == "DELETE" ||
           method == "OPTIONS" || method == "TRACE";
}

Result<> serialize(const RequestHead& head, std::string& out) {
    if (!is_token(head.method)) {
        return fail(Code::kInvalid, "\"{}\" is not an HTTP method", printable(head.method));
    }
    if (!is_sendable_target(head.target)) {
        return fail(Code::kInvalid, "\"{}\" is not a request target: encode it with percent signs",
                    printable(head.target));
    }
    CANDELA_TRY(check_fields(head.headers));
    append_request_line(head.method, head.target, out);
    append_fields(head.headers, out);
    return {};
}

Result<> serialize(const ResponseHead& head, std::string& out) {
    if (head.status < 100 || head.status > 999) {
        return fail(Code::kInvalid, "{} is not an HTTP status", head.status);
    }
    if (!is_field_value(head.reason)) {
        return fail(Code::kInvalid, "\"{}\" is not a reason phrase", printable(head.reason));
    }
    CANDELA_TRY(check_fields(head.headers));
    append_status_line(head.status, head.reason, out);
    append_fields(head.headers, out);
    return {};
}

void append_request_line(std::string_view method, std::string_view target, std::string& out) {
    append_all(out, method, " ", target, " HTTP/1.1\r\n");
}

void append_status_line(int status, std::string_view reason, std::string& out) {
    if (reason.empty()) reason = reason_phrase(status);
    const char digits[] = {static_cast<char>('0' + status / 100 % 10),
                           static_cast<char>('0' + status / 10 % 10),
                           static_cast<char>('0' + status % 10), ' '};
    append_all(out, "HTTP/1.1 ", std::string_view(digits, 4), reason, "\r\n");
}

std::string_view chunk_line(size_t size_bytes, ChunkLine& line) {
    char* end = std::to_chars(line.space, line.space + 16, size_bytes, 16).ptr;
    *end++ = '\r';
    *end++ = '\n';
    return {line.space, static_cast<size_t>(end - line.space)};
}

void append_last_chunk(const Headers& trailers, std::string& out) {
    out += "0\r\n";
    for (const Headers::Field field : trailers) append_field(field.name, field.value, out);
    out += "\r\n";
}

std::string format_http_date(int64_t unix_seconds) {
    static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                              "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const time_t time = unix_seconds;
    tm utc{};
    gmtime_r(&time, &utc);
    return fmt::format("{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT", kDays[utc.tm_wday], utc.tm_mday,
                       kMonths[utc.tm_mon], utc.tm_year + 1900, utc.tm_hour, utc.tm_min,
                       utc.tm_sec);
}

}  // namespace candela::http
