#include "tls/authority.h"

#include <catch2/catch_test_macros.hpp>

#include "tls_fixture.h"

using namespace candela;
using namespace candela::tls;
using namespace candela::tls::test;

TEST_CASE("authority_survives_its_pem_form_and_issues_what_is_asked") {
    const Authority made = make_authority("candela test");
    const Authority loaded = Authority::load(made.ca_pem(), made.key_pem()).value();
    const CertificateInfo root = inspect_certificate(loaded.ca_pem()).value();
    CHECK(root.subject == "candela test");
    CHECK(root.is_authority);

    CertificateRequest request;
    request.common_name = "gateway-1";
    request.names = {"gateway.test", "*.apps.test", "127.0.0.1", "::1"};
    request.now = real_now();
    request.lifetime = 24h;
    const KeyPair pair = loaded.issue(request).value();
    const CertificateInfo info = inspect_certificate(pair.certificate_pem).value();
    CHECK(info.subject == "gateway-1");
    CHECK(info.issuer == "candela test");
    CHECK(info.names == request.names);
    CHECK_FALSE(info.is_authority);
    CHECK(info.fingerprint.size() == 64);
    CHECK(info.not_before < request.now);
    CHECK(info.not_after - request.now <= 24h);
    CHECK(info.not_after - request.now > 23h);
    CHECK(pair.key_pem.reveal().starts_with("-----BEGIN PRIVATE KEY-----"));
    // Two certificates never share key or serial.
    CHECK(inspect_certificate(loaded.issue(request)->certificate_pem)->fingerprint !=
          info.fingerprint);
}

TEST_CASE("authority_never_outlives_itself") {
    const WallTime now = real_now();
    const Authority authority = Authority::create("short", now, 48h).value();
    CertificateRequest request;
    request.common_name = "x";
    request.now = now;
    request.lifetime = 24h * 365;
    const CertificateInfo info =
        inspect_certificate(authority.issue(request)->certificate_pem).value();
    CHECK(info.not_after <= now + 48h);
    request.now = now + 72h;
    const Result<KeyPair> late = authority.issue(request);
    REQUIRE_FALSE(late);
    CHECK(late.error().message().find("expired on") != std::string::npos);
}

TEST_CASE("authority_refuses_names_that_are_none") {
    const Authority authority = make_authority();
    CertificateRequest request;
    request.now = real_now();
    request.common_name = "x";
    for (const std::string name : {"", "a,DNS:evil.test", "a b", "a\nb", "999.1.1.1:1", "a/b",
                                   "email:x@y", "\xc3\xa4.test"}) {
        INFO(name);
        request.names = {name};
        CHECK_FALSE(authority.issue(request));
    }
    request.names.clear();
    request.common_name = std::string(65, 'x');
    CHECK_FALSE(authority.issue(request));
    request.common_name = "";
    CHECK_FALSE(authority.issue(request));
    request.common_name = "x";
    request.for_server = false;
    CHECK_FALSE(authority.issue(request));
}

TEST_CASE("authority_loads_only_what_fits_together") {
    const Authority one = make_authority("one");
    const Authority two = make_authority("two");
    const KeyPair leaf = issue(one);
    const auto message = [](const Result<Authority>& result) {
        REQUIRE_FALSE(result.has_value());
        return result.error().message();
    };
    CHECK(message(Authority::load(one.ca_pem(), two.key_pem())).find("does not belong") !=
          std::string::npos);
    CHECK(message(Authority::load(leaf.certificate_pem, leaf.key_pem)).find("not an authority") !=
          std::string::npos);
    CHECK_FALSE(Authority::load("", one.key_pem()));
    CHECK_FALSE(Authority::load("garbage", one.key_pem()));
    CHECK_FALSE(Authority::load(one.ca_pem(), Secret(std::string("garbage"))));
    CHECK_FALSE(Authority::load(one.ca_pem().substr(0, 200), one.key_pem()));
    CHECK_FALSE(
        inspect_certificate("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
}
