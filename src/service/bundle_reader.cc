#include "service/bundle_reader.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <cerrno>
#include <cstring>

#include "base/text.h"
#include "service/bundle_path.h"

namespace candela::service {

namespace {
// 8 MiB: what packing uses fits many times; a hostile frame can't ask for gigabytes.
constexpr int kWindowLogMax = 23;
constexpr size_t kBufferSize = 128 * 1024;
}  // namespace

void BundleReader::ArchiveFree::operator()(archive* a) const { archive_read_free(a); }
void BundleReader::ContextFree::operator()(ZSTD_DCtx_s* c) const { ZSTD_freeDCtx(c); }

BundleReader::BundleReader(FileDescriptor file, const BundleLimits& limits)
    : file_(std::move(file)), limits_(limits), input_(kBufferSize), output_(kBufferSize) {}

BundleReader::~BundleReader() = default;

Result<> BundleReader::open() {
    struct stat status{};
    if (fstat(file_.get(), &status) != 0) return fail_errno("bundle", errno);
    if (static_cast<uint64_t>(status.st_size) > limits_.bundle_bytes_max) {
        return fail(Code::kExhausted, "the bundle has {}; at most {} are allowed",
                    format_size(static_cast<uint64_t>(status.st_size)),
                    format_size(limits_.bundle_bytes_max));
    }
    zstd_.reset(ZSTD_createDCtx());
    ZSTD_DCtx_setParameter(zstd_.get(), ZSTD_d_windowLogMax, kWindowLogMax);
    archive_.reset(archive_read_new());
    archive* a = archive_.get();
    if (archive_read_support_format_tar(a) != ARCHIVE_OK ||
        archive_read_open(a, this, nullptr, read_archive, nullptr) != ARCHIVE_OK) {
        return archive_failure("bundle");
    }
    return {};
}

ssize_t BundleReader::read_archive(archive* a, void* context, const void** bytes) {
    auto& self = *static_cast<BundleReader*>(context);
    const ssize_t count = self.decompress(bytes);
    if (count < 0) archive_set_error(a, EINVAL, "%s", self.stream_error_.c_str());
    return count;
}

ssize_t BundleReader::decompress(const void** bytes) {
    for (;;) {
        if (input_at_ == input_end_) {
            const ssize_t count = read(file_.get(), input_.data(), input_.size());
            if (count < 0 && errno == EINTR) continue;
            if (count < 0) {
                stream_error_ = std::strerror(errno);
                return -1;
            }
            if (count == 0) {
                if (!is_inside_frame_) return 0;
                stream_error_ = "the archive is cut short";
                return -1;
            }
            input_at_ = 0;
            input_end_ = static_cast<size_t>(count);
            info_.size_bytes += input_end_;
        }
        ZSTD_inBuffer in{input_.data(), input_end_, input_at_};
        ZSTD_outBuffer out{output_.data(), output_.size(), 0};
        const size_t left = ZSTD_decompressStream(zstd_.get(), &out, &in);
        input_at_ = in.pos;
        if (ZSTD_isError(left) != 0) {
            stream_error_ = fmt::format("zstd: {}", ZSTD_getErrorName(left));
            return -1;
        }
        is_inside_frame_ = left != 0;
        if (out.pos == 0) continue;
        tar_bytes_ += out.pos;
        *bytes = output_.data();
        return static_cast<ssize_t>(out.pos);
    }
}

std::unexpected<Error> BundleReader::archive_failure(std::string_view what) {
    const char* text = archive_error_string(archive_.get());
    return fail(Code::kCorrupt, "{}: {}", printable(what),
                printable(text != nullptr ? text : "not a tar"));
}

Result<> BundleReader::check_ratio() const {
    const uint64_t unpacked = std::max(tar_bytes_, info_.unpacked_bytes);
    if (unpacked <= limits_.ratio_free_bytes || unpacked / limits_.ratio_max <= info_.size_bytes) {
        return {};
    }
    return fail(Code::kExhausted, "the bundle unpacks to more than {} times its size",
                limits_.ratio_max);
}

Result<bool> BundleReader::next(Entry& entry) {
    archive_entry* header = nullptr;
    const int status = archive_read_next_header(archive_.get(), &header);
    if (status == ARCHIVE_EOF) return false;
    // ARCHIVE_WARN is refused too: our own archives never warn.
    if (status != ARCHIVE_OK) return archive_failure("bundle");
    CANDELA_TRY(check_ratio());
    if (++info_.files > limits_.files_max) {
        return fail(Code::kExhausted, "the bundle has more than {} entries", limits_.files_max);
    }
    const char* name = archive_entry_pathname(header);
    CANDELA_TRY_ASSIGN(entry.path, normal_entry_path(name != nullptr ? name : "", limits_));
    entry.mode = archive_entry_perm(header) & 0777;
    entry.link_target.clear();
    if (archive_entry_hardlink(header) != nullptr) {
        return fail(Code::kInvalid, "\"{}\" is a hard link", printable(entry.path));
    }
    switch (archive_entry_filetype(header)) {
        case AE_IFDIR: entry.type = EntryType::kFolder; break;
        case AE_IFLNK: {
            entry.type = EntryType::kLink;
            const char* target = archive_entry_symlink(header);
            entry.link_target = target != nullptr ? target : "";
            CANDELA_TRY(check_link_target(entry.path, entry.link_target, limits_));
            break;
        }
        case AE_IFREG: {
            entry.type = EntryType::kFile;
            const int64_t size = archive_entry_size(header);
            const uint64_t left = limits_.size_bytes_max - info_.unpacked_bytes;
            if (size < 0 || static_cast<uint64_t>(size) > left) {
                return fail(Code::kExhausted, "\"{}\": the bundle unpacks to more than {}",
                            printable(entry.path), format_size(limits_.size_bytes_max));
            }
            break;
        }
        default:
            return fail(Code::kInvalid, "\"{}\" is a device, a pipe or a socket",
                        printable(entry.path));
    }
    if (entry.path.empty() && entry.type != EntryType::kFolder) {
        return fail(Code::kInvalid, "an entry replaces the bundle's root");
    }
    return true;
}

Result<size_t> BundleReader::read_data(char* out, size_t size) {
    const ssize_t count = archive_read_data(archive_.get(), out, size);
    if (count < 0) return archive_failure("bundle");
    info_.unpacked_bytes += static_cast<uint64_t>(count);
    if (info_.unpacked_bytes > limits_.size_bytes_max) {
        return fail(Code::kExhausted, "the bundle unpacks to more than {}",
                    format_size(limits_.size_bytes_max));
    }
    CANDELA_TRY(check_ratio());
    return static_cast<size_t>(count);
}

}  // namespace candela::service
