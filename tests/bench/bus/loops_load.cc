// The load for tests/bench/bus_loops.mjs: many publishers and subscribers over plain TCP.
//     bench-bus-loops-load HOST:PORT CREDS SIZE pairs|fanout|queue PUBLISHERS SUBSCRIBERS MESSAGES
// Each publisher sends so many: to a subscriber of its own, to all, or to one of them. Prints one
// line of JSON: seconds.

#include <algorithm>
#include <memory>
#include <numeric>
#include <random>
#include <thread>

#include "peer.h"

using namespace candela;
using namespace candela::bench;

namespace {

struct Load {
    size_t size;
    std::string pattern;
    size_t publishers;
    size_t subscribers;
    size_t messages;  // of each publisher

    std::string subject(size_t i) const {
        return fmt::format("bench.{:03}", pattern == "pairs" ? i : 0);
    }
    size_t bytes_expected() const {
        const std::string body(size, 'x');
        const size_t receivers = pattern == "fanout" ? subscribers : 1;
        const std::string message = fmt::format("MSG {} 1 {}\r\n{}\r\n", subject(0), size, body);
        return publishers * messages * receivers * message.size();
    }
};

// Publishers first, each kind in a random order: they are spread evenly over the server's loops,
// and those that talk to each other are as likely on different loops as on one.
std::vector<std::unique_ptr<Peer>> connect_all(const Load& load, const Address& address,
                                               const auth::Credentials& credentials) {
    std::vector<std::unique_ptr<Peer>> peers(load.publishers + load.subscribers);
    std::vector<size_t> order(peers.size());
    std::iota(order.begin(), order.end(), 0);
    std::minstd_rand random(12345);
    const auto first_subscriber = order.begin() + static_cast<ptrdiff_t>(load.publishers);
    std::shuffle(order.begin(), first_subscriber, random);
    std::shuffle(first_subscriber, order.end(), random);
    for (const size_t i : order) {
        peers[i] = std::make_unique<Peer>(address, credentials);
        if (i < load.publishers) continue;
        const std::string subject = load.subject(i - load.publishers);
        peers[i]->send(fmt::format("SUB {} {} 1\r\n", subject, load.pattern == "queue" ? "q" : ""));
        peers[i]->flush();
    }
    return peers;
}

void publish(Peer& peer, const Load& load, size_t index) {
    const std::string frame = fmt::format("PUB {} {}\r\n{}\r\n", load.subject(index), load.size,
                                          std::string(load.size, 'x'));
    std::string batch;
    for (size_t sent = 0; sent < load.messages; ++sent) {
        batch += frame;
        if (batch.size() < 32 * 1024 && sent + 1 != load.messages) continue;
        peer.send(batch);
        batch.clear();
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 8)
        die("usage: HOST:PORT CREDS SIZE pairs|fanout|queue PUBLISHERS SUBSCRIBERS MESSAGES");
    const Result<Address> address = Address::parse(argv[1]);
    const Result<auth::Credentials> credentials = auth::load_creds(argv[2]);
    if (!address || !credentials) die("the address or the credentials are wrong");
    const Load load{number(argv[3]), argv[4], number(argv[5]), number(argv[6]), number(argv[7])};
    const std::vector<std::unique_ptr<Peer>> peers = connect_all(load, *address, *credentials);
    const size_t expected = load.bytes_expected();
    Poller poller;
    for (size_t i = load.publishers; i < peers.size(); ++i) poller.add(*peers[i], i);
    const Clock::time_point start = Clock::now();
    std::vector<std::thread> threads;
    for (size_t i = 0; i < load.publishers; ++i) {
        threads.emplace_back([&, i] { publish(*peers[i], load, i); });
    }
    size_t got = 0;
    while (got < expected) {
        poller.wait([&](size_t index) { got += peers[index]->receive().size(); });
    }
    for (std::thread& thread : threads) thread.join();
    const std::chrono::duration<double> seconds = Clock::now() - start;
    std::printf("{\"seconds\":%.6f}\n", seconds.count());
    return 0;
}
