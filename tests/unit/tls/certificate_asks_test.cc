// Who is asked for a certificate, as a client of another implementation sees it.

#include "tls/certificate_asks.h"

#include "s_client.h"

using namespace candela;
using namespace candela::tls;
using namespace candela::tls::test;

namespace {

constexpr std::string_view kAsked = "Acceptable client certificate CA names\n";

CertificateAsk ask(std::string host, std::string_view name) {
    return CertificateAsk(std::move(host),
                          ClientAuthority::create(make_authority(name).ca_pem()).value());
}

}  // namespace

TEST_CASE("clients_are_asked_by_the_host_that_they_ask_for") {
    if (!SClient::is_there()) SKIP("openssl is not installed");
    const Authority authority = make_authority();
    ServerOptions options;
    const auto context = ServerContext::create(issue(authority), options).value();
    SClient client(context);
    const auto asked = [&](const std::string& name, const std::string& version = "-tls1_3") {
        const std::string out = client.output(version, name);
        CHECK(out.find("pong") != std::string::npos);
        const size_t at = out.find(kAsked);
        if (at == std::string::npos) return std::string("nobody");
        const size_t begin = at + kAsked.size();
        return out.substr(begin, out.find('\n', begin) - begin);
    };
    CHECK(asked("server.test") == "nobody");
    const std::vector<CertificateAsk> asks = {ask("server.test", "one"), ask("*.wild.test", "two")};
    set_certificate_asks(*context, asks);
    for (const std::string version : {"-tls1_2", "-tls1_3"}) {
        CHECK(asked("Server.test", version) == "CN = one");
        CHECK(asked("a.wild.test", version) == "CN = two");
        CHECK(asked("a.b.wild.test", version) == "nobody");
        CHECK(asked("other.test", version) == "nobody");
    }
    REQUIRE(context->swap(issue(authority)));
    CHECK(asked("server.test") == "CN = one");
    const std::vector<CertificateAsk> all = {ask("", "three")};
    set_certificate_asks(*context, all);
    CHECK(asked("other.test") == "CN = three");
    set_certificate_asks(*context, {});
    CHECK(asked("server.test") == "nobody");
}

TEST_CASE("more_authorities_than_a_handshake_can_name_are_not_named") {
    if (!SClient::is_there()) SKIP("openssl is not installed");
    const auto context = ServerContext::create(issue(make_authority()), ServerOptions()).value();
    SClient client(context);
    std::vector<CertificateAsk> asks;
    const std::string pad(50, 'x');
    for (size_t i = 0; i < kSubjectBytesMax / 64; ++i) {
        asks.push_back(ask("", fmt::format("{} {}", pad, i)));
    }
    set_certificate_asks(*context, asks);
    for (const std::string version : {"-tls1_2", "-tls1_3"}) {
        const std::string out = client.output(version);
        CHECK(out.find("pong") != std::string::npos);
        CHECK(out.find(kAsked) == std::string::npos);
        const bool is_asked = out.find("Client Certificate Types") != std::string::npos ||
                              out.find("Requested Signature Algorithms") != std::string::npos;
        CHECK(is_asked);
    }
}
