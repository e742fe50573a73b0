#pragma once

// Writes archives that pack_bundle() never would.

#include <archive.h>
#include <archive_entry.h>

#include <string>
#include <string_view>

#include "crypto/hash.h"
#include "temp_folder.h"

namespace candela::test {

class HostileArchive {
public:
    explicit HostileArchive(std::string file) : file_(std::move(file)), archive_(archive_write_new()) {
        archive_write_set_format_pax(archive_);
        archive_write_set_options(archive_, "hdrcharset=BINARY");
        archive_write_add_filter_zstd(archive_);
        archive_write_open_filename(archive_, file_.c_str());
    }

    HostileArchive& add(std::string_view name, unsigned type, std::string_view data = {},
                        unsigned mode = 0644) {
        archive_entry* entry = archive_entry_new();
        archive_entry_set_pathname(entry, std::string(name).c_str());
        archive_entry_set_mode(entry, type | mode);
        if (type == AE_IFLNK) archive_entry_set_symlink(entry, std::string(data).c_str());
        if (type == AE_IFCHR) archive_entry_set_rdev(entry, 1);
        archive_entry_set_size(entry, type == AE_IFREG ? static_cast<int64_t>(data.size()) : 0);
        archive_write_header(archive_, entry);
        if (type == AE_IFREG) archive_write_data(archive_, data.data(), data.size());
        archive_entry_free(entry);
        return *this;
    }
    HostileArchive& add_hard_link(std::string_view name, std::string_view target) {
        archive_entry* entry = archive_entry_new();
        archive_entry_set_pathname(entry, std::string(name).c_str());
        archive_entry_set_mode(entry, AE_IFREG | 0644);
        archive_entry_set_hardlink(entry, std::string(target).c_str());
        archive_write_header(archive_, entry);
        archive_entry_free(entry);
        return *this;
    }
    // The digest.
    std::string finish() {
        archive_write_close(archive_);
        archive_write_free(archive_);
        return crypto::sha256_hex(as_bytes(read_text(file_)));
    }

private:
    std::string file_;
    archive* archive_;
};

}  // namespace candela::test
