#pragma once

// Moves messages that a consumer gave up, or was told to, to where its metadata says:
// "candela.dead_letter" names a subject, which some stream keeps. Speaks the JetStream API as any
// client does, to candela's bus or to nats-server 2.10 and newer. One account; lives on its
// client's loop.
//
// The advisories of given-up messages are kept in a work queue of their own (kStream), so that
// nothing is lost while nobody moves; it is made when the first consumer asks for a dead letter.
// Each message is published with a Nats-Msg-Id of its place, and its advisory is settled after
// that: a crash between the two makes no second copy for as long as the target's duplicate window.
// From a work queue the original is deleted then.

#include <deque>
#include <memory>
#include <string>

#include "base/json.h"
#include "base/log.h"
#include "bus/client.h"
#include "loop/flow.h"

namespace candela::bus {

inline constexpr std::string_view kDeadLetterKey = "candela.dead_letter";

class DeadLetters {
public:
    static constexpr std::string_view kStream = "CANDELA_DEAD_LETTERS";
    static constexpr std::string_view kConsumer = "mover";

    // The client outlives it. Begins at once.
    DeadLetters(Client& client, Logger log);
    ~DeadLetters();
    DeadLetters(const DeadLetters&) = delete;
    DeadLetters& operator=(const DeadLetters&) = delete;

    uint64_t moved() const { return moved_; }

private:
    struct Advisory {
        std::string stream;
        std::string consumer;
        uint64_t sequence = 0;
        uint64_t deliveries = 0;
        std::string reason;
    };
    // What is to be done with an advisory.
    enum class Outcome { kDone, kLater };

    Task<void> run();
    Task<Result<>> wait_for_work();
    Task<Result<bool>> is_wanted();
    Task<Result<bool>> has_dead_letter(std::string stream);
    Task<Result<>> make_queue();
    Task<Result<>> move_next();
    Task<Result<OwnedMessage>> next_handed_out();
    Task<Result<Outcome>> move(Advisory advisory);
    Task<Result<Outcome>> publish(Advisory advisory, std::string target, Json message);
    Task<Result<>> remove_original(Advisory advisory);
    // The answer's JSON; what the API refuses is in its "error".
    Task<Result<Json>> api(std::string verb, Json body);

    Client& client_;
    Logger log_;
    uint64_t moved_ = 0;
    Event created_;  // a consumer was
    Subscription creations_;
    // Messages are handed out here: under their own subjects, and so not as answers to requests.
    std::string inbox_;
    std::deque<OwnedMessage> handed_out_;  // at most what was asked for, and a status
    Event has_some_;
    Subscription inbox_subscription_;
    TaskGroup flows_;  // last: ends first
};

}  // namespace candela::bus
