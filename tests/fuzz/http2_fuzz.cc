// HTTP/2 clients of the proxy core, in whole and in pieces: nothing may crash, and when the client
// is gone nothing of it may be left.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <vector>

#include "http/h2_connection.h"
#include "http/proxy.h"
#include "loop/sim_loop.h"

using namespace candela;
using namespace candela::http;

namespace {

// Answers whatever it is sent.
class Endpoint final : public StreamHandler {
public:
    explicit Endpoint(StreamPtr stream) : stream_(std::move(stream)) { stream_->start(*this); }

private:
    void on_data(std::string_view) override {
        stream_->write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    }
    void on_end() override { stream_->end(); }
    void on_error(const Error&) override {}
    StreamPtr stream_;
};

class Client final : public StreamHandler {
private:
    void on_data(std::string_view) override {}
    void on_end() override {}
    void on_error(const Error&) override {}
};

class OneUpstream final : public Router {
public:
    explicit OneUpstream(Upstream& upstream) : upstream_(upstream) {}
    RouteResult route(const RouteRequest& request) override {
        RouteResult result;
        if (request.path != "/nowhere") result.upstream = &upstream_;
        return result;
    }
    void on_done(const ProxyRecord&) override {}

private:
    Upstream& upstream_;
};

void expect(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "left behind: %s\n", what);
    std::abort();
}

void serve(std::string_view bytes, size_t piece, bool ends_early) {
    SimWorld world(1);
    SimLoop& loop = world.add_loop("gateway");
    SimLoop& other = world.add_loop("others");
    const Address front = Address::tcp("10.0.0.1", 80);
    const Address back = Address::tcp("10.0.0.2", 80);
    std::vector<std::unique_ptr<Endpoint>> endpoints;
    const auto behind = *other.listen(back, ListenOptions(), [&](StreamPtr stream) {
        endpoints.push_back(std::make_unique<Endpoint>(std::move(stream)));
    });
    Upstream upstream(loop, "fuzz", UpstreamOptions());
    EndpointSpec spec;
    spec.id = spec.key = "one";
    spec.connector = std::make_shared<AddressConnector>(back);
    upstream.update({spec});
    OneUpstream router(upstream);
    Proxy proxy(loop, router, ProxyOptions(), Logger());
    const auto listener = *loop.listen(front, ListenOptions(),
                                       [&](StreamPtr stream) { proxy.accept(std::move(stream)); });
    StreamPtr stream;
    Client client;
    const auto attempt = other.connect(front, [&](Result<StreamPtr> connected) {
        stream = std::move(*connected);
        stream->start(client);
        stream->write(H2Connection::kPreface);
    });
    world.run_for(10ms);
    while (!bytes.empty()) {
        stream->write(bytes.substr(0, piece));
        bytes.remove_prefix(std::min(piece, bytes.size()));
        world.run_for(1ms);
    }
    if (!ends_early) world.run_for(100ms);
    stream.reset();
    world.run_for(10s);
    expect(proxy.connection_count() == 0, "a connection");
    expect(proxy.counters().requests_in_flight == 0, "a request");
    expect(upstream.is_unused(), "a user of the upstream");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < 2) return 0;
    const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
    serve(bytes, SIZE_MAX, (data[0] & 1) != 0);
    serve(bytes, 1 + data[0] / 2, (data[0] & 1) == 0);
    return 0;
}
