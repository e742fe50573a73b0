#include "tls/acme_certificates.h"

#include <algorithm>

#include <cstdlib>
#include <fstream>

#include "crypto/hash.h"
#include "temp_folder.h"
#include "tls/signing_key.h"
#include "tls_fixture.h"

using namespace candela;
using namespace candela::tls;
using namespace candela::tls::test;

namespace {

// The key of RFC 7515 A.3 (d, x and y there), written to PEM by another implementation.
constexpr std::string_view kKnownKey =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjpsQnnGQmL+YBIff\n"
    "H1136cspYG6+0iY7X1fCE9+E9LKhRANCAAR/zc4ncPbEXUGDy+5v20t7WAczNXvp\n"
    "7xO6z248e9FURcfxRM0bvZt+hyzf7bnuufSzaV1uqQskrYpGIyiFiOWt\n"
    "-----END PRIVATE KEY-----\n";

KeyPair issue_for(const Authority& authority, std::vector<std::string> names,
                  WallTime now = real_now()) {
    CertificateRequest request;
    request.common_name = "x";
    request.names = std::move(names);
    request.now = now;
    request.lifetime = 24h;
    return authority.issue(request).value();
}

std::string problem_of(const KeyPair& pair, WallTime now = real_now()) {
    const auto checked = check_key_pair(pair, now);
    return checked ? "" : checked.error().message();
}

bool has(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("signing_key_is_the_one_that_its_pem_says") {
    const SigningKey key = SigningKey::load(Secret(kKnownKey)).value();
    CHECK(key.x() == "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU");
    CHECK(key.y() == "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
    // RFC 7515 A.3.1.
    constexpr std::string_view kInput =
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxl"
        "LmNvbS9pc19yb290Ijp0cnVlfQ";
    const std::string signature =
        base64url_decode(
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-"
            "Kg6NU1Q")
            .value();
    CHECK(key.verifies(kInput, signature));
    std::string changed = signature;
    changed[5] ^= 1;
    CHECK_FALSE(key.verifies(kInput, changed));
    CHECK_FALSE(key.verifies("else", signature));
    CHECK_FALSE(key.verifies(kInput, ""));
}

TEST_CASE("signing_key_signs_what_it_verifies_always_in_64_bytes") {
    const SigningKey key = SigningKey::generate().value();
    const SigningKey same = SigningKey::load(key.pem().value()).value();
    CHECK(same.x() == key.x());
    for (int i = 0; i < 300; ++i) {  // numbers with leading zeros come now and then
        const std::string text = "message " + std::to_string(i);
        const std::string signature = key.sign(text).value();
        REQUIRE(signature.size() == 64);
        REQUIRE(same.verifies(text, signature));
    }
    CHECK_FALSE(SigningKey::generate()->verifies("message", key.sign("message").value()));
}

TEST_CASE("signing_key_refuses_other_keys") {
    CHECK_FALSE(SigningKey::load(Secret(std::string("garbage"))));
    candela::test::TempFolder folder;
    for (const std::string kind :
         {"ec -pkeyopt ec_paramgen_curve:P-384", "rsa -pkeyopt rsa_keygen_bits:2048", "ed25519"}) {
        const std::string file = (folder.path() / "key.pem").string();
        const std::string command =
            "openssl genpkey -algorithm " + kind + " -out " + file + " 2>/dev/null";
        REQUIRE(std::system(command.c_str()) == 0);
        std::ifstream in(file);
        const std::string pem((std::istreambuf_iterator<char>(in)), {});
        const auto loaded = SigningKey::load(Secret(pem));
        REQUIRE_FALSE(loaded);
        CHECK(has(loaded.error().message(), "P-256"));
    }
}

TEST_CASE("signing_request_is_read_by_openssl") {
    const SigningRequest made = make_signing_request({"a.example.org", "b.example.org"}).value();
    candela::test::TempFolder folder;
    const std::string file = (folder.path() / "request.der").string();
    std::ofstream(file, std::ios::binary) << made.der;
    const std::string out = (folder.path() / "out.txt").string();
    const std::string command =
        "openssl req -inform DER -in " + file + " -verify -noout -text > " + out + " 2>&1";
    REQUIRE(std::system(command.c_str()) == 0);
    std::ifstream in(out);
    const std::string text((std::istreambuf_iterator<char>(in)), {});
    CHECK(has(text, "DNS:a.example.org, DNS:b.example.org"));
    CHECK(has(text, "NIST CURVE: P-256"));
    CHECK(has(text, "verify OK"));
    CHECK(make_signing_request({"a.example.org"}, made.key_pem).has_value());
    CHECK_FALSE(make_signing_request({}));
    CHECK_FALSE(make_signing_request({"a,IP:1.2.3.4"}));
}

TEST_CASE("challenge_certificate_carries_the_digest") {
    const std::string digest(as_text(crypto::sha256(as_bytes("token.thumbprint"))));
    const KeyPair pair = make_challenge_certificate("a.example.org", digest, real_now()).value();
    const CertificateInfo info = inspect_certificate(pair.certificate_pem).value();
    CHECK(info.names == std::vector<std::string>{"a.example.org"});
    candela::test::TempFolder folder;
    const std::string file = (folder.path() / "c.pem").string();
    std::ofstream(file) << pair.certificate_pem;
    const std::string out = (folder.path() / "out.txt").string();
    REQUIRE(std::system(("openssl asn1parse -in " + file + " > " + out).c_str()) == 0);
    std::ifstream in(out);
    std::string text((std::istreambuf_iterator<char>(in)), {});
    std::transform(text.begin(), text.end(), text.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    CHECK((has(text, "1.3.6.1.5.5.7.1.31") || has(text, "acme identifier")));
    CHECK(has(text, "[hex dump]:0420" + hex_encode(as_bytes(digest))));
    CHECK_FALSE(make_challenge_certificate("a.example.org", "short", real_now()));
    CHECK_FALSE(make_challenge_certificate("no name", digest, real_now()));
}

TEST_CASE("key_pair_that_does_not_fit_is_told_why") {
    const Authority authority = make_authority();
    const KeyPair good = issue_for(authority, {"a.example.org"});
    const KeyPair other = issue_for(authority, {"b.example.org"});
    CHECK(problem_of(good).empty());
    CHECK(check_key_pair(good, real_now())->names.front() == "a.example.org");

    const auto pair = [](std::string certificates, const KeyPair& key) {
        KeyPair made;
        made.certificate_pem = std::move(certificates);
        made.key_pem = key.key_pem.clone();
        return made;
    };
    CHECK(has(problem_of(pair(other.certificate_pem, good)), "does not belong"));
    CHECK(has(problem_of(pair(other.certificate_pem + good.certificate_pem, good)), "wrong order"));
    CHECK(has(problem_of(pair(good.certificate_pem + other.certificate_pem, good)), "broken"));
    CHECK(problem_of(pair(good.certificate_pem + authority.ca_pem(), good)).empty());
    CHECK(has(problem_of(pair("garbage", good)), "PEM"));
    KeyPair no_key = pair(good.certificate_pem, good);
    no_key.key_pem = Secret(std::string("garbage"));
    CHECK(has(problem_of(no_key), "passphrase"));
    CHECK(has(problem_of(issue_for(authority, {})), "no host"));
    CHECK(has(problem_of(good, real_now() + 48h), "expired on"));
    CHECK(has(problem_of(good, real_now() - 48h), "not valid before"));
}

TEST_CASE("certificate_covers_its_names_and_one_label_of_a_wildcard") {
    CertificateInfo info;
    info.names = {"a.example.org", "*.apps.example.org"};
    CHECK(covers(info, "A.example.org"));
    CHECK(covers(info, "x.apps.example.org"));
    CHECK_FALSE(covers(info, "x.y.apps.example.org"));
    CHECK_FALSE(covers(info, "apps.example.org"));
    CHECK_FALSE(covers(info, ".apps.example.org"));
    CHECK_FALSE(covers(info, "example.org"));
}

TEST_CASE("tls_server_shows_a_challenge_to_those_who_ask_for_nothing_else") {
    const std::string digest(as_text(crypto::sha256(as_bytes("x"))));
    const ChallengeCertificate challenges[] = {ChallengeCertificate(
        "a.example.org", make_challenge_certificate("a.example.org", digest, real_now()).value())};
    const auto connect = [&](TlsWorld& world, std::vector<std::string> alpn, std::string name) {
        ClientOptions options;
        options.pinned_fingerprint =
            inspect_certificate(challenges[0].key_pair.certificate_pem)->fingerprint;
        options.alpn = std::move(alpn);
        world.connect(options, std::move(name));
        return world.client->has_value();
    };
    const std::string own(kChallengeAlpn);
    {
        TlsWorld world;
        REQUIRE(world.server_context->set_challenges(challenges));
        CHECK(connect(world, {own}, "A.example.org"));
        REQUIRE(world.server->has_value());
        CHECK((**world.server)->alpn() == kChallengeAlpn);
    }
    {
        TlsWorld world;  // a new set of certificates leaves challenges alone
        REQUIRE(world.server_context->set_challenges(challenges));
        REQUIRE(world.server_context->swap(issue(world.authority)));
        CHECK(connect(world, {own}, "a.example.org"));
    }
    for (const auto& [alpn, name] :
         {std::pair(std::vector<std::string>{own}, "b.example.org"),
          std::pair(std::vector<std::string>{own, "http/1.1"}, "a.example.org"),
          std::pair(std::vector<std::string>{"http/1.1"}, "a.example.org")}) {
        TlsWorld world;
        REQUIRE(world.server_context->set_challenges(challenges));
        CHECK_FALSE(connect(world, alpn, name));
    }
    TlsWorld world;
    REQUIRE(world.server_context->set_challenges(challenges));
    REQUIRE(world.server_context->set_challenges({}));
    CHECK_FALSE(connect(world, {own}, "a.example.org"));
}

TEST_CASE("tls_server_without_a_default_refuses_names_that_it_does_not_know") {
    ServerOptions options;
    options.has_default = false;
    const auto error = [&](std::span<const KeyPair> pairs, std::string name) {
        TlsWorld world;
        world.server_context = ServerContext::create(pairs, options).value();
        ClientOptions trusting;
        trusting.pinned_fingerprint = std::string(64, '0');
        world.connect(trusting, std::move(name));
        return world.client->has_value() ? "" : world.client->error().message();
    };
    CHECK(has(error({}, "server.test"), "unrecognized name"));
    CHECK(has(error({}, "10.0.0.1"), "unrecognized name"));
    const KeyPair pairs[] = {issue(make_authority())};
    CHECK(has(error(pairs, "server.test"), "fingerprint"));  // it came as far as that
    CHECK(has(error(pairs, "other.test"), "unrecognized name"));
    CHECK(has(error(pairs, "10.0.0.1"), "unrecognized name"));
}
