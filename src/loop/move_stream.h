#pragma once

// Moves a connection to another loop: for roles that accept on several loops and want each to have
// its share.

#include <functional>

#include "loop/fd.h"
#include "loop/loop.h"

namespace candela {

// Takes a stream that was not started yet, and hands the same connection, as a stream of the loop
// `to`, to `done` on that loop. Where that loop ends before, the connection is closed. False: this
// kind of stream can't move (in-process, simulated), and nothing has changed. Called on the
// stream's own loop.
bool move_stream(StreamPtr& stream, Loop& to,
                 std::move_only_function<void(Result<StreamPtr>)> done);

// A connected unix socket (of a socketpair, say), one end of a pipe, or a terminal as a stream.
// Needs a libuv loop.
Result<StreamPtr> adopt_unix_socket(Loop& loop, Fd fd);
// A TCP socket that is connected, or about to be.
Result<StreamPtr> adopt_tcp_socket(Loop& loop, Fd fd);
// A TCP socket that listens already, in whichever network it is.
Result<std::unique_ptr<Listener>> adopt_listener(Loop& loop, Fd fd, Loop::AcceptHandler on_accept);

}  // namespace candela
