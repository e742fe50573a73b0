#include "service/bundle.h"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>

#include "auth/key_pair.h"
#include "temp_folder.h"

namespace candela::service {

using test::read_text;
using test::TempFolder;

static unsigned mode_of(const std::filesystem::path& file) {
    struct stat status{};
    REQUIRE(lstat(file.c_str(), &status) == 0);
    return status.st_mode & 07777;
}

static BundleInfo pack(const TempFolder& from, const std::filesystem::path& to) {
    auto info = pack_bundle(from.path(), to);
    INFO((info ? "" : info.error().message()));
    REQUIRE(info);
    return *info;
}

TEST_CASE("what is packed comes out the same") {
    const TempFolder source, work;
    source.write("server.js", "hello");
    source.write("bin/run", "#!/bin/sh\n", 0755);
    source.write("node_modules/a/index.js", std::string(300'000, 'x'));
    source.write("empty", "");
    source.write("grüße/ü.txt", "umlaut");
    source.write(std::string(120, 'd') + "/" + std::string(150, 'f'), "long");
    std::filesystem::create_directories(source / "hollow");
    source.link("node_modules/.bin/a", "../a/index.js");

    const BundleInfo info = pack(source, work / "b");
    CHECK(info.size_bytes == std::filesystem::file_size(work / "b"));
    CHECK(digest_file(work / "b").value() == info.digest);
    const auto unpacked = unpack_bundle(work / "b", info.digest, work / "out");
    INFO((unpacked ? "" : unpacked.error().message()));
    REQUIRE(unpacked);
    CHECK(unpacked->files == info.files);
    CHECK(unpacked->unpacked_bytes == info.unpacked_bytes);
    CHECK(unpacked->digest == info.digest);

    CHECK(read_text(work / "out/server.js") == "hello");
    CHECK(read_text(work / "out/node_modules/.bin/a").size() == 300'000);
    CHECK(read_text(work / "out/grüße/ü.txt") == "umlaut");
    CHECK(read_text(work.path() / "out" / std::string(120, 'd') / std::string(150, 'f')) == "long");
    CHECK(mode_of(work / "out/bin/run") == 0755);
    CHECK(mode_of(work / "out/server.js") == 0644);
    CHECK(std::filesystem::is_directory(work / "out/hollow"));
    CHECK(std::filesystem::is_empty(work / "out/hollow"));
}

TEST_CASE("the same files give the same digest") {
    const TempFolder first, second, work;
    const std::vector<std::string> names{"a", "b/c", "b/d", "e", std::string(130, 'n')};
    for (auto name = names.begin(); name != names.end(); ++name) first.write(*name, *name);
    for (auto name = names.rbegin(); name != names.rend(); ++name) second.write(*name, *name);
    CHECK(pack(first, work / "1").digest == pack(second, work / "2").digest);
    second.write("a", "other");
    CHECK(pack(first, work / "1").digest != pack(second, work / "2").digest);
}

TEST_CASE(".git and what .candelaignore names stay out") {
    const TempFolder source, work;
    source.write(".candelaignore", "*.log\n/build/\n");
    source.write(".git/config", "secret");
    source.write("deep/.git", "gitdir: elsewhere");
    source.write("a.log", "x");
    source.write("build/huge", "x");
    source.write("keep/build/x", "x");
    source.write("main", "x");
    const BundleInfo info = pack(source, work / "b");
    REQUIRE(unpack_bundle(work / "b", info.digest, work / "out"));
    CHECK_FALSE(std::filesystem::exists(work / "out/.git"));
    CHECK_FALSE(std::filesystem::exists(work / "out/deep/.git"));
    CHECK_FALSE(std::filesystem::exists(work / "out/a.log"));
    CHECK_FALSE(std::filesystem::exists(work / "out/build"));
    CHECK_FALSE(std::filesystem::exists(work / "out/.candelaignore"));
    CHECK(std::filesystem::exists(work / "out/keep/build/x"));
    CHECK(std::filesystem::exists(work / "out/main"));
}

TEST_CASE("a bundle written into the folder itself does not contain itself") {
    const TempFolder source;
    source.write("a", "x");
    CHECK(pack(source, source / "bundle").files == 1);
}

TEST_CASE("what can't be packed is an error that names it and leaves nothing") {
    const TempFolder source, work;
    source.write("a", "x");
    SECTION("a pipe") {
        REQUIRE(mkfifo((source / "pipe").c_str(), 0600) == 0);
        const auto error = pack_bundle(source.path(), work / "b").error();
        CHECK(error.message().find("pipe") != std::string::npos);
    }
    SECTION("a link out of the folder") {
        source.link("deep/out", "../../etc");
        const auto error = pack_bundle(source.path(), work / "b").error();
        CHECK(error.message().find("deep/out") != std::string::npos);
    }
    SECTION("an absolute link") {
        source.link("abs", "/etc/passwd");
        CHECK_FALSE(pack_bundle(source.path(), work / "b"));
    }
    SECTION("too many files") {
        source.write("b", "x");
        BundleLimits limits;
        limits.files_max = 1;
        CHECK(pack_bundle(source.path(), work / "b", limits).error().code() == Code::kExhausted);
    }
    SECTION("too many bytes") {
        source.write("b", std::string(2000, 'x'));
        BundleLimits limits;
        limits.size_bytes_max = 1000;
        CHECK(pack_bundle(source.path(), work / "b", limits).error().code() == Code::kExhausted);
    }
    SECTION("a bundle that hosts would take for a bomb") {
        source.write("zeros", std::string(4 << 20, '\0'));
        BundleLimits limits;
        limits.ratio_free_bytes = 1 << 20;
        CHECK(pack_bundle(source.path(), work / "b", limits).error().code() == Code::kExhausted);
    }
    SECTION("no such folder") { CHECK_FALSE(pack_bundle(source / "missing", work / "b")); }
    SECTION("cancelled") {
        const auto cancel = [](uint64_t, uint64_t) { return false; };
        CHECK(pack_bundle(source.path(), work / "b", {}, cancel).error().code() ==
              Code::kCancelled);
    }
    CHECK(std::filesystem::is_empty(work.path()));
}

TEST_CASE("a signature holds for its digest and signer only") {
    const auto key = auth::KeyPair::generate(auth::KeyKind::kUser);
    const auto other = auth::KeyPair::generate(auth::KeyKind::kUser);
    const std::string digest(64, 'a');
    const auto signature = sign_digest(digest, key.seed().reveal());
    REQUIRE(signature);
    CHECK(verify_digest(digest, *signature, key.public_key()));
    CHECK(verify_digest(std::string(64, 'b'), *signature, key.public_key()).error().code() ==
          Code::kDenied);
    CHECK(verify_digest(digest, *signature, other.public_key()).error().code() == Code::kDenied);
    CHECK_FALSE(verify_digest(digest, "", key.public_key()));
    CHECK_FALSE(verify_digest(digest, *signature + "A", key.public_key()));
    CHECK_FALSE(verify_digest(digest, *signature, "not a key"));
    CHECK_FALSE(verify_digest("../../etc/passwd", *signature, key.public_key()));
    CHECK_FALSE(sign_digest(digest, "SUnonsense"));
    CHECK_FALSE(sign_digest("short", key.seed().reveal()));
}

TEST_CASE("one file is read without unpacking the rest") {
    const TempFolder source, work;
    source.write("service.toml", "name = \"x\"");
    source.write("zz", "x");
    pack(source, work / "b");
    CHECK(read_bundle_file(work / "b", "service.toml", 100).value() == "name = \"x\"");
    CHECK(read_bundle_file(work / "b", "service.toml", 5).error().code() == Code::kExhausted);
    CHECK(read_bundle_file(work / "b", "missing", 100).error().code() == Code::kNotFound);
}

}  // namespace candela::service
