#pragma once

// The audit log: what people and their tools changed through the API. A request is noted, on disk,
// before anything is done; what came of it is noted behind it. A change that can't be noted is not
// made. Lives on the control loop.

#include <memory>
#include <string>

#include "audit_storage.h"
#include "base/log.h"
#include "loop/flow.h"
#include "state.h"
#include "vault.h"

namespace candela::lighthouse {

class Audit {
public:
    static constexpr size_t kDetailMax = 512;  // bytes; longer texts are cut
    static constexpr size_t kPageMax = 1000;

    Audit(State& state, const Vault& vault, Duration keep, Logger log);
    Audit(const Audit&) = delete;
    Audit& operator=(const Audit&) = delete;

    // A request that has been noted. Whoever holds it says how the request ended; where its flow
    // is cancelled first, that is what is noted.
    class Mark {
    public:
        Mark(Audit& audit, AuditRecord request) : audit_(&audit), request_(std::move(request)) {}
        Mark(Mark&& other) noexcept
            : audit_(std::exchange(other.audit_, nullptr)), request_(std::move(other.request_)) {}
        Mark(const Mark&) = delete;
        Mark& operator=(const Mark&) = delete;
        Mark& operator=(Mark&&) = delete;
        ~Mark();
        void end(const Result<>& result, std::string_view detail);

    private:
        Audit* audit_;  // null: the end has been told
        AuditRecord request_;
    };

    // After State::open and Vault::open.
    void open();
    Task<Result<Mark>> note(AuditRecord request);
    Task<Result<std::vector<AuditEntry>>> list(AuditQuery query);
    Task<Result<AuditVerdict>> verify(std::optional<AuditHead> known);

private:
    Task<Result<AuditHead>> append(AuditRecord record);
    Task<void> append_end(AuditRecord record);

    State& state_;
    const Vault& vault_;
    const Duration keep_;
    Logger log_;
    std::shared_ptr<const Secret> key_;  // shared with work on the database's thread
    TaskGroup tasks_;
};

}  // namespace candela::lighthouse
