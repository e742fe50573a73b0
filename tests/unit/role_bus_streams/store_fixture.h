#pragma once

// A Store on a simulated loop and disk, for tests of the storage engine.

#include <catch2/catch_test_macros.hpp>

#include <memory>
#include <optional>
#include <string>

#include "loop/sim_loop.h"
#include "sim_disk.h"
#include "streams/store.h"

namespace candela::bus_role {

class FixedStates final : public ConsumerStates {
public:
    std::string consumer_state(uint64_t, uint64_t) override { return "state"; }
};

struct StoreFixture {
    std::unique_ptr<SimDisk> disk = std::make_unique<SimDisk>();
    std::unique_ptr<SimWorld> world;
    std::unique_ptr<Store> store;
    FixedStates states;
    StoreOptions options;

    StoreFixture() {
        options.has_thread = false;
        options.log_chunk_bytes = 1024;
        open();
    }
    void open() {
        store.reset();
        world = std::make_unique<SimWorld>(1);
        auto opened = Store::open(world->add_loop("node"), *disk, options, 3, Logger());
        REQUIRE(opened.has_value());
        store = std::move(*opened);
        store->start(states);
    }
    void run() { world->run_for(1s); }
    std::string path_that_ends(std::string_view end) const {
        for (const std::string& path : disk->paths()) {
            if (path.ends_with(end)) return path;
        }
        return {};
    }
    void checkpoint() {
        store->checkpoint();
        run();
        REQUIRE_FALSE(store->is_checkpointing());
    }
    // The outcome once it is known.
    Result<> append(StreamLog& log, std::string_view payload, std::string_view subject = "a",
                    Rollup rollup = Rollup::kNone) {
        std::optional<Result<>> out;
        log.append(subject, {}, payload, rollup, 1, [&](const Result<>& result) { out = result; });
        REQUIRE(world->run_until([&] { return out.has_value(); }, 1s));
        return *out;
    }
    std::string read(StreamLog& log, uint64_t sequence) {
        RecordPtr record = log.read(sequence);
        if (record == nullptr) {
            bool loaded = false;
            log.load(sequence, [&] { loaded = true; });
            REQUIRE(world->run_until([&] { return loaded; }, 1s));
            record = log.read(sequence);
        }
        if (record == nullptr) return "unreadable";
        RecordView view;
        REQUIRE(decode_record(record->body, view));
        return std::string(view.payload);
    }
    std::string segment() const { return path_that_ends(".seg"); }
};

}  // namespace candela::bus_role
