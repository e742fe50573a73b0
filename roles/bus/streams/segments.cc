#include "segments.h"

#include <algorithm>
#include <cstring>

#include "base/random.h"
#include "base/text.h"

namespace candela::bus_role {

namespace {

constexpr const char* kStateName = "state";
constexpr size_t kReadAheadBytes = 128 * 1024;
constexpr size_t kFlushBufferBytes = 1024 * 1024;

void put_number(std::string& out, uint64_t value) {
    char bytes[8];
    std::memcpy(bytes, &value, 8);
    out.append(bytes, 8);
}
void put_text(std::string& out, std::string_view text) {
    put_number(out, text.size());
    out += text;
}
bool get_number(std::string_view& from, uint64_t& value) {
    if (from.size() < 8) return false;
    std::memcpy(&value, from.data(), 8);
    from.remove_prefix(8);
    return true;
}
bool get_text(std::string_view& from, std::string& text) {
    uint64_t size = 0;
    if (!get_number(from, size) || size > from.size()) return false;
    text = std::string(from.substr(0, size));
    from.remove_prefix(size);
    return true;
}

std::string encode_image(const StreamImage& image) {
    std::string out;
    put_number(out, image.flushed_to);
    put_text(out, image.blob);
    put_number(out, image.consumers.size());
    for (const auto& [id, consumer] : image.consumers) {
        put_number(out, id);
        put_text(out, consumer.blob);
        put_text(out, consumer.state);
    }
    for (const SequenceRange& range : image.live) {
        put_number(out, range.first);
        put_number(out, range.count);
    }
    return out;
}

bool decode_image(const RecordView& view, StreamImage& out) {
    out.stream = view.stream;
    out.last_sequence = view.sequence;
    std::string_view rest = view.payload;
    uint64_t consumers = 0;
    if (!get_number(rest, out.flushed_to) || !get_text(rest, out.blob)) return false;
    if (!get_number(rest, consumers)) return false;
    for (; consumers != 0; --consumers) {
        uint64_t id = 0;
        ConsumerImage consumer;
        if (!get_number(rest, id) || !get_text(rest, consumer.blob)) return false;
        if (!get_text(rest, consumer.state)) return false;
        out.consumers.emplace(id, std::move(consumer));
    }
    while (!rest.empty()) {
        SequenceRange range;
        if (!get_number(rest, range.first) || !get_number(rest, range.count)) return false;
        out.live.push_back(range);
    }
    return true;
}

uint32_t segment_number(const std::string& name) {
    if (!name.ends_with(".seg")) return 0;
    const Result<uint64_t> number = parse_uint(std::string_view(name).substr(0, name.size() - 4));
    return number && *number <= UINT32_MAX ? static_cast<uint32_t>(*number) : 0;
}

Result<FileSalt> salt_of(DiskFile& file, uint32_t segment) {
    char header[kFileHeaderBytes];
    CANDELA_TRY_ASSIGN(const size_t got, file.read(0, header));
    FileSalt salt;
    if (!read_file_header({header, got}, segment, salt))
        return fail(Code::kCorrupt, "no segment header");
    return salt;
}

class Flusher {
public:
    Flusher(Disk& disk, FlushJob& job, uint64_t segment_bytes_max)
        : disk_(disk), job_(job), segment_bytes_max_(segment_bytes_max), random_(job.seed) {}

    Result<> run() {
        CANDELA_TRY(disk_.make_folder(stream_folder(job_.stream)));
        for (const auto& [sequence, record] : job_.records) CANDELA_TRY(add(*record));
        for (const FlushJob::Move& move : job_.moves) {
            const auto read = read_messages(disk_, job_.stream, move.from, 0);
            if (!read && read.error().code() != Code::kCorrupt) return fail(read.error());
            if (!read || read->front().first != move.sequence) {
                job_.places.push_back(SegmentPlace());
                continue;
            }
            CANDELA_TRY(add(*read->front().second));
        }
        CANDELA_TRY(end_file());
        if (made_file_) CANDELA_TRY(disk_.sync_folder(stream_folder(job_.stream)));
        return {};
    }

private:
    Result<> add(const Record& record) {
        if (file_ == nullptr || at() >= segment_bytes_max_) CANDELA_TRY(next_file());
        job_.places.push_back({job_.segment, static_cast<uint32_t>(at())});
        append_record(buffer_, record, salt_, 0);
        if (buffer_.size() >= kFlushBufferBytes) return write();
        return {};
    }
    uint64_t at() const { return job_.file_bytes + buffer_.size(); }

    Result<> next_file() {
        CANDELA_TRY(end_file());
        if (job_.segment != 0 && job_.file_bytes != 0 && job_.file_bytes < segment_bytes_max_) {
            CANDELA_TRY_ASSIGN(file_, disk_.open(segment_path(job_.stream, job_.segment), false));
            Result<FileSalt> salt = salt_of(*file_, job_.segment);
            if (salt) {
                salt_ = *salt;
                // What a flush that failed had left.
                return file_->truncate(job_.file_bytes);
            }
            if (salt.error().code() != Code::kCorrupt) return fail(salt.error());
        }
        ++job_.segment;
        CANDELA_TRY_ASSIGN(file_, disk_.open(segment_path(job_.stream, job_.segment), true));
        CANDELA_TRY(file_->truncate(0));
        made_file_ = true;
        salt_.value = random_.next();
        buffer_ = file_header(salt_, job_.segment);
        job_.file_bytes = 0;
        return {};
    }
    Result<> write() {
        CANDELA_TRY(file_->write(job_.file_bytes, buffer_));
        job_.file_bytes += buffer_.size();
        buffer_.clear();
        return {};
    }
    Result<> end_file() {
        if (file_ == nullptr) return {};
        CANDELA_TRY(write());
        job_.sizes[job_.segment] = job_.file_bytes;
        CANDELA_TRY(file_->sync());
        file_.reset();
        return {};
    }

    Disk& disk_;
    FlushJob& job_;
    const uint64_t segment_bytes_max_;
    SeededRandom random_;
    std::unique_ptr<DiskFile> file_;
    FileSalt salt_;
    std::string buffer_;
    bool made_file_ = false;
};

Result<StreamImage> read_image(Disk& disk, uint64_t stream) {
    CANDELA_TRY_ASSIGN(const std::string text,
                       read_whole(disk, stream_folder(stream) + "/" + kStateName));
    FileSalt salt;
    StoredRecord stored;
    if (read_file_header(text, stream, salt)) {
        RecordScanner scanner(text, salt);
        while (scanner.next(stored)) {
            RecordView view;
            StreamImage image;
            if (!decode_record(stored.body, view) || view.type != RecordType::kStreamState)
                continue;
            if (view.stream == stream && decode_image(view, image)) return image;
        }
    }
    return fail(Code::kCorrupt, "no copy of the state of stream {} verifies", stream);
}

bool is_in(const std::vector<SequenceRange>& ranges, uint64_t sequence) {
    auto after = std::upper_bound(ranges.begin(), ranges.end(), sequence,
                                  [](uint64_t s, const SequenceRange& r) { return s < r.first; });
    if (after == ranges.begin()) return false;
    --after;
    return sequence - after->first < after->count;
}

// Bytes that verify as no record are of a flush that never completed, or else their messages are
// missed.
void read_segment(const std::string& text, uint32_t segment, FoundStream& out) {
    SegmentInfo& info = out.segments[segment];
    info.file_bytes = text.size();
    FileSalt salt;
    if (!read_file_header(text, segment, salt)) return;
    RecordScanner scanner(text, salt);
    StoredRecord stored;
    while (scanner.next(stored)) {
        RecordView view;
        if (!decode_record(stored.body, view) || view.type != RecordType::kMessage) continue;
        if (view.stream != out.image.stream || !is_in(out.image.live, view.sequence)) continue;
        FoundMessage message;
        message.sequence = view.sequence;
        message.timestamp = view.timestamp;
        message.subject = std::string(view.subject);
        message.header_bytes = static_cast<uint32_t>(view.headers.size());
        message.payload_bytes = static_cast<uint32_t>(view.payload.size());
        message.place = {segment, static_cast<uint32_t>(scanner.offset())};
        out.messages.push_back(std::move(message));
    }
    info.file_bytes = (scanner.end() + 7) / 8 * 8;
}

void find_lost(FoundStream& out) {
    auto message = out.messages.begin();
    for (const SequenceRange& range : out.image.live) {
        for (uint64_t s = range.first; s != range.first + range.count; ++s) {
            while (message != out.messages.end() && message->sequence < s) ++message;
            if (message != out.messages.end() && message->sequence == s) continue;
            if (!out.lost.empty() && out.lost.back().first + out.lost.back().count == s) {
                ++out.lost.back().count;
            } else {
                out.lost.push_back({s, 1});
            }
        }
    }
}

}  // namespace

std::string stream_folder(uint64_t stream) { return fmt::format("streams/{}", stream); }

std::string segment_path(uint64_t stream, uint32_t segment) {
    return fmt::format("streams/{}/{:08}.seg", stream, segment);
}

Result<> flush(Disk& disk, FlushJob& job, uint64_t segment_bytes_max) {
    return Flusher(disk, job, segment_bytes_max).run();
}

Result<> write_image(Disk& disk, const StreamImage& image, uint64_t seed) {
    CANDELA_TRY(disk.make_folder(stream_folder(image.stream)));
    CANDELA_TRY(disk.sync_folder("streams"));
    SeededRandom random(seed);
    const FileSalt salt{random.next()};
    const RecordPtr record = encode_other(RecordType::kStreamState, image.stream, 0,
                                          encode_image(image), image.last_sequence);
    std::string text = file_header(salt, image.stream);
    append_record(text, *record, salt, 0);
    append_record(text, *record, salt, 0);
    return write_whole(disk, stream_folder(image.stream), kStateName, text);
}

Result<> remove_stream(Disk& disk, uint64_t stream) {
    const std::string folder = stream_folder(stream);
    const Result<std::vector<std::string>> names = disk.list(folder);
    if (!names) {
        if (names.error().code() == Code::kNotFound) return {};
        return fail(names.error());
    }
    // The state last: while it is there, what is left is known to belong to a stream that was
    // dropped.
    for (const std::string& name : *names) {
        if (name != kStateName) CANDELA_TRY(disk.remove(folder + "/" + name));
    }
    CANDELA_TRY(disk.remove(folder + "/" + kStateName));
    CANDELA_TRY(disk.remove(folder));
    return disk.sync_folder("streams");
}

Result<FoundStream> read_stream(Disk& disk, uint64_t stream) {
    FoundStream out;
    CANDELA_TRY_ASSIGN(out.image, read_image(disk, stream));
    CANDELA_TRY_ASSIGN(const std::vector<std::string> names, disk.list(stream_folder(stream)));
    for (const std::string& name : names) {
        const uint32_t segment = segment_number(name);
        if (segment == 0) continue;
        CANDELA_TRY_ASSIGN(const std::string text, read_whole(disk, segment_path(stream, segment)));
        read_segment(text, segment, out);
    }
    // A message that was moved is in two segments, until the first is removed; the later copy
    // counts.
    std::stable_sort(out.messages.begin(), out.messages.end(),
                     [](const auto& a, const auto& b) { return a.sequence < b.sequence; });
    std::vector<FoundMessage> unique;
    unique.reserve(out.messages.size());
    for (FoundMessage& message : out.messages) {
        if (!unique.empty() && unique.back().sequence == message.sequence) unique.pop_back();
        unique.push_back(std::move(message));
    }
    out.messages = std::move(unique);
    find_lost(out);
    return out;
}

Result<std::vector<std::pair<uint64_t, RecordPtr>>> read_messages(Disk& disk, uint64_t stream,
                                                                  SegmentPlace place,
                                                                  size_t record_bytes) {
    CANDELA_TRY_ASSIGN(const std::unique_ptr<DiskFile> file,
                       disk.open(segment_path(stream, place.segment), false));
    CANDELA_TRY_ASSIGN(const FileSalt salt, salt_of(*file, place.segment));
    std::vector<std::pair<uint64_t, RecordPtr>> out;
    // Most reads go on with the next messages; a large one is read again, whole.
    for (size_t wanted = record_bytes + kReadAheadBytes;; wanted = kRecordBytesMax) {
        std::string text(wanted, '\0');
        CANDELA_TRY_ASSIGN(const size_t got, file->read(place.offset, text));
        text.resize(got);
        StoredRecord stored;
        for (size_t at = 0; read_record(text, at, salt, stored); at += stored.size) {
            RecordView view;
            if (!decode_record(stored.body, view) || view.type != RecordType::kMessage) break;
            out.emplace_back(view.sequence, std::make_shared<Record>(
                                                Record{std::string(stored.body), stored.crc}));
        }
        if (!out.empty()) return out;
        if (got < wanted || wanted == kRecordBytesMax) break;
    }
    return fail(Code::kCorrupt, "the record at {} of {} does not verify", place.offset,
                segment_path(stream, place.segment));
}

}  // namespace candela::bus_role
