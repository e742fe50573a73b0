// Random work on three loops, compared with what one plain list of subscriptions would do.

#include <catch2/catch_test_macros.hpp>
#include <cstdlib>
#include <map>
#include <random>
#include <set>

#include "auth/permissions.h"
#include "base/text.h"
#include "loops_cloud.h"

using namespace test;

namespace {

struct Got {
    std::string sid;
    std::string payload;
};

// What MSG lines there are; "" where there is anything else.
std::vector<Got> parse(std::string_view text) {
    std::vector<Got> out;
    while (!text.empty()) {
        const size_t line_end = text.find("\r\n");
        const std::vector<std::string_view> words = split(text.substr(0, line_end), ' ');
        REQUIRE(words.size() == 4);
        REQUIRE(words[0] == "MSG");
        const size_t size = *parse_uint(words[3]);
        out.push_back(Got{std::string(words[2]), std::string(text.substr(line_end + 2, size))});
        text.remove_prefix(line_end + 2 + size + 2);
    }
    return out;
}

struct ModelSubscription {
    std::string subject;
    std::string queue;
};

struct ModelClient {
    RawClient* raw;
    std::map<std::string, ModelSubscription> subscriptions;  // by sid
    int next_sid = 1;
};

class Model {
public:
    Model(uint64_t seed, Duration post_latency) : cloud(3, {}, seed), random(seed * 31 + 7) {
        cloud.world.set_post_latency_max(post_latency);
        for (size_t i = 0; i < 7; ++i) add_client(i % 3);
    }

    void round() {
        change_subscriptions();
        const size_t publisher = random.below(clients.size());
        publish(publisher);
        check();
    }

private:
    std::string token(bool may_be_wild) {
        static const char* const tokens[] = {"a", "b", "c", "*"};
        return tokens[random.below(may_be_wild ? 4 : 3)];
    }
    std::string subject(bool may_be_wild) {
        std::string out = token(may_be_wild);
        for (uint64_t i = random.below(3); i > 0; --i) out += "." + token(may_be_wild);
        if (may_be_wild && random.below(5) == 0) out += ".>";
        return out;
    }

    void add_client(size_t loop) { clients.push_back(ModelClient{&cloud.log_in(loop), {}, 1}); }

    // Each client makes some changes; then all flush, and from there on all loops must know.
    void change_subscriptions() {
        if (random.below(6) == 0) {
            const size_t victim = random.below(clients.size());
            clients[victim].raw->stream.reset();
            clients.erase(clients.begin() + static_cast<ptrdiff_t>(victim));
            cloud.world.run_for(500ms);
            add_client(random.below(3));
        }
        for (ModelClient& client : clients) {
            std::string text;
            for (uint64_t i = random.below(5); i > 0; --i) {
                if (client.subscriptions.size() > 6 ||
                    (!client.subscriptions.empty() && random.below(2) == 0)) {
                    auto victim = client.subscriptions.begin();
                    std::advance(victim,
                                 static_cast<ptrdiff_t>(random.below(client.subscriptions.size())));
                    text += fmt::format("UNSUB {}\r\n", victim->first);
                    client.subscriptions.erase(victim);
                    continue;
                }
                const std::string sid = std::to_string(client.next_sid++);
                ModelSubscription made{subject(true), ""};
                if (random.below(3) == 0) made.queue = random.below(2) == 0 ? "q" : "r";
                text += fmt::format("SUB {} {} {}\r\n", made.subject, made.queue, sid);
                client.subscriptions[sid] = made;
            }
            REQUIRE(cloud.talk(*client.raw, text).empty());
        }
    }

    void publish(size_t publisher) {
        std::string text;
        sent.clear();
        for (int i = 0; i < 12; ++i) {
            const std::string to = subject(false);
            const std::string payload = fmt::format("m{}", ++last_message);
            text += fmt::format("PUB {} {}\r\n{}\r\n", to, payload.size(), payload);
            sent.emplace_back(payload, to);
        }
        received.clear();
        received[publisher] = parse(cloud.talk(*clients[publisher].raw, text));
    }

    void check() {
        // payload → who (client, sid) got it
        std::map<std::string, std::multiset<std::pair<size_t, std::string>>> got;
        for (size_t i = 0; i < clients.size(); ++i) {
            std::vector<Got> all = received[i];
            for (const Got& each : parse(cloud.talk(*clients[i].raw, ""))) all.push_back(each);
            std::map<std::string, size_t> last;  // of each subscription, the last message
            for (const Got& each : all) {
                got[each.payload].emplace(i, each.sid);
                const size_t number = *parse_uint(std::string_view(each.payload).substr(1));
                REQUIRE(number > last[each.sid]);
                last[each.sid] = number;
            }
        }
        for (const auto& [payload, to] : sent) {
            std::multiset<std::pair<size_t, std::string>> receivers = got[payload];
            std::map<std::string, std::set<std::pair<size_t, std::string>>> groups;
            for (size_t i = 0; i < clients.size(); ++i) {
                for (const auto& [sid, each] : clients[i].subscriptions) {
                    if (!auth::subject_matches(each.subject, to)) continue;
                    if (!each.queue.empty()) {
                        groups[each.queue].emplace(i, sid);
                        continue;
                    }
                    INFO(payload << " to " << to << " for client " << i << " sid " << sid);
                    const auto found = receivers.find({i, sid});
                    REQUIRE(found != receivers.end());
                    receivers.erase(found);
                }
            }
            for (const auto& [queue, members] : groups) {
                INFO(payload << " to " << to << " for the group " << queue);
                const auto found = std::find_if(receivers.begin(), receivers.end(),
                                                [&](const auto& r) { return members.contains(r); });
                REQUIRE(found != receivers.end());
                receivers.erase(found);
            }
            INFO(payload << " to " << to);
            REQUIRE(receivers.empty());
        }
    }

    LoopsCloud cloud;
    SeededRandom random;
    std::vector<ModelClient> clients;
    std::vector<std::pair<std::string, std::string>> sent;  // payload, subject
    std::map<size_t, std::vector<Got>> received;
    size_t last_message = 0;
};

}  // namespace

TEST_CASE("three_loops_deliver_what_a_plain_list_of_subscriptions_would", "[sim]") {
    const char* runs = std::getenv("CANDELA_SIM_RUNS");
    const uint64_t first = runs != nullptr ? std::random_device()() : 1;
    const int count = runs != nullptr ? std::atoi(runs) : 3;
    for (int i = 0; i < count; ++i) {
        const uint64_t seed = first + static_cast<uint64_t>(i);
        INFO("seed " << seed);
        Model model(seed, Duration(std::chrono::microseconds(seed % 3 * 700)));
        for (int round = 0; round < 60; ++round) model.round();
    }
}

TEST_CASE("a_sublist_knows_which_loops_want_a_subject") {
    SeededRandom random(5);
    const auto subject = [&](bool may_be_wild) {
        static const char* const tokens[] = {"a", "b", "*"};
        std::string out = tokens[random.below(may_be_wild ? 3 : 2)];
        for (uint64_t i = random.below(3); i > 0; --i)
            out += std::string(".") + tokens[random.below(may_be_wild ? 3 : 2)];
        if (may_be_wild && random.below(4) == 0) out += ".>";
        return out;
    };
    Sublist sublist;
    std::map<std::tuple<uint32_t, std::string, std::string>, uint32_t> known;
    for (int round = 0; round < 3000; ++round) {
        const auto loop = static_cast<uint32_t>(random.below(3));
        const std::string queue = random.below(2) == 0 ? "" : "q";
        const std::string pattern = subject(true);
        const auto count = static_cast<uint32_t>(random.below(3));
        sublist.set_remote(pattern, queue, loop, count);
        if (count == 0)
            known.erase({loop, pattern, queue});
        else
            known[{loop, pattern, queue}] = count;
        const std::string wanted = subject(false);
        uint64_t loops = 0;
        std::map<uint32_t, uint32_t> members;
        for (const auto& [key, many] : known) {
            if (!auth::subject_matches(std::get<1>(key), wanted)) continue;
            if (std::get<2>(key).empty())
                loops |= uint64_t{1} << std::get<0>(key);
            else
                members[std::get<0>(key)] += many;
        }
        const Matches& matches = sublist.match(wanted);
        REQUIRE(matches.plain_loops == loops);
        REQUIRE(matches.queues.size() == (members.empty() ? 0 : 1));
        std::map<uint32_t, uint32_t> found;
        for (const RemoteMembers& remote : matches.remotes) found[remote.loop] = remote.count;
        REQUIRE(found == members);
        if (round % 50 == 0) sublist.sweep();
    }
    for (const auto& [key, many] : known)
        sublist.set_remote(std::get<1>(key), std::get<2>(key), std::get<0>(key), 0);
    CHECK(sublist.match("a").empty());
    CHECK(sublist.size() == 0);
}
