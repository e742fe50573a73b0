// Bundles and logs on disk.

#include <filesystem>
#include <fstream>

#include <catch2/catch_test_macros.hpp>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "bundle_store.h"
#include "crypto/hash.h"
#include "log_store.h"
#include "loop/uv_loop.h"

namespace candela::lighthouse {
namespace {

class World {
public:
    World() {
        std::string pattern =
            (std::filesystem::temp_directory_path() / "lighthouse-XXXXXX").string();
        folder = ::mkdtemp(pattern.data());
    }
    ~World() { std::filesystem::remove_all(folder); }

    template <class T>
    T finish(Task<T> task) {
        std::optional<T> out;
        TaskGroup group;
        group.spawn(store_result(std::move(task), out));
        REQUIRE(loop.run_until([&] { return out.has_value(); }, 20s));
        return std::move(*out);
    }
    size_t files() const {
        return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
    }

    InProcessHub hub;
    UvLoop loop{hub};
    std::filesystem::path folder;

private:
    template <class T>
    static Task<void> store_result(Task<T> task, std::optional<T>& out) {
        out.emplace(co_await task);
    }
};

TEST_CASE_METHOD(World, "a_bundle_appears_whole_under_its_digest") {
    BundleStore store(loop, folder, 1000);
    REQUIRE(finish(store.open()));
    const std::string digest = crypto::sha256_hex(as_bytes("hello world"));
    auto upload = store.begin();
    REQUIRE(upload);
    REQUIRE(finish((*upload)->write("hello ")));
    REQUIRE(finish((*upload)->write("world")));
    CHECK(finish(store.size_of(digest)).error().code() == Code::kNotFound);
    REQUIRE(finish((*upload)->finish(digest)) == 11U);
    CHECK(finish(store.size_of(digest)) == 11U);
    CHECK(finish(store.read(digest, 6, 100)) == "world");
    CHECK(finish(store.read(digest, 11, 100)) == "");
    CHECK(files() == 1);
}

TEST_CASE_METHOD(World, "an_upload_that_is_wrong_too_large_or_unfinished_leaves_nothing") {
    BundleStore store(loop, folder, 10);
    REQUIRE(finish(store.open()));
    {
        auto upload = store.begin();
        REQUIRE(finish((*upload)->write("hello")));
        CHECK(finish((*upload)->finish(std::string(64, '0'))).error().code() == Code::kCorrupt);
    }
    {
        auto upload = store.begin();
        REQUIRE(finish((*upload)->write("hello")));
        CHECK(finish((*upload)->write("world!")).error().code() == Code::kExhausted);
    }
    {
        auto upload = store.begin();
        REQUIRE(finish((*upload)->write("hello")));
    }
    CHECK(files() == 0);
}

TEST_CASE_METHOD(World, "uploads_are_few_at_a_time") {
    BundleStore store(loop, folder, 10);
    std::vector<std::unique_ptr<BundleStore::Upload>> uploads;
    for (size_t i = 0; i < BundleStore::kUploadsMax; ++i)
        uploads.push_back(std::move(*store.begin()));
    CHECK(store.begin().error().code() == Code::kExhausted);
    uploads.pop_back();
    CHECK(store.begin());
}

TEST_CASE_METHOD(World, "what_a_crash_left_of_uploads_is_removed_at_start") {
    std::ofstream(folder / ".upload-7") << "half";
    BundleStore store(loop, folder, 10);
    REQUIRE(finish(store.open()));
    CHECK(files() == 0);
}

TEST_CASE_METHOD(World, "unused_bundles_are_collected_when_they_are_old") {
    BundleStore store(loop, folder, 10);
    const std::string old_one(64, 'a');
    const std::string used(64, 'b');
    const std::string fresh(64, 'c');
    for (const std::string& name : {old_one, used, fresh}) std::ofstream(folder / name) << "x";
    const auto long_ago = std::filesystem::file_time_type::clock::now() - std::chrono::hours(2);
    std::filesystem::last_write_time(folder / old_one, long_ago);
    std::filesystem::last_write_time(folder / used, long_ago);
    CHECK(finish(store.collect({used})) == 1U);
    CHECK_FALSE(std::filesystem::exists(folder / old_one));
    CHECK(files() == 2);
}

TEST_CASE_METHOD(World, "a_name_that_is_no_digest_is_refused") {
    BundleStore store(loop, folder, 10);
    CHECK(finish(store.size_of("../../etc/passwd")).error().code() == Code::kInvalid);
}

// ---- logs

proto::LogBatch batch(const std::string& instance, std::vector<std::string> lines) {
    proto::LogBatch out;
    out.space = "default";
    out.service = "web";
    out.instance = instance;
    for (std::string& line : lines) {
        out.entries.push_back(proto::LogEntry(1000, proto::LogStream::kStderr, std::move(line)));
    }
    return out;
}

std::vector<std::string> texts(const std::vector<std::string>& lines) {
    std::vector<std::string> out;
    for (const std::string& line : lines) out.push_back(json_string_or(*parse_json(line), "text"));
    return out;
}

using Lines = std::vector<std::string>;
const LogStore::Filter kAll{ServiceKey("default", "web"), ""};

TEST_CASE_METHOD(World, "the_tail_of_a_log_survives_a_restart") {
    {
        LogStore logs(loop, folder, Logger());
        logs.append(batch("web-1", {"one", std::string("t\xffw\0o", 5)}));
        logs.append(batch("web-2", {"three"}));
        REQUIRE(finish(logs.tail(kAll, 10)));
    }
    LogStore logs(loop, folder, Logger());
    const auto tail = finish(logs.tail(kAll, 2));
    REQUIRE(tail);
    REQUIRE(tail->lines.size() == 2);
    CHECK(texts(tail->lines).back() == "three");
    LogStore::Filter one = kAll;
    one.instance = "web-1";
    const auto of_one = finish(logs.tail(one, 10));
    REQUIRE(of_one->lines.size() == 2);
    CHECK(texts(of_one->lines).front() == "one");
}

TEST_CASE_METHOD(World, "who_follows_gets_each_line_once") {
    LogStore logs(loop, folder, Logger());
    logs.append(batch("web-1", {"one"}));
    auto tail = finish(logs.tail(kAll, 10));
    REQUIRE(tail);
    logs.append(batch("web-1", {"two"}));
    CHECK(texts(tail->lines) == Lines{"one"});
    CHECK(texts(finish(logs.wait_after(kAll, tail->up_to))) == Lines{"two"});
    logs.append(batch("web-1", {"three"}));
    CHECK(texts(finish(logs.wait_after(kAll, tail->up_to))) == Lines{"three"});
    CHECK(finish(logs.tail(kAll, 10))->lines.size() == 3);  // all is written, too
}

TEST_CASE_METHOD(World, "who_follows_one_instance_waits_through_the_lines_of_others") {
    LogStore logs(loop, folder, Logger());
    LogStore::Filter one = kAll;
    one.instance = "web-1";
    uint64_t id = 0;
    std::optional<Lines> got;
    auto wait = [](LogStore* store, LogStore::Filter filter, uint64_t* last,
                   std::optional<Lines>* out) -> Task<void> {
        out->emplace(co_await store->wait_after(filter, *last));
    };
    TaskGroup followers;
    followers.spawn(wait(&logs, one, &id, &got));
    logs.append(batch("web-2", {"not mine"}));
    CHECK_FALSE(got);
    logs.append(batch("web-1", {"mine"}));
    REQUIRE(got);
    CHECK(texts(*got) == Lines{"mine"});
    CHECK(finish(logs.tail(kAll, 10))->lines.size() == 2);
}

TEST_CASE_METHOD(World, "files_are_bounded_and_the_older_one_still_counts") {
    LogStore logs(loop, folder, Logger());
    const std::string line(16'000, 'x');
    for (int i = 0; i < 1300; ++i) {
        logs.append(batch("web-1", {line}));
        if (i % 100 == 0) REQUIRE(finish(logs.tail(kAll, 1)));
    }
    const auto tail = finish(logs.tail(kAll, 600));
    REQUIRE(tail);
    CHECK(tail->lines.size() == 600);
    uintmax_t bytes = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
        if (entry.is_regular_file()) bytes += entry.file_size();
    }
    CHECK(bytes < 3 * LogStore::kFileBytesMax);
}

TEST_CASE_METHOD(World, "a_line_cut_by_a_crash_is_left_out") {
    std::filesystem::create_directories(folder / "default");
    std::ofstream(folder / "default" / "web.log")
        << R"({"id":1,"instance":"web-1","text":"whole"})" << "\n"
        << R"({"id":2,"inst)";
    LogStore logs(loop, folder, Logger());
    CHECK(texts(finish(logs.tail(kAll, 10))->lines) == Lines{"whole"});
    logs.append(batch("web-1", {"next"}));
    CHECK(texts(finish(logs.tail(kAll, 10))->lines) == Lines{"whole", "next"});
}

TEST_CASE_METHOD(World, "logs_of_a_deleted_service_are_gone") {
    LogStore logs(loop, folder, Logger());
    logs.append(batch("web-1", {"one"}));
    logs.forget(kAll.service);
    CHECK(finish(logs.tail(kAll, 10))->lines.empty());
    CHECK_FALSE(std::filesystem::exists(folder / "default" / "web.log"));
}

}  // namespace
}  // namespace candela::lighthouse
