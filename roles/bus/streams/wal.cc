#include "wal.h"

#include <algorithm>

#include "base/text.h"

namespace candela::bus_role {

namespace {

constexpr const char* kFolder = "wal";
constexpr size_t kBufferKept = 4 * 1024 * 1024;

std::string path_of(uint64_t number) { return fmt::format("{}/{:012}.wal", kFolder, number); }

// 0 for a name that is none of ours.
uint64_t number_of(const std::string& name) {
    if (!name.ends_with(".wal")) return 0;
    const Result<uint64_t> number = parse_uint(std::string_view(name).substr(0, name.size() - 4));
    return number ? *number : 0;
}

}  // namespace

Result<Wal::Replay> Wal::open(
    const std::function<void(const RecordView&, const RecordPtr&)>& take) {
    CANDELA_TRY(disk_.make_folder(kFolder));
    CANDELA_TRY_ASSIGN(const std::vector<std::string> names, disk_.list(kFolder));
    Replay out;
    for (const std::string& name : names) {
        const uint64_t number = number_of(name);
        if (number == 0) continue;
        number_ = std::max(number_, number);
        CANDELA_TRY(replay_file(path_of(number), take, out));
    }
    CANDELA_TRY(begin(number_ + 1));
    return out;
}

Result<> Wal::replay_file(const std::string& path,
                          const std::function<void(const RecordView&, const RecordPtr&)>& take,
                          Replay& out) {
    CANDELA_TRY_ASSIGN(const std::string text, read_whole(disk_, path));
    {
        CANDELA_TRY_ASSIGN(const std::unique_ptr<DiskFile> file, disk_.open(path, false));
        CANDELA_TRY(file->sync());
    }
    FileSalt salt;
    if (!read_file_header(text, salt)) {
        // A file whose making was cut short holds nothing that was ever acknowledged.
        if (text.size() > kFileHeaderBytes) ++out.unreadable_files;
        return {};
    }
    RecordScanner scanner(text, salt);
    StoredRecord stored;
    uint32_t batch = 0;
    size_t damaged = 0;
    size_t seen = 0;
    while (scanner.next(stored)) {
        // What a failed batch left behind the ones that followed it.
        if (stored.batch < batch) break;
        // A hole in the last batch, or before it, may be a batch that never completed. One with a
        // whole batch behind it can't.
        if (stored.batch > batch) {
            batch = stored.batch;
            damaged = seen;
        }
        seen = scanner.damaged_places();
        RecordView view;
        if (!decode_record(stored.body, view)) continue;
        const RecordPtr record =
            std::make_shared<Record>(Record{std::string(stored.body), stored.crc});
        decode_record(record->body, view);
        take(view, record);
        ++out.records;
        out.bytes += stored.size;
    }
    out.damaged_places += damaged;
    out.unfinished_places += scanner.damaged_places() - damaged;
    return {};
}

Result<> Wal::begin(uint64_t number) {
    CANDELA_TRY_ASSIGN(std::unique_ptr<DiskFile> file, disk_.open(path_of(number), true));
    FileSalt salt{random_.next()};
    CANDELA_TRY(file->truncate(0));
    CANDELA_TRY(file->write(0, file_header(salt)));
    CANDELA_TRY(file->sync());
    CANDELA_TRY(disk_.sync_folder(kFolder));
    file_ = std::move(file);
    number_ = number;
    salt_ = salt;
    offset_ = kFileHeaderBytes;
    batch_ = 0;
    return {};
}

Result<uint64_t> Wal::begin_next() {
    const uint64_t before = number_;
    CANDELA_TRY(begin(number_ + 1));
    return before;
}

Result<> Wal::append(std::span<const RecordPtr> records) {
    buffer_.clear();
    ++batch_;
    for (const RecordPtr& record : records) append_record(buffer_, *record, salt_, batch_);
    if (const Result<> written = file_->write(offset_, buffer_); !written) {
        if (written.error().code() != Code::kExhausted) return written;
        // Nobody was told that any of it is kept: a restart must not find half of it.
        if (const Result<> cut = file_->truncate(offset_); !cut) return cut;
        return written;
    }
    CANDELA_TRY(file_->sync());
    offset_ += buffer_.size();
    if (buffer_.capacity() > kBufferKept) std::string().swap(buffer_);
    return {};
}

Result<> Wal::remove_up_to(Disk& disk, uint64_t number) {
    CANDELA_TRY_ASSIGN(const std::vector<std::string> names, disk.list(kFolder));
    for (const std::string& name : names) {
        const uint64_t found = number_of(name);
        if (found != 0 && found <= number) CANDELA_TRY(disk.remove(path_of(found)));
    }
    return disk.sync_folder(kFolder);
}

}  // namespace candela::bus_role
