#pragma once

// The keys of session tickets (RFC 5077, RFC 8446 §4.6.1): whoever has them can open the sessions
// of TLS 1.2 that were resumed with them, so they live in memory only, change often and are wiped.
// One TicketKeys is shared by all contexts and loops of a server, so that neither a certificate's
// swap nor another loop ends resumption; several servers share what somebody gives them by add().

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/secret.h"
#include "base/time.h"

namespace candela::tls {

inline constexpr size_t kTicketNameBytes = 16;
inline constexpr size_t kTicketSecretBytes = 64;
// Twice as long as the longest time that a ticket may live (RFC 8446 §4.6.1: seven days).
inline constexpr Duration kTicketPeriodMax = 84h;

struct TicketKey {
    std::string name;  // kTicketNameBytes at random, which tickets carry in clear
    Secret secret;     // kTicketSecretBytes: for AES-256, then for HMAC with SHA-256
    WallTime from{};   // makes tickets in the first half of its time, opens them in both
    WallTime until{};
    bool is_shared = false;  // with other servers: goes before our own

    TicketKey clone() const { return TicketKey(name, secret.clone(), from, until, is_shared); }
    WallTime makes_until() const { return from + (until - from) / 2; }
};

TicketKey make_ticket_key(WallTime from, Duration period);
// kInvalid where a size or the times are wrong.
Result<> check_ticket_key(const TicketKey& key);

// For who gives keys to several servers: keeps the last one, the one in force and the next, which
// all have before the first of them uses it. Returns whether it changed anything.
bool advance_ticket_schedule(std::vector<TicketKey>& keys, WallTime now, Duration period);
// When that has something to do again; from 1 ms on.
Duration ticket_schedule_wait(const std::vector<TicketKey>& keys, WallTime now);

// Any thread.
class TicketKeys final {
public:
    static constexpr size_t kKeysMax = 16;  // the oldest goes where there are more

    // `period`: how long a key of our own makes tickets, above 0 and up to kTicketPeriodMax.
    explicit TicketKeys(Duration period);

    // Takes keys that others have, too; those that are known already change nothing. Those before
    // go on opening tickets until their time is over. kInvalid takes none of them.
    Result<> add(std::vector<TicketKey> keys, WallTime now);
    // Picks the key in force, makes one where there is none, drops what is over. Returns after what
    // time it has to be called again.
    Duration advance(WallTime now);

    Duration period() const { return period_; }

    // Null: no tickets can be made.
    std::shared_ptr<const TicketKey> current() const;
    // Null where that name is not known (any more).
    std::shared_ptr<const TicketKey> find(std::string_view name) const;

private:
    using KeyPtr = std::shared_ptr<const TicketKey>;
    Duration advance_locked(WallTime now);

    const Duration period_;
    mutable std::mutex mutex_;
    std::vector<KeyPtr> keys_;
    KeyPtr current_;
};

}  // namespace candela::tls
