#pragma once

// Asks a keeper to run a program with descriptors of ours, which our streams can't send. Blocking:
// on the pool.

#include <filesystem>
#include <string>

#include "driver.h"

namespace candela::host {

// A connection to the keeper in that folder; what it is to be its first bytes say. Sending and
// receiving give up after seconds.
Result<Fd> connect_to_keeper(const std::filesystem::path& folder);

// The connection over which the keeper in that folder tells how it goes; `plan` as of
// encode_plan().
Result<Fd> send_session(const std::filesystem::path& folder, const std::string& plan,
                        const SessionFds& fds);

}  // namespace candela::host
