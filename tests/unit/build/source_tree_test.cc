#include "build/source_tree.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <catch2/catch_test_macros.hpp>

#include "build/last_lines.h"
#include "temp_folder.h"

namespace candela::build {
namespace {

namespace fs = std::filesystem;

struct Sources : test::TempFolder {
    test::TempFolder copy;
    SourceOptions options;

    std::string digest() const {
        auto read = read_sources(path(), std::nullopt, options);
        if (!read) FAIL(read.error().message());
        return read->digest;
    }
    bool copied(std::string_view name) const { return fs::exists(copy / name); }
};

TEST_CASE_METHOD(Sources, "ignored_files_are_no_sources_but_what_brings_them_back_is") {
    write(".gitignore", "*.log\n/dist\n!keep.log\n");
    write("sub/.gitignore", "local\n!*.log\n");
    write("a.js", "a");
    write("x.log", "");
    write("keep.log", "");
    write("dist/made", "");
    write("sub/dist/source", "");
    write("sub/local", "");
    write("sub/y.log", "");
    write(".git/config", "");
    write("node_modules/x/index.js", "");
    write("lib/node_modules/kept", "");
    options.left_out = {"node_modules"};
    REQUIRE(read_sources(path(), copy.path(), options));
    for (const char* name : {"a.js", "keep.log", "sub/dist/source", "sub/y.log",
                             "lib/node_modules/kept", ".gitignore"}) {
        INFO(name);
        CHECK(copied(name));
    }
    for (const char* name : {"x.log", "dist", "sub/local", ".git", "node_modules"}) {
        INFO(name);
        CHECK_FALSE(copied(name));
    }
}

TEST_CASE_METHOD(Sources, "copies_have_their_content_modes_links_and_times") {
    write("run.sh", "#!/bin/sh\n", 0755);
    link("link", "run.sh");
    const timespec times[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
    utimensat(AT_FDCWD, (path() / "run.sh").c_str(), times, 0);
    const auto info = read_sources(path(), copy.path(), options);
    REQUIRE(info);
    CHECK(info->files == 2);
    CHECK(info->digest == digest());
    CHECK(test::read_text(copy / "run.sh") == "#!/bin/sh\n");
    CHECK(fs::read_symlink(copy / "link") == "run.sh");
    struct stat look{};
    REQUIRE(stat((copy / "run.sh").c_str(), &look) == 0);
    CHECK((look.st_mode & 0777) == 0755);
    CHECK(look.st_mtim.tv_sec == 1'000'000'000);
}

TEST_CASE_METHOD(Sources, "the_digest_tells_every_change_but_times") {
    write("a", "one");
    write("b", "two");
    const std::string before = digest();
    const timespec times[2] = {{1, 0}, {1, 0}};
    utimensat(AT_FDCWD, (path() / "a").c_str(), times, 0);
    CHECK(digest() == before);
    write("a", "onE");
    const std::string changed = digest();
    CHECK(changed != before);
    write("a", "one");
    CHECK(digest() == before);
    chmod((path() / "a").c_str(), 0755);
    CHECK(digest() != before);
    chmod((path() / "a").c_str(), 0644);
    fs::rename(path() / "b", path() / "c");
    CHECK(digest() != before);
}

TEST_CASE_METHOD(Sources, "limits_are_kept") {
    for (int i = 0; i < 5; ++i) write(fmt::format("f{}", i), "12345");
    options.limits.files_max = 4;
    CHECK(read_sources(path(), std::nullopt, options).error().code() == Code::kExhausted);
    options.limits.files_max = 5;
    CHECK(read_sources(path(), std::nullopt, options));
    options.limits.size_bytes_max = 24;
    CHECK(read_sources(path(), std::nullopt, options).error().code() == Code::kExhausted);
}

TEST_CASE_METHOD(Sources, "a_pipe_is_refused_by_name") {
    REQUIRE(mkfifo((path() / "pipe").c_str(), 0600) == 0);
    const auto read = read_sources(path(), std::nullopt, options);
    REQUIRE_FALSE(read);
    CHECK(read.error().message().starts_with("pipe is neither"));
}

TEST_CASE("the_last_lines_are_kept_in_bounded_memory") {
    LastLines lines(2);
    lines.add("one\ntw");
    lines.add("o\nthree");
    CHECK(lines.text() == "two\nthree\n");
    lines.add(std::string(3 * LastLines::kLineMax, 'x'));
    lines.add("\x1b[31m\n");
    CHECK(lines.text().size() <= 2 * LastLines::kLineMax + 10);
    LastLines odd(1);
    odd.add("\x1b[2J\n");
    CHECK(odd.text() == "\\x1b[2J\n");
}

}  // namespace
}  // namespace candela::build
