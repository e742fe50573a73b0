#pragma once

// Keeps a key-value bucket (ADR-8) as its owner wants it. Any NATS client reads and watches it by
// its own key-value API. Speaks the JetStream API as any client does, to candela's bus or to
// nats-server. One account; lives on its client's loop.
//
// Level-triggered: the bucket is looked at when what is wanted changes, when it is told to
// (look_again(), which belongs into the client's on_state), when somebody else writes to it, and
// every kLookInterval; it is made where it is missing (a bus may come back empty), what differs is
// put, what nobody wants is deleted. An entry that is as it should be is not written again:
// watchers see changes only.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/log.h"
#include "bus/client.h"
#include "loop/flow.h"

namespace candela::bus {

class KeptBucket {
public:
    using Entries = std::map<std::string, std::string>;  // keys are valid ones of a bucket
    static constexpr Duration kLookInterval = 60s;
    static constexpr size_t kKeysMax = 10'000;  // that are read, others' included

    // The client outlives it. Begins at once, with what keep() says first.
    KeptBucket(Client& client, std::string name, std::string description, Logger log);
    ~KeptBucket();
    KeptBucket(const KeptBucket&) = delete;
    KeptBucket& operator=(const KeptBucket&) = delete;

    // What is in it from now on, and nothing else.
    void keep(Entries wanted);
    void look_again() { woken_.set(); }
    // Whether it has been as wanted since the last keep().
    bool is_kept() const { return kept_ != 0 && kept_ == wanted_round_; }
    Task<Result<>> wait_kept();
    // Why the last look has failed; empty: it has not.
    const std::string& trouble() const { return trouble_; }

private:
    Task<void> run();
    Task<Result<>> reconcile();
    Task<Result<>> find_bucket();
    Task<Result<>> make_bucket();
    Task<Result<>> read_all();
    Task<Result<>> read_key(std::string key);
    Task<Result<>> put(std::string key, std::string value);
    Task<Result<>> remove(std::string key);
    Task<Result<>> write(std::string key, std::string value, std::string headers);
    void look_at(const MessageView& written);
    void note(const Result<>& looked);

    Client& client_;
    const std::string stream_;
    const std::string prefix_;  // of its subjects
    const std::string description_;
    Logger log_;
    Entries wanted_;
    uint64_t wanted_round_ = 0;  // counts keep()
    uint64_t kept_ = 0;          // the round that was reached
    std::string trouble_;
    // What the bucket holds as of this sequence of the stream that was made then; no sequence: it
    // has to be read.
    Entries known_;
    std::string known_created_;
    std::optional<uint64_t> known_sequence_;
    Event woken_;
    Event looked_;
    Subscription writes_;
    TaskGroup flows_;  // last: ends first
};

}  // namespace candela::bus
