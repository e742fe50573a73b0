#pragma once

// What gateways have seen of a canary and of the release that serves beside it, and the verdict on
// it: pure. The figures are sums over gateways of counts that only grow (proto AnswerReading), so
// that what is lost or comes twice changes nothing, and a lighthouse that starts anew has them
// again with the gateways' next heartbeats. A gateway that vanishes leaves what it has told.

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "base/latency.h"
#include "proto/messages.h"
#include "service/manifest.h"

namespace candela::lighthouse {

struct AnswerFigures {
    uint64_t answers = 0;
    uint64_t failures = 0;
    std::array<uint64_t, kLatencyBuckets> latency{};

    // Of those that surely took longer.
    uint64_t slower_than(Duration limit) const;
    // The time in which 99 of 100 answers had begun, to within a bucket: its end.
    Duration p99() const;
    bool operator==(const AnswerFigures&) const = default;
};

// Of one service, while a release of it is measured.
class AnswerLedger {
public:
    explicit AnswerLedger(uint64_t measure = 0) : measure_(measure) {}

    uint64_t measure() const { return measure_; }
    // `boot_id`: the gateway's. Its late and doubled heartbeats do not come here (heard.h).
    void take(const std::string& gateway, const std::string& boot_id,
              const proto::AnswerReading& reading);
    // Zero where nothing was heard.
    AnswerFigures of(uint64_t release) const;

private:
    struct Last {
        std::string boot_id;
        AnswerFigures figures;
    };
    uint64_t measure_;
    std::map<uint64_t, AnswerFigures> sums_;                 // by release
    std::map<std::pair<std::string, uint64_t>, Last> last_;  // by gateway and release
};

enum class Verdict : uint8_t {
    kOpen,  // too early, or on the border
    kGood,
    kBad,
};
std::string_view to_string(Verdict verdict);  // "open", "good", "bad"
struct Judgement {
    Verdict verdict = Verdict::kOpen;
    std::string why;  // one sentence, with the figures
};

// A limit counts as broken only where chance does not explain it: what is beyond it must be more
// than three standard deviations above what a canary at the limit would have. It counts as kept
// where the figure is within it. Nothing is good before both have `requests_min` answers; what is
// beyond a limit already, whatever the answers up to that number will be, is bad at once.
Judgement judge_canary(const service::UpdateAnalysis& limits, const AnswerFigures& canary,
                       const AnswerFigures& old);

// "0.4 % of 1250 answers failed, p99 14ms".
std::string to_string(const AnswerFigures& figures);
// What has to hold, as one sentence for people: "at most 1 % of its answers fail, …".
std::string describe(const service::UpdateAnalysis& limits);

}  // namespace candela::lighthouse
