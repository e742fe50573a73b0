// The bare proxy core on one loop, for `./dev bench http` and the raw-socket end-to-end tests:
//     bench-http-proxy LISTEN UPSTREAM…
// Prints "listening on ADDRESS" once it is ready and runs until it is killed.

#include <csignal>
#include <cstdio>
#include <memory>
#include <vector>

#include "http/proxy.h"
#include "loop/uv_loop.h"

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
    for (int i = 2; i < argc; ++i) {
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
    std::printf("listening on %s\n", (*listener)->address().to_string().c_str());
    std::fflush(stdout);
    loop.run();
    return 0;
}
