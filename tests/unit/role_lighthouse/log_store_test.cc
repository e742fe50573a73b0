#include "log_store.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include <catch2/catch_test_macros.hpp>

#include "loop/uv_loop.h"
#include "temp_folder.h"

namespace candela::lighthouse {
namespace {

using Lines = std::vector<std::string>;

struct Logs {
    test::TempFolder temp;
    std::filesystem::path folder = temp / "logs";
    InProcessHub hub;
    UvLoop loop{hub};
    LogLimits limits;
    std::vector<proto::LogAck> acks;
    std::unique_ptr<LogStore> store;

    template <class T>
    T finish(Task<T> task) {
        std::optional<T> out;
        TaskGroup group;
        group.spawn(store_result(std::move(task), out));
        REQUIRE(loop.run_until([&] { return out.has_value(); }, 20s));
        return std::move(*out);
    }
    template <class T>
    static Task<void> store_result(Task<T> task, std::optional<T>& out) {
        out.emplace(co_await task);
    }
    LogStore& start() {
        store.reset();
        store = std::make_unique<LogStore>(loop, folder, Logger(), limits);
        store->on_ack = [this](const std::string& reply, const proto::LogAck& ack) {
            CHECK(reply == "inbox");
            acks.push_back(ack);
        };
        REQUIRE(finish(store->open()));
        return *store;
    }
    static proto::LogBatch batch(const std::string& instance, const Lines& lines) {
        proto::LogBatch out;
        out.space = "default";
        out.service = "web";
        out.instance = instance;
        for (const std::string& line : lines)
            out.entries.push_back(proto::LogEntry(1000, proto::LogStream::kStderr, line));
        return out;
    }
    static proto::LogBatch numbered(uint64_t first, const Lines& lines, uint64_t previous,
                                    uint64_t acked = 0) {
        proto::LogBatch out = batch("web-1", lines);
        out.source = "s";
        out.first = first;
        out.previous = previous;
        out.acked = acked;
        return out;
    }
    LogQuery all() const {
        LogQuery query;
        query.space = "default";
        query.service = "web";
        return query;
    }
    static Lines texts(const std::vector<LogLine>& lines) {
        Lines out;
        for (const LogLine& line : lines) out.push_back(line.text);
        return out;
    }
    Lines tail(const LogQuery& query, size_t count = 1000) {
        auto found = finish(store->tail(query, count));
        REQUIRE(found);
        return texts(found->lines);
    }
    uintmax_t bytes_on_disk() const {
        uintmax_t bytes = 0;
        for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
            if (entry.is_regular_file()) bytes += entry.file_size();
        }
        return bytes;
    }
};

TEST_CASE_METHOD(Logs, "the_tail_of_a_log_survives_a_restart") {
    start().append(batch("web-1", {"one", std::string("t\xffw\0o", 5)}));
    store->append(batch("web-2", {"three"}));
    CHECK(tail(all()).size() == 3);
    start();
    CHECK(tail(all(), 2) == Lines{std::string("t\xef\xbf\xbdw\0o", 7), "three"});
    LogQuery one = all();
    one.instance = "web-1";
    CHECK(tail(one).size() == 2);
}

TEST_CASE_METHOD(Logs, "ids_grow_over_restarts_within_one_second") {
    start().append(batch("web-1", {"one"}));
    CHECK(tail(all()).size() == 1);
    start().append(batch("web-1", {"two", "three", "four"}));
    CHECK(tail(all()).size() == 4);
    start().append(batch("web-1", {"five"}));
    CHECK(tail(all()) == Lines{"one", "two", "three", "four", "five"});
}

TEST_CASE_METHOD(Logs, "a_source_hears_how_far_its_lines_are_on_disk_and_none_is_kept_twice") {
    start().append(numbered(1, {"a", "b"}, 0), "inbox");
    CHECK(acks.empty());
    CHECK(tail(all()) == Lines{"a", "b"});
    REQUIRE(acks.size() == 1);
    CHECK(acks[0] == proto::LogAck("s", 2, false));
    store->append(numbered(1, {"a", "b"}, 0), "inbox");
    REQUIRE(acks.size() == 2);
    CHECK(acks[1].position == 2);
    store->append(numbered(2, {"b", "c"}, 1), "inbox");
    CHECK(tail(all()) == Lines{"a", "b", "c"});
    // A lighthouse that was restarted knows it from the files.
    start();
    acks.clear();
    store->append(numbered(2, {"b", "c", "d"}, 1, 1), "inbox");
    REQUIRE(loop.run_until([&] { return !acks.empty(); }, 20s));
    CHECK(acks.back() == proto::LogAck("s", 4, false));
    CHECK(tail(all()) == Lines{"a", "b", "c", "d"});
    CHECK(store->lines_lost() == 0);
}

TEST_CASE_METHOD(Logs, "a_batch_that_does_not_follow_is_asked_for_again") {
    start().append(numbered(1, {"a"}, 0), "inbox");
    CHECK(tail(all()) == Lines{"a"});
    acks.clear();
    store->append(numbered(4, {"d"}, 3), "inbox");
    REQUIRE(acks.size() == 1);
    CHECK(acks[0] == proto::LogAck("s", 1, true));
    CHECK(tail(all()) == Lines{"a"});
}

TEST_CASE_METHOD(Logs, "lines_that_their_source_gave_up_are_said_to_be_lost") {
    start().append(numbered(1, {"a"}, 0), "inbox");
    store->append(numbered(11, {"k"}, 1, 1), "inbox");
    CHECK(tail(all()) == Lines{"a", "9 lines were lost: there was no room for them", "k"});
    CHECK(store->lines_lost() == 9);
    // One that has lost its files does not call lost what it once had.
    std::filesystem::remove_all(folder);
    start().append(numbered(12, {"l"}, 11, 11), "inbox");
    CHECK(tail(all()) == Lines{"l"});
    CHECK(store->lines_lost() == 0);
}

TEST_CASE_METHOD(Logs, "positions_outlive_the_files_that_they_came_with") {
    limits.file_bytes_max = 2000;
    limits.service_bytes_max = 8000;
    start();
    store->append(numbered(1, {"first"}, 0), "inbox");
    for (int i = 0; i < 100; ++i) {
        store->append(batch("web-2", Lines(5, std::string(100, 'x'))));
        REQUIRE(!tail(all(), 1).empty());
    }
    CHECK(store->files_dropped() > 10);
    CHECK(bytes_on_disk() < 12'000);
    CHECK(store->disk_bytes() == bytes_on_disk());
    start();
    store->append(numbered(1, {"first", "second"}, 0), "inbox");
    CHECK(tail(all()).back() == "second");
    CHECK(std::ranges::count(tail(all()), "first") == 0);
}

TEST_CASE_METHOD(Logs, "all_logs_together_are_bounded_and_the_largest_gives_way") {
    limits.file_bytes_max = 2000;
    limits.bytes_max = 20'000;
    start();
    proto::LogBatch small = batch("other-1", {"small"});
    small.service = "other";
    store->append(small);
    for (int i = 0; i < 200; ++i) {
        store->append(batch("web-1", Lines(5, std::string(100, 'x'))));
        REQUIRE(!tail(all(), 1).empty());
    }
    CHECK(store->disk_bytes() <= 20'000);
    LogQuery other = all();
    other.service = "other";
    CHECK(tail(other) == Lines{"small"});
}

TEST_CASE_METHOD(Logs, "a_line_cut_by_a_crash_is_left_out_and_comes_again") {
    start().append(numbered(1, {"whole", "cut"}, 0), "inbox");
    CHECK(tail(all()).size() == 2);
    store.reset();
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
        if (entry.is_regular_file())
            std::filesystem::resize_file(entry.path(), entry.file_size() - 4);
    }
    start();
    CHECK(tail(all()) == Lines{"whole"});
    store->append(numbered(1, {"whole", "cut", "next"}, 0), "inbox");
    CHECK(tail(all()) == Lines{"whole", "cut", "next"});
}

TEST_CASE_METHOD(Logs, "files_of_an_older_version_are_taken_over") {
    std::filesystem::create_directories(folder / "default");
    std::ofstream(folder / "default" / "web.log.1")
        << R"({"id":1,"instance":"web-1","node":"n","release":2,"stream":"stdout","text":"older","time":"2026-01-02T03:04:05.678Z"})"
        << "\n";
    std::ofstream(folder / "default" / "web.log") << R"({"id":2,"instance":"web-1","text":"old"})"
                                                  << "\n"
                                                  << R"({"id":3,"inst)";
    start().append(numbered(1, {"new"}, 0), "inbox");
    REQUIRE(loop.run_until([&] { return !acks.empty(); }, 20s));
    CHECK(tail(all()) == Lines{"older", "old", "new"});
}

TEST_CASE_METHOD(Logs, "a_disk_that_takes_nothing_makes_sources_wait_and_loses_nothing") {
    start();
    std::filesystem::create_directories(folder / "default");
    std::ofstream(folder / "default" / "web") << "no folder";
    store->append(numbered(1, {"a"}, 0), "inbox");
    CHECK(tail(all()).empty());
    CHECK(acks.empty());
    std::filesystem::remove(folder / "default" / "web");
    REQUIRE(loop.run_until([&] { return !acks.empty(); }, 20s));
    CHECK(acks[0].position == 1);
    CHECK(tail(all()) == Lines{"a"});
}

TEST_CASE_METHOD(Logs, "what_waits_for_the_disk_is_bounded") {
    start();
    std::filesystem::create_directories(folder / "default");
    std::ofstream(folder / "default" / "web") << "no folder";
    const Lines lines(60, std::string(16'000, 'x'));
    uint64_t first = 1;
    for (int i = 0; i < 100; ++i, first += 60)
        store->append(numbered(first, lines, first - 1), "inbox");
    CHECK(store->lines_taken() < 4000);
    std::filesystem::remove(folder / "default" / "web");
    REQUIRE(loop.run_until([&] { return !acks.empty(); }, 20s));
    CHECK(acks.back().position == store->lines_taken());
}

TEST_CASE_METHOD(Logs, "lines_are_found_by_level_time_text_release_and_trace") {
    start();
    proto::LogBatch mixed = batch("web-1", {});
    mixed.release = 7;
    const std::string trace(32, 'a');
    mixed.entries = {
        proto::LogEntry(1000, proto::LogStream::kStdout, "plain", LineLevel::kUnknown, ""),
        proto::LogEntry(2000, proto::LogStream::kStdout, "say \"hi\"", LineLevel::kInfo, trace),
        proto::LogEntry(3000, proto::LogStream::kStderr, "bad", LineLevel::kError, ""),
    };
    store->append(mixed);
    proto::LogBatch access = batch("gw", {});
    access.entries = {proto::LogEntry(2500, proto::LogStream::kAccess,
                                      R"({"instance":"web-1","status":200})", LineLevel::kInfo,
                                      trace)};
    store->append(access);
    const auto find = [&](auto set) {
        LogQuery query = all();
        set(query);
        return tail(query);
    };
    CHECK(find([](LogQuery&) {}).size() == 3);
    CHECK(find([](LogQuery& q) { q.level = LineLevel::kWarn; }) == Lines{"bad"});
    CHECK(find([](LogQuery& q) { q.since = 2000; }).size() == 2);
    CHECK(find([](LogQuery& q) { q.until = 2000; }).size() == 2);
    CHECK(find([](LogQuery& q) { q.grep = "y \"h"; }) == Lines{"say \"hi\""});
    CHECK(find([](LogQuery& q) { q.release = 8; }).empty());
    CHECK(find([](LogQuery& q) { q.release = 7; }).size() == 3);
    const auto traced = find([&](LogQuery& q) {
        q.trace_id = trace;
        q.has_access = true;
        q.service = "";
    });
    CHECK(traced == Lines{"say \"hi\"", R"({"instance":"web-1","status":200})"});
    CHECK(find([&](LogQuery& q) {
              q.has_access = true;
              q.instance = "web-1";
          }).size() == 4);
    CHECK(find([&](LogQuery& q) { q.space = "other"; }).empty());
}

TEST_CASE_METHOD(Logs, "who_follows_gets_each_line_once") {
    start().append(batch("web-1", {"one"}));
    auto found = finish(store->tail(all(), 10));
    REQUIRE(found);
    store->append(batch("web-1", {"two"}));
    CHECK(texts(found->lines) == Lines{"one"});
    CHECK(texts(finish(store->wait_after(all(), found->up_to))) == Lines{"two"});
    store->append(batch("web-1", {"three"}));
    CHECK(texts(finish(store->wait_after(all(), found->up_to))) == Lines{"three"});
    CHECK(tail(all()).size() == 3);
}

TEST_CASE_METHOD(Logs, "who_follows_one_instance_waits_through_the_lines_of_others") {
    start();
    LogQuery one = all();
    one.instance = "web-1";
    uint64_t id = 0;
    std::optional<Lines> got;
    auto wait = [](LogStore* logs, LogQuery query, uint64_t* last,
                   std::optional<Lines>* out) -> Task<void> {
        out->emplace(texts(co_await logs->wait_after(query, *last)));
    };
    TaskGroup followers;
    followers.spawn(wait(store.get(), one, &id, &got));
    store->append(batch("web-2", {"not mine"}));
    CHECK_FALSE(got);
    store->append(batch("web-1", {"mine"}));
    REQUIRE(got);
    CHECK(*got == Lines{"mine"});
}

TEST_CASE_METHOD(Logs, "who_is_too_slow_is_told_that_lines_are_missing") {
    start().append(batch("web-1", {"one"}));
    const auto following = store->follow(all());
    uint64_t id = finish(store->tail(all(), 1))->up_to;
    for (int i = 0; i < 10; ++i)
        store->append(batch("web-1", Lines(100, std::string(16'000, 'x'))));
    const auto lines = finish(store->wait_after(all(), id));
    CHECK(lines.size() < 300);
    CHECK(lines.front().stream == proto::LogStream::kHost);
    store->append(batch("web-1", {"last"}));
    CHECK(texts(finish(store->wait_after(all(), id))) == Lines{"last"});
}

TEST_CASE_METHOD(Logs, "logs_of_a_deleted_service_are_gone") {
    start().append(batch("web-1", {"one"}));
    CHECK(tail(all()).size() == 1);
    store->forget(all().space.empty() ? ServiceKey() : ServiceKey("default", "web"));
    CHECK(tail(all()).empty());
    CHECK_FALSE(std::filesystem::exists(folder / "default" / "web"));
    CHECK(store->disk_bytes() == 0);
}

TEST_CASE("a_structured_line_is_given_with_its_message_and_fields") {
    LogLine line;
    line.id = 5;
    line.time = 1000;
    line.level = LineLevel::kWarn;
    line.trace_id = "abcdefgh";
    line.text = R"({"level":"warn","msg":"slow \"disk\"","ms":7,"at":{"x":[1]}})";
    LogOrigin origin;
    origin.service = "web";
    origin.instance = "web-1";
    line.origin = std::make_shared<LogOrigin>(origin);
    std::string out;
    append_public(line, out);
    CHECK(
        out ==
        R"({"id":5,"time":"1970-01-01T00:00:01.000Z","stream":"stdout","instance":"web-1",)"
        R"("release":0,"node":"","service":"web","level":"warn","trace_id":"abcdefgh",)"
        R"("message":"slow \"disk\"","fields":{"ms":7,"at":{"x":[1]}},)"
        R"("text":"{\"level\":\"warn\",\"msg\":\"slow \\\"disk\\\"\",\"ms\":7,\"at\":{\"x\":[1]}}"})"
        "\n");
    std::string stored;
    append_stored(line, stored);
    stored.pop_back();
    const auto back = parse_stored(stored, "web");
    REQUIRE(back);
    CHECK(back->text == line.text);
    CHECK(back->level == line.level);
    CHECK(back->trace_id == line.trace_id);
    CHECK(back->time == line.time);
}

}  // namespace
}  // namespace candela::lighthouse
