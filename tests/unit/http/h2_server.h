#pragma once

// An HTTP/2 endpoint for tests: nghttp2's server half. It notes what it is asked. And a world of
// such endpoints.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "h2_peer.h"
#include "proxy_world.h"

namespace candela::http::test {

struct H2ServerOptions {
    uint32_t streams_max = 100;
    bool reads_by_itself = true;  // otherwise windows are given back by take() only
    bool answers_pings = true;
};

struct H2Asked {
    std::map<std::string, std::string> fields;
    std::map<std::string, std::string> trailers;
    std::string body;
    bool has_head = false;
    bool is_complete = false;
    bool is_closed = false;
    uint32_t error_code = 0;
};

class H2Server final : public H2Peer {
public:
    H2Server(StreamPtr stream, const H2ServerOptions& options);

    // An answer in pieces; `is_last` ends it with the piece.
    void send_head(int32_t id, const H2FieldList& fields, bool is_last = false);
    // ":status: 200" and that body.
    void answer(int32_t id, std::string_view body = "ok");
    void goaway(int32_t last_id, uint32_t error_code = kH2NoError);
    void set_streams_max(uint32_t streams_max);
    void send_raw(std::string_view bytes) { stream_->write(bytes); }
    void pause() { stream_->pause(); }
    void resume() { stream_->resume(); }
    bool is_over() const { return ended || broken; }

    std::map<int32_t, H2Asked> asked;
    std::vector<uint32_t> goaways;  // error codes
    size_t pings = 0;
    size_t settings = 0;

private:
    friend struct H2ServerCallbacks;
};

struct H2EndpointWorld : World {
    explicit H2EndpointWorld(ProxyOptions options = ProxyOptions(),
                             UpstreamOptions upstream_options = {})
        : World(std::move(options), upstream_options) {}
    // The proxy goes first: it still has connections to these.
    ~H2EndpointWorld() override { proxy.reset(); }

    void open_h2(int number, H2ServerOptions options = H2ServerOptions()) {
        SimLoop& machine = sim.add_loop("h2-host-" + std::to_string(number));
        auto& servers = h2[number];
        listeners[number] = *machine.listen(
            address_of(number), ListenOptions(), [&servers, options](StreamPtr stream) {
                servers.push_back(std::make_unique<H2Server>(std::move(stream), options));
            });
    }
    static EndpointSpec h2_spec(int number) {
        EndpointSpec made = spec(number);
        made.protocol = UpstreamProtocol::kH2c;
        return made;
    }
    void route_to_h2(std::initializer_list<int> numbers) {
        std::vector<EndpointSpec> specs;
        for (const int number : numbers) specs.push_back(h2_spec(number));
        upstream->update(std::move(specs));
    }
    // The only endpoint's connection number `index`, once it has been asked for stream `id`.
    H2Server& asked(int number = 1, size_t index = 0, int32_t id = 1) {
        const auto is_asked = [&] {
            return h2[number].size() > index && h2[number][index]->asked[id].has_head;
        };
        sim.run_until(is_asked, 1s);
        if (!is_asked()) throw std::runtime_error("the endpoint was not asked");
        return *h2[number][index];
    }

    std::map<int, std::vector<std::unique_ptr<H2Server>>> h2;
    std::map<int, std::unique_ptr<Listener>> listeners;
};

// With one of them, which all is routed to.
struct OneH2 : H2EndpointWorld {
    explicit OneH2(ProxyOptions options = ProxyOptions(), H2ServerOptions server = {},
                   UpstreamOptions upstream_options = {})
        : H2EndpointWorld(std::move(options), upstream_options) {
        open_h2(1, server);
        route_to_h2({1});
    }
};

}  // namespace candela::http::test
