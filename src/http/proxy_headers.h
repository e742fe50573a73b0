#pragma once

// What a proxy does to the heads that pass through it: hop-by-hop fields out (RFC 9110 §7.6.1),
// framing written anew, and X-Forwarded-* and Forwarded (RFC 7239) said truly. Pure functions, no
// allocation beyond the growth of `out`.

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "http/h1_parser.h"
#include "http/route_options.h"

namespace candela::http {

// What a proxy says of the certificate that the client has shown it (RFC 9440), and of whom that
// is. Like X-Forwarded-* they are dropped where a client sends them.
inline constexpr std::string_view kClientCertField = "Client-Cert";
inline constexpr std::string_view kClientCertChainField = "Client-Cert-Chain";
inline constexpr std::string_view kClientSubjectField = "X-Forwarded-Client-Subject";

// Peers whose X-Forwarded-* and Forwarded fields are believed and continued: proxies in front of
// us. From anyone else these fields are dropped, since a client may write into them what it likes.
class TrustedPeers {
public:
    // "10.0.0.0/8", "192.0.2.7", "::1", "2001:db8::/32". kInvalid names what is neither.
    Result<> add(std::string_view network);
    bool contains(std::string_view ip) const;
    bool empty() const { return networks_.empty(); }

private:
    struct Network {
        unsigned char bytes[16];
        int prefix_bits;
    };
    std::vector<Network> networks_;
};

// Who asked: the peer, or, where it is a trusted proxy, the last address in X-Forwarded-For that is
// not one. A view into its arguments.
std::string_view client_ip_of(const Headers& headers, std::string_view peer_ip,
                              const TrustedPeers& trusted);

// What is told to the upstream about the client's connection.
struct ForwardedInfo {
    std::string_view peer_ip;  // without brackets and port; empty for a unix socket
    bool is_trusted = false;
    bool is_encrypted = false;
    std::string_view prefix;       // the route's path prefix, for X-Forwarded-Prefix; empty: none
    std::string_view traceparent;  // said where the request has none of its own
    const FieldEdits* edits = nullptr;
    const Headers* added = nullptr;  // for this request only
    // The answer may be kept for others: without conditions and ranges, without what a trusted
    // proxy has passed on unseen, and without fields by which some services take another path,
    // host or method than was asked for.
    bool for_store = false;
};
// Whether the service may see under that name something else than the client has sent, where the
// answer may be kept.
bool is_written_by_proxy(std::string_view name);

// Appends the request as it goes to the upstream: HTTP/1.1, with this target, keep-alive. A client
// that takes trailers (TE: trailers) is one for the upstream as well.
void append_upstream_request(const RequestHead& head, const Framing& framing,
                             std::string_view target, const ForwardedInfo& info, std::string& out);

// How the body of a response goes to the client.
enum class ClientBody : uint8_t {
    kNone,    // HEAD, 204, 304: Content-Length is information only
    kLength,  // as long as the upstream said
    kChunked,
    kChunkedTrailers,  // the client takes trailers
    kUntilClose,       // to HTTP/1.0
};

enum class ClientConnection : uint8_t {
    kPersistent,    // HTTP/1.1: nothing to say
    kSayKeepAlive,  // HTTP/1.0 that asked for it
    kSayClose,
    kSayUpgrade,  // 101
};

// The fields that a Connection field names besides the usual ones, which are then for that hop
// only.
class NamedByConnection {
public:
    explicit NamedByConnection(const Headers& headers);
    bool empty() const { return count_ == 0; }
    bool contains(std::string_view name) const;

private:
    void add(std::string_view name);
    std::array<std::string_view, 16> names_;
    size_t count_ = 0;
};

// Which fields of an upstream's answer go on to the client, in either protocol. Each field is asked
// for once, in order.
class AnswerFields {
public:
    // `may_have_length`: a Content-Length of the upstream's is true for the client, too.
    // `has_trailers`: those of the upstream reach the client.
    AnswerFields(const ResponseHead& head, bool may_have_length, bool has_trailers,
                 const AnswerEdits& edits)
        : named_(head.headers),
          edits_(edits),
          may_have_length_(may_have_length),
          has_trailers_(has_trailers) {}
    bool passes(const Headers::Field& field);
    bool has_date() const { return has_date_; }

private:
    const NamedByConnection named_;
    const AnswerEdits edits_;
    const bool may_have_length_;
    const bool has_trailers_;
    bool has_date_ = false;
    bool has_length_ = false;
};

// Appends the response as it goes to the client. `date` is used where the upstream sent none.
void append_client_response(const ResponseHead& head, ClientBody body, ClientConnection connection,
                            std::string_view date, const AnswerEdits& edits, std::string& out);

}  // namespace candela::http
