#include "http/content_coding.h"

#include <zlib.h>
#include <zstd.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "proxy_world.h"

using namespace candela;
using namespace candela::http;
using namespace candela::http::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

namespace {

ContentCoding chosen(std::string_view accepted) {
    return choose_coding(Headers{{"Accept-Encoding", accepted}});
}

std::string gunzip(std::string_view bytes) {
    z_stream stream{};
    REQUIRE(inflateInit2(&stream, 15 + 16) == Z_OK);
    std::string out(1 << 20, '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream.avail_in = static_cast<uInt>(bytes.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    inflate(&stream, Z_SYNC_FLUSH);
    out.resize(stream.total_out);
    inflateEnd(&stream);
    return out;
}

std::string pattern(size_t bytes) {
    std::string out;
    for (size_t i = 0; out.size() < bytes; ++i)
        out += fmt::format("line {} of many\n", i * 37 % 101);
    out.resize(bytes);
    return out;
}

// The body of a chunked message that has come whole or in part.
std::string unchunked(std::string_view message) {
    std::string_view rest = message.substr(message.find("\r\n\r\n") + 4);
    std::string out;
    while (!rest.empty()) {
        const size_t size = std::stoul(std::string(rest.substr(0, rest.find("\r\n"))), nullptr, 16);
        rest.remove_prefix(rest.find("\r\n") + 2);
        if (size == 0) break;
        out += rest.substr(0, size);
        rest.remove_prefix(size + 2);
    }
    return out;
}

struct Compressing : World {
    Compressing() {
        auto made = std::make_shared<RouteOptions>();
        made->compress = true;
        route_options = made;
        open_endpoint(1);
        route_to({1});
        client = connect();
    }
    // What the client gets of an answer with these fields and this body.
    std::string answer(std::string_view fields, std::string_view body,
                       std::string_view request_line = "GET / HTTP/1.1",
                       std::string_view accepted = "gzip") {
        client->send(
            fmt::format("{}\r\nHost: a\r\nAccept-Encoding: {}\r\n\r\n", request_line, accepted));
        settle();
        at[1].back()->send(fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{}\r\n{}",
                                       body.size(), fields, body));
        settle();
        return client->take();
    }
    std::unique_ptr<Peer> client;
};

}  // namespace

TEST_CASE("the coding is the one the client likes best") {
    CHECK(chosen("gzip") == ContentCoding::kGzip);
    CHECK(chosen("gzip, deflate, br, zstd") == ContentCoding::kZstd);
    CHECK(chosen("gzip, deflate, br") == ContentCoding::kBrotli);
    CHECK(chosen("zstd;q=0.5, gzip;q=0.8, br;q=0") == ContentCoding::kGzip);
    CHECK(chosen("*") == ContentCoding::kZstd);
    CHECK(chosen("*;q=0.5, zstd;q=0") == ContentCoding::kBrotli);
    CHECK(chosen("x-gzip") == ContentCoding::kGzip);
    CHECK(chosen("GZIP ; q=1.0") == ContentCoding::kGzip);
    CHECK(chosen("identity, gzip;q=0.5") == ContentCoding::kIdentity);
    CHECK(chosen("identity;q=0.5, gzip;q=0.5") == ContentCoding::kGzip);
    for (const std::string_view none : {"", "deflate", "gzip;q=0", "gzip;q=0.000", "gzip;q=x",
                                        "gzip;q=2", "gzip;q=0.0000", "gzip;level=9", "*;q=0"}) {
        INFO(none);
        CHECK(chosen(none) == ContentCoding::kIdentity);
    }
    CHECK(choose_coding(Headers()) == ContentCoding::kIdentity);
}

TEST_CASE("what is text gets smaller, what is packed already does not") {
    for (const std::string_view type :
         {"text/html; charset=utf-8", "TEXT/CSS", "application/json", "application/problem+json",
          "image/svg+xml", "application/rss+xml", "text/event-stream"}) {
        CHECK(is_compressible(type));
    }
    for (const std::string_view type : {"", "text/", "image/png", "video/mp4", "application/zip",
                                        "application/octet-stream", "application/grpc", "+json"}) {
        CHECK_FALSE(is_compressible(type));
    }
}

TEST_CASE("encoders give what was pushed, at each flush and at the end") {
    const std::string text = pattern(300'000);
    std::string coded;
    SECTION("gzip") {
        auto encoder = make_encoder(ContentCoding::kGzip);
        encoder->push(text.substr(0, 1000), coded);
        encoder->flush(coded);
        CHECK(gunzip(coded) == text.substr(0, 1000));
        encoder->push(text.substr(1000), coded);
        encoder->finish(coded);
        CHECK(gunzip(coded) == text);
    }
    SECTION("zstd") {
        auto encoder = make_encoder(ContentCoding::kZstd);
        encoder->push(text, coded);
        encoder->flush(coded);
        encoder->finish(coded);
        std::string plain(text.size(), '\0');
        ZSTD_DCtx* context = ZSTD_createDCtx();
        ZSTD_outBuffer out{plain.data(), plain.size(), 0};
        ZSTD_inBuffer in{coded.data(), coded.size(), 0};
        CHECK(ZSTD_decompressStream(context, &out, &in) == 0);
        ZSTD_freeDCtx(context);
        CHECK(plain == text);
    }
    CHECK(coded.size() < text.size() / 4);
    CHECK(make_encoder(ContentCoding::kIdentity) == nullptr);
}

TEST_CASE("text is sent compressed, and says so") {
    Compressing world;
    const std::string body = pattern(50'000);
    const std::string got = world.answer(
        "Content-Type: text/plain\r\nETag: \"a\"\r\n"
        "Accept-Ranges: bytes\r\n",
        body);
    CHECK_THAT(got, ContainsSubstring("Content-Encoding: gzip\r\n") &&
                        ContainsSubstring("Vary: Accept-Encoding\r\n") &&
                        ContainsSubstring("ETag: W/\"a\"\r\n") &&
                        ContainsSubstring("Transfer-Encoding: chunked\r\n"));
    CHECK_THAT(got, !ContainsSubstring("Content-Length") && !ContainsSubstring("Accept-Ranges"));
    CHECK(count_of(got, "ETag") == 1);
    CHECK(gunzip(unchunked(got)) == body);
    CHECK(got.size() < body.size() / 4);
    // The connection serves another.
    CHECK_THAT(world.answer("Content-Type: text/plain\r\n", body),
               ContainsSubstring("Content-Encoding: gzip\r\n"));
}

TEST_CASE("what must stay as it is stays so") {
    Compressing world;
    const std::string body = pattern(1000);
    const auto is_plain = [&](const std::string& got) {
        return got.find("Content-Encoding: gzip") == std::string::npos &&
               got.find("Content-Length: ") != std::string::npos;
    };
    CHECK(is_plain(world.answer("Content-Type: image/png\r\n", body)));
    CHECK(is_plain(world.answer("Content-Type: text/plain\r\nContent-Encoding: br\r\n", body)));
    CHECK(is_plain(
        world.answer("Content-Type: text/plain\r\nCache-Control: a, No-Transform\r\n", body)));
    CHECK(is_plain(world.answer("Content-Type: text/plain\r\n", "small")));
    const std::string unwanted =
        world.answer("Content-Type: text/plain\r\n", body, "GET / HTTP/1.1", "deflate");
    CHECK(is_plain(unwanted));
    CHECK_THAT(unwanted, ContainsSubstring("Vary: Accept-Encoding"));
    const std::string head = world.answer("Content-Type: text/plain\r\n", "", "HEAD / HTTP/1.1");
    CHECK_THAT(head, !ContainsSubstring("Content-Encoding"));
}

TEST_CASE("an event stream does not wait for more") {
    Compressing world;
    world.client->send("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    world.settle();
    world.at[1][0]->send(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    world.settle();
    std::string got;
    std::string expected;
    for (int i = 0; i < 20; ++i) {
        const std::string event = fmt::format("data: event {}\n\n", i);
        world.at[1][0]->send(fmt::format("{:x}\r\n{}\r\n", event.size(), event));
        world.settle();
        got += world.client->take();
        expected += event;
        CHECK(gunzip(unchunked(got + "0\r\n\r\n")) == expected);
    }
}

TEST_CASE("an answer that breaks off is cut, not ended") {
    Compressing world;
    world.client->send("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    world.settle();
    world.at[1][0]->send(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9000\r\n\r\n" +
        pattern(500));
    world.settle();
    world.at[1][0]->close();
    world.settle();
    CHECK(world.client->is_over());
    CHECK_FALSE(world.client->received.ends_with("0\r\n\r\n"));
}
