// Bundles and logs on disk.

#include <filesystem>
#include <fstream>

#include <catch2/catch_test_macros.hpp>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "bundle_store.h"
#include "crypto/hash.h"
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

}  // namespace
}  // namespace candela::lighthouse
