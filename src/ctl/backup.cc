// `candela ctl backup FILE`: the lighthouse's state in one sealed file, for `candela restore`.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "crypto/sealed_stream.h"
#include "ctl/verb.h"
#include "loop/fd.h"
#include "node/passphrase.h"

namespace candela::ctl {

namespace {

// Appears whole under its name, or not at all.
class NewFile {
public:
    explicit NewFile(std::string path) : path_(std::move(path)), part_(path_ + ".part") {}
    NewFile(const NewFile&) = delete;
    NewFile& operator=(const NewFile&) = delete;
    ~NewFile() {
        if (fd_ < 0) return;
        ::close(fd_);
        ::unlink(part_.c_str());
    }
    Result<> open() {
        fd_ = ::open(part_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd_ < 0) return fail(Error::system(part_, errno));
        return {};
    }
    Result<> write(std::string_view bytes) {
        size_bytes += bytes.size();
        return write_all(fd_, bytes, part_);
    }
    Result<> publish() {
        if (::fsync(fd_) != 0) return fail(Error::system(part_, errno));
        if (::rename(part_.c_str(), path_.c_str()) != 0) return fail(Error::system(path_, errno));
        ::close(std::exchange(fd_, -1));
        return {};
    }

    uint64_t size_bytes = 0;

private:
    const std::string path_;
    const std::string part_;
    int fd_ = -1;
};

Task<Result<int>> run(Session& session, Arguments arguments) {
    const std::string file = arguments.text("FILE");
    struct stat info{};
    if (::stat(file.c_str(), &info) == 0 && !arguments.has("--force")) {
        co_return fail(Code::kConflict, "{} is there already\ntry: --force, or another name", file);
    }
    auto passphrase = find_passphrase(arguments.text("--passphrase-file"), true);
    if (!passphrase) co_return fail(passphrase.error());
    auto sealer = crypto::StreamSealer::begin(*passphrase);
    if (!sealer) co_return fail(sealer.error());
    NewFile out(file);
    CO_TRY(out.open());
    std::string sealed;
    auto take = [&](std::string_view bytes) -> Result<> {
        sealed.clear();
        sealer->write(bytes, sealed);
        return out.write(sealed);
    };
    auto read = co_await session.api.read("/v1/backup", std::move(take));
    if (!read) co_return fail(read.error());
    sealed.clear();
    sealer->finish(sealed);
    CO_TRY(out.write(sealed));
    CO_TRY(out.publish());
    if (session.json) {
        const Json body = {{"file", file}, {"size_bytes", out.size_bytes}};
        session.terminal.out_json(body);
        co_return kOk;
    }
    session.terminal.note(fmt::format(
        "{}: {}\nWithout the passphrase it is of no use to anybody, and to you neither.\n"
        "on a new machine: candela restore {} --data-dir DIR",
        file, format_size(out.size_bytes), file));
    co_return kOk;
}

}  // namespace

Verb backup_verb() {
    return Verb{"",
                "backup",
                "Writes the lighthouse's state, keys and bundles to a sealed file",
                {{"FILE", "Where to; it appears only when it is whole."}},
                {{"--passphrase-file", "", "FILE",
                  "Or $CANDELA_BACKUP_PASSPHRASE; otherwise it is asked for"},
                 {"--force", "", "", "Replaces a file that is there"}},
                true,
                run};
}

}  // namespace candela::ctl
