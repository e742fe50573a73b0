#include "log_shipper.h"

#include <catch2/catch_test_macros.hpp>

#include "loop/sim_loop.h"

namespace candela::host {
namespace {

struct Shipping {
    SimWorld world{1};
    SimLoop& loop = world.add_loop("host");
    bool is_bus_there = true;
    std::vector<std::pair<std::string, proto::LogBatch>> sent;
    LogShipper::Limits limits;
    std::unique_ptr<LogShipper> shipper;

    LogShipper& make() {
        shipper = std::make_unique<LogShipper>(
            loop, "node-1", limits, [this](std::string_view subject, std::string_view payload) {
                if (!is_bus_there) return false;
                sent.emplace_back(subject, proto::decode_log_batch(payload).value());
                return true;
            });
        return *shipper;
    }
    static proto::InstanceSpec spec(std::string name) {
        proto::InstanceSpec spec;
        spec.instance = std::move(name);
        spec.space = "default";
        spec.service = "hello";
        spec.release = 3;
        return spec;
    }
    size_t lines_sent() const {
        size_t count = 0;
        for (const auto& [subject, batch] : sent) count += batch.entries.size();
        return count;
    }
};

TEST_CASE_METHOD(Shipping, "lines_of_a_tenth_of_a_second_make_one_batch") {
    auto channel = make().open(spec("hello-1"));
    channel->add(proto::LogStream::kStdout, "one");
    channel->add(proto::LogStream::kStderr, "two");
    CHECK(sent.empty());
    world.run_for(LogShipper::kFlushInterval);
    REQUIRE(sent.size() == 1);
    CHECK(sent[0].first == "candela.logs.default.hello.hello-1");
    const proto::LogBatch& batch = sent[0].second;
    CHECK(batch.node == "node-1");
    CHECK(batch.release == 3);
    REQUIRE(batch.entries.size() == 2);
    CHECK(batch.entries[0].text == "one");
    CHECK(batch.entries[1].stream == proto::LogStream::kStderr);
    CHECK(shipper->buffered_bytes() == 0);
}

TEST_CASE_METHOD(Shipping, "while_the_bus_is_away_the_oldest_lines_go_first_and_are_counted") {
    limits.instance_bytes_max = 100 * (LogShipper::kEntryOverhead + 4);
    auto channel = make().open(spec("hello-1"));
    is_bus_there = false;
    for (int i = 0; i < 250; ++i) channel->add(proto::LogStream::kStdout, fmt::format("{:04}", i));
    world.run_for(10s);
    CHECK(sent.empty());
    CHECK(shipper->buffered_bytes() <= limits.instance_bytes_max);
    is_bus_there = true;
    world.run_for(2s);
    REQUIRE(sent.size() == 1);
    CHECK(sent[0].second.dropped == 150);
    CHECK(sent[0].second.entries.size() == 100);
    CHECK(sent[0].second.entries[0].text == "0150");
    channel->add(proto::LogStream::kStdout, "later");
    world.run_for(1s);
    CHECK(sent.back().second.dropped == 0);
}

TEST_CASE_METHOD(Shipping, "all_instances_together_are_bounded_too") {
    limits.all_bytes_max = 64 * 1024;
    auto loud = make().open(spec("loud-1"));
    auto quiet = shipper->open(spec("quiet-1"));
    is_bus_there = false;
    quiet->add(proto::LogStream::kStdout, "I was here");
    for (int i = 0; i < 1000; ++i) loud->add(proto::LogStream::kStdout, std::string(500, 'x'));
    CHECK(shipper->buffered_bytes() <= limits.all_bytes_max);
    is_bus_there = true;
    world.run_for(2s);
    CHECK(sent[1].second.entries[0].text == "I was here");
}

TEST_CASE_METHOD(Shipping, "large_amounts_go_in_batches_that_a_message_can_hold") {
    limits.instance_bytes_max = 4 << 20;
    auto channel = make().open(spec("hello-1"));
    for (int i = 0; i < 200; ++i) channel->add(proto::LogStream::kStdout, std::string(16'000, 'x'));
    world.run_for(1s);
    CHECK(lines_sent() == 200);
    CHECK(sent.size() > 5);
    for (const auto& [subject, batch] : sent) CHECK(proto::encode(batch).size() < 300'000);
}

TEST_CASE_METHOD(Shipping, "what_an_instance_said_last_is_sent_after_it_is_gone") {
    auto channel = make().open(spec("hello-1"));
    channel->add(proto::LogStream::kHost, "ended with exit code 1");
    channel.reset();
    world.run_for(1s);
    CHECK(lines_sent() == 1);
    auto other = shipper->open(spec("hello-1"));
    other->add(proto::LogStream::kStdout, "again");
    world.run_for(1s);
    CHECK(lines_sent() == 2);
}

}  // namespace
}  // namespace candela::host
