// The load for tests/bench/streams.mjs: a publisher and a consumer of durable streams over one
// plain TCP connection, so that the server under test is what waits last.
//     bench-bus-streams create HOST:PORT CREDS
//     bench-bus-streams publish HOST:PORT CREDS SIZE IN_FLIGHT MESSAGES
//     bench-bus-streams consume HOST:PORT CREDS MESSAGES: pulled, each acknowledged
// The stream is BENCH, of the subjects bench.>. They print one line of JSON: seconds, and for
// publishing the p50 and p99 of an acknowledgement in microseconds.

#include <algorithm>

#include "peer.h"

using namespace candela;
using namespace candela::bench;

namespace {

constexpr std::string_view kInbox = "_INBOX.bench.";

struct Answer {
    bool on_line(const bus::Line& line, std::string_view, std::string_view payload) {
        if (line.operation == bus::Operation::kMsg) text = payload;
        return true;
    }
    std::string text;
};

std::string request(Peer& peer, std::string_view subject, std::string_view body) {
    Answer answer;
    bus::ClientReader reader;
    peer.send(fmt::format("PUB {} {}0 {}\r\n{}\r\n", subject, kInbox, body.size(), body));
    while (answer.text.empty()) {
        if (reader.feed(peer.receive(), answer)) die("the server's answer is nonsense");
    }
    if (answer.text.find("\"error\"") != std::string::npos) die(answer.text);
    return answer.text;
}

class Publisher {
public:
    Publisher(Peer& peer, size_t size, size_t in_flight, size_t messages)
        : peer_(peer), body_(size, 'x'), left_(messages), sent_(in_flight) {
        micros_.reserve(messages);
    }

    // Each answer gives way to the next message.
    void run() {
        const size_t all = left_;
        for (size_t slot = 0; slot < sent_.size(); ++slot) publish(slot);
        bus::ClientReader reader;
        while (micros_.size() < all) {
            peer_.send(out_);
            out_.clear();
            if (reader.feed(peer_.receive(), *this)) die("the server's answer is nonsense");
        }
    }

    bool on_line(const bus::Line& line, std::string_view, std::string_view payload) {
        if (line.operation == bus::Operation::kPing) out_ += "PONG\r\n";
        if (line.operation != bus::Operation::kMsg) return true;
        if (payload.find("\"seq\"") == std::string_view::npos ||
            payload.find("\"error\"") != std::string_view::npos) {
            die(payload);
        }
        const size_t slot = *parse_uint(line.subject.substr(kInbox.size()));
        const std::chrono::duration<double, std::micro> taken = Clock::now() - sent_[slot];
        micros_.push_back(taken.count());
        publish(slot);
        return true;
    }

    std::vector<double>& micros() { return micros_; }

private:
    void publish(size_t slot) {
        if (left_ == 0) return;
        --left_;
        sent_[slot] = Clock::now();
        fmt::format_to(std::back_inserter(out_), "PUB bench.subject {}{} {}\r\n{}\r\n", kInbox,
                       slot, body_.size(), body_);
    }

    Peer& peer_;
    const std::string body_;
    size_t left_;
    std::vector<Clock::time_point> sent_;
    std::vector<double> micros_;
    std::string out_;
};

class Puller {
public:
    Puller(Peer& peer, size_t messages) : peer_(peer), left_(messages) {}

    void run() {
        bus::ClientReader reader;
        while (left_ != 0) {
            // Two requests are out, so that the server never waits for the next.
            for (; asked_ < 2 * kBatch; asked_ += kBatch) {
                const std::string body =
                    fmt::format("{{\"batch\":{},\"expires\":30000000000}}", kBatch);
                out_ += fmt::format("PUB $JS.API.CONSUMER.MSG.NEXT.BENCH.puller {}1 {}\r\n{}\r\n",
                                    kInbox, body.size(), body);
            }
            peer_.send(out_);
            out_.clear();
            if (reader.feed(peer_.receive(), *this)) die("the server's answer is nonsense");
        }
        peer_.send(out_);
        peer_.flush();
    }

    bool on_line(const bus::Line& line, std::string_view, std::string_view) {
        if (line.operation == bus::Operation::kPing) out_ += "PONG\r\n";
        if (line.operation != bus::Operation::kMsg || left_ == 0) return true;
        fmt::format_to(std::back_inserter(out_), "PUB {} 4\r\n+ACK\r\n", line.reply);
        --left_;
        --asked_;
        return true;
    }

private:
    static constexpr size_t kBatch = 500;

    Peer& peer_;
    size_t left_;
    size_t asked_ = 0;
    std::string out_;
};

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) {
    constexpr std::string_view kUsage = "usage: create|publish|consume HOST:PORT CREDS …";
    if (argc < 4) die(kUsage);
    const std::string_view mode = argv[1];
    const Result<Address> address = Address::parse(argv[2]);
    const Result<auth::Credentials> credentials = auth::load_creds(argv[3]);
    if (!address || !credentials) die("the address or the credentials are wrong");
    Peer peer(*address, *credentials);
    peer.send(fmt::format("SUB {}* 1\r\n", kInbox));
    peer.flush();
    if (mode == "create" && argc == 4) {
        request(peer, "$JS.API.STREAM.CREATE.BENCH",
                R"({"name":"BENCH","subjects":["bench.>"],"storage":"file"})");
        return 0;
    }
    if (mode == "publish" && argc == 7) {
        Publisher publisher(peer, number(argv[4]), number(argv[5]), number(argv[6]));
        const Clock::time_point start = Clock::now();
        publisher.run();
        const double seconds = seconds_since(start);
        std::vector<double>& micros = publisher.micros();
        std::sort(micros.begin(), micros.end());
        std::printf("{\"seconds\":%.6f,\"p50_us\":%.1f,\"p99_us\":%.1f}\n", seconds,
                    micros[micros.size() / 2], micros[micros.size() * 99 / 100]);
        return 0;
    }
    if (mode == "consume" && argc == 5) {
        request(
            peer, "$JS.API.CONSUMER.DURABLE.CREATE.BENCH.puller",
            R"({"stream_name":"BENCH","config":{"durable_name":"puller","ack_policy":"explicit",)"
            R"("max_ack_pending":20000,"deliver_policy":"all"}})");
        Puller puller(peer, number(argv[4]));
        const Clock::time_point start = Clock::now();
        puller.run();
        std::printf("{\"seconds\":%.6f}\n", seconds_since(start));
        request(peer, "$JS.API.CONSUMER.DELETE.BENCH.puller", "");
        return 0;
    }
    die(kUsage);
}
