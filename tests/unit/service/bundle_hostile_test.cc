#include <sys/stat.h>

#include <catch2/catch_test_macros.hpp>

#include "hostile_archive.h"
#include "service/bundle.h"
#include "service/bundle_path.h"
#include "temp_folder.h"

namespace candela::service {

using test::EntryKind;
using test::HostileArchive;
using test::read_text;
using test::TempFolder;

namespace {
// Unpacks and expects a refusal that leaves nothing behind but the archive.
Error refusal(const TempFolder& work, const std::string& digest, const BundleLimits& limits = {}) {
    const auto result = unpack_bundle(work / "b", digest, work / "out", limits);
    REQUIRE_FALSE(result);
    size_t left = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(work.path()))
        ++left;
    CHECK(left == 1);
    return result.error();
}
}  // namespace

TEST_CASE("names that lead out of the bundle are refused") {
    for (const char* name : {"../evil", "a/../../evil", "/tmp/evil", "a/..", "..", "./../x"}) {
        const TempFolder work;
        const auto digest = HostileArchive((work / "b").string())
                                .add("ok", EntryKind::kFile, "x")
                                .add(name, EntryKind::kFile, "x")
                                .finish();
        INFO(name);
        CHECK(refusal(work, digest).code() == Code::kInvalid);
    }
}

TEST_CASE("links that lead out of the bundle are refused") {
    for (const char* target : {"/etc/passwd", "..", "../x", "a/../../x", "sub/../x"}) {
        const TempFolder work;
        const auto digest =
            HostileArchive((work / "b").string()).add("link", EntryKind::kLink, target).finish();
        INFO(target);
        CHECK(refusal(work, digest).code() == Code::kInvalid);
    }
}

TEST_CASE("a file through a link is refused, whichever comes first") {
    const TempFolder work;
    SECTION("link first") {
        const auto digest = HostileArchive((work / "b").string())
                                .add("dir", EntryKind::kFolder, {}, 0755)
                                .add("link", EntryKind::kLink, "dir")
                                .add("link/x", EntryKind::kFile, "x")
                                .finish();
        CHECK(refusal(work, digest).code() == Code::kInvalid);
    }
    SECTION("file first") {
        const auto digest = HostileArchive((work / "b").string())
                                .add("link/x", EntryKind::kFile, "x")
                                .add("link", EntryKind::kLink, "elsewhere")
                                .finish();
        CHECK(refusal(work, digest).code() == Code::kInvalid);
    }
    SECTION("a folder where a link is") {
        const auto digest = HostileArchive((work / "b").string())
                                .add("link", EntryKind::kLink, "dir")
                                .add("link", EntryKind::kFolder, {}, 0755)
                                .finish();
        CHECK(refusal(work, digest).code() == Code::kInvalid);
    }
}

TEST_CASE("the same name twice is refused") {
    const TempFolder work;
    const auto digest = HostileArchive((work / "b").string())
                            .add("a", EntryKind::kFile, "x")
                            .add("./a", EntryKind::kFile, "y")
                            .finish();
    CHECK(refusal(work, digest).message().find("twice") != std::string::npos);
}

TEST_CASE("devices, pipes, sockets and hard links are refused") {
    for (const EntryKind type :
         {EntryKind::kCharDevice, EntryKind::kBlockDevice, EntryKind::kPipe}) {
        const TempFolder work;
        const auto digest = HostileArchive((work / "b").string()).add("x", type).finish();
        CHECK(refusal(work, digest).code() == Code::kInvalid);
    }
    const TempFolder work;
    const auto digest = HostileArchive((work / "b").string())
                            .add("a", EntryKind::kFile, "x")
                            .add_hard_link("b", "a")
                            .finish();
    CHECK(refusal(work, digest).message().find("hard link") != std::string::npos);
}

TEST_CASE("special mode bits are taken away") {
    const TempFolder work;
    const auto digest = HostileArchive((work / "b").string())
                            .add("suid", EntryKind::kFile, "x", 06777)
                            .add("blind", EntryKind::kFile, "x", 0)
                            .add("dir", EntryKind::kFolder, {}, 01000)
                            .finish();
    REQUIRE(unpack_bundle(work / "b", digest, work / "out"));
    struct stat status{};
    REQUIRE(stat((work / "out/suid").c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0755);
    REQUIRE(stat((work / "out/blind").c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0444);
    REQUIRE(stat((work / "out/dir").c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0755);
}

TEST_CASE("bombs are refused by each of the limits") {
    const TempFolder work;
    const std::string zeros(8 << 20, '\0');
    const auto digest = HostileArchive((work / "b").string())
                            .add("a", EntryKind::kFile, zeros)
                            .add("b/c/d/e", EntryKind::kFile, zeros)
                            .finish();
    BundleLimits limits;
    SECTION("size") { limits.size_bytes_max = 10 << 20; }
    SECTION("ratio") {
        limits.ratio_free_bytes = 1 << 20;
        limits.ratio_max = 100;
    }
    SECTION("files") { limits.files_max = 1; }
    SECTION("depth") { limits.depth_max = 3; }
    SECTION("name") { limits.path_length_max = 5; }
    SECTION("the archive itself") { limits.bundle_bytes_max = 100; }
    CHECK(refusal(work, digest, limits).code() == Code::kExhausted);
}

TEST_CASE("rotten archives are refused") {
    const TempFolder work;
    const auto good = HostileArchive((work / "b").string())
                          .add("a", EntryKind::kFile, std::string(100'000, 'a'))
                          .finish();
    std::string bytes = read_text(work / "b");
    SECTION("another digest") {
        CHECK(refusal(work, std::string(64, '0')).code() == Code::kCorrupt);
    }
    SECTION("cut short") {
        work.write("b", bytes.substr(0, bytes.size() - 10));
        CHECK(refusal(work, digest_file(work / "b").value()).code() == Code::kCorrupt);
    }
    SECTION("not zstd") {
        work.write("b", std::string(5000, 'z'));
        CHECK(refusal(work, digest_file(work / "b").value()).code() == Code::kCorrupt);
    }
    SECTION("a bit flipped") {
        bytes[bytes.size() / 2] ^= 0x10;
        work.write("b", bytes);
        CHECK(refusal(work, good).code() == Code::kCorrupt);
    }
    SECTION("names that are not UTF-8") {
        const auto digest =
            HostileArchive((work / "b").string()).add("\xff\xfe", EntryKind::kFile).finish();
        CHECK(refusal(work, digest).code() == Code::kInvalid);
    }
}

TEST_CASE("a folder that exists is not touched") {
    const TempFolder work;
    const auto digest =
        HostileArchive((work / "b").string()).add("a", EntryKind::kFile, "x").finish();
    std::filesystem::create_directory(work / "out");
    CHECK(unpack_bundle(work / "b", digest, work / "out").error().code() == Code::kConflict);
    CHECK(std::filesystem::is_empty(work / "out"));
}

TEST_CASE("links of the forms that package managers make are allowed") {
    const BundleLimits limits;
    CHECK(check_link_target("node_modules/.bin/x", "../x/cli.js", limits));
    CHECK(check_link_target("a/b/c", "../../d", limits));
    CHECK(check_link_target("a", "./b", limits));
    CHECK_FALSE(check_link_target("a/b/c", "../../../d", limits));
    CHECK_FALSE(check_link_target("a", "", limits));
}

}  // namespace candela::service
