// The server side against another implementation's client program.

#include <fstream>

#include "s_client.h"

using namespace candela;
using namespace candela::tls;
using namespace candela::tls::test;

TEST_CASE("openssl_s_client_verifies_and_talks") {
    if (std::system("openssl version >/dev/null 2>&1") != 0) SKIP("openssl is not installed");
    char folder[] = "/tmp/candela-tls-XXXXXX";
    REQUIRE(::mkdtemp(folder) != nullptr);
    const std::string directory = folder;
    const Authority authority = make_authority();
    std::ofstream(directory + "/ca.pem") << authority.ca_pem();
    std::ofstream(directory + "/other.pem") << make_authority("other").ca_pem();
    const auto context = ServerContext::create(issue(authority), ServerOptions()).value();

    InProcessHub hub;
    UvLoop loop(hub);
    std::vector<std::unique_ptr<Ponger>> pongers;
    Acceptor acceptor(context, 10s, Logger(), [&](StreamPtr stream) {
        pongers.push_back(std::make_unique<Ponger>(std::move(stream)));
    });
    const auto listener =
        *loop.listen(Address::tcp("127.0.0.1", 0), ListenOptions(),
                     [&](StreamPtr stream) { acceptor.accept(std::move(stream)); });
    const auto run = [&](const std::string& options) {
        const std::string command = fmt::format(
            "echo ping | timeout 20 openssl s_client -quiet -connect 127.0.0.1:{} "
            "-verify_return_error -verify_hostname server.test -servername server.test {} 2>&1",
            listener->address().port, options);
        std::string out;
        bool done = false;
        std::thread program([&] {
            out = output_of(command);
            loop.post([&done] { done = true; });
        });
        const bool ended = loop.run_until([&done] { return done; }, 30s);
        program.join();
        CHECK(ended);
        return out;
    };
    const std::string trusted = "-CAfile " + directory + "/ca.pem ";
    CHECK(run(trusted).ends_with("pong\n"));
    CHECK(run(trusted + "-tls1_2").ends_with("pong\n"));
    CHECK(run(trusted + "-alpn http/1.1").ends_with("pong\n"));
    CHECK(run("-CAfile " + directory + "/other.pem").find("verify error") != std::string::npos);
    for (const std::string refused : {"-tls1_1", "-alpn h2", "-tls1_2 -cipher AES128-SHA"}) {
        INFO(refused);
        CHECK(run(trusted + refused).find("pong") == std::string::npos);
    }
    std::filesystem::remove_all(directory);
}
