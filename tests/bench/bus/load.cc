// The load for tests/bench/bus.mjs: publishers, subscribers and requesters over plain TCP, a thread
// for each, so that the server under test is what waits last.
//     bench-bus-load pubsub HOST:PORT CREDS SIZE SUBSCRIBERS MESSAGES
//     bench-bus-load request HOST:PORT CREDS SIZE REQUESTS
//     bench-bus-load mint DIR CREDS: credentials for the space "default" of the identity in DIR
// The others print one line of JSON: seconds, and for requests p50 and p99 in microseconds.

#include <algorithm>
#include <memory>
#include <thread>

#include "auth/identity.h"
#include "loop/file.h"
#include "peer.h"

using namespace candela;
using namespace candela::bench;

namespace {

// Counts whole messages by bytes: all of them have the same length here.
void run_pubsub(const Address& address, const auth::Credentials& credentials, size_t size,
                size_t subscribers, size_t messages) {
    const std::string body(size, 'x');
    const std::string frame = fmt::format("PUB bench.subject {}\r\n{}\r\n", size, body);
    const size_t message_bytes = fmt::format("MSG bench.subject 1 {}\r\n{}\r\n", size, body).size();
    std::vector<std::unique_ptr<Peer>> readers;
    for (size_t i = 0; i < subscribers; ++i) {
        readers.push_back(std::make_unique<Peer>(address, credentials));
        readers.back()->send("SUB bench.subject 1\r\n");
        readers.back()->flush();
    }
    Peer publisher(address, credentials);
    const Clock::time_point start = Clock::now();
    std::vector<std::thread> threads;
    for (const auto& reader : readers) {
        threads.emplace_back([&reader, expected = messages * message_bytes] {
            size_t got = 0;
            while (got < expected) got += reader->receive().size();
        });
    }
    std::string batch;
    size_t in_batch = 0;
    for (size_t i = 0; i < messages; ++i) {
        batch += frame;
        ++in_batch;
        if (batch.size() < 32 * 1024 && i + 1 != messages) continue;
        publisher.send(batch);
        batch.clear();
    }
    for (std::thread& thread : threads) thread.join();
    const std::chrono::duration<double> seconds = Clock::now() - start;
    std::printf("{\"seconds\":%.6f}\n", seconds.count());
}

void run_request(const Address& address, const auth::Credentials& credentials, size_t size,
                 size_t requests) {
    const std::string body(size, 'x');
    Peer service(address, credentials);
    service.send("SUB bench.service 1\r\n");
    service.flush();
    std::thread answering([&] {
        struct Handler {
            bool on_line(const bus::Line& line, std::string_view, std::string_view payload) {
                if (line.operation == bus::Operation::kPing) out += "PONG\r\n";
                if (line.operation != bus::Operation::kMsg) return true;
                out += fmt::format("PUB {} {}\r\n{}\r\n", line.reply, payload.size(), payload);
                is_last = payload.starts_with("end");
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
    });
    Peer asker(address, credentials);
    asker.send("SUB _INBOX.bench.* 1\r\n");
    asker.flush();
    struct Answers {
        bool on_line(const bus::Line& line, std::string_view, std::string_view) {
            if (line.operation == bus::Operation::kMsg) ++count;
            return true;
        }
        size_t count = 0;
    } answers;
    bus::ClientReader reader;
    std::vector<double> micros;
    micros.reserve(requests);
    const Clock::time_point start = Clock::now();
    for (size_t i = 0; i < requests; ++i) {
        const std::string& text = i + 1 == requests ? "end" + body : body;
        const Clock::time_point sent = Clock::now();
        asker.send(
            fmt::format("PUB bench.service _INBOX.bench.{} {}\r\n{}\r\n", i, text.size(), text));
        while (answers.count == i) {
            if (reader.feed(asker.receive(), answers)) die("the asker read nonsense");
        }
        micros.push_back(std::chrono::duration<double, std::micro>(Clock::now() - sent).count());
    }
    const std::chrono::duration<double> seconds = Clock::now() - start;
    answering.join();
    std::sort(micros.begin(), micros.end());
    std::printf("{\"seconds\":%.6f,\"p50_us\":%.1f,\"p99_us\":%.1f}\n", seconds.count(),
                micros[micros.size() / 2], micros[micros.size() * 99 / 100]);
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
    if (argc < 6) die("usage: pubsub|request HOST:PORT CREDS SIZE …");
    const std::string_view mode = argv[1];
    const Result<Address> address = Address::parse(argv[2]);
    const Result<auth::Credentials> credentials = auth::load_creds(argv[3]);
    if (!address || !credentials) die("the address or the credentials are wrong");
    if (mode == "pubsub" && argc == 7) {
        run_pubsub(*address, *credentials, number(argv[4]), number(argv[5]), number(argv[6]));
    } else if (mode == "request" && argc == 6) {
        run_request(*address, *credentials, number(argv[4]), number(argv[5]));
    } else {
        die("usage: pubsub|request HOST:PORT CREDS SIZE …");
    }
    return 0;
}
