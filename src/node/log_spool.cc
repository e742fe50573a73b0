#include "node/log_spool.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "base/text.h"
#include "loop/fd.h"
#include "loop/file.h"

namespace candela {

namespace {

constexpr uint32_t kMagic = 0x316c6463;  // "cdl1"
constexpr uint32_t kPayloadMax = 1 << 20;
constexpr std::string_view kFileEnd = ".lines";

struct RecordHead {
    uint32_t magic = kMagic;
    uint32_t checksum = 0;  // CRC-32 of what follows, payload included
    uint64_t first = 0;
    uint32_t count = 0;
    uint32_t size = 0;
    uint64_t run = 0;
    OutputMark streams[2];
    uint64_t safe = 0;
};
static_assert(sizeof(RecordHead) == 72);

uint32_t checksum_of(const RecordHead& head, std::string_view payload) {
    const auto* bytes = reinterpret_cast<const Bytef*>(&head.first);
    uLong sum = crc32(0, bytes, sizeof(head) - offsetof(RecordHead, first));
    sum = crc32(sum, reinterpret_cast<const Bytef*>(payload.data()),
                static_cast<uInt>(payload.size()));
    return static_cast<uint32_t>(sum);
}

RecordHead head_of(const LogChunk& chunk) {
    RecordHead head;
    head.first = chunk.first;
    head.count = chunk.count;
    head.size = static_cast<uint32_t>(chunk.payload.size());
    head.run = chunk.marks.run;
    head.streams[0] = chunk.marks.streams[0];
    head.streams[1] = chunk.marks.streams[1];
    head.safe = chunk.marks.safe;
    head.checksum = checksum_of(head, chunk.payload);
    return head;
}

std::filesystem::path path_of(const std::filesystem::path& folder, uint64_t file) {
    return folder / fmt::format("{:020}{}", file, kFileEnd);
}

bool read_at(int fd, uint64_t at, void* out, size_t size) {
    auto* to = static_cast<char*>(out);
    while (size > 0) {
        const ssize_t got = ::pread(fd, to, size, static_cast<off_t>(at));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        to += got;
        at += static_cast<uint64_t>(got);
        size -= static_cast<size_t>(got);
    }
    return true;
}

// The record at `at`; false where none is that can be used. Without `payload` its bytes are not
// looked at.
bool read_record(int fd, uint64_t at, RecordHead& head, std::string* payload) {
    if (!read_at(fd, at, &head, sizeof(head))) return false;
    if (head.magic != kMagic || head.size > kPayloadMax || head.count == 0) return false;
    if (payload == nullptr) return true;
    payload->resize(head.size);
    return read_at(fd, at + sizeof(head), payload->data(), head.size) &&
           checksum_of(head, *payload) == head.checksum;
}

// Looks at every record's head, and at the whole of the last one; cuts off what is behind.
Result<SpoolFile> look_at(const std::filesystem::path& path, OutputMarks& marks) {
    const Fd file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    struct stat info{};
    if (file.get() < 0 || ::fstat(file.get(), &info) != 0) return fail_errno(path.string(), errno);
    SpoolFile found;
    const auto size = static_cast<uint64_t>(info.st_size);
    RecordHead head;
    std::string payload;
    while (found.bytes < size && read_record(file.get(), found.bytes, head, nullptr)) {
        const uint64_t end = found.bytes + sizeof(head) + head.size;
        if (end > size) break;
        if (end == size && !read_record(file.get(), found.bytes, head, &payload)) break;
        if (found.bytes == 0) found.first = head.first;
        found.last = head.first + head.count - 1;
        marks.run = head.run;
        marks.safe = head.safe;
        std::copy(std::begin(head.streams), std::end(head.streams), marks.streams);
        found.bytes = end;
    }
    if (found.bytes < size && ::ftruncate(file.get(), static_cast<off_t>(found.bytes)) != 0)
        return fail_errno(path.string(), errno);
    return found;
}

}  // namespace

Result<> make_spool(const std::filesystem::path& folder, std::string_view about) {
    CANDELA_TRY(make_directories(folder, 0700));
    return write_file(folder / "about", about, 0600);
}

Result<FoundSpool> open_spool(const std::filesystem::path& folder) {
    FoundSpool found;
    CANDELA_TRY_ASSIGN(found.about, read_file(folder / "about", 64 << 10));
    if (const auto acked = read_file(folder / "acked", 64)) {
        // A position that was torn is too low: what comes twice then is known there.
        const std::string_view number = std::string_view(*acked).substr(0, acked->find('\n'));
        found.acked = parse_uint(number).value_or(0);
    }
    std::vector<uint64_t> names;
    std::error_code failed;
    for (const auto& entry : std::filesystem::directory_iterator(folder, failed)) {
        const std::string name = entry.path().filename().string();
        if (!name.ends_with(kFileEnd)) continue;
        const auto first = parse_uint(name.substr(0, name.size() - kFileEnd.size()));
        if (first) names.push_back(*first);
    }
    if (failed) return fail(Code::kUnreachable, "{}: {}", folder.string(), failed.message());
    std::sort(names.begin(), names.end());
    for (const uint64_t name : names) {
        CANDELA_TRY_ASSIGN(const SpoolFile file, look_at(path_of(folder, name), found.marks));
        if (file.bytes == 0 || file.first != name) {
            CANDELA_TRY(remove_spool_file(folder, name));
            continue;
        }
        found.files.push_back(file);
    }
    return found;
}

uint64_t spool_record_size(const LogChunk& chunk) {
    return sizeof(RecordHead) + chunk.payload.size();
}

Result<> append_to_spool(const std::filesystem::path& folder, uint64_t file, uint64_t size_before,
                         const std::vector<const LogChunk*>& chunks) {
    const auto path = path_of(folder, file);
    const Fd out(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    if (out.get() < 0) return fail_errno(path.string(), errno);
    std::string bytes;
    for (const LogChunk* chunk : chunks) {
        const RecordHead head = head_of(*chunk);
        bytes.append(reinterpret_cast<const char*>(&head), sizeof(head));
        bytes += chunk->payload;
    }
    std::string_view rest = bytes;
    uint64_t at = size_before;
    while (!rest.empty()) {
        const ssize_t written =
            ::pwrite(out.get(), rest.data(), rest.size(), static_cast<off_t>(at));
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) {
            const int saved = written == 0 ? ENOSPC : errno;
            // What a truncate that fails leaves is cut off at the next start.
            static_cast<void>(::ftruncate(out.get(), static_cast<off_t>(size_before)) == 0);
            return fail_errno(path.string(), saved);
        }
        rest.remove_prefix(static_cast<size_t>(written));
        at += static_cast<uint64_t>(written);
    }
    return {};
}

Result<std::vector<LogChunk>> read_spool(const std::filesystem::path& folder, uint64_t file,
                                         uint64_t from, uint64_t to, size_t bytes_max) {
    const auto path = path_of(folder, file);
    const Fd in(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (in.get() < 0) return fail_errno(path.string(), errno);
    std::vector<LogChunk> chunks;
    RecordHead head;
    size_t bytes = 0;
    uint64_t at = 0;
    while (bytes < bytes_max && read_record(in.get(), at, head, nullptr)) {
        if (head.first > to) break;
        const bool is_wanted = head.first + head.count > from;
        if (is_wanted) {
            LogChunk chunk;
            if (!read_record(in.get(), at, head, &chunk.payload)) {
                return fail(Code::kInvalid, "{}: a record is damaged", path.string());
            }
            chunk.first = head.first;
            chunk.count = head.count;
            bytes += chunk.payload.size();
            chunks.push_back(std::move(chunk));
        }
        at += sizeof(head) + head.size;
    }
    return chunks;
}

Result<> remove_spool_file(const std::filesystem::path& folder, uint64_t file) {
    return remove_file(path_of(folder, file));
}

Result<> write_spool_ack(const std::filesystem::path& folder, uint64_t acked) {
    const auto path = folder / "acked";
    const Fd out(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    const std::string text = fmt::format("{:020}\n", acked);
    if (out.get() < 0 || ::pwrite(out.get(), text.data(), text.size(), 0) < 0)
        return fail_errno(path.string(), errno);
    return {};
}

}  // namespace candela
