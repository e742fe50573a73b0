#pragma once

// Answers on their way back over a service import: each request that crosses gets a reply subject
// of its own in the exporting account, "_R_.<loop>.<entry>", and an entry here that says whose
// answer that is. Entries end with the answer (or its last part), or with their time; nobody can
// guess one. Bounded; what is too much is refused. One loop.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "auth/sharing.h"
#include "loop/loop.h"

namespace candela::bus_role {

struct Account;

class Responses {
public:
    static constexpr size_t kWaitingMax = 65536;
    static constexpr size_t kWaitingPerAccountMax = 16384;  // of one asking account
    static constexpr Duration kThreshold = 2min;            // where the export names none
    static constexpr std::string_view kPrefix = "_R_.";

    struct Entry {
        Account* asker = nullptr;
        std::string reply;  // the asker's
        auth::ResponseType type = auth::ResponseType::kSingleton;
        Duration threshold{};
        MonoTime expires_at;
        uint64_t nonce = 0;
        bool is_used = false;
    };

    explicit Responses(Loop& loop);

    // What all reply subjects made here match.
    const std::string& pattern() const { return pattern_; }

    // Writes the reply subject for the exporting account; false where too many wait.
    bool add(Account& asker, std::string_view reply, auth::ResponseType type, Duration threshold,
             std::string& out);
    // Null: answered already, too late, or never asked. Good until the next add().
    Entry* find(std::string_view subject);
    // An answer was handed on: true where it was the last.
    void note_answer(Entry& entry, bool is_empty);
    void remove(Entry& entry);
    // The account is gone.
    void forget(const Account& asker);

    size_t waiting() const { return waiting_; }

private:
    void sweep();
    uint64_t next_nonce();

    Loop& loop_;
    std::string pattern_;
    std::vector<Entry> entries_;
    std::vector<uint32_t> free_;
    std::unordered_map<const Account*, size_t> waiting_of_;
    size_t waiting_ = 0;
    std::array<uint64_t, 512> chance_{};  // bytes that nobody can guess, taken from its end
    size_t chance_left_ = 0;
    Timer sweep_timer_;
};

}  // namespace candela::bus_role
