#pragma once

// One client connection of a proxy, of either protocol. Owned by the Proxy, on its loop.

#include <cstddef>
#include <memory>

#include "http/client_certificates.h"
#include "loop/stream.h"

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

protected:
    // Made at the first call; null where the stream is not encrypted.
    ClientCertificates* certificates_of(const Stream* stream) {
        if (stream == nullptr || !stream->is_encrypted()) return nullptr;
        if (certificates_ == nullptr) {
            certificates_ = std::make_unique<ClientCertificates>(tls::client_of(*stream));
        }
        return certificates_.get();
    }

private:
    std::unique_ptr<ClientCertificates> certificates_;
};

}  // namespace candela::http
