#include "record.h"

#include <cstring>
#include <optional>

#include "crc32c.h"

namespace candela::bus_role {

namespace {

constexpr uint32_t kRecordMagic = 0x43445231;  // "1RDC"
constexpr uint32_t kFileMagic = 0x43444C46;    // "FLDC"
constexpr size_t kHeaderCopyBytes = 32;

template <class T>
void put(std::string& out, T value) {
    char bytes[sizeof(T)];
    std::memcpy(bytes, &value, sizeof(T));
    out.append(bytes, sizeof(T));
}

template <class T>
T get(std::string_view bytes, size_t offset) {
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof(T));
    return value;
}

class BodyReader {
public:
    explicit BodyReader(std::string_view body) : rest_(body) {}
    template <class T>
    T number() {
        if (rest_.size() < sizeof(T)) {
            ok_ = false;
            return T{};
        }
        const T value = get<T>(rest_, 0);
        rest_.remove_prefix(sizeof(T));
        return value;
    }
    std::string_view bytes(size_t count) {
        if (rest_.size() < count) {
            ok_ = false;
            return {};
        }
        const std::string_view out = rest_.substr(0, count);
        rest_.remove_prefix(count);
        return out;
    }
    std::string_view rest() const { return rest_; }
    bool ok() const { return ok_; }

private:
    std::string_view rest_;
    bool ok_ = true;
};

struct Header {
    uint32_t magic;
    uint32_t size;
    uint32_t crc;
    uint32_t batch;
    uint32_t seal;
    uint32_t reserved;
};
static_assert(sizeof(Header) == kRecordHeaderBytes);

uint32_t seal(const Header& header, FileSalt salt) {
    char bytes[24];
    std::memcpy(bytes, &salt.value, 8);
    std::memcpy(bytes + 8, &header, 16);
    return crc32c({bytes, sizeof bytes});
}

}  // namespace

RecordPtr make_record(std::string body) {
    auto record = std::make_shared<Record>();
    record->crc = crc32c(body);
    record->body = std::move(body);
    return record;
}

RecordPtr encode_message(uint64_t stream, uint64_t sequence, int64_t timestamp, Rollup rollup,
                         std::string_view subject, std::string_view headers,
                         std::string_view payload) {
    std::string body;
    body.reserve(36 + subject.size() + headers.size() + payload.size());
    put(body, static_cast<uint8_t>(RecordType::kMessage));
    put(body, static_cast<uint8_t>(rollup));
    put(body, static_cast<uint16_t>(subject.size()));
    put(body, static_cast<uint32_t>(headers.size()));
    put(body, stream);
    put(body, sequence);
    put(body, timestamp);
    body += subject;
    body += headers;
    body += payload;
    return make_record(std::move(body));
}

RecordPtr encode_remove(uint64_t stream, const std::vector<SequenceRange>& ranges) {
    std::string body;
    put(body, static_cast<uint8_t>(RecordType::kRemove));
    put(body, stream);
    for (const SequenceRange& range : ranges) {
        put(body, range.first);
        put(body, range.count);
    }
    return make_record(std::move(body));
}

RecordPtr encode_other(RecordType type, uint64_t stream, uint64_t consumer, std::string_view bytes,
                       uint64_t sequence) {
    std::string body;
    put(body, static_cast<uint8_t>(type));
    put(body, stream);
    put(body, consumer);
    put(body, sequence);
    body += bytes;
    return make_record(std::move(body));
}

bool decode_record(std::string_view body, RecordView& out) {
    BodyReader reader(body);
    const auto type = reader.number<uint8_t>();
    if (!reader.ok() || type < 1 || type > static_cast<uint8_t>(RecordType::kStreamImage))
        return false;
    out = RecordView();
    out.type = static_cast<RecordType>(type);
    if (out.type == RecordType::kMessage) {
        const auto rollup = reader.number<uint8_t>();
        if (rollup > 2) return false;
        out.rollup = static_cast<Rollup>(rollup);
        const auto subject_bytes = reader.number<uint16_t>();
        const auto header_bytes = reader.number<uint32_t>();
        out.stream = reader.number<uint64_t>();
        out.sequence = reader.number<uint64_t>();
        out.timestamp = reader.number<int64_t>();
        out.subject = reader.bytes(subject_bytes);
        out.headers = reader.bytes(header_bytes);
        out.payload = reader.rest();
        return reader.ok();
    }
    out.stream = reader.number<uint64_t>();
    if (out.type == RecordType::kRemove) {
        while (reader.ok() && !reader.rest().empty()) {
            SequenceRange range;
            range.first = reader.number<uint64_t>();
            range.count = reader.number<uint64_t>();
            out.ranges.push_back(range);
        }
        return reader.ok();
    }
    out.consumer = reader.number<uint64_t>();
    out.sequence = reader.number<uint64_t>();
    out.payload = reader.rest();
    return reader.ok();
}

std::string file_header(FileSalt salt, uint64_t number) {
    std::string out;
    for (int copy = 0; copy < 2; ++copy) {
        const size_t begin = out.size();
        put(out, kFileMagic);
        put(out, uint32_t{2});  // version
        put(out, salt.value);
        put(out, number);
        put(out, crc32c(std::string_view(out).substr(begin)));
        out.resize(begin + kHeaderCopyBytes, '\0');
    }
    return out;
}

namespace {

struct FileHeader {
    FileSalt salt;
    std::optional<uint64_t> number;
};

std::optional<FileHeader> find_file_header(std::string_view file) {
    for (size_t at = 0;
         at + kHeaderCopyBytes <= kFileHeaderBytes && at + kHeaderCopyBytes <= file.size();
         at += kHeaderCopyBytes) {
        const std::string_view copy = file.substr(at, kHeaderCopyBytes);
        if (get<uint32_t>(copy, 0) != kFileMagic) continue;
        const auto version = get<uint32_t>(copy, 4);
        if (version != 1 && version != 2) continue;
        const size_t sealed = version == 1 ? 16 : 24;
        if (get<uint32_t>(copy, sealed) != crc32c(copy.substr(0, sealed))) continue;
        FileHeader out;
        out.salt.value = get<uint64_t>(copy, 8);
        if (version == 2) out.number = get<uint64_t>(copy, 16);
        return out;
    }
    return std::nullopt;
}

}  // namespace

bool read_file_header(std::string_view file, uint64_t number, FileSalt& salt) {
    const std::optional<FileHeader> found = find_file_header(file);
    if (!found || found->number.value_or(number) != number) return false;
    salt = found->salt;
    return true;
}

bool has_file_header(std::string_view file) { return find_file_header(file).has_value(); }

void append_record(std::string& out, const Record& record, FileSalt salt, uint32_t batch) {
    Header header{kRecordMagic, static_cast<uint32_t>(record.body.size()), record.crc, batch, 0, 0};
    header.seal = seal(header, salt);
    out.append(reinterpret_cast<const char*>(&header), sizeof header);
    out += record.body;
    out.append((8 - out.size() % 8) % 8, '\0');
}

bool read_record(std::string_view file, size_t offset, FileSalt salt, StoredRecord& out) {
    if (offset > file.size() || file.size() - offset < kRecordHeaderBytes) return false;
    const auto header = get<Header>(file, offset);
    if (header.magic != kRecordMagic || header.seal != seal(header, salt)) return false;
    if (header.size > file.size() - offset - kRecordHeaderBytes) return false;
    const std::string_view body = file.substr(offset + kRecordHeaderBytes, header.size);
    if (crc32c(body) != header.crc) return false;
    out.body = body;
    out.batch = header.batch;
    out.crc = header.crc;
    out.size = (kRecordHeaderBytes + header.size + 7) / 8 * 8;
    return true;
}

bool RecordScanner::next(StoredRecord& out) {
    for (size_t at = end_; at + kRecordHeaderBytes <= file_.size(); at += 8) {
        if (!read_record(file_, at, salt_, out)) continue;
        if (at != end_) ++damaged_;
        at_ = at;
        end_ = at + out.size;
        return true;
    }
    return false;
}

}  // namespace candela::bus_role
