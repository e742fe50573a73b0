// The bare proxy core on one loop, for `./dev bench http` and the raw-socket end-to-end tests:
//     bench-http-proxy LISTEN UPSTREAM… [--tls LISTEN CERTIFICATE KEY]
// Prints "listening on ADDRESS" once it is ready and runs until it is killed.

#include <csignal>
#include <cstdio>
#include <memory>
#include <vector>

#include "http/proxy.h"
#include "loop/file.h"
#include "loop/uv_loop.h"
#include "tls/stream.h"

using namespace candela;

namespace {

class OneUpstream final : public http::Router {
public:
    explicit OneUpstream(http::Upstream& upstream) : upstream_(upstream) {}
    http::RouteResult route(const http::RouteRequest&) override {
        http::RouteResult result;
        result.upstream = &upstream_;
        return result;
    }
    void on_done(const http::ProxyRecord&) override {}

private:
    http::Upstream& upstream_;
};

int complain(const Error& error) {
    std::fprintf(stderr, "bench-http-proxy: %s\n", error.message().c_str());
    return 1;
}

// `words`: LISTEN CERTIFICATE KEY.
Result<std::unique_ptr<Listener>> open_tls(Loop& loop, http::Proxy& proxy, const char* const* words,
                                           std::unique_ptr<tls::Acceptor>& acceptor) {
    CANDELA_TRY_ASSIGN(const Address address, Address::parse(words[0]));
    tls::KeyPair pair;
    CANDELA_TRY_ASSIGN(pair.certificate_pem, read_file(words[1]));
    CANDELA_TRY_ASSIGN(std::string key, read_file(words[2]));
    pair.key_pem = Secret(std::move(key));
    tls::ServerOptions options;
    options.alpn = {"h2", "http/1.1"};
    CANDELA_TRY_ASSIGN(auto context, tls::ServerContext::create(pair, options));
    acceptor = std::make_unique<tls::Acceptor>(
        std::move(context), 10s, Logger(),
        [&proxy](StreamPtr stream) { proxy.accept(std::move(stream)); });
    return loop.listen(address, ListenOptions(),
                       [&acceptor](StreamPtr stream) { acceptor->accept(std::move(stream)); });
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fprintf(stderr, "usage: bench-http-proxy LISTEN UPSTREAM...\n");
        return 2;
    }
    InProcessHub hub;
    UvLoop loop(hub);
    std::signal(SIGPIPE, SIG_IGN);

    http::Upstream upstream(loop, "bench", http::UpstreamOptions());
    std::vector<http::EndpointSpec> endpoints;
    const char* const* tls = nullptr;
    for (int i = 2; i < argc; ++i) {
        if (std::string_view(argv[i]) == "--tls" && i + 3 < argc) {
            tls = argv + i + 1;
            break;
        }
        auto address = Address::parse(argv[i]);
        if (!address) return complain(address.error());
        endpoints.push_back({argv[i], argv[i], std::make_shared<http::AddressConnector>(*address)});
    }
    upstream.update(std::move(endpoints));
    OneUpstream router(upstream);
    auto proxy = std::make_unique<http::Proxy>(loop, router, http::ProxyOptions(), Logger());

    auto address = Address::parse(argv[1]);
    if (!address) return complain(address.error());
    auto listener = loop.listen(*address, ListenOptions(),
                                [&proxy](StreamPtr stream) { proxy->accept(std::move(stream)); });
    if (!listener) return complain(listener.error());
    std::unique_ptr<tls::Acceptor> acceptor;
    std::unique_ptr<Listener> tls_listener;
    if (tls != nullptr) {
        auto opened = open_tls(loop, *proxy, tls, acceptor);
        if (!opened) return complain(opened.error());
        tls_listener = std::move(*opened);
    }
    std::printf("listening on %s\n", (*listener)->address().to_string().c_str());
    std::fflush(stdout);
    loop.run();
    return 0;
}
