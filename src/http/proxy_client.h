#pragma once

// One client connection of a proxy, of either protocol. Owned by the Proxy, on its loop.

#include <cstddef>

namespace candela::http {

class ProxyClient {
public:
    ProxyClient() = default;
    ProxyClient(const ProxyClient&) = delete;
    ProxyClient& operator=(const ProxyClient&) = delete;
    virtual ~ProxyClient() = default;

    virtual void start() = 0;
    // Closes when idle; otherwise once what is in progress is answered.
    virtual void drain() = 0;
    // Closes at once.
    virtual void close() = 0;

    size_t index = 0;  // in the proxy's list
};

}  // namespace candela::http
