#pragma once

// What an upgrade gives to the process that takes over: a channel to the one before it, that one's
// listening sockets, and its locks. The channel's descriptor is named by $CANDELA_UPGRADE; the rest
// is said on it before anything else. Then the two speak in lines (node_upgrade.cc):
//
//     old: listener FD WANTED BOUND     one for each; fields are separated by tabs
//     old: lock FD ROLE                 likewise
//     old: begin IS-READY               1: the new one, too, has to become ready
//     new: ready                        it could serve, and holds; or
//     new: failed REASON                and ends
//     old: go                           the new one accepts
//     new: accepting                    the old one stops accepting, and drains
//     old: main                         the service manager knows who speaks for the service
//     old: beat BASE64                  its heartbeat, each second, until it ends
//
// A new process whose channel ends before "go" gives up.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "loop/fd.h"
#include "loop/listener_book.h"

namespace candela {

class Inheritance {
public:
    static constexpr const char* kVariable = "CANDELA_UPGRADE";

    // Null where this process takes over from nobody. Removes the variable from the environment.
    // Blocks until all is said, at most some seconds. Before any thread is started.
    static Result<std::unique_ptr<Inheritance>> from_environment();

    // For a process that can't even begin. Blocks, for one short line.
    void tell_failure(std::string_view reason) const;

    Fd channel{-1};
    std::vector<ListenerBook::Socket> listeners;
    std::map<std::string, Fd, std::less<>> locks;
    bool must_be_ready = false;

private:
    Result<bool> read_line(std::string_view line);  // true: that was the last
};

// A line's form of any text: one that has no line breaks.
std::string one_line(std::string_view text);

}  // namespace candela
