// The storage engine's recovery on any bytes: it starts or says why not, what it then serves can be
// read or is reported, and nothing crashes. The first byte says what is fed: a whole disk with
// bytes changed and files cut, or one record with a checksum that is right.

#include <cstdint>
#include <cstring>
#include <map>
#include <string>

#include "loop/sim_loop.h"
#include "role_bus_streams/sim_disk.h"
#include "streams/pack.h"
#include "streams/store.h"

using namespace candela;
using namespace candela::bus_role;

namespace {

using Files = std::map<std::string, std::string>;

class NoConsumers final : public ConsumerStates {
public:
    std::string consumer_state(uint64_t, uint64_t) override { return "state"; }
};

StoreOptions small_options() {
    StoreOptions options;
    options.segment_bytes_max = 2048;
    options.log_chunk_bytes = 512;
    options.index_bytes_max = 0;
    options.index_blocks_kept = 3;
    options.has_thread = false;
    return options;
}

// Two streams, one compressed, part in segments and part in the log.
Files make_files() {
    SimDisk disk;
    SimWorld world(1);
    NoConsumers consumers;
    auto store = Store::open(world.add_loop("a"), disk, small_options(), 1, Logger());
    if (!store) std::abort();
    (*store)->start(consumers);
    for (int stream = 0; stream < 2; ++stream) {
        StreamLog& log = (*store)->create("blob", true, {});
        log.set_packed(stream == 1);
        (*store)->put_consumer(log, 1, "consumer", {});
    }
    for (int round = 0; round < 3; ++round) {
        for (const auto& [id, log] : (*store)->logs()) {
            for (int i = 0; i < 20; ++i) {
                log->append("s." + std::to_string(i % 3), {}, "payload", Rollup::kNone, 1, {});
            }
            log->remove({log->last_sequence()}, {});
            (*store)->change_consumer(*log, 1, "change", {});
        }
        world.run_for(1s);
        if (round != 2) (*store)->checkpoint();
        world.run_for(1s);
    }
    Files out;
    for (const std::string& path : disk.paths()) out[path] = *read_whole(disk, path);
    return out;
}

void recover(const Files& files) {
    SimDisk disk;
    for (const char* folder : {"streams", "streams/1", "streams/2", "wal"}) {
        if (!disk.make_folder(folder)) std::abort();
    }
    for (const auto& [path, content] : files) {
        if (!(*disk.open(path, true))->write(0, content)) std::abort();
    }
    SimWorld world(1);
    NoConsumers consumers;
    auto store = Store::open(world.add_loop("a"), disk, small_options(), 1, Logger());
    if (!store) return;
    (*store)->start(consumers);
    for (const auto& [id, log] : (*store)->logs()) {
        int left = 200;
        for (const IndexEntry* entry = log->at_or_after(0); entry != nullptr && left-- != 0;) {
            const uint64_t sequence = entry->sequence;
            if (log->read(sequence) == nullptr) {
                bool is_done = false;
                log->load(sequence, [&is_done] { is_done = true; });
                if (!world.run_until([&] { return is_done; }, 1s)) std::abort();
                if (log->read(sequence) == nullptr && log->contains(sequence)) std::abort();
            }
            if (sequence == UINT64_MAX) break;
            entry = log->at_or_after(sequence + 1);
        }
    }
    (*store)->checkpoint();
    world.run_for(1s);
}

void change(Files& files, const uint8_t* data, size_t size) {
    for (; size >= 4; data += 4, size -= 4) {
        auto file = files.begin();
        std::advance(file, data[0] % files.size());
        std::string& content = file->second;
        if (content.empty()) continue;
        const size_t at = (data[1] | size_t{data[2]} << 8) % content.size();
        if (data[3] == 0) {
            content.resize(at);
        } else {
            content[at] = static_cast<char>(content[at] ^ data[3]);
        }
    }
}

void put_record(Files& files, const uint8_t* data, size_t size) {
    if (size < 2) return;
    auto file = files.begin();
    std::advance(file, data[0] % files.size());
    std::string& content = file->second;
    if (content.size() < kFileHeaderBytes) return;
    FileSalt salt;
    std::memcpy(&salt.value, content.data() + 8, 8);
    content.resize(kFileHeaderBytes);
    const RecordPtr record =
        make_record(std::string(reinterpret_cast<const char*>(data) + 1, size - 1));
    append_record(content, *record, salt, 1);
    RecordView view;
    if (decode_record(record->body, view) && view.type == RecordType::kPacked) unpack(view);
    static_cast<void>(decode_chunk(record));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const Files original = make_files();
    if (size == 0) return 0;
    Files files = original;
    if (data[0] % 2 == 0) {
        change(files, data + 1, size - 1);
    } else {
        put_record(files, data + 1, size - 1);
    }
    recover(files);
    return 0;
}
