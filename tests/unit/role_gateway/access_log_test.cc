#include "access_log.h"

#include <filesystem>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <nlohmann/json.hpp>

#include "base/json.h"
#include "loop/file.h"
#include "temp_folder.h"

using namespace candela;
using namespace candela::gateway;
using Catch::Matchers::ContainsSubstring;

namespace {

using Format = AccessLogSettings::Format;

http::RequestHead a_head() {
    http::RequestHead head;
    head.method = "POST";
    head.target = "/pay?card=4111111111111111&access_token=s3cret";
    head.headers.add("Host", "shop.example");
    head.headers.add("Authorization", "Bearer s3cret");
    head.headers.add("Cookie", "session=s3cret");
    head.headers.add("User-Agent", "say \"hi\"\\ \xff");
    head.headers.add("Referer", "https://shop.example/cart?token=s3cret");
    return head;
}

std::string line_of(const http::RequestHead& head, Format format) {
    const http::ProxyRecord record{
        head,
        nullptr,
        "shop-1",
        201,
        1500us,
        7,
        1234,
        http::ClientInfo{.ip = "10.0.0.1", .is_encrypted = true, .is_http2 = true},
        "4bf92f3577b34da6a3ce929d0e0e4736"};
    std::string out;
    append_access_line(format, record, "1.2.3.4", WallTime(1700000000s), out);
    return out;
}

}  // namespace

TEST_CASE("a JSON line says who asked for what, and nothing secret") {
    const http::RequestHead head = a_head();
    const std::string line = line_of(head, Format::kJson);
    REQUIRE(line.ends_with("\n"));
    CHECK_THAT(line, !ContainsSubstring("s3cret") && !ContainsSubstring("4111"));
    const Result<Json> json = parse_json(line);
    REQUIRE(json);
    CHECK((*json)["time"] == "2023-11-14T22:13:20.000Z");
    CHECK((*json)["client"] == "1.2.3.4");
    CHECK((*json)["method"] == "POST");
    CHECK((*json)["host"] == "shop.example");
    CHECK((*json)["path"] == "/pay");
    CHECK((*json)["protocol"] == "HTTP/2.0");
    CHECK((*json)["tls"] == true);
    CHECK((*json)["status"] == 201);
    CHECK((*json)["received_bytes"] == 7);
    CHECK((*json)["sent_bytes"] == 1234);
    CHECK((*json)["seconds"] == 0.0015);
    CHECK((*json)["instance"] == "shop-1");
    CHECK((*json)["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736");
    CHECK((*json)["referer"] == "https://shop.example/cart");
    CHECK((*json)["user_agent"] == "say \"hi\"\\ \u00ff");
}

TEST_CASE("a combined line is what log readers know") {
    const http::RequestHead head = a_head();
    const std::string line = line_of(head, Format::kCombined);
    CHECK_THAT(line, !ContainsSubstring("s3cret"));
    CHECK(line ==
          "1.2.3.4 - - [14/Nov/2023:22:13:20 +0000] \"POST /pay HTTP/2.0\" 201 1234 "
          "\"https://shop.example/cart\" \"say \\\"hi\\\"\\\\ \\u00ff\"\n");
}

TEST_CASE("a log that was moved away is written anew after reopening") {
    test::TempFolder folder;
    const std::string path = folder.path() / "access.log";
    auto opened = AccessLogFile::open(path);
    REQUIRE(opened);
    std::shared_ptr<AccessLogFile> log = std::move(*opened);
    log->write("one\n");
    std::filesystem::rename(path, path + ".1");
    log->write("two\n");
    REQUIRE(log->reopen(path));
    log->write("three\n");
    CHECK_FALSE(log->reopen(folder.path() / "none" / "access.log"));
    log->write("four\n");
    log.reset();
    const std::string before = *read_file(path + ".1");
    const std::string after = *read_file(path);
    CHECK(before + after == "one\ntwo\nthree\nfour\n");
    CHECK_THAT(after, ContainsSubstring("three\nfour\n"));
    CHECK_FALSE(AccessLogFile::open(folder.path()));
}
