#include "ctl/signer.h"

#include <sys/stat.h>

#include "base/text.h"
#include "loop/file.h"
#include "node/dev.h"

namespace candela::ctl {

Result<auth::KeyPair> deployer_key(const std::filesystem::path& file) {
    const auto text = read_file(file, 4096);
    if (!text && text.error().code() != Code::kNotFound) return fail(text.error());
    if (text) {
        struct stat info = {};
        if (::stat(file.c_str(), &info) == 0 && (info.st_mode & 077) != 0) {
            return fail(Code::kDenied,
                        "{} can be read by others: it is no secret any more\n"
                        "try: rm {}, and deploy again with a new key",
                        file.string(), file.string());
        }
        std::string_view seed = *text;
        while (seed.ends_with('\n')) seed.remove_suffix(1);
        return auth::KeyPair::from_seed(seed).in(file.string());
    }
    auth::KeyPair key = auth::KeyPair::generate(auth::KeyKind::kUser);
    CANDELA_TRY(make_directories(file.parent_path(), 0700));
    const Secret seed = key.seed();
    CANDELA_TRY(write_file(file, seed.reveal(), 0600));
    return key;
}

Result<auth::KeyPair> signing_key(Api& api) {
    CANDELA_TRY_ASSIGN(const auth::Credentials* credentials, api.credentials());
    if (credentials != nullptr) return credentials->key.clone();
    return deployer_key(user_folder("XDG_CONFIG_HOME", ".config") / "candela/deployer.seed");
}

}  // namespace candela::ctl
