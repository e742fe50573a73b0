#include "build/project_cache.h"

#include <catch2/catch_test_macros.hpp>

#include "temp_folder.h"

namespace candela::build {
namespace {

namespace fs = std::filesystem;

struct Place : test::TempFolder {
    test::TempFolder project;
    ProjectCache open() const {
        auto opened = ProjectCache::open(path() / "cache", project.path());
        if (!opened) FAIL(opened.error().message());
        return std::move(*opened);
    }
    static BuildOutcome pack(ProjectCache& cache, std::string_view key) {
        test::TempFolder files;
        files.write("a", key);
        BuildOutcome outcome;
        outcome.bundle = *cache.place_for(key);
        outcome.info = *service::pack_bundle(files.path(), outcome.bundle);
        outcome.command = {"./run", std::string(key)};
        REQUIRE(cache.keep(key, outcome));
        return outcome;
    }
};

TEST_CASE_METHOD(Place, "one_build_of_a_project_at_a_time") {
    {
        const ProjectCache first = open();
        const auto second = ProjectCache::open(path() / "cache", project.path());
        REQUIRE_FALSE(second);
        CHECK(second.error().code() == Code::kConflict);
        const test::TempFolder other;
        CHECK(ProjectCache::open(path() / "cache", other.path()));
    }
    open();
}

TEST_CASE_METHOD(Place, "what_was_built_is_found_again_unless_it_rots") {
    ProjectCache cache = open();
    CHECK_FALSE(cache.find("k1"));
    const BuildOutcome built = pack(cache, "k1");
    const auto found = cache.find("k1");
    REQUIRE(found);
    CHECK(found->command == built.command);
    CHECK(found->info.digest == built.info.digest);
    CHECK(found->info.files == 1);
    std::ofstream(built.bundle, std::ios::app) << "x";
    CHECK_FALSE(cache.find("k1"));
}

TEST_CASE_METHOD(Place, "the_oldest_results_go") {
    ProjectCache cache = open();
    for (const char* key : {"k1", "k2", "k3", "k4"}) {
        pack(cache, key);
        // By an hour each: a file system's clock may be coarse.
        const auto file = cache.folder() / "results" / key / "result.json";
        const auto age = std::chrono::hours(100 - (key[1] - '0'));
        fs::last_write_time(file, fs::file_time_type::clock::now() - age);
    }
    CHECK_FALSE(cache.find("k1"));
    CHECK(cache.find("k2"));
    CHECK(cache.find("k4"));
}

TEST_CASE_METHOD(Place, "folders_are_lent_to_a_build_and_taken_back") {
    ProjectCache cache = open();
    REQUIRE(cache.prepare());
    fs::create_directories(cache.work() / "build/deep");
    std::ofstream(cache.work() / "build/deep/object") << "o";
    REQUIRE(cache.take_back({"build", "absent"}));
    CHECK_FALSE(fs::exists(cache.work() / "build"));
    REQUIRE(cache.prepare());
    REQUIRE(cache.lend({"build", "absent"}));
    CHECK(test::read_text(cache.work() / "build/deep/object") == "o");
    REQUIRE(cache.take_back({"build"}));
    REQUIRE(cache.forget());
    REQUIRE(cache.lend({"build"}));
    CHECK_FALSE(fs::exists(cache.work() / "build"));
}

TEST_CASE_METHOD(Place, "a_link_that_a_build_made_leads_nowhere") {
    ProjectCache cache = open();
    REQUIRE(cache.prepare());
    write("precious/data/file", "mine");
    fs::create_directory_symlink(path() / "precious", cache.work() / "out");
    fs::create_directory_symlink(path() / "precious", cache.work() / "build");
    REQUIRE(cache.take_back({"out/data", "build"}));
    CHECK(test::read_text(path() / "precious/data/file") == "mine");
    CHECK_FALSE(fs::exists(cache.folder() / "kept/out/data"));
}

TEST_CASE_METHOD(Place, "what_package_managers_keep_is_bounded") {
    ProjectCache cache = open();
    REQUIRE(cache.prepare());
    std::ofstream(cache.home() / "package") << std::string(100'000, 'x');
    const auto nothing = cache.bound(1 << 20);
    REQUIRE(nothing);
    CHECK(nothing->empty());
    CHECK(fs::exists(cache.home() / "package"));
    const auto dropped = cache.bound(50'000);
    REQUIRE(dropped);
    CHECK(dropped->size() == 1);
    CHECK_FALSE(fs::exists(cache.home() / "package"));
}

TEST_CASE_METHOD(Place, "projects_that_were_built_long_ago_make_room") {
    const test::TempFolder other;
    fs::path old;
    {
        ProjectCache cache = *ProjectCache::open(path() / "cache", other.path());
        old = cache.folder();
        REQUIRE(cache.bound(1 << 30));
        std::ofstream(old / "size") << ProjectCache::kAllBytesMax + 1;
    }
    ProjectCache cache = open();
    const auto dropped = cache.bound(1 << 30);
    REQUIRE(dropped);
    CHECK(dropped->size() == 1);
    CHECK_FALSE(fs::exists(old));
    CHECK(fs::exists(cache.folder()));
}

TEST_CASE("the_cache_is_where_the_user_has_caches") {
    const auto of = [](std::string xdg, std::string home) {
        return cache_folder([=](const char* name) { return name[0] == 'X' ? xdg : home; });
    };
    CHECK(*of("/x", "/h") == "/x/candela/build");
    CHECK(*of("relative", "/h") == "/h/.cache/candela/build");
    CHECK_FALSE(of("", ""));
}

}  // namespace
}  // namespace candela::build
