#include "bundle_store.h"

#include <cstdio>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include "auth/key_pair.h"
#include "loop/file.h"
#include "loop/sim_loop.h"
#include "temp_folder.h"

namespace candela::host {
namespace {

using test::read_text;

// A lighthouse with one bundle.
struct Store : BundleSource {
    test::TempFolder folder;
    SimWorld world{7};
    SimLoop& loop = world.add_loop("host");
    auth::KeyPair key = auth::KeyPair::generate(auth::KeyKind::kUser);
    std::string bytes, digest, signature;
    int reads = 0, in_flight = 0, in_flight_max = 0;
    int failures = 0;  // that many reads fail
    Code failure_code = Code::kTimeout;
    BundleStoreOptions options;
    std::unique_ptr<BundleStore> store;

    Store() {
        make_bundle(std::string(300'000, 'x'));
        options.folder = folder / "bundles";
        options.chunk_bytes = 64;
    }
    void make_bundle(const std::string& content) {
        const test::TempFolder source;
        source.write("server.js", content);
        for (int i = 0; i < 50; ++i)
            source.write(fmt::format("file-{}", i), std::to_string(i * 7919));
        const auto info = service::pack_bundle(source.path(), folder / "packed");
        REQUIRE(info.has_value());
        bytes = read_text(folder / "packed");
        digest = info->digest;
        signature = service::sign_digest(digest, key.seed().reveal()).value();
    }
    BundleStore& open() {
        store = std::make_unique<BundleStore>(loop, *this, options, Logger());
        REQUIRE(store->open().has_value());
        return *store;
    }
    Task<Result<proto::BundleChunk>> read(proto::BundleRead request) override {
        ++reads;
        in_flight_max = std::max(in_flight_max, ++in_flight);
        co_await sleep_for(loop, 10ms);
        --in_flight;
        if (failures > 0) {
            --failures;
            co_return fail(failure_code, "the bus is away");
        }
        proto::BundleChunk chunk;
        chunk.total_bytes = bytes.size();
        chunk.offset = request.offset;
        chunk.data = bytes.substr(request.offset, request.length);
        co_return chunk;
    }
    static Task<void> acquire_into(BundleStore& store, std::string digest, uint64_t size,
                                   std::string signature, std::string signer,
                                   std::optional<Result<std::string>>& out) {
        auto result = co_await store.acquire(std::move(digest), size, std::move(signature),
                                             std::move(signer));
        out.emplace(std::move(result));
    }
    Result<std::string> acquire() {
        std::optional<Result<std::string>> out;
        TaskGroup tasks;
        tasks.spawn(acquire_into(*store, digest, bytes.size(), signature, key.public_key(), out));
        REQUIRE(world.run_until([&] { return out.has_value(); }, 10min));
        world.run_for(1s);  // what goes on behind it
        return *out;
    }
};

TEST_CASE_METHOD(Store, "a_bundle_is_fetched_through_a_window_verified_and_unpacked") {
    open();
    const auto path = acquire();
    INFO((path ? "" : path.error().message()));
    REQUIRE(path.has_value());
    CHECK(read_text(std::filesystem::path(*path) / "server.js").size() == 300'000);
    CHECK(in_flight_max == static_cast<int>(options.window));
    CHECK(store->used_bytes() > 300'000);
}

TEST_CASE_METHOD(Store, "one_digest_is_fetched_once_however_many_ask") {
    open();
    std::array<std::optional<Result<std::string>>, 3> out;
    TaskGroup tasks;
    for (auto& result : out) {
        tasks.spawn(
            acquire_into(*store, digest, bytes.size(), signature, key.public_key(), result));
    }
    TaskGroup impatient;
    std::optional<Result<std::string>> never;
    impatient.spawn(acquire_into(*store, digest, bytes.size(), signature, key.public_key(), never));
    world.run_for(5ms);
    impatient.cancel();
    REQUIRE(world.run_until([&] { return tasks.size() == 0; }, 10min));
    const int once = reads;
    for (auto& result : out) CHECK(result.has_value());
    CHECK_FALSE(never.has_value());
    REQUIRE(acquire().has_value());
    CHECK(reads == once);
}

TEST_CASE_METHOD(Store, "a_bundle_survives_a_restart_and_halves_do_not") {
    open();
    REQUIRE(acquire().has_value());
    const int once = reads;
    store.reset();
    folder.write("bundles/" + std::string(64, 'a') + "/half", "x");
    folder.write("bundles/rubbish", "x");
    open();
    world.run_for(1s);
    CHECK(store->size() == 1);
    CHECK_FALSE(std::filesystem::exists(folder / ("bundles/" + std::string(64, 'a'))));
    CHECK_FALSE(std::filesystem::exists(folder / "bundles/rubbish"));
    REQUIRE(acquire().has_value());
    CHECK(reads == once);
}

TEST_CASE_METHOD(Store, "what_does_not_verify_is_never_unpacked") {
    open();
    SECTION("signed by another") {
        signature = service::sign_digest(
                        digest, auth::KeyPair::generate(auth::KeyKind::kUser).seed().reveal())
                        .value();
        CHECK(acquire().error().code() == Code::kDenied);
        CHECK(reads == 0);
    }
    SECTION("by a key that is not allowed") {
        options.signers = {auth::KeyPair::generate(auth::KeyKind::kUser).public_key()};
        open();
        CHECK(acquire().error().code() == Code::kDenied);
        CHECK(reads == 0);
    }
    SECTION("other bytes") {
        bytes[bytes.size() / 2] ^= 1;
        CHECK(acquire().error().code() == Code::kCorrupt);
    }
    SECTION("another size than announced") {
        const std::string all = bytes;
        bytes += "more";
        std::optional<Result<std::string>> out;
        TaskGroup tasks;
        tasks.spawn(acquire_into(*store, digest, all.size(), signature, key.public_key(), out));
        REQUIRE(world.run_until([&] { return out.has_value(); }, 10min));
        CHECK(out->error().code() == Code::kCorrupt);
    }
    SECTION("larger than allowed") {
        options.limits.bundle_bytes_max = 100;
        open();
        CHECK(acquire().error().code() == Code::kExhausted);
    }
    world.run_for(1s);
    CHECK(store->size() == 0);
    CHECK(std::filesystem::is_empty(folder / "bundles"));
}

TEST_CASE_METHOD(Store, "a_chunk_that_does_not_come_is_asked_for_again") {
    open();
    failures = 2;
    CHECK(acquire().has_value());
    CHECK(failures == 0);
}

TEST_CASE_METHOD(Store, "a_fetch_that_fails_can_be_tried_again") {
    open();
    failures = 1000;
    CHECK(acquire().error().code() == Code::kTimeout);
    failures = 1;
    failure_code = Code::kNotFound;
    CHECK(acquire().error().code() == Code::kNotFound);
    failures = 0;
    CHECK(acquire().has_value());
}

TEST_CASE_METHOD(Store, "a_bundle_that_is_not_what_it_was_is_fetched_anew") {
    open();
    const std::filesystem::path unpacked = acquire().value();
    const std::string sound = read_text(unpacked / "server.js");
    const int before = reads;
    CHECK(acquire().has_value());
    CHECK(reads == before);
    const bool is_restarted = GENERATE(false, true);
    if (is_restarted) open();
    const auto damage = [&](const std::filesystem::path& file, std::string_view content) {
        REQUIRE(write_file(file, content).has_value());
    };
    SECTION("one of its bytes") { damage(unpacked / "server.js", sound.substr(1) + "y"); }
    SECTION("in place, as a disk does it") {
        FILE* file = fopen((unpacked / "server.js").c_str(), "r+");
        REQUIRE(file != nullptr);
        REQUIRE(fputs("y", file) >= 0);
        REQUIRE(fclose(file) == 0);
    }
    SECTION("it is cut off") { std::filesystem::resize_file(unpacked / "server.js", 5); }
    SECTION("a file more") { damage(unpacked / "more", "x"); }
    SECTION("a file less") { REQUIRE(remove_file(unpacked / "file-1").has_value()); }
    SECTION("a mode") {
        std::filesystem::permissions(unpacked / "server.js", std::filesystem::perms::owner_read);
    }
    SECTION("all of it") { REQUIRE(remove_tree(unpacked).has_value()); }
    CHECK(acquire().value() == unpacked);
    CHECK(reads > before);
    CHECK(read_text(unpacked / "server.js") == sound);
    CHECK(read_text(unpacked / "file-1") == "7919");
    CHECK_FALSE(std::filesystem::exists(unpacked / "more"));
    CHECK(store->size() == 1);
}

TEST_CASE_METHOD(Store, "a_marker_of_an_older_host_counts") {
    open();
    const std::filesystem::path unpacked = acquire().value();
    const int before = reads;
    REQUIRE(write_file(folder / "bundles" / (digest + ".synced"), "300000").has_value());
    open();
    CHECK(acquire().value() == unpacked);
    CHECK(reads == before);
}

TEST_CASE_METHOD(Store, "some_of_the_disk_is_left_to_others") {
    DiskSpace space{1 << 30, 4ULL << 30};
    options.disk_reserve = 100 << 20;
    options.disk = [&](const std::filesystem::path&) { return Result<DiskSpace>(space); };
    open();
    REQUIRE(acquire().has_value());
    const std::string first = digest;
    CHECK(store->trouble().empty());

    // What nobody wants makes room.
    store->set_wanted({});
    make_bundle(std::string(200'000, 'y'));
    space.free = 100 << 20;
    options.disk = [&](const std::filesystem::path&) {
        const bool is_gone = !std::filesystem::exists(folder / "bundles" / first);
        return Result<DiskSpace>(DiskSpace{is_gone ? 200ULL << 20 : space.free, space.all});
    };
    open();
    store->set_wanted({});
    REQUIRE(acquire().has_value());
    CHECK_FALSE(std::filesystem::exists(folder / "bundles" / first));

    // What is wanted stays, and nothing more is taken.
    store->set_wanted({digest});
    const std::string second = digest;
    options.disk = [&](const std::filesystem::path&) { return Result<DiskSpace>(space); };
    space.free = 50 << 20;
    open();
    store->set_wanted({second});
    world.run_for(1s);
    CHECK(store->trouble().find("is almost full: 50.0 MiB of 4.0 GiB are free, and 100.0 MiB stay "
                                "so ([host] disk_reserve)") != std::string::npos);
    CHECK(acquire().has_value());
    make_bundle(std::string(200'000, 'z'));
    const auto refused = acquire();
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code() == Code::kExhausted);
    CHECK(refused.error().message().starts_with("no room on the disk for another bundle"));
    space.free = 1 << 30;
    store->collect();
    world.run_for(1s);
    CHECK(store->trouble().empty());
    // On a small disk a twentieth is enough.
    space = DiskSpace{60 << 20, 1 << 30};
    store->collect();
    world.run_for(1s);
    CHECK(store->trouble().empty());
}

TEST_CASE_METHOD(Store, "what_nobody_wants_goes_after_a_while") {
    open();
    REQUIRE(acquire().has_value());
    store->set_wanted({digest});
    world.run_for(options.keep * 2);
    store->collect();
    CHECK(store->size() == 1);
    store->set_wanted({});
    store->collect();
    CHECK(store->size() == 1);
    world.run_for(options.keep);
    store->collect();
    world.run_for(1s);
    CHECK(store->size() == 0);
    CHECK(std::filesystem::is_empty(folder / "bundles"));
}

TEST_CASE_METHOD(Store, "room_is_made_by_dropping_what_nobody_wants") {
    options.bytes_max = 500'000;
    open();
    REQUIRE(acquire().has_value());
    make_bundle(std::string(300'000, 'y'));
    SECTION("the first is in use") {
        CHECK(acquire().error().code() == Code::kExhausted);
        CHECK(store->size() == 1);
    }
    SECTION("the first is not") {
        options.bytes_max = 301'000;
        open();
        store->set_wanted({});
        CHECK(acquire().has_value());
        CHECK(store->size() == 1);
    }
}

}  // namespace
}  // namespace candela::host
