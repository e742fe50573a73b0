#include "bus_mapping.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace candela;
using namespace candela::gateway;
using Catch::Matchers::ContainsSubstring;

namespace {

std::string subject_of(std::string_view path, std::string_view prefix = "/calc") {
    const auto subject = subject_for(path, prefix, "calc");
    return subject ? *subject : std::string(to_string(subject.error().code()));
}

BusAnswer answer_to(std::string_view headers, std::string_view payload) {
    bus::MessageView reply;
    reply.headers = headers;
    reply.payload = payload;
    return answer_from(reply);
}

}  // namespace

TEST_CASE("what follows the prefix is the subject") {
    CHECK(subject_of("/calc/add") == "add");
    CHECK(subject_of("/calc/math/add") == "math.add");
    CHECK(subject_of("/calc/gr%C3%BC%C3%9Fe") ==
          "gr\xc3\xbc\xc3\x9f"
          "e");
    CHECK(subject_of("/math/add", "") == "math.add");
    CHECK(subject_of("/calc") == "calc");
    CHECK(subject_of("/calc/") == "calc");
}

TEST_CASE("what can't be a subject is not found, and the bus's own subjects stay closed") {
    const std::string not_found(to_string(Code::kNotFound));
    for (const char* path : {"/calc/a//b", "/calc/a/", "/calc/a.b", "/calc/*", "/calc/%3E",
                             "/calc/a%20b", "/calc/a%2Eb", "/calc/$SYS/REQ", "/calc/$SRV/PING",
                             "/calc/%24JS/API/INFO", "/calc/_INBOX/x", "/calc/%0D%0A"}) {
        INFO(path);
        CHECK(subject_of(path) == not_found);
    }
}

TEST_CASE("selected headers go with the request") {
    http::RequestHead head;
    head.method = "POST";
    head.target = "/calc/add?x=1";
    head.headers.add("content-type", "application/json");
    head.headers.add("X-Secret-Own", "stays");
    head.headers.add("Connection", "keep-alive");
    const std::string block = bus_headers_for(head);
    CHECK(bus::find_header(block, "Http-Method") == "POST");
    CHECK(bus::find_header(block, "Http-Path") == "/calc/add");
    CHECK(bus::find_header(block, "Http-Query") == "x=1");
    CHECK(bus::find_header(block, "Content-Type") == "application/json");
    CHECK_THAT(block, !ContainsSubstring("stays") && !ContainsSubstring("keep-alive"));
}

TEST_CASE("a reply becomes an answer") {
    BusAnswer answer = answer_to("", "{\"sum\":3}");
    CHECK(answer.status == 200);
    CHECK(answer.body == "{\"sum\":3}");
    CHECK(answer.headers.get("Content-Type") == "application/json");

    answer = answer_to(
        "NATS/1.0\r\nHttp-Status: 201\r\nLocation: /x\r\nContent-Type: text/html\r\n"
        "Content-Length: 9999\r\nTransfer-Encoding: chunked\r\nNats-Msg-Id: 1\r\n\r\n",
        "made");
    CHECK(answer.status == 201);
    CHECK(answer.headers.get("Location") == "/x");
    CHECK(answer.headers.get("Content-Type") == "text/html");
    CHECK(answer.headers.size() == 2);
}

TEST_CASE("a service's errors become statuses") {
    BusAnswer answer = answer_to(
        "NATS/1.0\r\nNats-Service-Error: no such item\r\nNats-Service-Error-Code: 404\r\n\r\n", "");
    CHECK(answer.status == 404);
    CHECK(answer.body == "no such item\n");

    for (const char* code : {"200", "600", "teapot", ""}) {
        answer = answer_to("NATS/1.0\r\nNats-Service-Error: x\r\nNats-Service-Error-Code: " +
                               std::string(code) + "\r\n\r\n",
                           "details");
        CHECK(answer.status == 500);
        CHECK(answer.body == "details");
    }
}
