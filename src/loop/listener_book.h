#pragma once

// The listening sockets of a process, so that the executable that replaces it can go on with the
// very same ones: a connection that waits in a socket's queue is lost where the socket is closed
// and another one is opened, even with SO_REUSEPORT.
//
// The old process asks for duplicates of all (duplicate_all). The new one puts what it was given
// into its own book (inherit); each Loop::listen() then finds its address there instead of binding,
// and accepts nothing before release(). Any thread.

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "loop/address.h"
#include "loop/fd.h"

namespace candela {

class Loop;

// A listener on libuv, as the book sees it. Both are called on its loop.
class BookedListener {
public:
    // Begins to accept on what it has.
    virtual void start_accepting() = 0;
    // Accepts on one more socket of the same address.
    virtual void adopt(Fd socket) = 0;

protected:
    ~BookedListener() = default;
};

class ListenerBook {
public:
    struct Socket {
        Fd fd;
        std::string wanted;  // the address as listen() was told
        std::string bound;   // the address in fact, with the port
    };

    // --- In the process that was started to take over ---
    void inherit(Socket socket);
    // The socket for this address, or nothing: then it has to be bound. Several loops that ask get
    // one each; where there are fewer sockets than loops, some share one.
    std::optional<Fd> claim(const std::string& address);
    // Everything that was inherited starts to accept. Sockets that fewer loops than before left
    // over go to listeners of the same address; those of addresses that are no more are closed.
    void release();

    // --- In the process that may be replaced ---
    // Of TCP and unix listeners. In the order in which they were opened.
    Result<std::vector<Socket>> duplicate_all() const;
    // From now on another process listens on the same sockets: files of unix sockets stay.
    void give_away();

    // --- For listeners ---
    uint64_t add(Loop& loop, BookedListener& listener, int fd, std::string wanted,
                 std::string bound, bool is_held);
    void add_socket(uint64_t id, int fd);
    // Before its sockets are closed.
    void remove(uint64_t id);
    bool is_given_away() const;

private:
    struct Entry {
        Loop* loop;
        BookedListener* listener;
        std::vector<int> fds;
        std::string wanted;
        std::string bound;
        bool is_held;
    };
    void start(uint64_t id, std::vector<Fd> more);

    mutable std::mutex mutex_;
    std::vector<Socket> inherited_;
    std::map<uint64_t, Entry> entries_;
    uint64_t last_id_ = 0;
    bool is_given_away_ = false;
};

}  // namespace candela
