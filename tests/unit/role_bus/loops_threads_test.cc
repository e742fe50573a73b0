// A bus on real loops, each on a thread of its own, with clients over TCP.

#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <thread>

#include "base/text.h"
#include "channel.h"
#include "cloud.h"
#include "loop/runtime.h"
#include "mesh.h"

using namespace test;

namespace {

constexpr Duration kLong = 30s;

class ThreadsCloud {
public:
    explicit ThreadsCloud(size_t count) : client_loop(hub) {
        auth::OperatorClaims claims;
        claims.subject = operator_key.public_key();
        claims.name = "test";
        claims.system_account = system.public_key();
        std::vector<Loop*> seats;
        for (size_t i = 0; i < count; ++i) {
            loops.push_back(std::make_unique<UvLoop>(hub));
            seats.push_back(loops.back().get());
        }
        mesh = Mesh::create(seats);
        servers.resize(count);
        for (size_t i = 0; i < count; ++i)
            threads.emplace_back([loop = loops[i].get()] { loop->run(); });
        for (size_t i = 0; i < count; ++i) {
            on(i, [&, i] {
                servers[i] = std::make_unique<Server>(*loops[i], ServerOptions(), Accounts(claims),
                                                      Logger(), mesh, i);
            });
        }
        on(0, [&] {
            for (const auth::Account* account : {&system, &shop}) {
                if (!servers[0]->put_account(account->jwt)) std::abort();
            }
        });
        address = Address::tcp("127.0.0.1", 0);
        for (size_t i = 0; i < count; ++i) {
            on(i, [&, i] {
                ListenOptions options;
                options.reuse_port = true;
                if (!servers[i]->listen(address, plain_entrance(), options)) std::abort();
                address = servers[i]->addresses().front();
            });
        }
    }
    ~ThreadsCloud() {
        clients.clear();
        for (size_t i = 0; i < servers.size(); ++i) on(i, [&, i] { servers[i].reset(); });
        for (const auto& loop : loops) loop->stop();
        for (std::thread& thread : threads) thread.join();
    }

    // Runs it on that loop, and waits.
    template <class Work>
    void on(size_t index, Work work) {
        std::atomic<bool> done{false};
        loops[index]->post([&] {
            work();
            done = true;
            client_loop.post([] {});
        });
        if (!client_loop.run_until([&] { return done.load(); }, kLong)) std::abort();
    }

    RawClient& log_in() {
        const size_t before = clients.size();
        std::unique_ptr<ConnectAttempt> attempt =
            client_loop.connect(address, [this](Result<StreamPtr> stream) {
                clients.push_back(std::make_unique<RawClient>(std::move(*stream)));
            });
        wait([&] { return clients.size() > before && clients.back()->has("\r\n"); });
        RawClient& client = *clients.back();
        auth::KeyPair key = auth::KeyPair::generate(auth::KeyKind::kUser);
        auth::UserRequest request;
        request.public_key = key.public_key();
        request.name = "tester";
        const std::string jwt = *auth::mint_user(shop, request, Cloud::start());
        const size_t at = client.text.find("\"nonce\":\"") + 9;
        const std::string nonce = client.text.substr(at, client.text.find('"', at) - at);
        client.send(
            fmt::format("CONNECT {{\"jwt\":\"{}\",\"sig\":\"{}\",\"verbose\":false,"
                        "\"headers\":true,\"no_responders\":true}}\r\nPING\r\n",
                        jwt, base64url_encode(key.sign(nonce))));
        wait([&] { return client.has("PONG"); });
        client.take();
        return client;
    }
    void wait(const std::function<bool()>& condition) {
        // What changes on other threads wakes nobody here: it is looked at again and again.
        Timer tick(client_loop.timers(), [&tick] { tick.start(1ms); });
        tick.start(1ms);
        REQUIRE(client_loop.run_until(condition, kLong));
    }
    std::string talk(RawClient& client, std::string_view text) {
        client.send(std::string(text) + "PING\r\n");
        wait([&] { return client.text.ends_with("PONG\r\n"); });
        std::string answer = client.take();
        answer.resize(answer.size() - 6);
        return answer;
    }

    InProcessHub hub;
    UvLoop client_loop;
    std::vector<std::unique_ptr<UvLoop>> loops;
    std::vector<std::thread> threads;
    std::shared_ptr<Mesh> mesh;
    auth::KeyPair operator_key = auth::KeyPair::generate(auth::KeyKind::kOperator);
    auth::Account system = *auth::make_account(operator_key, "SYS", Cloud::start());
    auth::Account shop = *auth::make_account(operator_key, "shop", Cloud::start());
    std::vector<std::unique_ptr<Server>> servers;
    Address address;
    std::vector<std::unique_ptr<RawClient>> clients;
};

size_t count(std::string_view text, std::string_view part) {
    size_t out = 0;
    for (size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1))
        ++out;
    return out;
}

}  // namespace

TEST_CASE("a_channel_keeps_order_and_counts_across_threads") {
    // On the heap: g++ 12's sanitized stack frames do not align by a cache line.
    const auto owned = std::make_unique<Channel>();
    Channel& channel = *owned;
    constexpr uint64_t kCount = 20'000;
    std::atomic<int> wakes{0};
    std::thread sender([&] {
        Block block;
        uint64_t next = 0;
        while (next < kCount) {
            // Batches of one to nine numbers.
            if (block.room() < 9 * sizeof next) block = channel.take_block(9 * sizeof next);
            for (uint64_t i = 0; i <= next % 9 && next < kCount; ++i, ++next) {
                std::memcpy(block.bytes.get() + block.size, &next, sizeof next);
                block.size += sizeof next;
            }
            if (channel.send(block)) ++wakes;
            while (channel.in_flight() > 64 * 1024) std::this_thread::yield();
        }
    });
    uint64_t expected = 0;
    bool is_in_order = true;
    std::vector<Block> blocks;
    while (expected < kCount) {
        if (wakes == 0) {
            std::this_thread::yield();
            continue;
        }
        --wakes;
        channel.take(blocks);
        for (const Block& block : blocks) {
            for (size_t at = 0; at < block.size; at += sizeof expected) {
                uint64_t value = 0;
                std::memcpy(&value, block.bytes.get() + at, sizeof value);
                is_in_order = is_in_order && value == expected;
                ++expected;
            }
        }
        channel.finish(blocks);
    }
    sender.join();
    CHECK(is_in_order);
    CHECK(channel.in_flight() == 0);
}

TEST_CASE("new_connections_are_spread_evenly_over_the_loops") {
    ThreadsCloud cloud(3);
    for (int i = 0; i < 12; ++i) cloud.log_in();
    for (size_t loop = 0; loop < 3; ++loop) CHECK(cloud.mesh->connections(loop) == 4);
    cloud.clients.resize(6);
    cloud.wait([&] { return cloud.mesh->connections_total() == 6; });
    for (int i = 0; i < 6; ++i) cloud.log_in();
    for (size_t loop = 0; loop < 3; ++loop) CHECK(cloud.mesh->connections(loop) == 4);
}

TEST_CASE("loops_on_threads_lose_and_double_nothing") {
    ThreadsCloud cloud(3);
    constexpr int kPublishers = 4;
    constexpr int kSubscribers = 6;
    constexpr int kRounds = 40;
    constexpr int kMessages = 50;
    std::vector<RawClient*> subscribers;
    std::vector<RawClient*> publishers;
    for (int i = 0; i < kSubscribers; ++i) {
        subscribers.push_back(&cloud.log_in());
        cloud.talk(*subscribers.back(), "SUB t.* 1\r\nSUB work.> q 2\r\n");
    }
    for (int i = 0; i < kPublishers; ++i) publishers.push_back(&cloud.log_in());
    RawClient& churner = cloud.log_in();
    const std::string body(300, 'x');
    for (int round = 0; round < kRounds; ++round) {
        for (int p = 0; p < kPublishers; ++p) {
            std::string text;
            for (int i = 0; i < kMessages; ++i) {
                text += fmt::format("PUB t.{} 300\r\n{}\r\nPUB work.{} 0\r\n\r\n", p, body, i);
            }
            publishers[p]->send(text);
        }
        // Subscriptions come and go meanwhile.
        churner.send(fmt::format("SUB t.1 {0}\r\nSUB u.> {0}1\r\nUNSUB {0}\r\n", round + 10));
    }
    for (RawClient* publisher : publishers) cloud.talk(*publisher, "");
    size_t work = 0;
    for (RawClient* subscriber : subscribers) {
        const std::string text = cloud.talk(*subscriber, "");
        CHECK(count(text, "MSG t.") == kPublishers * kRounds * kMessages);
        work += count(text, "MSG work.");
    }
    CHECK(work == kPublishers * kRounds * kMessages);
}

TEST_CASE("requests_between_loops_on_threads_are_all_answered") {
    ThreadsCloud cloud(2);
    RawClient& asker = cloud.log_in();
    RawClient& service = cloud.log_in();
    cloud.talk(service, "SUB ask q 1\r\n");
    for (int i = 0; i < 200; ++i) {
        asker.send(fmt::format("SUB in.{0} {0}\r\nUNSUB {0} 1\r\nPUB ask in.{0} 0\r\n\r\n", i + 1));
        cloud.wait([&] { return service.text.ends_with("0\r\n\r\n"); });
        service.take();
        service.send(fmt::format("PUB in.{} 2\r\nok\r\n", i + 1));
        cloud.wait([&] { return asker.text.ends_with("ok\r\n"); });
        CHECK(asker.take() == fmt::format("MSG in.{0} {0} 2\r\nok\r\n", i + 1));
    }
}
