#pragma once

// Tells when something in a folder changes: a name that appears, goes, or is written to. One
// folder, not those within it. Lives on its loop; needs libuv.

#include <filesystem>
#include <functional>
#include <memory>
#include <string_view>

#include "base/result.h"
#include "loop/loop.h"

namespace candela {

class FolderWatcher {
public:
    // `name` is that of the entry, or "" where the kernel does not say. Never called from within
    // watch().
    using OnChange = std::function<void(std::string_view name)>;

    static Result<std::unique_ptr<FolderWatcher>> watch(Loop& loop,
                                                        const std::filesystem::path& folder,
                                                        OnChange on_change);
    virtual ~FolderWatcher() = default;
};

}  // namespace candela
