#pragma once

// Keeps this host's assignments current: pulls them from the lighthouse when nudged, when the bus
// comes back, and every ten seconds; keeps the last ones in a file, and goes on from it where the
// lighthouse can't be asked soon after a start. Lives on the control loop.

#include <filesystem>
#include <functional>
#include <string>

#include "base/log.h"
#include "bus/client.h"
#include "loop/flow.h"
#include "proto/messages.h"

namespace candela::host {

class AssignmentPuller {
public:
    using OnAssignments = std::function<void(const proto::Assignments&)>;

    static constexpr Duration kPullInterval = 10s;
    static constexpr Duration kPullTimeout = 5s;
    static constexpr Duration kRetryMin = 50ms;  // after a pull that failed, doubling to kRetryMax
    static constexpr Duration kRetryMax = 2s;
    static constexpr Duration kDiskAfter = 3s;  // without an answer since the start

    AssignmentPuller(Loop& loop, bus::Client& client, std::string node, std::string boot_id,
                     std::filesystem::path file, Logger log, OnAssignments on_assignments);
    ~AssignmentPuller();

    Result<> start();
    // Asks as soon as possible; several calls make one pull.
    void pull_soon() { wake_.set(); }

    uint64_t version() const { return version_; }
    bool has_assignments() const { return has_assignments_; }

private:
    Task<void> pull_forever();
    Task<bool> pull();  // false: no answer, or a refusal
    Task<void> fall_back_to_disk();
    Task<void> wait_for_wake(Duration at_most);
    void accept(const proto::Assignments& assignments);
    void save(std::string bytes);

    Loop& loop_;
    bus::Client& client_;
    std::string node_;
    std::string boot_id_;
    std::filesystem::path file_;
    Logger log_;
    OnAssignments on_assignments_;
    uint64_t version_ = 0;
    uint64_t epoch_ = 0;
    bool has_assignments_ = false;
    bool is_saving_ = false;
    std::string to_save_;     // the newest that waits while another is written
    std::string last_error_;  // told once, not each ten seconds
    Event wake_;
    bus::Subscription nudges_;
    TaskGroup tasks_;
};

}  // namespace candela::host
