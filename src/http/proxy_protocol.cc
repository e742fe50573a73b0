#include "http/proxy_protocol.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <vector>

#include <fmt/format.h>

#include "base/check.h"
#include "base/text.h"

namespace candela::http {
namespace {

constexpr std::string_view kSignature1 = "PROXY ";
constexpr std::string_view kSignature2("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr size_t kLineBytesMax = 107;  // of version 1, with its end
constexpr size_t kFixedBytes = 16;     // of version 2, before addresses

using Parsed = Result<std::optional<ProxyHeader>>;

Parsed malformed(std::string_view what) {
    return fail(Code::kInvalid, "the PROXY header is malformed: {}", what);
}

bool begins_like(std::string_view bytes, std::string_view signature) {
    const size_t compared = std::min(bytes.size(), signature.size());
    return bytes.substr(0, compared) == signature.substr(0, compared);
}

// An IP literal of that family, in its own normal form.
std::optional<std::string> normal_ip(int family, std::string_view text) {
    std::array<unsigned char, sizeof(in6_addr)> binary{};
    std::array<char, INET6_ADDRSTRLEN> out{};
    const std::string copy(text);
    if (inet_pton(family, copy.c_str(), binary.data()) != 1) return std::nullopt;
    if (inet_ntop(family, binary.data(), out.data(), out.size()) == nullptr) return std::nullopt;
    return std::string(out.data());
}

// Decimal, without sign and leading zeros.
std::optional<uint16_t> port_of(std::string_view text) {
    uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    const bool is_whole = error == std::errc() && end == text.data() + text.size();
    if (!is_whole || (text.size() > 1 && text.front() == '0')) return std::nullopt;
    return port;
}

Parsed parse_line(std::string_view bytes) {
    const size_t end = bytes.substr(0, kLineBytesMax).find("\r\n");
    if (end == std::string_view::npos) {
        if (bytes.size() >= kLineBytesMax) return malformed("the line is too long");
        return std::optional<ProxyHeader>();
    }
    ProxyHeader header;
    header.bytes = end + 2;
    const std::vector<std::string_view> words = split(bytes.substr(0, end), ' ');
    const std::string_view family = words.size() > 1 ? words[1] : std::string_view();
    if (family == "UNKNOWN") return header;
    if (family != "TCP4" && family != "TCP6") return malformed("neither TCP4, TCP6 nor UNKNOWN");
    if (words.size() != 6) return malformed("the line has not six words");
    const int af = family == "TCP4" ? AF_INET : AF_INET6;
    auto source = normal_ip(af, words[2]);
    const bool is_whole = source && normal_ip(af, words[3]) && port_of(words[5]);
    const auto port = port_of(words[4]);
    if (!is_whole || !port) return malformed("an address or a port that is none");
    header.client = Address::tcp(*source, *port);
    return header;
}

// The source of an address block: source, destination, source's port, destination's port.
std::optional<Address> source_of(int family, size_t ip_bytes, std::string_view block) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (inet_ntop(family, block.data(), text.data(), text.size()) == nullptr) return std::nullopt;
    uint16_t port = 0;
    std::memcpy(&port, block.data() + 2 * ip_bytes, sizeof port);
    return Address::tcp(text.data(), ntohs(port));
}

Parsed parse_binary(std::string_view bytes) {
    if (bytes.size() < kFixedBytes) return std::optional<ProxyHeader>();
    const auto byte = [&](size_t at) { return static_cast<uint8_t>(bytes[at]); };
    const int version = byte(12) >> 4;
    const int command = byte(12) & 0x0f;
    const size_t length = size_t{byte(14)} << 8 | byte(15);
    if (version != 2) return malformed("a version that is not 2");
    if (command > 1) return malformed("neither LOCAL nor PROXY");
    ProxyHeader header;
    header.bytes = kFixedBytes + length;
    if (header.bytes > kProxyHeaderBytesMax) return malformed("it is too long");
    if (bytes.size() < header.bytes) return std::optional<ProxyHeader>();
    const std::string_view block = bytes.substr(kFixedBytes, length);
    if (command == 0) return header;  // LOCAL: what stands in the block is not for us
    switch (byte(13)) {
        case 0x11:  // TCP over IPv4
            if (length < 12) return malformed("its addresses are cut off");
            header.client = source_of(AF_INET, 4, block);
            return header;
        case 0x21:  // TCP over IPv6
            if (length < 36) return malformed("its addresses are cut off");
            header.client = source_of(AF_INET6, 16, block);
            return header;
        case 0x00:  // unspecified
        case 0x31:  // a unix socket's
            return header;
        default: return malformed("an address family that is not one of streams");
    }
}

struct Ip {
    int family;
    std::array<char, sizeof(in6_addr)> bytes;  // of IPv4, the first four
};

std::optional<Ip> ip_of(const Address& address) {
    if (address.kind != Address::Kind::kTcp) return std::nullopt;
    Ip ip{AF_INET, {}};
    if (inet_pton(AF_INET, address.host.c_str(), ip.bytes.data()) == 1) return ip;
    in6_addr binary{};
    if (inet_pton(AF_INET6, address.host.c_str(), &binary) != 1) return std::nullopt;
    if (IN6_IS_ADDR_V4MAPPED(&binary)) {
        std::memcpy(ip.bytes.data(), binary.s6_addr + 12, sizeof(in_addr));
        return ip;
    }
    ip.family = AF_INET6;
    std::memcpy(ip.bytes.data(), &binary, sizeof binary);
    return ip;
}

std::string text_of(const Ip& ip) {
    std::array<char, INET6_ADDRSTRLEN> out{};
    CANDELA_CHECK(inet_ntop(ip.family, ip.bytes.data(), out.data(), out.size()) != nullptr);
    return out.data();
}

void append_uint16(uint16_t number, std::string& out) {
    out += static_cast<char>(number >> 8);
    out += static_cast<char>(number & 0xff);
}

std::string binary_header(uint8_t version_and_command, uint8_t family, std::string_view block) {
    std::string out(kSignature2);
    out += static_cast<char>(version_and_command);
    out += static_cast<char>(family);
    append_uint16(static_cast<uint16_t>(block.size()), out);
    out += block;
    return out;
}

}  // namespace

Parsed parse_proxy_header(std::string_view bytes) {
    if (bytes.empty()) return std::optional<ProxyHeader>();
    if (begins_like(bytes, kSignature2)) {
        if (bytes.size() < kSignature2.size()) return std::optional<ProxyHeader>();
        return parse_binary(bytes);
    }
    if (begins_like(bytes, kSignature1)) return parse_line(bytes);
    return malformed("neither version's first bytes");
}

std::string_view to_string(ProxyVersion version) {
    switch (version) {
        case ProxyVersion::kNone: return "none";
        case ProxyVersion::kV1: return "v1";
        case ProxyVersion::kV2: return "v2";
    }
    return "none";
}

Result<ProxyVersion> parse_proxy_version(std::string_view text) {
    for (const ProxyVersion version : {ProxyVersion::kNone, ProxyVersion::kV1, ProxyVersion::kV2}) {
        if (to_string(version) == text) return version;
    }
    return fail(Code::kInvalid, "\"{}\" is not a version of the PROXY protocol: none, v1 or v2",
                printable(text));
}

std::string write_proxy_header(ProxyVersion version, const Address& source,
                               const Address& destination) {
    CANDELA_CHECK(version != ProxyVersion::kNone);
    const std::optional<Ip> from = ip_of(source);
    if (!from) {
        if (version == ProxyVersion::kV1) return "PROXY UNKNOWN\r\n";
        return binary_header(0x20, 0, {});
    }
    std::optional<Ip> to = ip_of(destination);
    // There is one family for both; 0.0.0.0 and :: name none.
    if (!to || to->family != from->family) to = Ip{from->family, {}};
    if (version == ProxyVersion::kV1) {
        return fmt::format("PROXY {} {} {} {} {}\r\n", from->family == AF_INET ? "TCP4" : "TCP6",
                           text_of(*from), text_of(*to), source.port, destination.port);
    }
    const size_t ip_bytes = from->family == AF_INET ? sizeof(in_addr) : sizeof(in6_addr);
    std::string block;
    block.append(from->bytes.data(), ip_bytes);
    block.append(to->bytes.data(), ip_bytes);
    append_uint16(source.port, block);
    append_uint16(destination.port, block);
    return binary_header(0x21, from->family == AF_INET ? 0x11 : 0x21, block);
}

}  // namespace candela::http
