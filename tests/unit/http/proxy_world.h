#pragma once

// A proxy between scripted clients and scripted endpoints, in a simulated world: no sockets, no
// threads, virtual time. Each side sees the bytes and says when it sends.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "http/proxy.h"
#include "loop/sim_loop.h"

namespace candela::http::test {

// One end of a connection that the test plays.
class Peer final : public StreamHandler {
public:
    explicit Peer(StreamPtr stream) : stream_(std::move(stream)) { stream_->start(*this); }

    void send(std::string_view bytes) { stream_->write(bytes); }
    void end() { stream_->end(); }
    void close() { stream_.reset(); }
    void pause() { stream_->pause(); }
    void resume() { stream_->resume(); }
    size_t queued() const { return stream_->queued_bytes(); }

    // What has arrived since the last take().
    std::string take() { return std::exchange(received, {}); }
    bool is_over() const { return ended || broken; }

    std::string received;
    bool ended = false;
    bool broken = false;

private:
    void on_data(std::string_view bytes) override { received += bytes; }
    void on_end() override { ended = true; }
    void on_error(const Error&) override { broken = true; }

    StreamPtr stream_;
};

class World : public Router {
public:
    explicit World(ProxyOptions options = ProxyOptions(), UpstreamOptions upstream_options = {})
        : loop(sim.add_loop("gateway")),
          client_loop(sim.add_loop("client")),
          upstream(std::make_unique<Upstream>(loop, "default/hello", upstream_options)),
          proxy(std::make_unique<Proxy>(loop, *this, std::move(options), Logger())) {
        listener_ = *loop.listen(Address::tcp("10.0.0.1", 80), ListenOptions(), proxy->acceptor());
    }
    virtual ~World() {
        listener_.reset();
        proxy.reset();
    }

    // Opens the endpoint "10.0.1.<number>:80" on a machine of its own; connections to it collect in
    // `at`.
    void open_endpoint(int number) {
        SimLoop& machine = sim.add_loop("host-" + std::to_string(number));
        auto& peers = at[number];
        listeners_[number] =
            *machine.listen(address_of(number), ListenOptions(), [&peers](StreamPtr stream) {
                peers.push_back(std::make_unique<Peer>(std::move(stream)));
            });
    }
    void close_endpoint(int number) { listeners_.erase(number); }
    static Address address_of(int number) {
        return Address::tcp("10.0.1." + std::to_string(number), 80);
    }
    static EndpointSpec spec(int number) {
        const std::string text = address_of(number).to_string();
        return EndpointSpec{"hello-" + std::to_string(number), text,
                            std::make_shared<AddressConnector>(address_of(number))};
    }
    void route_to(std::initializer_list<int> numbers) {
        std::vector<EndpointSpec> specs;
        for (const int number : numbers) specs.push_back(spec(number));
        upstream->update(std::move(specs));
    }

    StreamPtr connect_stream() {
        StreamPtr connected;
        const auto attempt = client_loop.connect(
            Address::tcp("10.0.0.1", 80),
            [&connected](Result<StreamPtr> stream) { connected = std::move(*stream); });
        sim.run_until([&] { return connected != nullptr; }, 1s);
        return connected;
    }
    std::unique_ptr<Peer> connect() { return std::make_unique<Peer>(connect_stream()); }
    void settle(Duration duration = 50ms) { sim.run_for(duration); }

    RouteResult route(const RouteRequest& request) override {
        last_host = request.host;
        last_path = request.path;
        RouteResult result;
        if (request.path != "/nowhere") result.upstream = upstream.get();
        result.options = route_options;
        result.prefix = request.path.substr(0, prefix_bytes);
        return result;
    }
    void on_done(const ProxyRecord& record) override { statuses.push_back(record.status); }

    SimWorld sim{42};
    SimLoop& loop;
    SimLoop& client_loop;
    std::map<int, std::vector<std::unique_ptr<Peer>>> at;
    std::unique_ptr<Upstream> upstream;
    std::unique_ptr<Proxy> proxy;
    RouteOptionsPtr route_options;  // of every route
    size_t prefix_bytes = 0;
    std::string last_host, last_path;
    std::vector<int> statuses;

private:
    std::unique_ptr<Listener> listener_;
    std::map<int, std::unique_ptr<Listener>> listeners_;
};

inline constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: hello.example\r\n\r\n";
inline constexpr std::string_view kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

inline size_t count_of(std::string_view text, std::string_view part) {
    size_t count = 0;
    for (size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1))
        ++count;
    return count;
}

}  // namespace candela::http::test
