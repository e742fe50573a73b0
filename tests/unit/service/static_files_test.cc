#include "service/static_files.h"

#include <catch2/catch_test_macros.hpp>

#include "http/client.h"
#include "loop/uv_loop.h"
#include "temp_folder.h"

namespace candela::service {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

struct Answer {
    int status = 0;
    http::Headers headers;
    std::string body;
};

Task<void> ask(http::Client& client, http::ClientRequest request, std::optional<Answer>& out) {
    auto response = co_await client.send(std::move(request));
    Answer answer;
    if (response) {
        answer.status = response->status();
        answer.headers = response->head.headers;
        auto body = co_await response->read_all(64 << 20);
        answer.body = body ? std::move(*body) : "cut: " + body.error().message();
    } else {
        answer.body = response.error().message();
    }
    out.emplace(std::move(answer));
}

struct Site {
    test::TempFolder folder;
    InProcessHub hub;
    UvLoop loop{hub};
    std::optional<StaticFiles> files;
    std::unique_ptr<http::FlowServer> server;
    std::unique_ptr<Listener> listener;
    http::Client client{loop};

    Site() {
        folder.write("site/index.html", "<p>home");
        folder.write("site/docs/index.html", "<p>docs");
        folder.write("site/app.js", "alert(1)");
        folder.write("site/big.bin", std::string(3'000'000, 'b'));
        folder.write("site/.env", "SECRET=1");
        folder.write("site/.well-known/security.txt", "Contact: us");
        folder.write("secret.txt", "outside");
        folder.link("site/out", "../secret.txt");
        folder.link("site/home", "index.html");
        auto opened = StaticFiles::open(loop, folder / "site", "7");
        REQUIRE(opened.has_value());
        files.emplace(std::move(*opened));
        server = std::make_unique<http::FlowServer>(loop, *files, http::ServerOptions(), Logger());
        auto made = loop.listen(Address::tcp("127.0.0.1", 0), ListenOptions(),
                                [this](StreamPtr stream) { server->accept(std::move(stream)); });
        REQUIRE(made.has_value());
        listener = std::move(*made);
    }
    Answer get(std::string target, const Fields& fields = {}, std::string method = "GET") {
        http::ClientRequest request;
        request.address = listener->address();
        request.method = std::move(method);
        request.target = std::move(target);
        for (const auto& [name, value] : fields) request.headers.add(name, value);
        std::optional<Answer> out;
        TaskGroup tasks;
        tasks.spawn(ask(client, std::move(request), out));
        REQUIRE(loop.run_until([&] { return out.has_value(); }, 20s));
        return *out;
    }
};

TEST_CASE_METHOD(Site, "a_packed_file_is_served_to_clients_that_take_it") {
    folder.write("site/app.js.br", "packed by brotli");
    folder.write("site/app.js.gz", "packed by gzip");
    const Answer brotli = get("/app.js", {{"Accept-Encoding", "gzip, deflate, br, zstd"}});
    CHECK(brotli.body == "packed by brotli");
    CHECK(brotli.headers.get("Content-Encoding") == "br");
    CHECK(brotli.headers.get("Content-Type") == content_type("app.js"));
    CHECK(brotli.headers.get("Vary") == "Accept-Encoding");
    const Answer gzip = get("/app.js", {{"Accept-Encoding", "gzip;q=0.8, br;q=0.1"}});
    CHECK(gzip.body == "packed by gzip");
    const Answer plain = get("/app.js");
    CHECK(plain.body == "alert(1)");
    CHECK(plain.headers.get("Vary") == "Accept-Encoding");
    CHECK_FALSE(plain.headers.contains("Content-Encoding"));
    CHECK(brotli.headers.get("ETag") != gzip.headers.get("ETag"));
    CHECK(plain.headers.get("ETag") != gzip.headers.get("ETag"));
    const std::string tag(*brotli.headers.get("ETag"));
    CHECK(get("/app.js", {{"Accept-Encoding", "br"}, {"If-None-Match", tag}}).status == 304);
    CHECK(get("/app.js", {{"If-None-Match", tag}}).status == 200);
    CHECK_FALSE(get("/", {{"Accept-Encoding", "br"}}).headers.contains("Vary"));
}

TEST_CASE_METHOD(Site, "a_page_of_the_sites_own_says_that_there_is_nothing") {
    CHECK(get("/nothing").body == "Not Found\n");
    folder.write("site/404.html", "<p>lost");
    const Answer lost = get("/nothing/here.js");
    CHECK(lost.status == 404);
    CHECK(lost.body == "<p>lost");
    CHECK(lost.headers.get("Content-Type") == "text/html; charset=utf-8");
    CHECK(get("/nothing").status == 404);
    CHECK(get("/.env").body == "<p>lost");
    const std::string tag(*lost.headers.get("ETag"));
    CHECK(get("/nothing", {{"If-None-Match", tag}}).status == 404);
    CHECK(get("/nothing", {{"Range", "bytes=0-1"}}).status == 404);
}

TEST_CASE_METHOD(Site, "an_application_that_routes_by_itself_gets_its_page_for_every_path") {
    folder.write("site/200.html", "<p>application");
    const Answer page = get("/users/7?tab=1");
    CHECK(page.status == 200);
    CHECK(page.body == "<p>application");
    CHECK(get("/users/").body == "<p>application");
    CHECK(get("/app.js").body == "alert(1)");
    // A file that is gone must not be taken for a page.
    CHECK(get("/app.1f3a.js").status == 404);
    CHECK(get("/nothing", {}, "HEAD").status == 200);
}

TEST_CASE_METHOD(Site, "files_are_served_with_their_type_and_tag") {
    const Answer home = get("/");
    CHECK(home.status == 200);
    CHECK(home.body == "<p>home");
    CHECK(home.headers.get("Content-Type") == "text/html; charset=utf-8");
    CHECK(home.headers.get("ETag") == "\"7-7\"");
    CHECK(get("/app.js?v=1").headers.get("Content-Type") == "text/javascript; charset=utf-8");
    CHECK(get("/docs/").body == "<p>docs");
    CHECK(get("/home").body == "<p>home");
    CHECK(get("/.well-known/security.txt").status == 200);
    CHECK(get("/big.bin").body == std::string(3'000'000, 'b'));
}

TEST_CASE_METHOD(Site, "a_folder_without_its_slash_is_redirected") {
    const Answer answer = get("/docs?x=1");
    CHECK(answer.status == 308);
    CHECK(answer.headers.get("Location") == "/docs/?x=1");
}

TEST_CASE_METHOD(Site, "what_is_not_meant_to_be_seen_is_not_found") {
    for (const char* target :
         {"/missing", "/.env", "/out", "/..%2fsecret.txt", "/%2e%2e%2fsecret.txt",
          "/docs/..%2f..%2fsecret.txt", "/app.js/x", "/a%00b"}) {
        INFO(target);
        const int status = get(target).status;
        CHECK((status == 404 || status == 400));
    }
}

TEST_CASE_METHOD(Site, "other_methods_are_refused") {
    const Answer answer = get("/", {}, "DELETE");
    CHECK(answer.status == 405);
    CHECK(answer.headers.get("Allow") == "GET, HEAD");
}

TEST_CASE_METHOD(Site, "head_has_the_length_and_no_body") {
    const Answer answer = get("/big.bin", {}, "HEAD");
    CHECK(answer.status == 200);
    CHECK(answer.headers.get("Content-Length") == "3000000");
    CHECK(answer.body.empty());
}

TEST_CASE_METHOD(Site, "a_known_tag_is_answered_with_304") {
    CHECK(get("/", {{"If-None-Match", "\"7-7\""}}).status == 304);
    CHECK(get("/", {{"If-None-Match", "\"x\", W/\"7-7\""}}).status == 304);
    CHECK(get("/", {{"If-None-Match", "*"}}).status == 304);
    CHECK(get("/", {{"If-None-Match", "\"6-7\""}}).status == 200);
}

TEST_CASE_METHOD(Site, "one_range_is_served_as_a_part") {
    const Answer part = get("/app.js", {{"Range", "bytes=0-4"}});
    CHECK(part.status == 206);
    CHECK(part.body == "alert");
    CHECK(part.headers.get("Content-Range") == "bytes 0-4/8");
    CHECK(get("/app.js", {{"Range", "bytes=-3"}}).body == "(1)");
    CHECK(get("/app.js", {{"Range", "bytes=5-"}}).body == "(1)");
    CHECK(get("/app.js", {{"Range", "bytes=8-"}}).status == 416);
    CHECK(get("/app.js", {{"Range", "bytes=0-1,3-4"}}).status == 200);
    CHECK(get("/app.js", {{"Range", "bytes=0-4"}, {"If-Range", "\"old\""}}).status == 200);
}

TEST_CASE("a range is read as RFC 9110 says") {
    ByteRange range;
    CHECK(parse_range("bytes=0-99999", 10, range) == RangeAnswer::kPart);
    CHECK(range.last == 9);
    CHECK(parse_range("bytes=-99999", 10, range) == RangeAnswer::kPart);
    CHECK(range.first == 0);
    CHECK(parse_range("bytes=-0", 10, range) == RangeAnswer::kUnsatisfiable);
    CHECK(parse_range("bytes=0-", 0, range) == RangeAnswer::kUnsatisfiable);
    for (const char* text : {"bytes=5-3", "bytes=a-b", "items=0-1", "bytes=", "bytes=-", "bytes=1",
                             "bytes=99999999999999999999-"}) {
        INFO(text);
        CHECK(parse_range(text, 10, range) == RangeAnswer::kWhole);
    }
}

TEST_CASE("a folder that is missing is an error") {
    InProcessHub hub;
    UvLoop loop(hub);
    CHECK_FALSE(StaticFiles::open(loop, "/no/such/folder", "1").has_value());
}

}  // namespace
}  // namespace candela::service
