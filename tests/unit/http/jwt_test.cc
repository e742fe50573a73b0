#include "http/jwt.h"

#include <catch2/catch_test_macros.hpp>

using namespace candela;
using namespace candela::http;

namespace {

// Keys and tokens made by Node's crypto module (tests/e2e makes new ones each time): issuer
// "https://login.example/", audience shop and other, subject user-7, from 2001 to 2033.
constexpr std::string_view kRs256 =
    "eyJhbGciOiJSUzI1NiIsImtpZCI6InIifQ.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUvIiwiYXVkIjpbI"
    "nNob3AiLCJvdGhlciJdLCJzdWIiOiJ1c2VyLTciLCJleHAiOjIwMDAwMDAwMDAsIm5iZiI6MTAwMDAwMDAwMCwic"
    "m9sZXMiOlsiYSIsImIiXSwibiI6NX0.Uqsew6oSXR2O4jRnZ44SMJO5pqiS7X1_p90fEzhLufZ-aX2CYGOvUIKfE"
    "BWnXE31SpvzctaKCFKVav9pguqDh3B0BvsN2OfztSFhsMBd_NG04OgB7LYCvKHpHS2b9UjkQciZYTpa6fhxXyag-"
    "XPaXTt-jH0hJkmDKHb-K9eGppoQS49qwc5lEiGPtGaBUCEj-2b2IU7nhyYjmTTdve1A7j4ZOGJpa13dU0umJ7ela"
    "sueU0CdPfRUI2OHVJbn2NgnVPFpPJq3vXyAnUhrEij08opmXpA6Q0Vgu6u3nKL_FHIdJU4scD2cH2WaXC5zM_Bdn"
    "0-9vQ7VuUB8GNBcsPM0-g";
constexpr std::string_view kEs256 =
    "eyJhbGciOiJFUzI1NiIsImtpZCI6ImUifQ.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUvIiwiYXVkIjpbI"
    "nNob3AiLCJvdGhlciJdLCJzdWIiOiJ1c2VyLTciLCJleHAiOjIwMDAwMDAwMDAsIm5iZiI6MTAwMDAwMDAwMCwic"
    "m9sZXMiOlsiYSIsImIiXSwibiI6NX0.0uQvnzOvAInnWKGlgp_1HKWBo5xfJzlKyPEL5ZwjWGA86i_DvOHBezI9q"
    "rEnd-FpvQBf1D9M9AEaRq17_xr6gw";
constexpr std::string_view kEdDsa =
    "eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUvIiwiYXVkIjpbInNob3AiLCJvdGh"
    "lciJdLCJzdWIiOiJ1c2VyLTciLCJleHAiOjIwMDAwMDAwMDAsIm5iZiI6MTAwMDAwMDAwMCwicm9sZXMiOlsiYSI"
    "sImIiXSwibiI6NX0.mQrw-SqlmO6m6Mw6TCIFIc0ug-GdcQLzSQmNq2RBHGLYtPiUHxCmA7upT6psrWU5nI4ylQr"
    "16KQx6vOZcmqFAQ";
constexpr std::string_view kDerSignature =
    "eyJhbGciOiJFUzI1NiIsImtpZCI6ImUifQ.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUvIiwiYXVkIjpbI"
    "nNob3AiLCJvdGhlciJdLCJzdWIiOiJ1c2VyLTciLCJleHAiOjIwMDAwMDAwMDAsIm5iZiI6MTAwMDAwMDAwMCwic"
    "m9sZXMiOlsiYSIsImIiXSwibiI6NX0.MEQCID9xA3yQD4SWdAioGuqoS1o8fXiJztHQmqfhT1TgfkHiAiAetmIpA"
    "KD93Jglr8qnxYUxG-pMXZKq3eR8Qenza-gI6A";
constexpr std::string_view kCritical =
    "eyJhbGciOiJFUzI1NiIsImtpZCI6ImUiLCJjcml0IjpbIngiXX0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1w"
    "bGUvIiwiYXVkIjpbInNob3AiLCJvdGhlciJdLCJzdWIiOiJ1c2VyLTciLCJleHAiOjIwMDAwMDAwMDAsIm5iZiI6"
    "MTAwMDAwMDAwMCwicm9sZXMiOlsiYSIsImIiXSwibiI6NX0.2nGCsCaQi_az_R8ke_6ZZc3uXbxX6jTGJs59Y3qy"
    "lJNQZ4W0ctLs1sb5wTcW4TiXzTv1qXHZIIDArXPASZln8Q";
constexpr std::string_view kEndless =
    "eyJhbGciOiJFUzI1NiIsImtpZCI6ImUifQ.eyJzdWIiOiJ4In0.YAi5_TmrMVXU_k5RXI0D75ES1vAlRM1w4zbi3"
    "HaCDK2cWTJUR6BnWT2tQL8wc54oIp0D5PQLYdyu-3sKNQz_qA";
constexpr std::string_view kUnknownKey =
    "eyJhbGciOiJFUzI1NiIsImtpZCI6Inp6In0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUvIiwiYXVkIjpb"
    "InNob3AiLCJvdGhlciJdLCJzdWIiOiJ1c2VyLTciLCJleHAiOjIwMDAwMDAwMDAsIm5iZiI6MTAwMDAwMDAwMCwi"
    "cm9sZXMiOlsiYSIsImIiXSwibiI6NX0.PXS3I8ne0U5NPXh5ZtHiWGi1AdfJPtWWTzrkrRxPkr9lLQWmEylT6l9-"
    "KTN88iBDh9N7sjvccssFuRKQ0lmB1g";
constexpr std::string_view kConfused =
    "eyJhbGciOiJSUzI1NiIsImtpZCI6ImUifQ.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUvIiwiYXVkIjpbI"
    "nNob3AiLCJvdGhlciJdLCJzdWIiOiJ1c2VyLTciLCJleHAiOjIwMDAwMDAwMDAsIm5iZiI6MTAwMDAwMDAwMCwic"
    "m9sZXMiOlsiYSIsImIiXSwibiI6NX0.76poZqWsTacomIY0GjnN72YnpQ-YX7Z2-gpXJ00zf6ol2BkaokHHXm6H2"
    "VrSbnpNXwqF8p6ZyEcGZLSIHUzMMQ";
constexpr std::string_view kHmac =
    "eyJhbGciOiJIUzI1NiIsImtpZCI6ImUifQ.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUvIiwiYXVkIjpbI"
    "nNob3AiLCJvdGhlciJdLCJzdWIiOiJ1c2VyLTciLCJleHAiOjIwMDAwMDAwMDAsIm5iZiI6MTAwMDAwMDAwMCwic"
    "m9sZXMiOlsiYSIsImIiXSwibiI6NX0.ZOLRQRL5Ic3_VLwElhtn4GXFtMs8N3QXkMDisUMdIqY";
constexpr std::string_view kUnsigned =
    "eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUvIiwiYXVkIjpbInNob3AiLCJvdGhl"
    "ciJdLCJzdWIiOiJ1c2VyLTciLCJleHAiOjIwMDAwMDAwMDAsIm5iZiI6MTAwMDAwMDAwMCwicm9sZXMiOlsiYSIs"
    "ImIiXSwibiI6NX0.";
constexpr std::string_view kOneAudience =
    "eyJhbGciOiJFUzI1NiIsImtpZCI6ImUifQ.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUvIiwiYXVkIjoic"
    "2hvcCIsInN1YiI6InVzZXItNyIsImV4cCI6MTkwMDAwMDAwMC41LCJuYmYiOjEwMDAwMDAwMDAsInJvbGVzIjpbI"
    "mEiLCJiIl0sIm4iOjV9.JH7ja22EMqKFDqJOKaXrEXLiyiHBbXTQ0ZrC-P6PXAuYBt50pczIJU3gEmoBW_OHkZ6N"
    "A6GlHz0iSun2NJ7Bkw";
constexpr std::string_view kKeys =
    R"({"keys":[{"kty":"RSA","n":"j_4rLc7KeKVm0K7Vh6pfM6VYJ-ifqN6kTWfRBYrA2_IEdPtzhczkC)"
    R"(7Y-tK75hF4sA3PNsTYVPu87JN-AxvgfqkarNneQkP3Y1siCTUh_WmvoEVLaF482exqFWZemakAJWMtDm)"
    R"(yOk2bfRwGIRRhdbyzN18W58YUlMQ0FQtE4rlBFwjwo7wSVM2A_j_LdG33M_06xCNpaKc7WBf-3v1nvnU)"
    R"(MhGe_n5WgAep35MMkI7ffaosboNdleESxyOwx47yFJfVh-Z06oosjNuAX2WLqNhXTNr4tkJDdD5djhyf)"
    R"(77I88sGV-9WDmPr3XCb2gLfWVyDDf_Jdmq_5Qv1fO2akZL9HQ","e":"AQAB","kid":"r","use":"s)"
    R"(ig"},{"kty":"EC","x":"I1rvtI6vtYQuCVkNLUr0X9qsDKCl-1I5tWMKJ7cfxvM","y":"gR5gd6hD)"
    R"(MJCfFbTRNGc_LOEj5TJeEp7Nw9wur_XxZyc","crv":"P-256","kid":"e","use":"sig"},{"crv")"
    R"(:"Ed25519","x":"s4si4C8ZsdyB9-j4KN1WaHk-4Q3_3SY7o5F9m01iM-I","kty":"OKP","kid":")"
    R"(d","use":"sig"},{"kty":"oct","k":"AAAA","kid":"h"}]})";
constexpr std::string_view kWeakKeys =
    R"({"keys":[{"kty":"RSA","n":"1BvZx1OqiqnlG-EGAeygr98At1ie_9W70RvB6UnWvAkWNrEBu9vZD)"
    R"(-1X1CGJp4idJNdvE4uKMKz_7W7LVqnf09c08ntH-S-7f8STMMwHFrKAmV2ogW79GlPQyOWaGaZa9A23m)"
    R"(Bi16wsqxxYYu6lxeRWdPo2aor2DqbHqUUpW7-k","e":"AQAB","kid":"w","use":"sig"}]})";

const WallTime kNow = WallTime(std::chrono::seconds(1'800'000'000));

JwtRules rules() {
    JwtRules made;
    made.keys = *parse_jwks(kKeys);
    return made;
}

// What is wrong with a token; empty where nothing is.
std::string verdict(const JwtCheck& check, std::string_view token, WallTime now = kNow) {
    Headers added;
    const auto result =
        check.check(Headers{{"Authorization", "Bearer " + std::string(token)}}, now, added);
    return result ? std::string() : std::string(result.error().message());
}

std::string changed(std::string_view token, size_t at, char to) {
    std::string out(token);
    out[at] = out[at] == to ? 'B' : to;
    return out;
}

}  // namespace

TEST_CASE("tokens of each algorithm are taken, and again") {
    const JwtCheck check(rules());
    for (int i = 0; i < 2; ++i) {
        CHECK(verdict(check, kRs256).empty());
        CHECK(verdict(check, kEs256).empty());
        CHECK(verdict(check, kEdDsa).empty());
        CHECK(verdict(check, kOneAudience).empty());
    }
}

TEST_CASE("keys that are fetched are used from then on, and asked for where one is missing") {
    int told = 0;
    JwtRules made;
    made.fetched = std::make_shared<JwtKeys>([&told] { ++told; });
    const JwtCheck check(made);
    const auto all = std::make_shared<const std::vector<JwtKey>>(*parse_jwks(kKeys));
    Headers added;
    const auto early =
        check.check(Headers{{"Authorization", "Bearer " + std::string(kEs256)}}, kNow, added);
    CHECK(early.error().code() == Code::kUnreachable);
    CHECK(told == 0);
    made.fetched->set(all);
    for (int i = 0; i < 2; ++i) CHECK(verdict(check, kEs256).empty());
    CHECK(verdict(check, kUnknownKey) == "the token's key is not known");
    CHECK(verdict(check, kUnknownKey) == "the token's key is not known");
    CHECK(told == 1);  // once until something is done about it
    made.fetched->forgive();
    verdict(check, kUnknownKey);
    CHECK(told == 2);
    // A key that is gone takes along what it was known for.
    made.fetched->set(std::make_shared<const std::vector<JwtKey>>());
    CHECK(verdict(check, kEs256) == "the token's key is not known");
    CHECK(told == 3);
    made.fetched->set(all);
    CHECK(verdict(check, kEs256).empty());
}

TEST_CASE("claims become fields for the service") {
    JwtRules made = rules();
    made.claim_fields = {{"sub", "X-User"}, {"roles", "X-Roles"}, {"n", "X-N"}, {"none", "X-None"}};
    const JwtCheck check(std::move(made));
    for (int i = 0; i < 2; ++i) {
        Headers added;
        REQUIRE(
            check.check(Headers{{"authorization", "bearer " + std::string(kEs256)}}, kNow, added));
        CHECK(added.get("X-User") == "user-7");
        CHECK(added.get("X-Roles") == "a,b");
        CHECK(added.get("X-N") == "5");
        CHECK_FALSE(added.contains("X-None"));
    }
}

TEST_CASE("issuer and audience must be the ones that are wanted") {
    JwtRules made = rules();
    made.issuer = "https://login.example/";
    made.audience = {"x", "shop"};
    CHECK(verdict(JwtCheck(made), kEs256).empty());
    CHECK(verdict(JwtCheck(made), kOneAudience).empty());
    made.audience = {"x"};
    CHECK(verdict(JwtCheck(made), kEs256) == "the token is for somebody else");
    CHECK(verdict(JwtCheck(made), kOneAudience) == "the token is for somebody else");
    made.issuer = "https://login.example";
    CHECK(verdict(JwtCheck(made), kEs256) == "the token is of another issuer");
}

TEST_CASE("a token counts from its beginning to its end, also once it is known") {
    const JwtCheck check(rules());
    const auto at = [](int64_t seconds) { return WallTime(std::chrono::seconds(seconds)); };
    CHECK(verdict(check, kEs256).empty());
    CHECK(verdict(check, kEs256, at(2'000'000'000 + 59)).empty());
    CHECK(verdict(check, kEs256, at(2'000'000'000 + 60)) == "the token has expired");
    CHECK(verdict(check, kEs256, at(1'000'000'000 - 60)).empty());
    CHECK(verdict(check, kEs256, at(1'000'000'000 - 61)) == "the token is not valid yet");
}

TEST_CASE("tokens that would be taken by a careless reader are refused") {
    const JwtCheck check(rules());
    CHECK(verdict(check, kUnsigned) == "the token's algorithm is not RS256, ES256 or EdDSA");
    CHECK(verdict(check, kHmac) == "the token's algorithm is not RS256, ES256 or EdDSA");
    CHECK(verdict(check, kConfused) == "the token's key is not known");
    CHECK(verdict(check, kUnknownKey) == "the token's key is not known");
    CHECK(verdict(check, kDerSignature) == "the token's signature is wrong");
    CHECK(verdict(check, kCritical) == "the token has critical extensions");
    CHECK(verdict(check, kEndless) == "the token has no end");
    const size_t body = kEs256.find('.') + 1;
    CHECK(verdict(check, changed(kEs256, body + 20, 'A')) == "the token's signature is wrong");
    CHECK(verdict(check, changed(kEs256, kEs256.size() - 20, 'A')) ==
          "the token's signature is wrong");
    CHECK(verdict(check, changed(kEdDsa, kEdDsa.size() - 20, 'A')) ==
          "the token's signature is wrong");
    CHECK(verdict(check, changed(kRs256, kRs256.size() - 20, 'A')) ==
          "the token's signature is wrong");
}

TEST_CASE("what is no token is refused") {
    const JwtCheck check(rules());
    for (const std::string& none :
         {std::string("x"), std::string("."), std::string(".."), std::string("a.b.c"),
          std::string(kEs256) + ".x", std::string("e30.e30."), std::string("W10.e30.AAAA"),
          std::string(kEs256.substr(0, kEs256.rfind('.')))}) {
        INFO(none);
        CHECK_FALSE(verdict(check, none).empty());
    }
    CHECK(verdict(check, std::string(kJwtBytesMax + 1, 'a')) == "the token is too long");
    Headers added;
    CHECK_FALSE(check.check(Headers(), kNow, added));
    CHECK_FALSE(check.check(Headers{{"Authorization", "Basic YTpi"}}, kNow, added));
    CHECK_FALSE(check.check(
        Headers{{"Authorization", "Bearer " + std::string(kEs256)}, {"Authorization", "Bearer x"}},
        kNow, added));
    CHECK(added.empty());
}

TEST_CASE("a key set is read strictly") {
    CHECK(parse_jwks(kKeys)->size() == 3);
    const auto refused = [](std::string_view json) {
        const auto keys = parse_jwks(json);
        return keys ? std::string() : std::string(keys.error().message());
    };
    CHECK_FALSE(refused("").empty());
    CHECK_FALSE(refused("[]").empty());
    CHECK_FALSE(refused("{}").empty());
    CHECK(refused(R"({"keys": []})").find("no key") != std::string::npos);
    CHECK(refused(R"({"keys": [{"kty": "oct", "k": "AAAA"}]})").find("no key") !=
          std::string::npos);
    CHECK(refused(kWeakKeys).find("2048") != std::string::npos);
    CHECK_FALSE(
        refused(R"({"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]})").empty());
    // A point that is not on the curve.
    CHECK_FALSE(refused(R"({"keys": [{"kty": "EC", "crv": "P-256",
        "x": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE",
        "y": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"}]})")
                    .empty());
    CHECK_FALSE(refused(std::string(kJwksBytesMax + 1, ' ')).empty());
}
