#include "audit.h"

#include "base/text.h"

namespace candela::lighthouse {

Audit::Audit(State& state, const Vault& vault, Duration keep, Logger log)
    : state_(state), vault_(vault), keep_(keep), log_(std::move(log)) {}

void Audit::open() { key_ = std::make_shared<const Secret>(vault_.derive_key("audit log")); }

Task<Result<Audit::Mark>> Audit::note(AuditRecord request) {
    request.time = state_.loop().wall();
    request.action = cut_utf8(request.action, kDetailMax);
    AuditRecord copy = request;
    auto head = co_await append(std::move(copy));
    if (!head) {
        co_return fail(
            head.error().in("the change is not made, for it can't be noted (audit log)"));
    }
    request.id = head->id;
    Mark mark(*this, std::move(request));
    co_return mark;
}

Audit::Mark::~Mark() {
    if (audit_ != nullptr) {
        end(fail(Code::kUnreachable, "not known: the client went away before the end"), "");
    }
}

void Audit::Mark::end(const Result<>& result, std::string_view detail) {
    Audit& audit = *std::exchange(audit_, nullptr);
    AuditRecord record = std::move(request_);
    record.request = std::exchange(record.id, 0);
    record.time = audit.state_.loop().wall();
    record.detail = cut_utf8(detail, kDetailMax);
    record.outcome = result ? "done" : cut_utf8(result.error().message(), kDetailMax);
    audit.tasks_.spawn(audit.append_end(std::move(record)));
}

Task<void> Audit::append_end(AuditRecord record) {
    AuditRecord copy = record;
    const auto head = co_await append(std::move(copy));
    if (!head) log_.error("audit_not_written", {{"error", head.error()}});
    // The head stands in the log, too: there it is out of reach of who can write to the database.
    log_.info("audit", {{"who", record.who},
                        {"action", record.action},
                        {"detail", record.detail},
                        {"outcome", record.outcome},
                        {"head", head ? fmt::format("{}:{}", head->id, head->seal) : ""}});
}

Task<Result<AuditHead>> Audit::append(AuditRecord record) {
    auto work = [key = key_, record = std::move(record), keep_from = state_.loop().wall() - keep_](
                    store::Connection& db) { return append_audit(db, *key, record, keep_from); };
    auto head = co_await state_.database().run(std::move(work));
    co_return head;
}

Task<Result<std::vector<AuditEntry>>> Audit::list(AuditQuery query) {
    auto work = [query = std::move(query)](store::Connection& db) { return read_audit(db, query); };
    auto entries = co_await state_.database().run(std::move(work));
    co_return entries;
}

Task<Result<AuditVerdict>> Audit::verify(std::optional<AuditHead> known) {
    auto work = [key = key_, known = std::move(known)](store::Connection& db) {
        return verify_audit(db, *key, known);
    };
    auto verdict = co_await state_.database().run(std::move(work));
    co_return verdict;
}

}  // namespace candela::lighthouse
