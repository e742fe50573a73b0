#include "wal.h"

#include <algorithm>

#include "base/text.h"

namespace candela::bus_role {

namespace {

constexpr const char* kFolder = "wal";
// A name that is no number: what is in it is never read.
constexpr const char* kSparePath = "wal/spare";
constexpr size_t kBufferKept = 4 * 1024 * 1024;

std::string path_of(uint64_t number) { return fmt::format("{}/{:012}.wal", kFolder, number); }

// 0 for a name that is none of ours.
uint64_t number_of(const std::string& name) {
    if (!name.ends_with(".wal")) return 0;
    const Result<uint64_t> number = parse_uint(std::string_view(name).substr(0, name.size() - 4));
    return number ? *number : 0;
}

// Empty, or of a former use under another number.
bool is_unbegun(std::string_view file) {
    const std::string_view header = file.substr(0, kFileHeaderBytes);
    if (header.size() < kFileHeaderBytes) return true;
    if (header.find_first_not_of('\0') == std::string_view::npos) return true;
    return has_file_header(header);
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
        CANDELA_TRY(replay_file(number, take, out));
    }
    if (const Result<> begun = begin(number_ + 1);
        !begun && begun.error().code() != Code::kExhausted) {
        return fail(begun.error());
    }
    return out;
}

Result<> Wal::replay_file(uint64_t number,
                          const std::function<void(const RecordView&, const RecordPtr&)>& take,
                          Replay& out) {
    const std::string path = path_of(number);
    CANDELA_TRY_ASSIGN(const std::string text, read_whole(disk_, path));
    {
        CANDELA_TRY_ASSIGN(const std::unique_ptr<DiskFile> file, disk_.open(path, false));
        CANDELA_TRY(file->sync());
    }
    FileSalt salt;
    if (!read_file_header(text, number, salt)) {
        // A file whose making was cut short holds nothing that was ever acknowledged.
        if (!is_unbegun(text)) ++out.unreadable_files;
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
    CANDELA_TRY_ASSIGN(std::unique_ptr<DiskFile> file, make_file(path_of(number)));
    FileSalt salt{random_.next()};
    CANDELA_TRY(file->write(0, file_header(salt, number)));
    CANDELA_TRY_ASSIGN(const uint64_t file_bytes, file->size());
    CANDELA_TRY(file->sync());
    CANDELA_TRY(disk_.sync_folder(kFolder));
    file_ = std::move(file);
    number_ = number;
    salt_ = salt;
    offset_ = kFileHeaderBytes;
    file_bytes_ = file_bytes;
    batch_ = 0;
    return {};
}

Result<std::unique_ptr<DiskFile>> Wal::make_file(const std::string& path) {
    if (const Result<> renamed = disk_.rename(kSparePath, path); renamed) {
        return disk_.open(path, false);
    } else if (renamed.error().code() != Code::kNotFound) {
        return fail(renamed.error());
    }
    CANDELA_TRY_ASSIGN(std::unique_ptr<DiskFile> file, disk_.open(path, true));
    CANDELA_TRY(file->truncate(0));
    return file;
}

Result<uint64_t> Wal::begin_next() {
    const uint64_t before = number_;
    CANDELA_TRY(sync());
    CANDELA_TRY(begin(number_ + 1));
    return before;
}

Result<> Wal::append(std::span<const RecordPtr> records, bool syncs) {
    if (file_ == nullptr) CANDELA_TRY(begin(number_ + 1));
    buffer_.clear();
    // What has no sync between it may reach the medium in any order, as one batch does.
    if (!has_unsynced_) ++batch_;
    for (const RecordPtr& record : records) append_record(buffer_, *record, salt_, batch_);
    const size_t size = buffer_.size();
    if (offset_ + size > file_bytes_ && size < chunk_bytes_) {
        buffer_.append(chunk_bytes_ - size, '\0');
    }
    Result<> written = file_->write(offset_, buffer_);
    if (!written && written.error().code() == Code::kExhausted && size < buffer_.size()) {
        // There may be room for the batch without the zeros behind it.
        buffer_.resize(size);
        written = file_->write(offset_, buffer_);
    }
    if (!written) {
        if (written.error().code() != Code::kExhausted) return written;
        // Nobody was told that any of it is kept: a restart must not find half of it.
        if (const Result<> cut = file_->truncate(offset_); !cut) return cut;
        file_bytes_ = offset_;
        return written;
    }
    has_unsynced_ = true;
    if (syncs) CANDELA_TRY(sync());
    file_bytes_ = std::max(file_bytes_, offset_ + buffer_.size());
    offset_ += size;
    if (buffer_.capacity() > kBufferKept) std::string().swap(buffer_);
    return {};
}

Result<> Wal::sync() {
    if (!has_unsynced_) return {};
    CANDELA_TRY(file_->sync());
    has_unsynced_ = false;
    return {};
}

Result<> Wal::remove_up_to(Disk& disk, uint64_t number, uint64_t spare_bytes_max) {
    CANDELA_TRY_ASSIGN(const std::vector<std::string> names, disk.list(kFolder));
    for (const std::string& name : names) {
        const uint64_t found = number_of(name);
        if (found == 0 || found > number) continue;
        uint64_t size = 0;
        {
            CANDELA_TRY_ASSIGN(const std::unique_ptr<DiskFile> file,
                               disk.open(path_of(found), false));
            CANDELA_TRY_ASSIGN(size, file->size());
        }
        if (size <= spare_bytes_max) {
            CANDELA_TRY(disk.rename(path_of(found), kSparePath));
        } else {
            CANDELA_TRY(disk.remove(path_of(found)));
        }
    }
    return disk.sync_folder(kFolder);
}

}  // namespace candela::bus_role
