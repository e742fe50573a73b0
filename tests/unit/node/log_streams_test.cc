#include "node/log_streams.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <random>

#include <catch2/catch_test_macros.hpp>

#include "loop/sim_loop.h"
#include "temp_folder.h"

namespace candela {
namespace {

// A lighthouse that keeps what comes, by the rules of LogAck.
struct Keeping {
    std::map<std::string, uint64_t> positions;
    std::map<std::string, std::vector<std::string>> lines;  // by service
    uint64_t lost = 0;

    proto::LogAck take(std::string_view payload) {
        const auto batch = proto::decode_log_batch(payload);
        REQUIRE(batch);
        uint64_t& position = positions[batch->source];
        const uint64_t known = std::max(position, batch->acked);
        if (batch->previous > known) return proto::LogAck(batch->source, position, true);
        uint64_t number = batch->first;
        if (number > known + 1) lost += number - known - 1;
        for (const proto::LogEntry& entry : batch->entries) {
            if (number++ > known) lines[batch->service].push_back(entry.text);
        }
        position = std::max(known, number - 1);
        return proto::LogAck(batch->source, position, false);
    }
};

struct Streaming {
    test::TempFolder folder;
    SimWorld world{1};
    SimLoop& loop = world.add_loop("host");
    LogStreamsSettings settings;
    bool is_bus_there = true;
    bool is_lighthouse_there = true;
    bool loses_acks = false;
    uint32_t loses_one_in = 0;
    size_t sent = 0;
    Keeping keeping;
    std::unique_ptr<LogStreams> streams;
    std::unique_ptr<LogStreams::Channel> channel;

    Streaming() {
        settings.folder = folder / "logs";
        settings.node = "node-1";
    }
    ~Streaming() { channel.reset(); }
    void start() {
        channel.reset();
        streams = std::make_unique<LogStreams>(
            loop, settings,
            [this](std::string_view subject, std::string_view payload) {
                CHECK(subject == "candela.logs.default.web.web-1");
                if (!is_bus_there) return false;
                ++sent;
                if (!is_lighthouse_there) return true;
                if (loses_one_in != 0 && loop.random().below(loses_one_in) == 0) return true;
                const proto::LogAck ack = keeping.take(payload);
                if (!loses_acks) loop.post([this, ack] { streams->on_ack(ack); });
                return true;
            },
            Logger());
        TaskGroup opening;
        bool is_open = false;
        auto open = [](LogStreams* all, bool* done) -> Task<void> {
            *done = (co_await all->open()).has_value();
        };
        opening.spawn(open(streams.get(), &is_open));
        world.run_for(1ms);
        REQUIRE(is_open);
        channel = streams->open_channel(LogSource("web-1", "default", "web", "web-1", 3));
    }
    void crash() {
        channel.reset();
        streams.reset();
    }
    void say(int from, int to) {
        for (int i = from; i < to; ++i)
            channel->add(proto::LogStream::kStdout, "line " + std::to_string(i));
    }
    std::vector<std::string> expected(int to) const {
        std::vector<std::string> all;
        for (int i = 0; i < to; ++i) all.push_back("line " + std::to_string(i));
        return all;
    }
    size_t files() const {
        size_t count = 0;
        for (const auto& entry : std::filesystem::recursive_directory_iterator(folder / "logs"))
            count += entry.path().extension() == ".lines" ? 1 : 0;
        return count;
    }
};

TEST_CASE_METHOD(Streaming, "lines_come_within_moments_and_leave_no_files_when_their_source_ends") {
    start();
    say(0, 3);
    world.run_for(2 * LogStreams::kFlushDelay);
    CHECK(keeping.lines["web"] == expected(3));
    CHECK(sent == 1);
    channel.reset();
    world.run_for(100ms);
    CHECK(streams->source_count() == 0);
    CHECK(streams->disk_bytes() == 0);
    CHECK(std::filesystem::is_empty(folder / "logs"));
}

TEST_CASE_METHOD(Streaming, "what_was_not_acknowledged_is_sent_by_the_next_life") {
    is_lighthouse_there = false;
    start();
    say(0, 100);
    world.run_for(100ms);
    crash();
    is_lighthouse_there = true;
    start();
    world.run_for(100ms);
    CHECK(keeping.lines["web"] == expected(100));
    say(100, 110);
    world.run_for(100ms);
    CHECK(keeping.lines["web"] == expected(110));
}

TEST_CASE_METHOD(Streaming, "lines_of_a_source_that_is_gone_are_sent_too") {
    is_bus_there = false;
    start();
    say(0, 10);
    world.run_for(100ms);
    crash();
    is_bus_there = true;
    start();
    channel.reset();
    world.run_for(100ms);
    CHECK(keeping.lines["web"] == expected(10));
    CHECK(streams->source_count() == 0);
}

TEST_CASE_METHOD(Streaming, "acknowledgements_that_are_lost_make_no_line_come_twice") {
    loses_acks = true;
    start();
    say(0, 10);
    world.run_for(100ms);
    crash();
    loses_acks = false;
    start();
    say(10, 20);
    world.run_for(100ms);
    CHECK(keeping.lines["web"] == expected(20));
    CHECK(keeping.lost == 0);
}

TEST_CASE_METHOD(Streaming, "a_batch_lost_on_the_way_is_sent_again") {
    loses_one_in = 3;
    start();
    for (int i = 0; i < 200; ++i) {
        say(i * 5, i * 5 + 5);
        world.run_for(20ms);
    }
    loses_one_in = 0;
    world.run_for(3 * LogStreams::kAckTimeout);
    CHECK(keeping.lines["web"] == expected(1000));
    CHECK(keeping.lost == 0);
}

TEST_CASE_METHOD(Streaming, "beyond_the_room_on_disk_the_oldest_lines_go_and_are_counted") {
    settings.disk_bytes_max = 1 << 20;
    settings.cached_bytes_max = 64 << 10;
    is_lighthouse_there = false;
    start();
    const std::string text(1000, 'x');
    constexpr uint64_t kLines = 5000;
    for (uint64_t i = 0; i < kLines; ++i) {
        channel->add(proto::LogStream::kStdout, text);
        if (i % 20 == 0) world.run_for(10ms);
    }
    world.run_for(1s);
    CHECK(streams->disk_bytes() <= settings.disk_bytes_max);
    CHECK(streams->dropped_lines() > kLines / 2);
    is_lighthouse_there = true;
    world.run_for(30s);
    CHECK(keeping.lost == streams->dropped_lines());
    CHECK(keeping.lines["web"].size() + keeping.lost == kLines);
}

TEST_CASE_METHOD(Streaming, "more_than_memory_may_hold_is_read_from_disk_when_the_bus_is_back") {
    settings.cached_bytes_max = 32 << 10;
    is_bus_there = false;
    start();
    for (int i = 0; i < 400; ++i) {
        say(i * 50, i * 50 + 50);
        world.run_for(10ms);
    }
    is_bus_there = true;
    streams->on_connected();
    world.run_for(10s);
    CHECK(keeping.lines["web"] == expected(20000));
    CHECK(keeping.lost == 0);
}

TEST_CASE_METHOD(Streaming, "a_disk_that_takes_nothing_holds_nobody_up") {
    start();
    std::filesystem::remove_all(folder / "logs");
    std::ofstream(folder / "logs") << "no folder";
    say(0, 10);
    world.run_for(100ms);
    // What fits in memory goes on from there.
    CHECK(keeping.lines["web"] == expected(10));
    std::filesystem::remove(folder / "logs");
    say(10, 20);
    world.run_for(100ms);
    CHECK(keeping.lines["web"] == expected(20));
}

TEST_CASE_METHOD(Streaming, "a_record_that_is_torn_ends_the_file") {
    is_bus_there = false;
    start();
    say(0, 10);
    world.run_for(100ms);
    say(10, 20);
    world.run_for(100ms);
    crash();
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder / "logs")) {
        if (entry.path().extension() == ".lines")
            std::filesystem::resize_file(entry.path(), entry.file_size() - 5);
    }
    is_bus_there = true;
    start();
    world.run_for(100ms);
    CHECK(keeping.lines["web"] == expected(10));
    say(10, 12);
    world.run_for(100ms);
    CHECK(keeping.lines["web"] == expected(12));
}

TEST_CASE_METHOD(Streaming, "marks_are_on_disk_with_the_lines_that_they_are_for") {
    is_bus_there = false;
    start();
    std::vector<OutputMarks> written;
    channel->on_written([&](const OutputMarks& marks) { written.push_back(marks); });
    OutputMarks marks;
    marks.run = 2;
    marks.streams[1] = OutputMark(40, 7);
    marks.safe = 33;
    channel->set_marks(marks);
    say(0, 1);
    world.run_for(100ms);
    REQUIRE(written.size() == 1);
    CHECK(written[0] == marks);
    crash();
    start();
    CHECK(channel->found_marks() == marks);
}

TEST_CASE_METHOD(Streaming, "marks_of_a_source_that_was_all_sent_are_there_for_the_next_life") {
    start();
    OutputMarks marks;
    marks.run = 1;
    marks.safe = 7;
    channel->set_marks(marks);
    say(0, 3);
    world.run_for(100ms);
    streams->let_go();
    channel.reset();
    world.run_for(1s);
    crash();
    start();
    CHECK(channel->found_marks() == marks);
    say(3, 5);
    world.run_for(100ms);
    CHECK(keeping.lines["web"] == expected(5));
    CHECK(keeping.positions.size() == 1);
}

TEST_CASE_METHOD(Streaming, "a_source_that_nobody_comes_for_is_forgotten_when_it_is_sent") {
    start();
    say(0, 3);
    world.run_for(100ms);
    crash();
    const auto found = open_spool(folder / "logs" / "web-1");
    REQUIRE(found);
    CHECK(found->acked == 3);
    streams = std::make_unique<LogStreams>(
        loop, settings,
        [this](std::string_view, std::string_view payload) {
            const proto::LogAck ack = keeping.take(payload);
            loop.post([this, ack] { streams->on_ack(ack); });
            return true;
        },
        Logger());
    TaskGroup opening;
    auto open = [](LogStreams* all) -> Task<void> { CHECK(co_await all->open()); };
    opening.spawn(open(streams.get()));
    world.run_for(LogStreams::kFoundKeep / 2);
    CHECK(streams->source_count() == 1);
    world.run_for(LogStreams::kFoundKeep);
    CHECK(streams->source_count() == 0);
    CHECK(std::filesystem::is_empty(folder / "logs"));
}

// Lives that end anywhere, batches and acknowledgements that are lost: each line once, in order.
TEST_CASE_METHOD(Streaming, "no_line_is_lost_or_doubled_whatever_is_restarted") {
    const unsigned seed = std::random_device()();
    INFO("seed " << seed);
    std::mt19937 random(seed);
    settings.cached_bytes_max = 4 << 10;
    start();
    int said = 0;
    for (int step = 0; step < 400; ++step) {
        is_bus_there = random() % 4 != 0;
        is_lighthouse_there = random() % 4 != 0;
        loses_acks = random() % 3 == 0;
        loses_one_in = random() % 3 == 0 ? 2 : 0;
        const int count = static_cast<int>(random() % 60);
        say(said, said + count);
        said += count;
        // Lines count as said once they are on disk: what the keeper would give again is not.
        world.run_for(10ms + std::chrono::milliseconds(random() % 300));
        if (random() % 10 == 0) {
            crash();
            start();
        }
        if (random() % 5 == 0) streams->on_connected();
    }
    is_bus_there = is_lighthouse_there = true;
    loses_acks = false;
    loses_one_in = 0;
    world.run_for(5 * LogStreams::kAckTimeout);
    CHECK(keeping.lines["web"] == expected(said));
    CHECK(keeping.lost == 0);
}

}  // namespace
}  // namespace candela
