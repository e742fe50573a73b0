// The storage engine by itself, for tests/bench/recovery.mjs.
//     bench-bus-store fill DIR MEGABYTES MESSAGE_BYTES SUBJECTS [packed]
//     bench-bus-store open DIR
// They print one line of JSON. A subject a message where SUBJECTS is 0; otherwise the last message
// of a subject takes the place of the one before it where SUBJECTS is above 1, as in a bucket.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/text.h"
#include "loop/file.h"
#include "loop/uv_loop.h"
#include "streams/store.h"

using namespace candela;
using namespace candela::bus_role;

namespace {

[[noreturn]] void die(std::string_view what) {
    std::fprintf(stderr, "bench-bus-store: %.*s\n", static_cast<int>(what.size()), what.data());
    std::exit(1);
}

class NoConsumers final : public ConsumerStates {
public:
    std::string consumer_state(uint64_t, uint64_t) override { return {}; }
};

uint64_t number(const char* text) {
    const Result<uint64_t> value = parse_uint(text);
    if (!value) die("a number is wrong");
    return *value;
}

uint64_t resident_kib() {
    const Result<std::string> status = read_file("/proc/self/status");
    if (!status) die("no /proc");
    const size_t at = status->find("VmRSS:");
    return std::strtoull(status->c_str() + at + 6, nullptr, 10);
}

struct Engine {
    InProcessHub hub;
    UvLoop loop{hub};
    PosixDisk disk;
    NoConsumers consumers;
    std::unique_ptr<Store> store;
    double open_seconds = 0;

    explicit Engine(const char* folder) : disk(folder) {
        const auto start = std::chrono::steady_clock::now();
        auto opened = Store::open(loop, disk, StoreOptions(), 1, Logger());
        if (!opened) die(opened.error().message());
        store = std::move(*opened);
        store->start(consumers);
        const auto taken = std::chrono::steady_clock::now() - start;
        open_seconds = std::chrono::duration<double>(taken).count();
    }
    void wait(const std::function<bool()>& is_so) {
        if (!loop.run_until(is_so, 600s)) die("it takes too long");
    }
};

void fill(Engine& engine, uint64_t megabytes, uint64_t size, uint64_t subjects, bool is_packed) {
    StreamLog& log = engine.store->create("bench", true, {});
    log.set_packed(is_packed);
    LogLimits limits;
    if (subjects != 1) limits.messages_per_subject_max = 1;
    log.set_limits(limits);
    const uint64_t count = megabytes * 1024 * 1024 / size;
    const std::string payload(size, 'x');
    uint64_t done = 0;
    for (uint64_t i = 0; i < count; ++i) {
        // Scattered, as a bucket's keys are.
        const uint64_t key = subjects == 0 ? i : i * 2654435761U % subjects;
        log.append(fmt::format("$KV.bench.key{:08}", key), {}, payload, Rollup::kNone,
                   static_cast<int64_t>(i), [&](const Result<>& result) {
                       if (!result) die(result.error().message());
                       ++done;
                   });
        if (i % 4096 == 4095) engine.wait([&] { return done + 4096 > i; });
        while (engine.store->refusal()) engine.wait([&] { return !engine.store->refusal(); });
    }
    engine.wait([&] { return done == count && !engine.store->is_checkpointing(); });
    engine.store->checkpoint();
    engine.wait([&] { return !engine.store->is_checkpointing(); });
    std::printf("{\"messages\":%lu,\"alive\":%lu,\"rss_kib\":%lu}\n", count, log.index().count(),
                resident_kib());
}

void open(Engine& engine) {
    uint64_t count = 0;
    uint64_t subjects = 0;
    for (const auto& [id, log] : engine.store->logs()) {
        count += log->index().count();
        subjects += log->index().subject_count();
    }
    std::printf("{\"seconds\":%.3f,\"alive\":%lu,\"subjects\":%lu,\"rss_kib\":%lu}\n",
                engine.open_seconds, count, subjects, resident_kib());
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view mode = argc > 2 ? argv[1] : "";
    if (mode != "fill" && mode != "open") die("usage: fill|open DIR …");
    Engine engine(argv[2]);
    if (mode == "open") {
        open(engine);
    } else if (argc >= 6) {
        fill(engine, number(argv[3]), number(argv[4]), number(argv[5]), argc > 6);
    } else {
        die("usage: fill DIR MEGABYTES MESSAGE_BYTES SUBJECTS [packed]");
    }
    return 0;
}
