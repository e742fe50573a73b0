#pragma once

// An HTTP/2 endpoint for tests: nghttp2's server half on a simulated stream. It notes what it is
// asked and does what it is told to, be it wrong. And a world of such endpoints.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "h2_client.h"
#include "proxy_world.h"

namespace candela::http::test {

// Further error codes of RFC 9113 §7.
inline constexpr uint32_t kH2RefusedStream = 7;
inline constexpr uint32_t kH2Cancel = 8;
inline constexpr uint32_t kH2EnhanceYourCalm = 11;

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

class H2Server final : public StreamHandler {
public:
    H2Server(StreamPtr stream, const H2ServerOptions& options);
    ~H2Server();

    // An answer in pieces; `is_last` ends it with the piece.
    void send_head(int32_t id, const H2FieldList& fields, bool is_last = false);
    void send_body(int32_t id, std::string_view bytes, bool is_last = false);
    void send_trailers(int32_t id, const H2FieldList& fields);
    // ":status: 200" and that body.
    void answer(int32_t id, std::string_view body = "ok");
    void reset(int32_t id, uint32_t error_code);
    void goaway(int32_t last_id, uint32_t error_code = kH2NoError);
    void set_streams_max(uint32_t streams_max);
    void take(int32_t id, size_t bytes);
    void send_raw(std::string_view bytes) { stream_->write(bytes); }
    void pause() { stream_->pause(); }
    void resume() { stream_->resume(); }
    void close() { stream_.reset(); }
    bool is_over() const { return ended || broken; }
    size_t unsent_body(int32_t id) { return uploads_[id].bytes.size(); }

    std::map<int32_t, H2Asked> asked;
    std::vector<uint32_t> goaways;  // error codes
    size_t pings = 0;
    size_t settings = 0;
    bool ended = false;
    bool broken = false;

private:
    friend struct H2ServerCallbacks;
    struct Upload {
        std::string bytes;
        bool is_last = false;
        H2FieldList trailers;
    };

    void flush();
    void on_data(std::string_view bytes) override;
    void on_end() override { ended = true; }
    void on_error(const Error&) override { broken = true; }

    StreamPtr stream_;
    nghttp2_session* session_ = nullptr;
    std::map<int32_t, Upload> uploads_;
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
