// Clients of both protocols and HTTP/2 endpoints that do anything at any time, while routes change.
// Whatever happens, the proxy ends with no connection, no request in flight and no memory error
// (run it with sanitizers). A failing seed prints itself.

#include <algorithm>

#include <catch2/catch_test_macros.hpp>

#include "h2_client.h"
#include "h2_server.h"
#include "proxy_world.h"

using namespace candela;
using namespace candela::http;
using namespace candela::http::test;

namespace {

constexpr std::string_view kRequests[] = {
    kGet,
    "HEAD /x HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\n0\r\nX: y\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki",
    "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
};

class Chaos {
public:
    explicit Chaos(uint64_t seed) : random_(seed), world_(options(), upstream_options()) {
        world_.open_h2(1, H2ServerOptions{.streams_max = 2});
        world_.open_h2(2, H2ServerOptions{.reads_by_itself = false});
        world_.open_endpoint(3);
        route(true, true, true);
    }

    void run(int steps) {
        for (int i = 0; i < steps; ++i) {
            act();
            world_.settle(random_.below(8) == 0 ? Duration(random_.below(3000) * 1ms)
                                                : Duration(random_.below(3) * 1ms));
        }
        for (auto& client : peers_) client.reset();
        for (auto& client : clients_) client.reset();
        world_.settle(5min);
        CHECK(world_.proxy->connection_count() == 0);
        CHECK(world_.proxy->counters().requests_in_flight == 0);
        CHECK(world_.proxy->counters().requests_held == 0);
        CHECK(world_.upstream->is_unused());
        CHECK(world_.upstream->held_count() == 0);
    }
    size_t count(int status) const {
        return static_cast<size_t>(std::ranges::count(world_.statuses, status));
    }

private:
    static ProxyOptions options() {
        ProxyOptions options;
        options.buffer_bytes_max = 2048;
        options.response_timeout = 5s;
        options.stream_timeout = 30s;
        options.held_requests_max = 4;
        return options;
    }
    static UpstreamOptions upstream_options() {
        UpstreamOptions options;
        options.connections_max = 6;
        options.h2_sessions_max = 2;
        options.h2_idle_timeout = 2s;
        options.hold_requests_max = 3;
        options.hold_timeout = 4s;
        return options;
    }
    void route(bool first, bool second, bool third) {
        std::vector<EndpointSpec> specs;
        if (first) specs.push_back(H2EndpointWorld::h2_spec(1));
        if (second) specs.push_back(H2EndpointWorld::h2_spec(2));
        if (third) specs.push_back(World::spec(3));
        if (!specs.empty()) specs[0].draining = random_.below(4) == 0;
        world_.upstream->update(std::move(specs));
    }
    std::string bytes() {
        return std::string(random_.below(3) == 0 ? random_.below(200'000) : 5, 'b');
    }

    void act() {
        const uint64_t what = random_.below(40);
        if (what < 3) {
            route(random_.below(2) == 0, random_.below(2) == 0, random_.below(4) == 0);
        } else if (what < 10) {
            act_as_peer();
        } else if (what < 22) {
            act_as_client();
        } else if (what < 25) {
            act_as_http1_endpoint();
        } else {
            act_as_endpoint();
        }
    }

    void act_as_peer() {
        auto& peer = peers_[random_.below(std::size(peers_))];
        if (peer == nullptr) peer = world_.connect();
        switch (random_.below(8)) {
            case 0: peer.reset(); break;
            case 1: peer->end(); break;
            case 2: peer->pause(); break;
            case 3: peer->resume(); break;
            default: peer->send(kRequests[random_.below(std::size(kRequests))]);
        }
    }

    void act_as_client() {
        auto& client = clients_[random_.below(std::size(clients_))];
        if (client == nullptr || client->ended) {
            client = std::make_unique<H2Client>(world_.connect_stream(), random_.below(2) == 0);
        }
        if (random_.below(20) == 0) {
            client.reset();
            return;
        }
        if (random_.below(3) == 0 || client->answers.empty()) {
            H2FieldList fields = H2Client::get();
            fields[0].second = random_.below(2) == 0 ? "PUT" : "POST";
            client->answers[client->request_with_body(fields)];
            return;
        }
        auto place = client->answers.begin();
        std::advance(place, random_.below(client->answers.size()));
        switch (random_.below(6)) {
            case 0: client->reset(place->first); break;
            case 1: client->take(place->first, random_.below(70'000)); break;
            case 2: client->send_trailers(place->first, {{"x-sum", "1"}}); break;
            default: client->send_body(place->first, bytes(), random_.below(3) == 0);
        }
    }

    void act_as_http1_endpoint() {
        auto& peers = world_.at[3];
        if (peers.empty() || peers.back() == nullptr) return;
        if (random_.below(3) == 0) {
            peers.back().reset();
        } else {
            peers.back()->send(kOk);
        }
    }

    void act_as_endpoint() {
        auto& servers = world_.h2[1 + static_cast<int>(random_.below(2))];
        if (servers.empty()) return;
        auto& server =
            servers[servers.size() - 1 - random_.below(std::min<size_t>(servers.size(), 3))];
        if (server == nullptr) return;
        if (random_.below(25) == 0) {
            server.reset();
            return;
        }
        std::vector<int32_t> open;
        for (const auto& [id, asked] : server->asked) {
            if (asked.has_head && !asked.is_closed) open.push_back(id);
        }
        if (open.empty()) return;
        const int32_t id = open[random_.below(open.size())];
        constexpr uint32_t kCodes[] = {kH2NoError, kH2InternalError, kH2RefusedStream, kH2Cancel};
        switch (random_.below(14)) {
            case 0: server->reset(id, kCodes[random_.below(4)]); break;
            case 1: server->goaway(id - 2 + 2 * static_cast<int32_t>(random_.below(2))); break;
            case 2: server->set_streams_max(static_cast<uint32_t>(random_.below(4))); break;
            case 3: server->pause(); break;
            case 4: server->resume(); break;
            case 5: server->take(id, random_.below(100'000)); break;
            case 6: server->send_head(id, {{":status", "103"}}); break;
            case 7: server->send_head(id, {{":status", "200"}}, true); break;
            case 8: server->send_trailers(id, {{"grpc-status", "0"}}); break;
            case 9: server->send_head(id, {{":status", "200"}, {"content-length", "7"}}); break;
            case 10: server->send_raw("garbage that is not a frame at all"); break;
            case 11: server->answer(id, bytes()); break;
            default: server->send_body(id, bytes(), random_.below(2) == 0);
        }
    }

    SeededRandom random_;
    H2EndpointWorld world_;
    std::unique_ptr<Peer> peers_[3];
    std::unique_ptr<H2Client> clients_[3];
};

}  // namespace

TEST_CASE("nothing that HTTP/2 endpoints do leaves a trace") {
    size_t answered = 0;
    size_t failed = 0;
    for (uint64_t seed = 1; seed <= 150; ++seed) {
        INFO("seed " << seed);
        Chaos chaos(seed);
        chaos.run(300);
        answered += chaos.count(200);
        failed += chaos.count(502) + chaos.count(503) + chaos.count(504);
    }
    // It was not all over before it began.
    CHECK(answered > 1000);
    CHECK(failed > 500);
}
