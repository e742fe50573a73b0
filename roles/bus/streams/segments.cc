#include "segments.h"

#include <algorithm>
#include <cstring>

#include "base/random.h"
#include "base/text.h"
#include "pack.h"
#include "stream_log.h"

namespace candela::bus_role {

namespace {

constexpr const char* kStateName = "state";
constexpr const char* kAsideSuffix = ".damaged";
constexpr size_t kReadAheadBytes = 128 * 1024;

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

// What is alive, as the distances between the ends of its ranges: a few bytes a range.
void put_ranges(std::string& out, const std::vector<SequenceRange>& ranges) {
    uint64_t at = 0;
    for (const SequenceRange& range : ranges) {
        put_varint(out, range.first - at);
        put_varint(out, range.count);
        at = range.first + range.count;
    }
}
bool get_ranges(std::string_view from, uint64_t last, std::vector<SequenceRange>& ranges) {
    uint64_t at = 0;
    while (!from.empty()) {
        uint64_t gap = 0;
        uint64_t count = 0;
        if (!get_varint(from, gap) || !get_varint(from, count) || at > last) return false;
        if (gap > last - at || count == 0 || count > last - at - gap + 1) return false;
        ranges.push_back({at + gap, count});
        at += gap + count;
    }
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
    put_ranges(out, image.live);
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
    if (view.type == RecordType::kStreamImage) return get_ranges(rest, out.flushed_to, out.live);
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

uint32_t size_of(const RecordView& view) {
    return StreamLog::message_size(true, view.subject.size(), view.headers.size(),
                                   view.payload.size());
}

// Calls visit(view, offset, end) for each message that verifies.
template <class Visit>
void scan_records(std::string_view text, size_t begin, FileSalt salt, uint64_t stream,
                  Visit visit) {
    RecordScanner scanner(text, salt, begin);
    StoredRecord stored;
    while (scanner.next(stored)) {
        RecordView view;
        if (!decode_record(stored.body, view) || view.stream != stream) continue;
        if (view.type == RecordType::kMessage) visit(view, scanner.offset(), scanner.end());
        if (view.type != RecordType::kPacked) continue;
        for (const RecordPtr& record : unpack(view)) {
            RecordView inner;
            if (decode_record(record->body, inner) && inner.type == RecordType::kMessage)
                visit(inner, scanner.offset(), scanner.end());
        }
    }
}

class SegmentReader {
public:
    SegmentReader(Disk& disk, uint64_t stream, uint32_t segment)
        : disk_(disk), stream_(stream), segment_(segment) {}

    Result<FoundSegment> run() {
        if (Result<> done = read(); !done) {
            if (!is_of_medium(done.error())) return fail(done.error());
            out_.problem = done.error();
        }
        return std::move(out_);
    }

private:
    Result<> read() {
        CANDELA_TRY_ASSIGN(const std::unique_ptr<DiskFile> file,
                           disk_.open(segment_path(stream_, segment_), false));
        CANDELA_TRY_ASSIGN(const uint64_t size, file->size());
        out_.file_bytes = size;
        CANDELA_TRY_ASSIGN(salt_, segment_salt(disk_, stream_, *file, segment_));
        read_index();
        // What follows is of a checkpoint that was cut short, or the index's end is rotten.
        if (out_.file_bytes < size) CANDELA_TRY(scan(*file, size));
        mend_header(*file);
        return {};
    }

    // Where that can't be, the index's header goes on serving.
    void mend_header(DiskFile& file) {
        std::string header(kFileHeaderBytes, '\0');
        const Result<size_t> got = file.read(0, header);
        FileSalt salt;
        if (got && read_file_header(header.substr(0, *got), segment_, salt)) return;
        out_.is_header_made = true;
        if (file.write(0, file_header(salt_, segment_))) (void)file.sync();
    }

    // As far as its chunks follow each other.
    void read_index() {
        out_.file_bytes = kFileHeaderBytes;
        const Result<std::string> text = read_whole(disk_, index_path(stream_, segment_));
        FileSalt salt;
        if (!text || !read_file_header(*text, segment_, salt) || salt != salt_) return;
        out_.index_bytes = kFileHeaderBytes;
        StoredRecord stored;
        while (read_record(*text, out_.index_bytes, salt_, stored)) {
            std::optional<IndexChunk> chunk = decode_chunk(
                std::make_shared<Record>(Record{std::string(stored.body), stored.crc}));
            if (!chunk || chunk->segment != segment_ || chunk->begin != out_.file_bytes) return;
            ChunkRef ref;
            ref.segment = segment_;
            ref.offset = static_cast<uint32_t>(out_.index_bytes);
            ref.size = static_cast<uint32_t>(stored.size);
            out_.file_bytes = chunk->end;
            out_.index_bytes += stored.size;
            out_.chunks.emplace_back(std::move(*chunk), ref);
        }
    }

    // Makes the index of what lies behind what it covers. Where it can't be written (the disk is
    // full, say), the segment is read in its place.
    Result<> scan(DiskFile& file, uint64_t size) {
        const uint64_t begin = out_.file_bytes;
        std::string text(size, '\0');
        std::span<char> rest(text.data() + begin, size - begin);
        CANDELA_TRY_ASSIGN(const size_t got, file.read(begin, rest));
        text.resize(begin + got);
        std::string index = out_.index_bytes == 0 ? file_header(salt_, segment_) : std::string();
        const size_t first = out_.chunks.size();
        const auto take = [&](const RecordView& view, uint64_t offset, uint64_t end) {
            const uint64_t block = view.sequence >> kBlockBits;
            if (!writer_.is_empty() && writer_.block() != block) end_chunk(index, offset);
            if (writer_.is_empty()) {
                writer_.begin(block, segment_, static_cast<uint32_t>(out_.file_bytes));
            }
            writer_.add(
                {view.sequence, view.timestamp, 0, size_of(view), static_cast<uint32_t>(offset), 0},
                view.subject);
            scanned_to_ = end;
        };
        scan_records(text, begin, salt_, stream_, take);
        if (!writer_.is_empty()) end_chunk(index, scanned_to_);
        if (out_.chunks.size() == first) return {};
        out_.is_made_again = true;
        if (!write_index(index)) {
            for (size_t i = first; i < out_.chunks.size(); ++i) out_.chunks[i].second.size = 0;
        }
        out_.index_bytes += index.size();
        return {};
    }

    Result<> write_index(const std::string& index) {
        CANDELA_TRY_ASSIGN(const std::unique_ptr<DiskFile> file,
                           disk_.open(index_path(stream_, segment_), true));
        CANDELA_TRY(file->truncate(out_.index_bytes));
        CANDELA_TRY(file->write(out_.index_bytes, index));
        CANDELA_TRY(file->sync());
        return disk_.sync_folder(stream_folder(stream_));
    }

    void end_chunk(std::string& index, uint64_t end) {
        const RecordPtr record = writer_.finish(stream_, static_cast<uint32_t>(end));
        ChunkRef ref;
        ref.segment = segment_;
        ref.offset = static_cast<uint32_t>(out_.index_bytes + index.size());
        append_record(index, *record, salt_, 0);
        ref.size = static_cast<uint32_t>(out_.index_bytes + index.size()) - ref.offset;
        out_.file_bytes = end;
        std::optional<IndexChunk> chunk = decode_chunk(record);
        if (chunk) out_.chunks.emplace_back(std::move(*chunk), ref);
    }

    Disk& disk_;
    const uint64_t stream_;
    const uint32_t segment_;
    FileSalt salt_;
    FoundSegment out_;
    ChunkWriter writer_;
    uint64_t scanned_to_ = 0;
};

// What the segment holds of one block.
Result<> scan_block(Disk& disk, uint64_t stream, IndexChunk& out) {
    const std::string path = segment_path(stream, out.segment);
    CANDELA_TRY_ASSIGN(const std::unique_ptr<DiskFile> file, disk.open(path, false));
    CANDELA_TRY_ASSIGN(const FileSalt salt, segment_salt(disk, stream, *file, out.segment));
    CANDELA_TRY_ASSIGN(const std::string text, read_whole(disk, path));
    ChunkWriter writer;
    writer.begin(out.block, out.segment, kFileHeaderBytes);
    const auto take = [&](const RecordView& view, uint64_t offset, uint64_t) {
        if (view.sequence >> kBlockBits != out.block) return;
        writer.add(
            {view.sequence, view.timestamp, 0, size_of(view), static_cast<uint32_t>(offset), 0},
            view.subject);
    };
    scan_records(text, kFileHeaderBytes, salt, stream, take);
    std::optional<IndexChunk> made =
        decode_chunk(writer.finish(stream, static_cast<uint32_t>(text.size())));
    if (made) out = std::move(*made);
    return {};
}

}  // namespace

std::string stream_folder(uint64_t stream) { return fmt::format("streams/{}", stream); }

std::string segment_path(uint64_t stream, uint32_t segment) {
    return fmt::format("streams/{}/{:08}.seg", stream, segment);
}

std::string index_path(uint64_t stream, uint32_t segment) {
    return fmt::format("streams/{}/{:08}.idx", stream, segment);
}

Result<FileSalt> segment_salt(Disk& disk, uint64_t stream, DiskFile& file, uint32_t segment) {
    const auto read = [segment](DiskFile& from) -> Result<FileSalt> {
        char header[kFileHeaderBytes];
        CANDELA_TRY_ASSIGN(const size_t got, from.read(0, header));
        FileSalt salt;
        if (read_file_header({header, got}, segment, salt)) return salt;
        return fail(Code::kCorrupt, "no segment header");
    };
    Result<FileSalt> own = read(file);
    if (own || !is_of_medium(own.error())) return own;
    const Result<std::unique_ptr<DiskFile>> index = disk.open(index_path(stream, segment), false);
    Result<FileSalt> other = index ? read(**index) : fail(index.error());
    return other ? other : own;
}

Result<> set_segment_aside(Disk& disk, uint64_t stream, uint32_t segment) {
    for (const std::string& path : {segment_path(stream, segment), index_path(stream, segment)}) {
        Result<> renamed = disk.rename(path, path + kAsideSuffix);
        if (!renamed && renamed.error().code() != Code::kNotFound) return renamed;
    }
    return disk.sync_folder(stream_folder(stream));
}

Result<> write_image(Disk& disk, const StreamImage& image, uint64_t seed) {
    CANDELA_TRY(disk.make_folder(stream_folder(image.stream)));
    CANDELA_TRY(disk.sync_folder("streams"));
    SeededRandom random(seed);
    const FileSalt salt{random.next()};
    const RecordPtr record = encode_other(RecordType::kStreamImage, image.stream, 0,
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
        if (name != kStateName) CANDELA_TRY(disk.remove(fmt::format("{}/{}", folder, name)));
    }
    CANDELA_TRY(disk.remove(folder + "/" + kStateName));
    CANDELA_TRY(disk.remove(folder));
    return disk.sync_folder("streams");
}

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
            if (!decode_record(stored.body, view)) continue;
            if (view.type != RecordType::kStreamImage && view.type != RecordType::kStreamState)
                continue;
            if (view.stream == stream && decode_image(view, image)) return image;
        }
    }
    return fail(Code::kCorrupt, "no copy of the state of stream {} verifies", stream);
}

Result<std::vector<uint32_t>> list_segments(Disk& disk, uint64_t stream) {
    CANDELA_TRY_ASSIGN(const std::vector<std::string> names, disk.list(stream_folder(stream)));
    std::vector<uint32_t> out;
    for (const std::string& name : names) {
        if (const uint32_t segment = segment_number(name); segment != 0) out.push_back(segment);
    }
    std::sort(out.begin(), out.end());
    return out;
}

Result<FoundSegment> read_segment(Disk& disk, uint64_t stream, uint32_t segment) {
    return SegmentReader(disk, stream, segment).run();
}

IndexChunk read_chunk(Disk& disk, uint64_t stream, uint64_t block, const ChunkRef& ref,
                      bool& is_damaged) {
    const auto read = [&]() -> std::optional<IndexChunk> {
        const auto file = disk.open(index_path(stream, ref.segment), false);
        if (!file || ref.size == 0) return std::nullopt;
        std::string header(kFileHeaderBytes, '\0');
        std::string text(ref.size, '\0');
        const Result<size_t> header_got = (*file)->read(0, header);
        const Result<size_t> got = (*file)->read(ref.offset, text);
        FileSalt salt;
        StoredRecord stored;
        if (!header_got || !got || *got != text.size()) return std::nullopt;
        if (!read_file_header(header, ref.segment, salt)) return std::nullopt;
        if (!read_record(text, 0, salt, stored)) return std::nullopt;
        std::optional<IndexChunk> chunk =
            decode_chunk(std::make_shared<Record>(Record{std::string(stored.body), stored.crc}));
        if (!chunk || chunk->block != block || chunk->segment != ref.segment) return std::nullopt;
        return chunk;
    };
    if (std::optional<IndexChunk> chunk = read()) return std::move(*chunk);
    is_damaged = true;
    IndexChunk out;
    out.block = block;
    out.segment = ref.segment;
    // Where that fails, too, the block's messages are missed, and so reported.
    if (!scan_block(disk, stream, out)) out.entries.clear();
    return out;
}

Result<std::vector<std::pair<uint64_t, RecordPtr>>> read_messages(Disk& disk, uint64_t stream,
                                                                  SegmentPlace place,
                                                                  uint64_t sequence,
                                                                  size_t record_bytes) {
    CANDELA_TRY_ASSIGN(const std::unique_ptr<DiskFile> file,
                       disk.open(segment_path(stream, place.segment), false));
    CANDELA_TRY_ASSIGN(const FileSalt salt, segment_salt(disk, stream, *file, place.segment));
    std::vector<std::pair<uint64_t, RecordPtr>> out;
    const auto take = [&](uint64_t found, RecordPtr record) {
        // Of a pack, those in front of it are of no use.
        if (!out.empty() || found == sequence) out.emplace_back(found, std::move(record));
    };
    // Most reads go on with the next messages; a large one is read again, whole.
    for (size_t wanted = record_bytes + kReadAheadBytes;; wanted = kRecordBytesMax) {
        std::string text(wanted, '\0');
        CANDELA_TRY_ASSIGN(const size_t got, file->read(place.offset, text));
        text.resize(got);
        StoredRecord stored;
        for (size_t at = 0; read_record(text, at, salt, stored); at += stored.size) {
            RecordView view;
            if (!decode_record(stored.body, view) || view.stream != stream) break;
            if (view.type == RecordType::kMessage) {
                take(view.sequence,
                     std::make_shared<Record>(Record{std::string(stored.body), stored.crc}));
            } else if (view.type == RecordType::kPacked) {
                for (RecordPtr& record : unpack(view)) {
                    RecordView inner;
                    if (decode_record(record->body, inner)) take(inner.sequence, std::move(record));
                }
            } else {
                break;
            }
            if (out.empty()) break;  // it is another
        }
        if (!out.empty()) return out;
        if (got < wanted || wanted == kRecordBytesMax) break;
    }
    return fail(Code::kCorrupt, "the record at {} of {} does not verify", place.offset,
                segment_path(stream, place.segment));
}

}  // namespace candela::bus_role
