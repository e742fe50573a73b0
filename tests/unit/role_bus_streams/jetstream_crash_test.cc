// Durable streams as clients see them, on a disk whose power fails at any write and in a process
// that is killed: publishers and a consumer over the protocol, and a checker. It proves that
// nothing acknowledged is missing or changed, nothing is handed out that was not published, each
// publisher's messages keep their order, what was handed out stays, and what was acked twice (the
// ack was answered) never comes again. A run is given by its seed (seeds.h), which a failure
// prints.

#include <catch2/catch_test_macros.hpp>

#include <map>
#include <set>

#include "base/text.h"
#include "bus/protocol.h"
#include "role_bus/cloud.h"
#include "seeds.h"
#include "sim_disk.h"
#include "streams/jetstream.h"
#include "streams/store.h"

namespace candela::bus_role {
namespace {

using test::Cloud;
using test::RawClient;

constexpr int kPublishers = 3;
constexpr int kRounds = 4;
constexpr int kWindow = 6;

struct Received {
    std::string subject;
    std::string reply;
    std::string payload;
};

// One connection that lives until the bus ends.
class Peer {
public:
    Peer(RawClient& client, const std::string& inbox) : client_(client), inbox_(inbox) {
        client_.send("SUB " + inbox_ + ".> 1\r\n");
    }
    void publish(std::string_view subject, std::string_view reply, std::string_view payload) {
        std::string line = fmt::format("PUB {} ", subject);
        if (!reply.empty()) line += fmt::format("{}.{} ", inbox_, reply);
        client_.send(fmt::format("{}{}\r\n{}\r\n", line, payload.size(), payload));
    }
    std::vector<Received> receive() {
        Taker taker;
        REQUIRE_FALSE(reader_.feed(client_.take(), taker).has_value());
        return std::move(taker.messages);
    }
    std::string name_of(const Received& message) const {
        return message.subject.substr(inbox_.size() + 1);
    }
    bool is_ours(const Received& message) const {
        return message.subject.starts_with(inbox_ + ".");
    }
    std::string inbox(std::string_view name) const { return fmt::format("{}.{}", inbox_, name); }

private:
    struct Taker {
        bool on_line(const bus::Line& line, std::string_view, std::string_view payload) {
            if (line.operation == bus::Operation::kMsg || line.operation == bus::Operation::kHmsg) {
                messages.push_back(
                    {std::string(line.subject), std::string(line.reply), std::string(payload)});
            }
            return true;
        }
        std::vector<Received> messages;
    };
    RawClient& client_;
    const std::string inbox_;
    bus::ClientReader reader_;
};

class Run {
public:
    explicit Run(uint64_t seed)
        : random_(seed), cloud_({}, seed), disk_(std::make_unique<SimDisk>()) {
        cloud_.server.reset();
    }
    ~Run() { close(); }

    void go() {
        for (int round = 0; round < kRounds; ++round) {
            open();
            check_stream();
            disk_->fail_after(20 + random_.below(300));
            work();
            close();
            disk_ = random_.below(3) == 0 ? disk_->after_kill() : disk_->after_power_cut(random_);
        }
        open();
        check_stream();
        check_redelivery();
    }

private:
    void open() {
        cloud_.api.reset();
        auth::OperatorClaims claims;
        claims.subject = cloud_.operator_key.public_key();
        claims.name = "test";
        claims.system_account = cloud_.system.public_key();
        cloud_.server =
            std::make_unique<Server>(*cloud_.loop, ServerOptions(), Accounts(claims), Logger());
        for (const auth::Account* account : {&cloud_.system, &cloud_.shop}) {
            REQUIRE(cloud_.server->put_account(account->jwt));
        }
        StoreOptions options;
        options.log_bytes_max = 6 * 1024;
        options.log_chunk_bytes = 1024;
        options.segment_bytes_max = 4 * 1024;
        options.cache_bytes_max = 2 * 1024;
        options.index_bytes_max = 0;
        options.index_blocks_kept = 3;
        options.has_thread = false;
        auto store = Store::open(*cloud_.loop, *disk_, options, random_.next(), Logger());
        REQUIRE(store);
        store_ = std::move(*store);
        js_ = std::make_unique<JetStream>(*cloud_.server, *store_);
        REQUIRE(cloud_.server->listen(Address::tcp("10.0.0.1", 4222)));
        peer_ = std::make_unique<Peer>(cloud_.log_in(), "_INBOX.crash");
        ask("$JS.API.STREAM.CREATE.S", R"({"name":"S","subjects":["p.>"],"storage":"file"})");
        ask("$JS.API.CONSUMER.DURABLE.CREATE.S.C",
            R"({"stream_name":"S","config":{"durable_name":"C","ack_policy":"explicit",)"
            R"("ack_wait":400000000,"max_ack_pending":1000,"deliver_policy":"all"}})");
    }

    void close() {
        peer_.reset();
        cloud_.raw.clear();
        js_.reset();
        store_.reset();
        cloud_.server.reset();
        cloud_.world.run_for(100ms);
    }

    std::string ask(std::string_view subject, std::string_view body) {
        peer_->publish(subject, "answer", body);
        std::string answer;
        const bool is_answered = cloud_.world.run_until(
            [&] {
                for (const Received& message : peer_->receive()) {
                    if (peer_->is_ours(message) && peer_->name_of(message) == "answer") {
                        answer = message.payload;
                    } else {
                        take(message);
                    }
                }
                return !answer.empty();
            },
            5s);
        INFO(subject << " " << body);
        REQUIRE(is_answered);
        return answer;
    }

    // Publishes, pulls and acks until the disk fails.
    void work() {
        waiting_.assign(kPublishers, 0);
        wants_pull_ = true;
        for (int step = 0; step < 2000 && !disk_->has_failed(); ++step) {
            for (int publisher = 0; publisher < kPublishers; ++publisher) {
                if (waiting_[publisher] < kWindow && random_.below(3) == 0) publish(publisher);
            }
            if (wants_pull_) {
                peer_->publish("$JS.API.CONSUMER.MSG.NEXT.S.C", "pull",
                               R"({"batch":5,"expires":200000000})");
                wants_pull_ = false;
                pull_left_ = 5;
            }
            cloud_.world.run_for(Duration(static_cast<int64_t>(random_.below(3'000'000))));
            for (const Received& message : peer_->receive()) take(message);
        }
        cloud_.world.run_for(50ms);
        for (const Received& message : peer_->receive()) take(message);
    }

    void publish(int publisher) {
        const uint64_t number = ++numbers_[publisher];
        const std::string payload =
            fmt::format("{} {} {}", publisher, number,
                        std::string(random_.below(random_.below(8) == 0 ? 2000 : 40), 'x'));
        sent_.insert(payload);
        by_number_[{publisher, number}] = payload;
        ++waiting_[publisher];
        peer_->publish(fmt::format("p.{}", publisher), fmt::format("ack.{}.{}", publisher, number),
                       payload);
    }

    void take(const Received& message) {
        if (message.reply.starts_with("$JS.ACK.")) {
            take_delivery(message);
            return;
        }
        if (!peer_->is_ours(message)) return;
        const std::string full_name = peer_->name_of(message);
        const std::vector<std::string_view> name = split(full_name, '.');
        if (name[0] == "ack") {
            take_answer(static_cast<int>(*parse_uint(name[1])), *parse_uint(name[2]),
                        message.payload);
        } else if (name[0] == "acked") {
            settled_.insert(*parse_uint(name[1]));
        } else if (name[0] == "pull") {
            wants_pull_ = true;  // a status: it has ended
        }
    }

    void take_answer(int publisher, uint64_t number, const std::string& text) {
        --waiting_[publisher];
        const size_t at = text.find("\"seq\":");
        if (at == std::string::npos || text.find("\"error\"") != std::string::npos) return;
        const uint64_t sequence = std::strtoull(text.c_str() + at + 6, nullptr, 10);
        REQUIRE(kept_.emplace(sequence, by_number_[{publisher, number}]).second);
    }

    void take_delivery(const Received& message) {
        const std::vector<std::string_view> words = split(message.reply, '.');
        const uint64_t sequence = *parse_uint(words[5]);
        INFO("delivered " << sequence << ": " << message.payload);
        REQUIRE(sent_.contains(message.payload));
        REQUIRE_FALSE(settled_.contains(sequence));
        // What somebody has seen is as good as acknowledged.
        const auto [known, is_new] = delivered_.emplace(sequence, message.payload);
        REQUIRE(known->second == message.payload);
        if (--pull_left_ == 0) wants_pull_ = true;
        const uint64_t dice = acks_all_ ? 0 : random_.below(4);
        if (dice < 3) maybe_acked_.insert(sequence);
        if (dice < 2) {
            peer_->publish(message.reply, fmt::format("acked.{}", sequence), "+ACK");
        } else if (dice == 2) {
            peer_->publish(message.reply, {}, "+ACK");
        }
    }

    // What the stream holds, read one by one.
    void check_stream() {
        StreamLog& log = *store_->logs().begin()->second;
        REQUIRE(store_->counters().damaged_places == 0);
        std::vector<uint64_t> last(kPublishers, 0);
        std::map<uint64_t, std::string> found;
        for (uint64_t s = log.first_sequence(); s <= log.last_sequence(); ++s) {
            INFO("sequence " << s);
            std::optional<std::string> payload;
            bool is_read = false;
            js_->read(log, s, [&](const RecordView* view) {
                is_read = true;
                if (view != nullptr) payload = std::string(view->payload);
            });
            REQUIRE(cloud_.world.run_until([&] { return is_read; }, 5s));
            // Nothing is ever removed from this stream.
            REQUIRE(payload);
            REQUIRE(sent_.contains(*payload));
            const std::vector<std::string_view> words = split(*payload, ' ');
            const uint64_t publisher = *parse_uint(words[0]);
            const uint64_t number = *parse_uint(words[1]);
            REQUIRE(number > last[publisher]);
            last[publisher] = number;
            found[s] = *payload;
        }
        for (const auto* known : {&kept_, &delivered_}) {
            for (const auto& [sequence, payload] : *known) {
                INFO("acknowledged or delivered: " << sequence);
                REQUIRE(found.contains(sequence));
                REQUIRE(found[sequence] == payload);
            }
        }
        // It has been served now, and is known by its sequence.
        delivered_.insert(found.begin(), found.end());
    }

    // Everything that was not acked comes, in the end, and nothing else.
    void check_redelivery() {
        StreamLog& log = *store_->logs().begin()->second;
        wants_pull_ = true;
        acks_all_ = true;
        // An ack that was not answered may have been kept, or not.
        const auto is_all_settled = [&] {
            for (uint64_t s = log.first_sequence(); s <= log.last_sequence(); ++s) {
                if (!settled_.contains(s) && !maybe_acked_.contains(s)) return false;
            }
            return true;
        };
        const bool is_done = cloud_.world.run_until(
            [&] {
                if (wants_pull_) {
                    peer_->publish("$JS.API.CONSUMER.MSG.NEXT.S.C", "pull",
                                   R"({"batch":5,"expires":200000000})");
                    wants_pull_ = false;
                    pull_left_ = 5;
                }
                for (const Received& message : peer_->receive()) take(message);
                return is_all_settled();
            },
            120s);
        REQUIRE(is_done);
    }

    SeededRandom random_;
    Cloud cloud_;
    std::unique_ptr<SimDisk> disk_;
    std::unique_ptr<Store> store_;
    std::unique_ptr<JetStream> js_;
    std::unique_ptr<Peer> peer_;

    std::map<int, uint64_t> numbers_;
    std::map<std::pair<int, uint64_t>, std::string> by_number_;
    std::set<std::string> sent_;
    std::vector<int> waiting_;
    std::map<uint64_t, std::string> kept_;       // acknowledged, by sequence
    std::map<uint64_t, std::string> delivered_;  // seen by somebody
    std::set<uint64_t> settled_;                 // their acks were answered
    std::set<uint64_t> maybe_acked_;             // an ack was sent
    bool acks_all_ = false;
    bool wants_pull_ = true;
    int pull_left_ = 0;
};

TEST_CASE("clients lose nothing that was acknowledged, whatever fails", "[streams][sim]") {
    for (const uint64_t seed : seeds(120)) {
        INFO("replay with CANDELA_SIM_SEED=" << seed);
        Run(seed).go();
    }
}

}  // namespace
}  // namespace candela::bus_role
