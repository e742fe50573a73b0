// Requests that two parsers could understand differently, or that would exhaust one: each with the
// status that it must be answered with. 0: it is fine, and must stay so.

#include <catch2/catch_test_macros.hpp>

#include "transcript.h"

using namespace candela::http;
using namespace candela::http::test;

namespace {

struct Case {
    const char* name;
    std::string bytes;
    int status;
};

std::string get(std::string_view fields, std::string_view start = "GET / HTTP/1.1") {
    return std::string(start) + "\r\nHost: a\r\n" + std::string(fields) + "\r\n";
}
std::string post(std::string_view fields, std::string_view body) {
    return "POST / HTTP/1.1\r\nHost: a\r\n" + std::string(fields) + "\r\n" + std::string(body);
}
std::string start_line(std::string_view line) { return std::string(line) + "\r\nHost: a\r\n\r\n"; }
std::string with_host(std::string_view host) {
    return "GET / HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n";
}
std::string chunked(std::string_view body) { return post("Transfer-Encoding: chunked\r\n", body); }
std::string nul(std::string text) {
    for (char& c : text) {
        if (c == '@') c = '\0';
    }
    return text;
}
std::string many_fields(size_t count) {
    std::string out;
    for (size_t index = 0; index < count; ++index) out += "a: b\r\n";
    return out;
}

const std::vector<Case>& cases() {
    static const std::vector<Case> list = {
        // Framing: Content-Length and Transfer-Encoding (RFC 9112 §6).
        {"length and chunked",
         post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400},
        {"chunked and length",
         post("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "0\r\n\r\n"), 400},
        {"two lengths, different", post("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"), 400},
        {"two lengths, same", post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"), 400},
        {"length list", post("Content-Length: 3, 3\r\n", "abc"), 400},
        {"length with plus", post("Content-Length: +3\r\n", "abc"), 400},
        {"length with minus", post("Content-Length: -3\r\n", "abc"), 400},
        {"length in hex", post("Content-Length: 0x3\r\n", "abc"), 400},
        {"length with underscore", post("Content-Length: 1_0\r\n", "abcdefghij"), 400},
        {"length empty", post("Content-Length:\r\n", ""), 400},
        {"length not a number", post("Content-Length: three\r\n", "abc"), 400},
        {"length with inner blank", post("Content-Length: 1 0\r\n", "abcdefghij"), 400},
        {"length with a fraction", post("Content-Length: 3.0\r\n", "abc"), 400},
        {"length that overflows", post("Content-Length: 18446744073709551616\r\n", ""), 400},
        {"length beyond everything", post("Content-Length: 99999999999999999999999999\r\n", ""),
         400},
        {"length with leading zeros", post("Content-Length: 003\r\n", "abc"), 0},
        {"length followed by a tab", post("Content-Length: 3\t\r\n", "abc"), 400},
        {"Content_Length", get("Content_Length: 3\r\n"), 400},
        {"Transfer_Encoding", get("Transfer_Encoding: chunked\r\n"), 400},
        {"X_Forwarded_For", get("X_Forwarded_For: 10.0.0.1\r\n"), 400},
        {"X-Forwarded_Proto", get("X-Forwarded_Proto: https\r\n"), 400},
        {"some other underscore", get("user_id: 7\r\n"), 0},
        {"blank before the colon", post("Content-Length : 3\r\n", "abc"), 400},
        {"tab before the colon", post("Content-Length\t: 3\r\n", "abc"), 400},
        {"xchunked", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), 501},
        {"gzip, chunked", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 501},
        {"identity, chunked", post("Transfer-Encoding: identity, chunked\r\n", "0\r\n\r\n"), 501},
        {"chunked, identity", post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"), 400},
        {"identity", post("Transfer-Encoding: identity\r\n", ""), 501},
        {"chunked, chunked", post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"), 400},
        {"chunked twice",
         post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400},
        {"chunked then identity",
         post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"), 400},
        {"quoted chunked", post("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"), 501},
        {"chunked with a comma", post("Transfer-Encoding: ,chunked\r\n", "0\r\n\r\n"), 400},
        {"chunked with a parameter", post("Transfer-Encoding: chunked;a=b\r\n", "0\r\n\r\n"), 501},
        {"vertical tab chunked", post("Transfer-Encoding: \vchunked\r\n", "0\r\n\r\n"), 400},
        {"empty Transfer-Encoding", post("Transfer-Encoding:\r\n", ""), 400},
        {"CHUNKED", post("Transfer-Encoding: CHUNKED\r\n", "0\r\n\r\n"), 0},
        {"chunked in HTTP/1.0",
         "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
        {"folded Transfer-Encoding", post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"), 400},
        // Chunks (RFC 9112 §7.1).
        {"chunk size not hex", chunked("g\r\nabc\r\n0\r\n\r\n"), 400},
        {"chunk size negative", chunked("-3\r\nabc\r\n0\r\n\r\n"), 400},
        {"chunk size with 0x", chunked("0x3\r\nabc\r\n0\r\n\r\n"), 400},
        {"chunk size empty", chunked("\r\nabc\r\n0\r\n\r\n"), 400},
        {"chunk size overflows", chunked("10000000000000003\r\nabc\r\n0\r\n\r\n"), 400},
        {"chunk size with a blank", chunked("3 \r\nabc\r\n0\r\n\r\n"), 400},
        {"chunk size after a blank", chunked(" 3\r\nabc\r\n0\r\n\r\n"), 400},
        {"chunk without its end", chunked("3\r\nabc0\r\n\r\n"), 400},
        {"chunk longer than its size", chunked("3\r\nabcd\r\n0\r\n\r\n"), 400},
        {"chunk line ended by LF", chunked("3\nabc\r\n0\r\n\r\n"), 400},
        {"chunk ended by LF", chunked("3\r\nabc\n0\r\n\r\n"), 400},
        {"chunk line ended by CR", chunked("3\rabc\r\n0\r\n\r\n"), 400},
        {"chunk extension ended by LF", chunked("3;a\nabc\r\n0\r\n\r\n"), 400},
        {"chunk extension with NUL", chunked(nul("3;a@\r\nabc\r\n0\r\n\r\n")), 400},
        {"chunk extension", chunked("3;a=b;c=\"d\"\r\nabc\r\n0\r\n\r\n"), 0},
        {"chunk extension too long",
         chunked("3;" + std::string(2000, 'a') + "\r\nabc\r\n0\r\n\r\n"), 400},
        {"chunk size with endless zeros",
         chunked(std::string(20000, '0') + "3\r\nabc\r\n0\r\n\r\n"), 400},
        {"chunk size in both cases", chunked("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n"), 0},
        {"trailer", chunked("0\r\nX-Sum: 1\r\n\r\n"), 0},
        {"Content-Length in a trailer", chunked("0\r\nContent-Length: 3\r\n\r\n"), 400},
        {"Transfer-Encoding in a trailer", chunked("0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400},
        {"trailer with a bare LF", chunked("0\r\nX: 1\n\r\n"), 400},
        {"too many trailers", chunked("0\r\n" + many_fields(101) + "\r\n"), 431},
        {"trailers too long", chunked("0\r\nX: " + std::string(20000, 'a') + "\r\n\r\n"), 400},
        // Host (RFC 9112 §3.2).
        {"no Host", "GET / HTTP/1.1\r\n\r\n", 400},
        {"no Host in HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", 0},
        {"two Hosts", get("Host: b\r\n"), 400},
        {"two same Hosts", get("Host: a\r\n"), 400},
        {"two Hosts in HTTP/1.0", get("Host: b\r\n", "GET / HTTP/1.0"), 400},
        {"empty Host", with_host(""), 400},
        {"Host list", with_host("a, b"), 400},
        {"Host with a path", with_host("a/b"), 400},
        {"Host with a blank", with_host("a b"), 400},
        {"Host with a user", with_host("user@a"), 400},
        {"Host with a query", with_host("a?b"), 400},
        {"Host with an encoding", with_host("a%2eb"), 400},
        {"Host with quotes", with_host("\"a\""), 400},
        {"Host with angle brackets", with_host("<a>"), 400},
        {"Host beyond ASCII", with_host("\xc3\xa4"), 400},
        {"Host with a bad port", with_host("a:b"), 400},
        {"Host with a port too high", with_host("a:65536"), 400},
        {"Host with two ports", with_host("a:1:2"), 400},
        {"Host with only a port", with_host(":80"), 400},
        {"Host with an open bracket", with_host("[::1"), 400},
        {"Host with no address in brackets", with_host("[]"), 400},
        {"Host with a name in brackets", with_host("[name]"), 400},
        {"Host with text after brackets", with_host("[::1]x"), 400},
        {"Host with 300 bytes", with_host(std::string(300, 'a')), 400},
        {"Host IPv6 with port", with_host("[::1]:8080"), 0},
        {"Host with a port", with_host("example.test:8080"), 0},
        {"Host with an empty port", with_host("a:"), 0},
        // The start line (RFC 9112 §3).
        {"absolute form", start_line("GET http://a/x HTTP/1.1"), 0},
        {"absolute form, other host", start_line("GET http://b/x HTTP/1.1"), 400},
        {"absolute form, other port", start_line("GET http://a:81/x HTTP/1.1"), 400},
        {"absolute form, default port", start_line("GET http://a:80/x HTTP/1.1"), 0},
        {"absolute form with a user", start_line("GET http://u:p@a/x HTTP/1.1"), 400},
        {"absolute form, backslash host", start_line("GET http://a\\b/x HTTP/1.1"), 400},
        {"absolute form without a host", start_line("GET http:///x HTTP/1.1"), 400},
        {"absolute form, other scheme", start_line("GET ftp://a/x HTTP/1.1"), 400},
        {"absolute form, file", start_line("GET file:///etc/passwd HTTP/1.1"), 400},
        {"target without a slash", start_line("GET x HTTP/1.1"), 400},
        {"target is a query", start_line("GET ?x HTTP/1.1"), 400},
        {"authority form without CONNECT", start_line("GET a:80 HTTP/1.1"), 400},
        {"target with a fragment", start_line("GET /x#y HTTP/1.1"), 400},
        {"target *", start_line("GET * HTTP/1.1"), 400},
        {"OPTIONS *", start_line("OPTIONS * HTTP/1.1"), 0},
        {"target with a tab", start_line("GET /a\tb HTTP/1.1"), 400},
        {"target with a blank", start_line("GET /a b HTTP/1.1"), 400},
        {"target with NUL", nul(start_line("GET /a@b HTTP/1.1")), 400},
        {"target with DEL", start_line("GET /a\x7f HTTP/1.1"), 400},
        {"target beyond ASCII", start_line("GET /\xc3\xa4 HTTP/1.1"), 400},
        {"target with CR", start_line("GET /a\rb HTTP/1.1"), 400},
        {"target too long", start_line("GET /" + std::string(9000, 'a') + " HTTP/1.1"), 414},
        {"target of the greatest length",
         start_line("GET /" + std::string(8191, 'a') + " HTTP/1.1"), 0},
        {"two blanks after the method", start_line("GET  / HTTP/1.1"), 400},
        {"two blanks before the version", start_line("GET /  HTTP/1.1"), 400},
        {"tab after the method", start_line("GET\t/ HTTP/1.1"), 400},
        {"blank after the version", start_line("GET / HTTP/1.1 "), 400},
        {"blank before the method", start_line(" GET / HTTP/1.1"), 400},
        {"HTTP/0.9", "GET /\r\n\r\n", 505},
        {"HTTP/0.9 in words", start_line("GET / HTTP/0.9"), 505},
        {"HTTP/1.2", start_line("GET / HTTP/1.2"), 505},
        {"HTTP/2.0", start_line("GET / HTTP/2.0"), 505},
        {"HTTP/3.0", start_line("GET / HTTP/3.0"), 505},
        {"HTTP/1.10", start_line("GET / HTTP/1.10"), 400},
        {"HTTP/11", start_line("GET / HTTP/11"), 400},
        {"HTTP/1", start_line("GET / HTTP/1"), 400},
        {"http/1.1", start_line("GET / http/1.1"), 400},
        {"RTSP/1.0", start_line("GET / RTSP/1.0"), 400},
        {"ICE/1.0", start_line("SOURCE / ICE/1.0"), 400},
        {"the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
        {"no version", "GET / \r\nHost: a\r\n\r\n", 400},
        {"method in lower case", start_line("get / HTTP/1.1"), 400},
        {"method unknown", start_line("BREW / HTTP/1.1"), 400},
        {"method of RTSP", start_line("DESCRIBE / HTTP/1.1"), 400},
        {"CONNECT", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 501},
        {"no method", start_line("/ HTTP/1.1"), 400},
        {"TLS hello", std::string("\x16\x03\x01\x02\x00\x01", 6), 400},
        {"one empty line before", "\r\n" + get(""), 0},
        {"three empty lines before", "\r\n\r\n\r\n" + get(""), 400},
        {"bare LF before", "\n" + get(""), 400},
        {"bare CR before", "\r" + get(""), 400},
        // Fields (RFC 9112 §5).
        {"line ended by LF", "GET / HTTP/1.1\nHost: a\n\n", 400},
        {"field ended by LF", "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400},
        {"field ended by CR", "GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", 400},
        {"head ended by LF", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400},
        {"CR in a value", get("X: a\rb\r\n"), 400},
        {"NUL in a value", nul(get("X: a@b\r\n")), 400},
        {"control byte in a value",
         get("X: a\x01"
             "b\r\n"),
         400},
        {"DEL in a value", get("X: a\x7f\r\n"), 400},
        {"beyond ASCII in a value", get("X: \xc3\xa4\r\n"), 0},
        {"tab in a value", get("X: a\tb\r\n"), 0},
        {"folded value", get("X: a\r\n b\r\n"), 400},
        {"folded first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
        {"no name", get(": a\r\n"), 400},
        {"no colon", get("X\r\n"), 400},
        {"blank in a name", get("X Y: a\r\n"), 400},
        {"NUL in a name", nul(get("X@: a\r\n")), 400},
        {"bracket in a name", get("X[]: a\r\n"), 400},
        {"beyond ASCII in a name", get("X\xc3\xa4: a\r\n"), 400},
        {"name too long", get(std::string(300, 'x') + ": a\r\n"), 431},
        {"head too long", get("X: " + std::string(40000, 'x') + "\r\n"), 431},
        {"head too long with blanks", get("X:" + std::string(40000, ' ') + "a\r\n"), 431},
        {"too many fields", get(many_fields(100)), 431},
        {"many fields", get(many_fields(99)), 0},
        // What Connection may say (RFC 9110 §7.6.1).
        {"Connection: content-length",
         post("Content-Length: 3\r\nConnection: content-length\r\n", "abc"), 400},
        {"Connection: transfer-encoding",
         post("Connection: close, Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n",
              "0\r\n\r\n"),
         400},
        {"Connection: host", get("Connection: Host\r\n"), 400},
        {"Connection: something", get("Connection: X-Mine\r\nX-Mine: 1\r\n"), 0},
        {"data after close", get("Connection: close\r\n") + get(""), 400},
        {"data after HTTP/1.0", get("", "GET / HTTP/1.0") + get(""), 400},
        {"pipelined smuggling", post("Content-Length: 4\r\n", "abcdX") + get(""), 400},
        // Expectations (RFC 9110 §10.1.1).
        {"Expect: 100-continue", post("Expect: 100-Continue\r\nContent-Length: 3\r\n", "abc"), 0},
        {"Expect: something", post("Expect: miracle\r\nContent-Length: 3\r\n", "abc"), 417},
    };
    return list;
}

int verdict(const std::string& transcript) {
    const size_t at = transcript.find("ERROR ");
    return at == std::string::npos ? 0 : std::stoi(transcript.substr(at + 6));
}

}  // namespace

TEST_CASE("hostile_requests_get_the_status_they_deserve") {
    REQUIRE(cases().size() >= 150);
    for (const Case& hostile : cases()) {
        INFO(hostile.name);
        const std::string whole = request_transcript(hostile.bytes);
        INFO(whole.substr(0, 300));
        CHECK(verdict(whole) == hostile.status);
        if (hostile.status == 0) CHECK(whole.ends_with("END "));
    }
}

TEST_CASE("hostile_requests_get_the_same_verdict_byte_by_byte") {
    for (const Case& hostile : cases()) {
        INFO(hostile.name);
        CHECK(request_transcript(hostile.bytes, 1) == request_transcript(hostile.bytes));
    }
}

TEST_CASE("hostile_requests_get_the_same_verdict_at_every_split") {
    for (const Case& hostile : cases()) {
        if (hostile.bytes.size() > 400) continue;
        INFO(hostile.name);
        const std::string whole = request_transcript(hostile.bytes);
        for (size_t step = 2; step < hostile.bytes.size(); ++step) {
            REQUIRE(request_transcript(hostile.bytes, step) == whole);
        }
    }
}
