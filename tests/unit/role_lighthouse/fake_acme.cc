#include "fake_acme.h"

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/json.h"

namespace candela::lighthouse::test {

namespace {

Answer problem(int status, std::string_view type) {
    Answer answer;
    answer.status = status;
    answer.body = dump_json(Json{{"type", "urn:ietf:params:acme:error:" + std::string(type)},
                                 {"detail", "says the server"}});
    return answer;
}

Answer directory() {
    Answer answer;
    answer.body = dump_json(Json{{"newNonce", FakeAcme::at("/nonce")},
                                 {"newAccount", FakeAcme::at("/account")},
                                 {"newOrder", FakeAcme::at("/order")}});
    return answer;
}

}  // namespace

Task<void> FakeAcme::handle(http::ServerRequest& request) {
    const std::string path = request.path();
    asked.push_back(path);
    ++counts[path];
    auto body = co_await request.read_all(1 << 20);
    Answer answer = make_answer(request, path, body ? *body : "");
    if (gives_nonces) {
        answer.headers.add("Replay-Nonce", "nonce" + std::to_string(++nonces_));
    }
    answer.headers.add("Content-Type", "application/json");
    request.respond(answer.status, answer.headers, answer.body);
}

Answer FakeAcme::make_answer(http::ServerRequest& request, const std::string& path,
                             const std::string& body) {
    if (const auto other = instead.find(path); other != instead.end()) return other->second();
    if (path == "/dir") return directory();
    if (path == "/nonce") return Answer();
    REQUIRE(request.method() == "POST");
    CHECK(request.header("content-type") == "application/jose+json");
    const Json jws = parse_json(body).value();
    const std::string head_text = json_string(jws, "protected").value();
    const std::string payload_text = json_string(jws, "payload").value();
    const std::string signature = base64url_decode(json_string(jws, "signature").value()).value();
    CHECK(key_.verifies(head_text + "." + payload_text, signature));
    const Json head = parse_json(base64url_decode(head_text).value()).value();
    CHECK(json_string(head, "url").value() == at(path));
    CHECK(json_string(head, "alg").value() == "ES256");
    CHECK(head.contains("jwk") == (path == "/account"));
    CHECK(head.contains("kid") != head.contains("jwk"));
    if (nonces_refused > 0) {
        --nonces_refused;
        return problem(400, "badNonce");
    }
    const std::string payload = base64url_decode(payload_text).value();
    return answer_signed(path, payload);
}

Answer FakeAcme::answer_signed(const std::string& path, const std::string& payload) {
    Answer answer;
    if (path == "/account") {
        answer.status = 201;
        answer.headers.add("Location", at("/account/1"));
        answer.body = R"({"status":"valid"})";
    } else if (path == "/order") {
        order_status = "pending";
        authorization_status = "pending";
        answer.status = 201;
        answer.headers.add("Location", at("/order/1"));
        answer.body = order();
    } else if (path == "/order/1") {
        answer.body = order();
    } else if (path == "/authorization") {
        answer.body = authorization();
    } else if (path == "/challenge/http-01" || path == "/challenge/tls-alpn-01") {
        on_challenge();
        authorization_status = "valid";
        order_status = "ready";
        answer.body = "{}";
    } else if (path == "/finalize") {
        const Json wanted = parse_json(payload).value();
        CHECK(base64url_decode(json_string(wanted, "csr").value()).value().size() > 100);
        order_status = "valid";
        answer.body = order();
    } else {
        return problem(404, "malformed");
    }
    return answer;
}

std::string FakeAcme::order() const {
    return dump_json(Json{{"status", order_status},
                          {"authorizations", {at("/authorization")}},
                          {"finalize", at("/finalize")},
                          {"certificate", at("/certificate")}});
}
std::string FakeAcme::authorization() const {
    Json challenges = Json::array();
    for (const std::string type : {"dns-01", "http-01", "tls-alpn-01"}) {
        challenges.push_back(Json{{"type", type},
                                  {"url", at("/challenge/" + type)},
                                  {"token", "token-" + std::string(type)}});
    }
    return dump_json(Json{{"status", authorization_status},
                          {"identifier", {{"type", "dns"}, {"value", host}}},
                          {"challenges", challenges}});
}

}  // namespace candela::lighthouse::test
