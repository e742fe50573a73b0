#pragma once

// A folder with a service.toml as what is deployed: its manifest and its packed bundle.

#include <filesystem>

#include "ctl/session.h"
#include "loop/task.h"
#include "service/bundle.h"
#include "service/manifest.h"

namespace candela::ctl {

// A folder of our own for the packed bundle; gone with this object.
class ScratchFolder {
public:
    static Result<ScratchFolder> make();
    ScratchFolder(ScratchFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
    ScratchFolder& operator=(ScratchFolder&&) = delete;
    ~ScratchFolder();
    std::filesystem::path bundle() const { return path_ / "bundle.tar.zst"; }

private:
    explicit ScratchFolder(std::filesystem::path path) : path_(std::move(path)) {}
    std::filesystem::path path_;
};

// kNotFound where the folder has no service.toml, kInvalid with all of its mistakes.
Result<service::Manifest> read_manifest_of(const std::filesystem::path& folder);

// Reads the pages that [errors] names, and checks the whole once more.
Result<> read_error_pages(service::Manifest& manifest, const std::filesystem::path& folder);

// Packs on a pool thread, and shows how far it is.
Task<Result<service::BundleInfo>> pack_folder(Session& session, std::filesystem::path folder,
                                              std::filesystem::path out);

}  // namespace candela::ctl
