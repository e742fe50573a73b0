// Clients, endpoints and route changes that do anything at any time. Whatever happens, the proxy
// ends with no connection, no request in flight and no memory error (run it with sanitizers). A
// failing seed prints itself.

#include <catch2/catch_test_macros.hpp>

#include "proxy_world.h"

using namespace candela;
using namespace candela::http;
using namespace candela::http::test;

namespace {

constexpr std::string_view kRequests[] = {
    kGet,
    "HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwikiX\r\n",
    "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc",
    "GET / HTTP/1.0\r\n\r\n",
    "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "nonsense\r\n\r\n",
};
constexpr std::string_view kAnswers[] = {
    kOk,
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\n\r\nuntil the end",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nraw",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nclose",
    "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart",
    "garbage\r\n",
};

class Chaos {
public:
    explicit Chaos(uint64_t seed) : random_(seed), world_(options(), upstream_options()) {
        for (int number = 1; number <= 3; ++number) world_.open_endpoint(number);
        world_.route_to({1, 2, 3, 4});  // the fourth refuses
    }

    void run(int steps) {
        for (int i = 0; i < steps; ++i) {
            act();
            world_.settle(random_.below(8) == 0 ? Duration(random_.below(3000) * 1ms)
                                                : Duration(1ms));
        }
        for (auto& client : clients_) client.reset();
        world_.settle(5min);
        CHECK(world_.proxy->connection_count() == 0);
        CHECK(world_.proxy->counters().requests_in_flight == 0);
        CHECK(world_.proxy->counters().requests_held == 0);
        CHECK(world_.upstream->is_unused());
        CHECK(world_.upstream->held_count() == 0);
    }

private:
    static ProxyOptions options() {
        ProxyOptions options;
        options.buffer_bytes_max = 2048;
        options.pipelined_bytes_max = 1024;
        options.response_timeout = 5s;
        options.stream_timeout = options.relay_timeout = 30s;
        options.held_requests_max = 4;
        return options;
    }
    static UpstreamOptions upstream_options() {
        UpstreamOptions options;
        options.connections_max = 3;
        options.hold_requests_max = 3;
        options.hold_timeout = 4s;
        return options;
    }

    // Sends a text whole, or a part of it, or many of it.
    void send(Peer& peer, std::string_view text) {
        switch (random_.below(6)) {
            case 0: peer.send(text.substr(0, random_.below(text.size()))); break;
            case 1:
                for (int i = 0; i < 20; ++i) peer.send(text);
                break;
            case 2: peer.send(std::string(text) + std::string(random_.below(9000), 'z')); break;
            default: peer.send(text);
        }
    }

    void act_on(std::unique_ptr<Peer>& peer, std::string_view text) {
        switch (random_.below(12)) {
            case 0: peer.reset(); break;
            case 1: peer->end(); break;
            case 2: peer->pause(); break;
            case 3: peer->resume(); break;
            default: send(*peer, text);
        }
    }

    void act() {
        const uint64_t what = random_.below(20);
        if (what == 0) {
            world_.route_to({1, 2, 3});
        } else if (what == 1) {
            world_.route_to({2});
        } else if (what == 2) {
            world_.route_to({});
        } else if (what == 3) {
            world_.upstream->set_healthy("hello-1", random_.below(2) == 0);
        } else if (what < 12) {
            auto& client = clients_[random_.below(std::size(clients_))];
            if (client == nullptr) client = world_.connect();
            if (client != nullptr) act_on(client, kRequests[random_.below(std::size(kRequests))]);
        } else {
            auto& peers = world_.at[1 + static_cast<int>(random_.below(3))];
            if (peers.empty()) return;
            auto& peer = peers[peers.size() - 1 - random_.below(std::min<size_t>(peers.size(), 4))];
            if (peer != nullptr) act_on(peer, kAnswers[random_.below(std::size(kAnswers))]);
        }
    }

    SeededRandom random_;
    World world_;
    std::unique_ptr<Peer> clients_[6];
};

}  // namespace

TEST_CASE("nothing that clients and endpoints do leaves a trace") {
    for (uint64_t seed = 1; seed <= 150; ++seed) {
        INFO("seed " << seed);
        Chaos chaos(seed);
        chaos.run(300);
    }
}
