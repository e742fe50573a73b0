#include "hostile_archive.h"

#include <archive.h>
#include <archive_entry.h>

#include "crypto/hash.h"
#include "temp_folder.h"

namespace candela::test {

static unsigned mode_of(EntryKind kind) {
    switch (kind) {
        case EntryKind::kFile: return AE_IFREG;
        case EntryKind::kFolder: return AE_IFDIR;
        case EntryKind::kLink: return AE_IFLNK;
        case EntryKind::kCharDevice: return AE_IFCHR;
        case EntryKind::kBlockDevice: return AE_IFBLK;
        case EntryKind::kPipe: return AE_IFIFO;
    }
    return 0;
}

HostileArchive::HostileArchive(std::string file)
    : file_(std::move(file)), archive_(archive_write_new()) {
    archive_write_set_format_pax(archive_);
    archive_write_set_options(archive_, "hdrcharset=BINARY");
    archive_write_add_filter_zstd(archive_);
    archive_write_open_filename(archive_, file_.c_str());
}

HostileArchive& HostileArchive::add(std::string_view name, EntryKind kind, std::string_view data,
                                    unsigned mode) {
    const bool is_file = kind == EntryKind::kFile;
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, std::string(name).c_str());
    archive_entry_set_mode(entry, mode_of(kind) | mode);
    if (kind == EntryKind::kLink) archive_entry_set_symlink(entry, std::string(data).c_str());
    if (kind == EntryKind::kCharDevice) archive_entry_set_rdev(entry, 1);
    archive_entry_set_size(entry, is_file ? static_cast<int64_t>(data.size()) : 0);
    archive_write_header(archive_, entry);
    if (is_file) archive_write_data(archive_, data.data(), data.size());
    archive_entry_free(entry);
    return *this;
}

HostileArchive& HostileArchive::add_hard_link(std::string_view name, std::string_view target) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, std::string(name).c_str());
    archive_entry_set_mode(entry, AE_IFREG | 0644);
    archive_entry_set_hardlink(entry, std::string(target).c_str());
    archive_write_header(archive_, entry);
    archive_entry_free(entry);
    return *this;
}

std::string HostileArchive::finish() {
    archive_write_close(archive_);
    archive_write_free(archive_);
    return crypto::sha256_hex(as_bytes(read_text(file_)));
}

}  // namespace candela::test
