// HTTP/2 endpoints of the proxy core, in whole and in pieces: nothing may crash, what an HTTP/1.1
// client gets is HTTP/1.1 with one answer a request, and when all are gone nothing may be left.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http/proxy.h"
#include "loop/sim_loop.h"

using namespace candela;
using namespace candela::http;

namespace {

constexpr std::string_view kSettings("\0\0\0\4\0\0\0\0\0", 9);
constexpr std::string_view kRequests =
    "GET /1 HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n"
    "POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\n0\r\nX: y\r\n\r\n"
    "HEAD /3 HTTP/1.1\r\nHost: a\r\n\r\n";

void expect(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "wrong: %s\n", what);
    std::abort();
}

// Says its SETTINGS, and then the input, as soon as it is asked.
class Endpoint final : public StreamHandler {
public:
    Endpoint(SimLoop& loop, StreamPtr stream, std::string_view bytes, size_t piece)
        : stream_(std::move(stream)),
          bytes_(bytes),
          piece_(piece),
          timer_(loop.timers(), [this] { say(); }) {
        stream_->start(*this);
        stream_->write(kSettings);
        timer_.start(1ms);
    }

private:
    void say() {
        if (stream_ == nullptr || bytes_.empty()) return;
        stream_->write(bytes_.substr(0, piece_));
        bytes_.remove_prefix(std::min(piece_, bytes_.size()));
        timer_.start(1ms);
    }
    void on_data(std::string_view) override {}
    void on_end() override { stream_->end(); }
    void on_error(const Error&) override {}

    StreamPtr stream_;
    std::string_view bytes_;
    size_t piece_;
    Timer timer_;
};

class Client final : public StreamHandler {
public:
    // All that came must be answers to what was asked.
    void check() {
        ResponseParser parser;
        std::string_view rest = received_;
        int answers = 0;
        for (;;) {
            parser.expect(answers == 2, false);
            const ParseEvent event = parser.parse(rest);
            if (event == ParseEvent::kNeedMore) return;
            expect(event != ParseEvent::kError, "an answer that is malformed");
            if (event == ParseEvent::kComplete && !parser.is_interim()) ++answers;
            expect(answers <= 3, "more answers than requests");
        }
    }

private:
    void on_data(std::string_view bytes) override { received_ += bytes; }
    void on_end() override {}
    void on_error(const Error&) override {}
    std::string received_;
};

class OneUpstream final : public Router {
public:
    explicit OneUpstream(Upstream& upstream) : upstream_(upstream) {}
    RouteResult route(const RouteRequest&) override {
        RouteResult result;
        result.upstream = &upstream_;
        return result;
    }
    void on_done(const ProxyRecord&) override {}

private:
    Upstream& upstream_;
};

void serve(std::string_view bytes, size_t piece) {
    SimWorld world(1);
    SimLoop& loop = world.add_loop("gateway");
    SimLoop& other = world.add_loop("others");
    const Address front = Address::tcp("10.0.0.1", 80);
    const Address back = Address::tcp("10.0.0.2", 80);
    std::vector<std::unique_ptr<Endpoint>> endpoints;
    const auto behind = *other.listen(back, ListenOptions(), [&](StreamPtr stream) {
        endpoints.push_back(std::make_unique<Endpoint>(other, std::move(stream), bytes, piece));
    });
    UpstreamOptions options;
    options.hold_timeout = 2s;
    Upstream upstream(loop, "fuzz", options);
    EndpointSpec spec;
    spec.id = spec.key = "one";
    spec.connector = std::make_shared<AddressConnector>(back);
    spec.protocol = UpstreamProtocol::kH2c;
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
        stream->write(kRequests);
    });
    world.run_for(10s);
    client.check();
    stream.reset();
    world.run_for(10s);
    expect(proxy.connection_count() == 0, "a connection is left");
    expect(proxy.counters().requests_in_flight == 0, "a request is left");
    expect(upstream.is_unused(), "a user of the upstream is left");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < 2 || size > 64 * 1024) return 0;
    const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
    serve(bytes, SIZE_MAX);
    serve(bytes, 1 + data[0] / 2);
    return 0;
}
