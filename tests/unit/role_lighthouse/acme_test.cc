// The ACME client against a server that a test controls, on simulated time: what is right, what is
// slow, what is hostile, and what is left after a restart.

#include <cstdlib>

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "acme_jws.h"
#include "acme_order.h"
#include "acme_settings.h"
#include "base/encoding.h"
#include "base/json.h"
#include "fake_acme.h"
#include "loop/file.h"
#include "temp_folder.h"
#include "tls/acme_certificates.h"

namespace candela::lighthouse {
namespace {

using test::Answer;
using test::FakeAcme;

class World final : public ChallengeBoard {
public:
    World() {
        // Certificates are made by the real clock.
        loop.set_clock_skew(std::chrono::system_clock::now() - loop.wall());
        restart();
        // The certificate must be of the key that the client made, which only it knows: it is
        // taken from the progress that was saved.
        server.instead["/certificate"] = [this] {
            Answer answer;
            answer.body = certificate_of(saved.key_pem, server.host);
            return answer;
        };
    }

    // A client that knows what was saved and nothing else.
    void restart() {
        AcmeClient::Options options;
        options.directory = FakeAcme::at("/dir");
        options.allow_plain = true;
        client = std::make_unique<AcmeClient>(loop, std::move(options), Logger());
        client->set_key(tls::SigningKey::load(key.pem().value()).value());
        client->set_account_url(account_url);
    }

    // A certificate for a key that was made elsewhere.
    std::string certificate_of(const Secret& key_pem, const std::string& name) const {
        const candela::test::TempFolder folder;
        folder.write("key.pem", key_pem.reveal(), 0600);
        const std::string command = fmt::format(
            "openssl req -x509 -new -key {0}/key.pem -subj /CN=x -days 2 -addext "
            "subjectAltName=DNS:{1} -out {0}/made.pem 2>/dev/null",
            folder.path().string(), name);
        REQUIRE(std::system(command.c_str()) == 0);
        return read_file(folder / "made.pem").value();
    }

    template <class T>
    T finish(Task<T> task, Duration limit = 1h) {
        task.start([](void*) {}, nullptr);
        REQUIRE(sim.run_until([&] { return task.is_done(); }, limit));
        return task.take();
    }

    Result<tls::KeyPair> order(std::string kind = "http-01") {
        if (account_url.empty()) {
            const auto made = finish(client->make_account("admin@example.org"));
            if (!made) return fail(made.error());
            account_url = *made;
        } else {
            const auto opened = finish(client->open());
            if (!opened) return fail(opened.error());
        }
        AcmeOrder::Save save = [this](OrderProgress& kept) { return keep(kept); };
        AcmeOrder order(loop, *client, *this, std::move(kind), std::move(save));
        OrderProgress progress;
        progress.host = "a.example.org";
        progress.order_url = saved.order_url;
        progress.key_pem = saved.key_pem.clone();
        auto result = finish(order.run(progress));
        saved.order_url = progress.order_url;
        return result;
    }
    std::string problem(std::string kind = "http-01") {
        const auto pair = order(std::move(kind));
        return pair ? "" : pair.error().message();
    }

    Task<Result<>> keep(OrderProgress& progress) {
        saved.host = progress.host;
        saved.order_url = progress.order_url;
        saved.key_pem = progress.key_pem.clone();
        co_return Result<>();
    }
    Task<Result<>> show(proto::Challenge challenge) override {
        shown.push_back(challenge);
        open.push_back(std::move(challenge));
        co_return Result<>();
    }
    void hide(const std::string& token) override {
        std::erase_if(open, [&](const auto& item) { return item.token == token; });
    }
    int count(const std::string& path) { return server.counts[path]; }

    SimWorld sim{7};
    SimLoop& loop = sim.add_loop("lighthouse");
    SimLoop& far = sim.add_loop("authority");
    tls::SigningKey key = tls::SigningKey::generate().value();
    FakeAcme server{far, key};
    std::unique_ptr<AcmeClient> client;
    std::string account_url;
    OrderProgress saved;
    std::vector<proto::Challenge> shown;
    std::vector<proto::Challenge> open;
};

bool has(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

Answer body(std::string text, int status = 200) {
    Answer answer;
    answer.status = status;
    answer.body = std::move(text);
    return answer;
}

TEST_CASE("acme_jws_is_what_the_rfcs_say") {
    // The key of RFC 7515 A.3; the thumbprint was computed by another implementation.
    const auto key = tls::SigningKey::load(
        Secret(std::string_view("-----BEGIN PRIVATE KEY-----\n"
                                "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjpsQnnGQmL+YBIff\n"
                                "H1136cspYG6+0iY7X1fCE9+E9LKhRANCAAR/zc4ncPbEXUGDy+5v20t7WAczNXvp\n"
                                "7xO6z248e9FURcfxRM0bvZt+hyzf7bnuufSzaV1uqQskrYpGIyiFiOWt\n"
                                "-----END PRIVATE KEY-----\n")));
    REQUIRE(key);
    CHECK(thumbprint_of(*key) == "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
    JwsHeader header;
    header.url = "https://x/y";
    header.nonce = "n";
    const Json by_key = parse_json(sign_jws(*key, header, "").value()).value();
    CHECK(json_string(by_key, "payload").value().empty());
    CHECK(base64url_decode(json_string(by_key, "protected").value()).value() ==
          R"({"alg":"ES256","jwk":)" + jwk_of(*key) + R"(,"nonce":"n","url":"https://x/y"})");
    header.account_url = "https://x/1";
    const Json by_account = parse_json(sign_jws(*key, header, "{}").value()).value();
    CHECK(json_string(by_account, "payload").value() == "e30");
    CHECK(base64url_decode(json_string(by_account, "protected").value()).value() ==
          R"({"alg":"ES256","kid":"https://x/1","nonce":"n","url":"https://x/y"})");
}

TEST_CASE("acme_addresses_are_https_and_well_formed") {
    const auto url = parse_acme_url("https://acme.test:14000/dir?x=1", false);
    REQUIRE(url);
    CHECK(url->host == "acme.test");
    CHECK(url->port == 14000);
    CHECK(url->target == "/dir?x=1");
    CHECK(url->authority == "acme.test:14000");
    CHECK(parse_acme_url("https://[::1]", false)->host == "::1");
    for (const std::string bad :
         {"", "http://acme.test/", "ftp://x/", "https://", "https:///x", "https://a b/",
          "https://u@x/", "https://x:0/", "https://x:70000/", "https://x/\r\nHost: y",
          "https://x/#y", "/relative"}) {
        INFO(bad);
        CHECK_FALSE(parse_acme_url(bad, false));
    }
    CHECK_FALSE(parse_acme_url("https://x/" + std::string(3000, 'a'), false));
}

TEST_CASE("acme_retry_after_is_seconds_or_a_date_and_has_a_limit") {
    const WallTime now = parse_rfc3339("2026-01-01T00:00:00.000Z").value();
    CHECK(parse_retry_after("120", now) == Duration(120s));
    CHECK(parse_retry_after("Thu, 01 Jan 2026 00:01:00 GMT", now) == Duration(60s));
    CHECK(parse_retry_after("Thu, 01 Jan 2020 00:01:00 GMT", now) == Duration(0));
    CHECK(parse_retry_after("99999999999999", now) == AcmeClient::kRetryAfterMax);
    CHECK(parse_retry_after("Thu, 01 Jan 2099 00:01:00 GMT", now) == AcmeClient::kRetryAfterMax);
    CHECK_FALSE(parse_retry_after("soon", now));
    CHECK_FALSE(parse_retry_after("-1", now));
}

TEST_CASE("acme_orders_are_for_hosts_below_the_domains_only") {
    const std::vector<std::string> domains = {"example.org", "shop.example.com"};
    CHECK(is_ordered_for("example.org", domains));
    CHECK(is_ordered_for("a.b.example.org", domains));
    CHECK(is_ordered_for("shop.example.com", domains));
    for (const std::string bad :
         {"", "example.com", "badexample.org", "*.example.org", ".example.org", "a..example.org",
          "-a.example.org", "a_b.example.org", "10.0.0.1", "org", "A.example.org",
          "a.example.org."}) {
        INFO(bad);
        CHECK_FALSE(is_ordered_for(bad, domains));
    }
}

TEST_CASE("acme_order_comes_to_a_certificate_by_either_challenge") {
    for (const std::string kind : {"http-01", "tls-alpn-01"}) {
        World world;
        bool was_shown = false;
        world.server.on_challenge = [&] { was_shown = world.open.size() == 1; };
        const auto pair = world.order(kind);
        REQUIRE(pair);
        CHECK(was_shown);  // before the authority was told to look
        CHECK(tls::check_key_pair(*pair, world.loop.wall())->names.front() == "a.example.org");
        REQUIRE(world.shown.size() == 1);
        CHECK(world.shown[0].host == "a.example.org");
        CHECK(world.shown[0].token == "token-" + kind);
        CHECK(world.shown[0].key_authorization == "token-" + kind + "." + thumbprint_of(world.key));
        CHECK(world.open.empty());
        CHECK(world.saved.order_url.empty());
        CHECK(world.count("/account") == 1);
    }
}

TEST_CASE("acme_refused_nonces_are_tried_again_but_not_for_ever") {
    World world;
    world.server.nonces_refused = 3;
    CHECK(world.order());
    World other;
    other.server.nonces_refused = 1'000'000;
    CHECK(has(other.problem(), "badNonce"));
    CHECK(other.count("/account") == AcmeClient::kTriesMax);
    World third;
    third.server.gives_nonces = false;
    CHECK(has(third.problem(), "gives no nonces"));
}

TEST_CASE("acme_order_goes_on_after_a_restart_where_it_was") {
    World world;
    int given = 0;
    // The server is still thinking when the lighthouse ends.
    world.server.instead["/finalize"] = [&] {
        ++given;
        return body("{}", 500);
    };
    CHECK(has(world.problem(), "finalizing"));
    CHECK(given == 1);
    CHECK(world.saved.order_url == FakeAcme::at("/order/1"));
    world.server.instead.erase("/finalize");
    world.restart();
    REQUIRE(world.order());
    CHECK(world.count("/order") == 1);
    CHECK(world.count("/account") == 1);
    CHECK(world.shown.size() == 1);
    // An order that the server has forgotten, or that has failed, is made anew.
    world.saved.order_url = FakeAcme::at("/order/gone");
    world.restart();
    CHECK(world.order());
    world.saved.order_url = FakeAcme::at("/order/1");
    world.server.order_status = "invalid";
    world.restart();
    CHECK(world.order());
    CHECK(world.count("/order") == 3);
}

TEST_CASE("acme_server_that_does_not_decide_is_given_up_after_a_while") {
    World world;
    world.server.instead["/challenge/http-01"] = [] { return body("{}"); };
    const MonoTime begun = world.loop.now();
    const auto pair = world.order();
    REQUIRE_FALSE(pair);
    CHECK(pair.error().code() == Code::kConflict);
    CHECK(world.loop.now() - begun >= AcmeOrder::kPollDeadline);
    CHECK(world.loop.now() - begun < AcmeOrder::kPollDeadline + 1min);
    CHECK(world.count("/authorization") < 30);
    CHECK(world.open.empty());
    CHECK_FALSE(world.saved.order_url.empty());
}

TEST_CASE("acme_failed_validation_says_why_and_ends_the_order") {
    World world;
    world.server.instead["/authorization"] = [&]() -> Answer {
        if (world.count("/challenge/http-01") == 0) {
            return body(R"({"status":"pending","identifier":{"value":"a.example.org"},"challenges":[
                {"type":"http-01","url":"http://acme.test/challenge/http-01","token":"t"}]})");
        }
        return body(R"({"status":"invalid","challenges":[{"type":"http-01","error":
            {"type":"urn:ietf:params:acme:error:connection","detail":"refused"}}]})");
    };
    CHECK(has(world.problem(), "a.example.org by http-01: connection: refused"));
    CHECK(world.saved.order_url.empty());
    CHECK(world.open.empty());
}

TEST_CASE("acme_rate_limits_are_told_with_their_time") {
    World world;
    world.server.instead["/order"] = [] {
        Answer answer =
            body(R"({"type":"urn:ietf:params:acme:error:rateLimited","detail":"slow down"})", 429);
        answer.headers.add("Retry-After", "3600");
        return answer;
    };
    const auto pair = world.order();
    REQUIRE_FALSE(pair);
    CHECK(pair.error().code() == Code::kExhausted);
    CHECK(world.client->problem().type == "rateLimited");
    CHECK(world.client->problem().retry_after == Duration(1h));
}

TEST_CASE("acme_hostile_answers_are_refused") {
    const auto with = [](const std::string& path, std::function<Answer()> answer) {
        World world;
        world.server.instead[path] = std::move(answer);
        const std::string problem = world.problem();
        CHECK(world.open.empty());
        return problem;
    };
    const auto always = [&](const std::string& path, std::string text, int status = 200) {
        return with(path, [=] { return body(text, status); });
    };
    // Whatever a server sends: an error and no crash.
    const std::string long_text(AcmeClient::kBodyBytesMax + 1, ' ');
    const std::string deep(100'000, '[');
    for (const std::string path : {"/dir", "/account", "/order", "/order/1", "/authorization",
                                   "/challenge/http-01", "/finalize", "/certificate"}) {
        for (const std::string& text : {std::string("\xff\xfe"), std::string("[]"), deep, long_text,
                                        std::string("null"), std::string(R"({"status":7})")}) {
            for (const int status : {200, 302, 400, 503}) {
                if (status == 200 &&
                    (path == "/challenge/http-01" || path == "/account" || path == "/finalize")) {
                    continue;  // what is in it does not matter there
                }
                INFO(path << " " << status << " " << text.substr(0, 20));
                CHECK_FALSE(always(path, text, status).empty());
            }
        }
    }
    CHECK(has(always("/dir", R"({"newNonce":"http://acme.test/nonce","newAccount":"file:///x"})"),
              "no newAccount"));
    CHECK(has(with("/account", [] { return body(R"({"status":"valid"})", 201); }), "no address"));
    CHECK(has(with("/account",
                   [] {
                       Answer answer = body(R"({"status":"deactivated"})");
                       answer.headers.add("Location", FakeAcme::at("/account/1"));
                       return answer;
                   }),
              "deactivated"));
    const auto order_with = [&](std::string authorizations) {
        return with("/order", [=] {
            Answer answer = body(R"({"status":"pending","finalize":"http://acme.test/finalize",)"
                                 R"("authorizations":)" +
                                     authorizations + "}",
                                 201);
            answer.headers.add("Location", FakeAcme::at("/order/1"));
            return answer;
        });
    };
    CHECK(has(order_with(R"([1])"), "without an address"));
    CHECK(has(order_with(R"(["a","a","a","a","a"])"), "strange list"));
    CHECK(has(order_with(R"(["gopher://x"])"), "not an https:// address"));
    const auto authorization_with = [&](std::string value, std::string token) {
        return always(
            "/authorization",
            R"({"status":"pending","identifier":{"value":")" + value +
                R"("},"challenges":[{"type":"http-01","url":"http://acme.test/c","token":")" +
                token + R"("}]})");
    };
    CHECK(has(authorization_with("b.example.org", "token"), "another name"));
    CHECK(has(authorization_with("a.example.org", "../../x"), "other characters"));
    CHECK(has(authorization_with("a.example.org", ""), "other characters"));
    CHECK(has(authorization_with("a.example.org", std::string(300, 'a')), "other characters"));
    CHECK(has(always("/authorization",
                     R"({"status":"pending","identifier":{"value":"a.example.org"},
                         "challenges":[{"type":"dns-01","url":"x","token":"t"}]})"),
              "neither http-01 nor tls-alpn-01"));
    // A certificate of another key, and one for another name.
    World world;
    world.server.instead["/certificate"] = [&] {
        const auto other = tls::make_signing_request({"a.example.org"}).value();
        return body(world.certificate_of(other.key_pem, "a.example.org"));
    };
    CHECK(has(world.problem(), "does not belong"));
    CHECK(world.saved.order_url.empty());
    world.server.instead["/certificate"] = [&] {
        return body(world.certificate_of(world.saved.key_pem, "b.example.org"));
    };
    CHECK(has(world.problem(), "is for b.example.org"));
}

TEST_CASE("acme_server_that_is_silent_costs_a_timeout_and_no_more") {
    World world;
    REQUIRE(world.order());
    world.sim.cut(world.loop, world.far);
    world.restart();
    const MonoTime begun = world.loop.now();
    const auto pair = world.order();
    REQUIRE_FALSE(pair);
    CHECK((pair.error().code() == Code::kTimeout || pair.error().code() == Code::kUnreachable));
    CHECK(world.loop.now() - begun <= AcmeClient::kRequestTimeout + 1s);
}

}  // namespace
}  // namespace candela::lighthouse
