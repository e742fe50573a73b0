#pragma once

// Reading and writing the small secret files of an identity. Blocking. Internal to src/auth.

#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/secret.h"

namespace candela::auth {

// Creates the folder with mode 0700, and its parents.
Result<> make_private_folder(const std::filesystem::path& path);
// Replaces the file as a whole (temporary file, fsync, rename), mode 0600: after a crash there is
// the old text or the new one.
Result<> write_private_file(const std::filesystem::path& path, std::string_view text);
// kNotFound where there is none. At most 1 MiB; one newline at the end is left out.
Result<Secret> read_small_file(const std::filesystem::path& path);

}  // namespace candela::auth
