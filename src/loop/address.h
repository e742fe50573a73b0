#pragma once

// Where a stream leads: TCP host and port, a unix socket, or a name inside this process.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace candela {

struct Address {
    enum class Kind : uint8_t { kTcp, kUnix, kInProcess };

    Kind kind = Kind::kTcp;
    std::string host;   // TCP: a name or an IP literal without brackets; otherwise the path or name
    uint16_t port = 0;  // TCP only

    static Address tcp(std::string_view host, uint16_t port) {
        return Address{Kind::kTcp, std::string(host), port};
    }
    static Address unix_socket(std::string_view path) {
        return Address{Kind::kUnix, std::string(path), 0};
    }
    static Address in_process(std::string_view name) {
        return Address{Kind::kInProcess, std::string(name), 0};
    }

    // "127.0.0.1:80", "[::1]:80", "name:80", "unix:/run/x.sock", "inproc:bus".
    static Result<Address> parse(std::string_view text);
    // The form that parse() reads.
    std::string to_string() const;
    // True for 127.0.0.0/8, ::1, "localhost", unix sockets and names in this process.
    bool is_loopback() const;

    friend bool operator==(const Address&, const Address&) = default;
};

}  // namespace candela
