#pragma once

// Writes archives that pack_bundle() never would.

#include <string>
#include <string_view>

struct archive;

namespace candela::test {

enum class EntryKind { kFile, kFolder, kLink, kCharDevice, kBlockDevice, kPipe };

class HostileArchive {
public:
    explicit HostileArchive(std::string file);

    // `data` is a link's target, too.
    HostileArchive& add(std::string_view name, EntryKind kind, std::string_view data = {},
                        unsigned mode = 0644);
    HostileArchive& add_hard_link(std::string_view name, std::string_view target);
    // The digest.
    std::string finish();

private:
    std::string file_;
    archive* archive_;
};

}  // namespace candela::test
