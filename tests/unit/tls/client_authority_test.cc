// Which client certificates an authority takes.

#include "tls/client_authority.h"

#include "tls/openssl_impl.h"
#include "tls_fixture.h"

using namespace candela;
using namespace candela::tls;
using namespace candela::tls::test;

namespace {

std::string der_of(const std::string& pem) {
    const auto parsed = parse_certificates(pem, "test").value();
    unsigned char* bytes = nullptr;
    const int size = i2d_X509(parsed.front().get(), &bytes);
    std::string der(reinterpret_cast<char*>(bytes), static_cast<size_t>(size));
    OPENSSL_free(bytes);
    return der;
}

std::string client_of(const Authority& authority, std::vector<std::string> names = {"alice"},
                      bool for_client = true) {
    CertificateRequest request;
    request.common_name = "alice";
    request.names = std::move(names);
    request.now = real_now();
    request.lifetime = 24h;
    request.for_server = !for_client;
    request.for_client = for_client;
    return der_of(authority.issue(request)->certificate_pem);
}

}  // namespace

TEST_CASE("an_authority_takes_its_own_certificates_while_they_are_good") {
    const Authority people = make_authority("people");
    const auto authority = ClientAuthority::create(people.ca_pem()).value();
    const std::vector<std::string> chain = {client_of(people)};
    const auto identity = authority->verify(chain, real_now());
    REQUIRE(identity);
    CHECK(identity->subject == "CN=alice");
    CHECK(identity->not_after > real_now());
    CHECK(authority->verify(chain, real_now() + 25h).error().message().find("expired on") !=
          std::string::npos);
    CHECK_FALSE(authority->verify(chain, real_now() - 1h));
}

TEST_CASE("an_authority_takes_no_others") {
    const Authority people = make_authority("people");
    const auto authority = ClientAuthority::create(people.ca_pem()).value();
    const auto refuses = [&](std::vector<std::string> chain) {
        const auto identity = authority->verify(chain, real_now());
        return !identity && identity.error().code() == Code::kDenied;
    };
    CHECK(refuses({client_of(make_authority("people"))}));  // of the same name only
    CHECK(refuses({client_of(people, {"alice"}, false)}));  // made for servers
    CHECK(refuses({}));
    CHECK(refuses({"not a certificate"}));
    CHECK(refuses({client_of(people), "not a certificate"}));
    CHECK(refuses(std::vector<std::string>(kClientChainMax + 1, client_of(people))));
    CHECK_FALSE(refuses(std::vector<std::string>(kClientChainMax, client_of(people))));
    std::vector<std::string> names;
    for (int i = 0; i < 400; ++i) names.push_back(fmt::format("name-{}.of.a.long.list.test", i));
    const std::string large = client_of(people, names);
    REQUIRE(large.size() > kClientCertificateBytesMax);
    CHECK(refuses({large}));
}

TEST_CASE("several_authorities_and_the_very_certificate_can_be_trusted") {
    const Authority people = make_authority("people");
    const Authority others = make_authority("others");
    const auto both = ClientAuthority::create(people.ca_pem() + others.ca_pem()).value();
    CHECK(both->verify(std::vector<std::string>{client_of(people)}, real_now()));
    CHECK(both->verify(std::vector<std::string>{client_of(others)}, real_now()));
    CertificateRequest request;
    request.common_name = "alice";
    request.names = {"alice"};
    request.now = real_now();
    request.for_client = true;
    const KeyPair pair = people.issue(request).value();
    const auto pinned = ClientAuthority::create(pair.certificate_pem).value();
    CHECK(pinned->verify(std::vector<std::string>{der_of(pair.certificate_pem)}, real_now()));
    CHECK_FALSE(pinned->verify(std::vector<std::string>{client_of(people)}, real_now()));
    CHECK_FALSE(ClientAuthority::create("not PEM"));
    CHECK_FALSE(ClientAuthority::create(""));
}
