#pragma once

// The folder of one keeper, DIR/host/run/<instance>/keeper-<id>: its socket, and what it wrote
// where no host took the end. Blocking: on the pool.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "loop/process.h"

namespace candela::host {

// The descriptors of a folder, and of a socket that listens in it. Closed with it.
class KeeperSocket {
public:
    // Makes the folder (its parents too) and the socket.
    static Result<KeeperSocket> make(const std::filesystem::path& folder);
    // Only the folder, of a keeper that is there already.
    static Result<KeeperSocket> find(const std::filesystem::path& folder);

    KeeperSocket() = default;
    KeeperSocket(KeeperSocket&& other) noexcept;
    KeeperSocket& operator=(KeeperSocket&& other) noexcept;
    ~KeeperSocket();

    int listener() const { return listener_; }
    void close_listener();
    // A path to connect to, short enough for a unix socket however deep the folder lies. Good while
    // this object lives.
    std::string path() const;

private:
    int folder_ = -1;
    int listener_ = -1;
};

struct KeeperPlace {
    std::string instance;
    std::filesystem::path folder;
};

// All keepers' folders below DIR/host/run.
std::vector<KeeperPlace> list_keepers(const std::filesystem::path& run_folder);

// How the instance ended, where its keeper wrote it down.
std::optional<ExitStatus> read_exit_file(const std::filesystem::path& folder);

inline constexpr std::string_view kKeeperFolderPrefix = "keeper-";

}  // namespace candela::host
