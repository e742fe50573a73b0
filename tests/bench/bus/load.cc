// The load for tests/bench/bus.mjs, over plain TCP: as little as can be, so that the server under
// test is what waits last.
//     bench-bus-load mint DIR CREDS: credentials for the space "default" of the identity in DIR
//     bench-bus-load pubsub HOST:PORT CREDS SIZE SUBSCRIBERS MESSAGES
//     bench-bus-load request HOST:PORT CREDS SIZE CLIENTS REQUESTS: each client one at a time
//     bench-bus-load match HOST:PORT CREDS SUBSCRIPTIONS
//     bench-bus-load idle HOST:PORT CREDS CONNECTIONS
// pubsub and request print one line of JSON: seconds, and for requests p50 and p99 in microseconds.
// The other two prepare, print "ready", and stay until their input ends; for each number that it
// reads, match publishes so many messages, every one to a subject of its own with one receiver, and
// prints a line.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "auth/identity.h"
#include "loop/file.h"
#include "peer.h"

using namespace candela;
using namespace candela::bench;

namespace {

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

std::vector<std::unique_ptr<Peer>> open_peers(const Address& address,
                                              const auth::Credentials& credentials, size_t count) {
    std::vector<std::unique_ptr<Peer>> peers;
    for (size_t i = 0; i < count; ++i) {
        peers.push_back(std::make_unique<Peer>(address, credentials));
    }
    return peers;
}

// Whole messages are counted by their bytes: all have the same length.
void read_bytes(const std::vector<std::unique_ptr<Peer>>& peers, size_t total) {
    if (peers.size() == 1) {
        for (size_t got = 0; got < total;) got += peers[0]->receive().size();
        return;
    }
    Poller poller;
    for (size_t i = 0; i < peers.size(); ++i) poller.add(*peers[i], i);
    for (size_t got = 0; got < total;) {
        poller.wait([&](size_t i) { got += peers[i]->receive().size(); });
    }
}

// Sends what `make` appends for each of the messages, in large pieces.
template <class Make>
void send_all(Peer& publisher, size_t messages, Make make) {
    std::string batch;
    for (size_t i = 0; i < messages; ++i) {
        make(batch, i);
        if (batch.size() < 32 * 1024 && i + 1 != messages) continue;
        publisher.send(batch);
        batch.clear();
    }
}

void run_pubsub(const Address& address, const auth::Credentials& credentials, size_t size,
                size_t subscribers, size_t messages) {
    const std::string body(size, 'x');
    const std::string frame = fmt::format("PUB bench.subject {}\r\n{}\r\n", size, body);
    const size_t message_bytes = fmt::format("MSG bench.subject 1 {}\r\n{}\r\n", size, body).size();
    const auto readers = open_peers(address, credentials, subscribers);
    for (const auto& reader : readers) {
        reader->send("SUB bench.subject 1\r\n");
        reader->flush();
    }
    Peer publisher(address, credentials);
    const Clock::time_point start = Clock::now();
    std::thread reading([&] { read_bytes(readers, messages * message_bytes * subscribers); });
    send_all(publisher, messages, [&](std::string& batch, size_t) { batch += frame; });
    reading.join();
    std::printf("{\"seconds\":%.6f}\n", seconds_since(start));
}

// Answers each request with its payload, until one that begins with "end".
void serve(Peer& service) {
    struct Handler {
        bool on_line(const bus::Line& line, std::string_view, std::string_view payload) {
            if (line.operation == bus::Operation::kPing) out += "PONG\r\n";
            if (line.operation != bus::Operation::kMsg) return true;
            out += fmt::format("PUB {} {}\r\n{}\r\n", line.reply, payload.size(), payload);
            is_last = is_last || payload.starts_with("end");
            return true;
        }
        std::string out;
        bool is_last = false;
    } handler;
    bus::ClientReader reader;
    while (!handler.is_last) {
        if (reader.feed(service.receive(), handler)) die("the service read nonsense");
        service.send(handler.out);
        handler.out.clear();
    }
}

struct Asker {
    bool on_line(const bus::Line& line, std::string_view, std::string_view) {
        if (line.operation == bus::Operation::kMsg) ++answers;
        return true;
    }
    bus::ClientReader reader;
    Clock::time_point sent;
    size_t answers = 0;
    size_t asked = 0;
};

void run_request(const Address& address, const auth::Credentials& credentials, size_t size,
                 size_t clients, size_t requests) {
    const std::string body(size, 'x');
    Peer service(address, credentials);
    service.send("SUB bench.service 1\r\n");
    service.flush();
    std::thread answering([&] { serve(service); });
    const auto peers = open_peers(address, credentials, clients);
    std::vector<Asker> askers(clients);
    Poller poller;
    for (size_t i = 0; i < clients; ++i) {
        peers[i]->send(fmt::format("SUB _INBOX.{}.* 1\r\n", i));
        peers[i]->flush();
        poller.add(*peers[i], i);
    }
    const auto ask = [&](size_t i) {
        askers[i].sent = Clock::now();
        peers[i]->send(fmt::format("PUB bench.service _INBOX.{}.{} {}\r\n{}\r\n", i,
                                   askers[i].asked, body.size(), body));
        ++askers[i].asked;
    };
    std::vector<double> micros;
    micros.reserve(requests);
    const Clock::time_point start = Clock::now();
    for (size_t i = 0; i < clients; ++i) ask(i);
    while (micros.size() < requests) {
        poller.wait([&](size_t i) {
            Asker& asker = askers[i];
            if (asker.reader.feed(peers[i]->receive(), asker)) die("an asker read nonsense");
            if (asker.answers != asker.asked) return;
            micros.push_back(seconds_since(asker.sent) * 1e6);
            if (micros.size() + clients <= requests) ask(i);
        });
    }
    const double seconds = seconds_since(start);
    peers[0]->send("PUB bench.service _INBOX.0.end 3\r\nend\r\n");
    answering.join();
    std::sort(micros.begin(), micros.end());
    std::printf("{\"seconds\":%.6f,\"p50_us\":%.1f,\"p99_us\":%.1f}\n", seconds,
                micros[micros.size() / 2], micros[micros.size() * 99 / 100]);
}

// Half of the subscriptions are "dev.A.B.*", and each message is to one of them; the other half,
// "dev.A.*.C", have to be looked at as well, and get nothing. Five million subjects and more are
// published to by turns, so that no cache helps.
void run_match(const Address& address, const auth::Credentials& credentials, size_t subscriptions) {
    constexpr size_t kWidth = 100;
    const size_t devices = subscriptions / 2 / kWidth;
    const auto readers = open_peers(address, credentials, 4);
    for (size_t a = 0; a < devices; ++a) {
        std::string batch;
        for (size_t b = 0; b < kWidth; ++b) {
            batch += fmt::format("SUB dev.{}.{}.* {}\r\nSUB dev.{}.*.{} x{}\r\n", a + 1000, b + 100,
                                 a * kWidth + b + 100'000, a + 1000, b, a * kWidth + b);
        }
        readers[a % readers.size()]->send(batch);
    }
    for (const auto& reader : readers) reader->flush();
    Peer publisher(address, credentials);
    std::puts("ready");
    std::fflush(stdout);
    size_t next = 1;
    for (size_t messages = 0; std::cin >> messages;) {
        const size_t bytes = std::string_view("MSG dev.1000.100.10000 100000 2\r\nhi\r\n").size();
        const Clock::time_point start = Clock::now();
        std::thread reading([&] { read_bytes(readers, messages * bytes); });
        send_all(publisher, messages, [&](std::string& batch, size_t) {
            next = next * 6364136223846793005U + 1442695040888963407U;
            const size_t chance = next >> 24;
            fmt::format_to(std::back_inserter(batch), "PUB dev.{}.{}.{} 2\r\nhi\r\n",
                           chance % devices + 1000, chance / devices % kWidth + 100,
                           chance / 100'000 % 90'000 + 10'000);
        });
        reading.join();
        std::printf("{\"seconds\":%.6f}\n", seconds_since(start));
        std::fflush(stdout);
    }
}

void run_idle(const Address& address, const auth::Credentials& credentials, size_t connections) {
    const auto peers = open_peers(address, credentials, connections);
    std::puts("ready");
    std::fflush(stdout);
    for (std::string line; std::getline(std::cin, line);) continue;
}

void mint(const std::filesystem::path& dir, const std::filesystem::path& file) {
    const WallTime now = std::chrono::system_clock::now();
    const Result<auth::Identity> identity = auth::load_identity(dir);
    if (!identity) die(identity.error().message());
    const auth::KeyPair key = auth::KeyPair::generate(auth::KeyKind::kUser);
    auth::UserRequest request;
    request.public_key = key.public_key();
    request.name = "bench";
    const Result<std::string> jwt =
        auth::mint_user(*identity->find_account(auth::kDefaultSpace), request, now);
    if (!jwt) die(jwt.error().message());
    const Secret text = auth::format_creds(*jwt, key);
    if (!write_file(file, text.reveal(), 0600)) die("can't write the credentials");
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 4 && std::string_view(argv[1]) == "mint") {
        mint(argv[2], argv[3]);
        return 0;
    }
    constexpr std::string_view kUsage = "usage: pubsub|request|match|idle HOST:PORT CREDS …";
    if (argc < 5) die(kUsage);
    const std::string_view mode = argv[1];
    const Result<Address> address = Address::parse(argv[2]);
    const Result<auth::Credentials> credentials = auth::load_creds(argv[3]);
    if (!address || !credentials) die("the address or the credentials are wrong");
    if (mode == "pubsub" && argc == 7) {
        run_pubsub(*address, *credentials, number(argv[4]), number(argv[5]), number(argv[6]));
    } else if (mode == "request" && argc == 7) {
        run_request(*address, *credentials, number(argv[4]), number(argv[5]), number(argv[6]));
    } else if (mode == "match" && argc == 5) {
        run_match(*address, *credentials, number(argv[4]));
    } else if (mode == "idle" && argc == 5) {
        run_idle(*address, *credentials, number(argv[4]));
    } else {
        die(kUsage);
    }
    return 0;
}
