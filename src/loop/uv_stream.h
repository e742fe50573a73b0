#pragma once

// Streams, listeners and connection attempts on libuv. Internal to src/loop: everyone else goes
// through Loop. libuv's handles live in blocks of their own that are freed in the close callback,
// so that the C++ objects may go at any time.

#include <memory>

#include "loop/uv_loop.h"

typedef struct uv_stream_s uv_stream_t;

namespace candela {

Result<std::unique_ptr<Listener>> uv_listen_on(UvLoop& loop, const Address& address,
                                               const ListenOptions& options,
                                               Loop::AcceptHandler on_accept);
std::unique_ptr<ConnectAttempt> uv_connect_to(UvLoop& loop, const Address& address,
                                              Loop::ConnectHandler on_connect);

}  // namespace candela
