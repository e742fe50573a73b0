#include "node/ownership.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

namespace candela {

namespace fs = std::filesystem;

Result<> give_to_owner(const fs::path& data_dir, const fs::path& tree) {
    if (::geteuid() != 0) return {};
    struct stat owner{};
    if (::stat(data_dir.c_str(), &owner) != 0) return fail(Error::system(data_dir.string(), errno));
    std::error_code error;
    std::vector<fs::path> all{tree};
    if (fs::is_directory(tree, error)) {
        for (fs::recursive_directory_iterator at(tree, error), end; !error && at != end;
             at.increment(error)) {
            all.push_back(at->path());
        }
    }
    if (error) return fail(Error::system(tree.string(), error.value()));
    for (const fs::path& path : all) {
        if (::lchown(path.c_str(), owner.st_uid, owner.st_gid) != 0)
            return fail(Error::system(path.string(), errno));
    }
    return {};
}

}  // namespace candela
