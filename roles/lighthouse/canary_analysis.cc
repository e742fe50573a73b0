#include "canary_analysis.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "base/text.h"

namespace candela::lighthouse {

namespace {

constexpr double kSlowShare = 0.01;  // of answers, beyond p99
// Differences below it are nobody's concern, however many percent they are.
constexpr Duration kLatencySlack = 10ms;
constexpr double kDeviations = 3;

double share_of(uint64_t count, uint64_t all) {
    return all == 0 ? 0 : static_cast<double>(count) / static_cast<double>(all);
}

std::string percent(double share) {
    // At most two digits behind the point, and no zeros at the end.
    return fmt::format("{:.4g}", std::round(share * 10'000) / 100);
}

std::string time_text(Duration time) {
    const double millis = std::chrono::duration<double, std::milli>(time).count();
    return millis < 1000 ? fmt::format("{:.3g} ms", millis)
                         : fmt::format("{:.3g} s", millis / 1000);
}

// What is to be at most `share` of the answers.
Verdict judge_share(uint64_t count, uint64_t answers, uint64_t answers_min, double share) {
    const auto all = static_cast<double>(std::max(answers, answers_min));
    const double expected = share * all;
    const double deviation = std::sqrt(expected * (1 - std::min(share, 1.0)));
    const auto beyond = static_cast<double>(count);
    if (beyond > expected + kDeviations * deviation) return Verdict::kBad;
    if (answers < answers_min || share_of(count, answers) > share) return Verdict::kOpen;
    return Verdict::kGood;
}

// One thing that is judged; `limit` says what may be, `is` what is.
struct Finding {
    Verdict verdict;
    std::string is;
    std::string limit;
};

class Judge {
public:
    Judge(const service::UpdateAnalysis& limits, const AnswerFigures& canary,
          const AnswerFigures& old)
        : limits_(limits), canary_(canary), old_(old) {}

    std::vector<Finding> findings() {
        if (limits_.error_rate_max < service::kWholeRate) {
            add_errors(limits_.error_rate_max / double{service::kWholeRate}, "");
        }
        const bool is_old_known = old_.answers >= limits_.requests_min;
        if (limits_.error_rate_above_old_max < service::kWholeRate && is_old_known) {
            const double of_old = share_of(old_.failures, old_.answers);
            add_errors(of_old + limits_.error_rate_above_old_max / double{service::kWholeRate},
                       fmt::format(": of the old release's {} it was {} %", old_.answers,
                                   percent(of_old)));
        }
        if (limits_.p99_max != Duration::zero()) add_latency(limits_.p99_max, "");
        if (limits_.p99_above_old_max != 0 && is_old_known) {
            const Duration of_old = old_.p99();
            add_latency(of_old + std::max(kLatencySlack, of_old * limits_.p99_above_old_max / 100),
                        fmt::format(": of the old release's {} it was {}", old_.answers,
                                    time_text(of_old)));
        }
        return std::move(findings_);
    }

private:
    void add_errors(double share, const std::string& reason) {
        findings_.push_back(Finding(
            judge_share(canary_.failures, canary_.answers, limits_.requests_min, share),
            fmt::format("{} % of {} answers failed",
                        percent(share_of(canary_.failures, canary_.answers)), canary_.answers),
            fmt::format("at most {} % may{}", percent(share), reason)));
    }
    void add_latency(Duration limit, const std::string& reason) {
        const uint64_t slow = canary_.slower_than(limit);
        findings_.push_back(
            Finding(judge_share(slow, canary_.answers, limits_.requests_min, kSlowShare),
                    fmt::format("{} % of {} answers took longer than {}, p99 is {}",
                                percent(share_of(slow, canary_.answers)), canary_.answers,
                                time_text(limit), time_text(canary_.p99())),
                    fmt::format("at most 1 % may{}", reason)));
    }

    const service::UpdateAnalysis& limits_;
    const AnswerFigures& canary_;
    const AnswerFigures& old_;
    std::vector<Finding> findings_;
};

bool compares(const service::UpdateAnalysis& limits) {
    return limits.error_rate_above_old_max < service::kWholeRate || limits.p99_above_old_max != 0;
}

AnswerFigures figures_of(const proto::AnswerReading& reading) {
    AnswerFigures figures;
    figures.answers = reading.answers;
    figures.failures = std::min(reading.failures, reading.answers);
    for (const proto::LatencyCount& count : reading.latency) {
        if (count.bucket < kLatencyBuckets) figures.latency[count.bucket] = count.count;
    }
    return figures;
}

// What `now` has more than `before`, both of one process; gauges that are read one after the other
// may differ by a request, and never count backwards.
void add_growth(AnswerFigures& sum, const AnswerFigures& before, const AnswerFigures& now) {
    const auto growth = [](uint64_t from, uint64_t to) { return to > from ? to - from : 0; };
    sum.answers += growth(before.answers, now.answers);
    sum.failures += growth(before.failures, now.failures);
    for (size_t i = 0; i < kLatencyBuckets; ++i) {
        sum.latency[i] += growth(before.latency[i], now.latency[i]);
    }
}

}  // namespace

uint64_t AnswerFigures::slower_than(Duration limit) const {
    uint64_t count = 0;
    for (size_t i = 0; i < kLatencyBuckets; ++i) {
        if (latency_bucket_begin(i) >= limit) count += latency[i];
    }
    return count;
}

Duration AnswerFigures::p99() const {
    uint64_t all = 0;
    for (const uint64_t count : latency) all += count;
    if (all == 0) return Duration::zero();
    uint64_t beyond = 0;
    size_t bucket = kLatencyBuckets - 1;
    // Down from the slowest, as long as those above are at most one in a hundred.
    for (;; --bucket) {
        beyond += latency[bucket];
        if (beyond * 100 > all || bucket == 0) break;
    }
    return latency_bucket_begin(std::min(bucket + 1, kLatencyBuckets - 1));
}

void AnswerLedger::take(const std::string& gateway, const std::string& boot_id,
                        const proto::AnswerReading& reading) {
    Last& last = last_[{gateway, reading.release}];
    const AnswerFigures now = figures_of(reading);
    // A new process counts from nothing, and so does one that had stopped to measure.
    const bool is_anew = last.boot_id != boot_id || now.answers < last.figures.answers;
    add_growth(sums_[reading.release], is_anew ? AnswerFigures() : last.figures, now);
    last.boot_id = boot_id;
    last.figures = now;
}

AnswerFigures AnswerLedger::of(uint64_t release) const {
    const auto found = sums_.find(release);
    return found == sums_.end() ? AnswerFigures() : found->second;
}

Judgement judge_canary(const service::UpdateAnalysis& limits, const AnswerFigures& canary,
                       const AnswerFigures& old) {
    const std::vector<Finding> findings = Judge(limits, canary, old).findings();
    const auto bad = std::ranges::find(findings, Verdict::kBad, &Finding::verdict);
    if (bad != findings.end()) {
        return Judgement(Verdict::kBad, fmt::format("{}; {}", bad->is, bad->limit));
    }
    if (canary.answers < limits.requests_min) {
        return Judgement(Verdict::kOpen, fmt::format("it has answered {} of the {} requests that a "
                                                     "verdict needs",
                                                     canary.answers, limits.requests_min));
    }
    if (compares(limits) && old.answers < limits.requests_min) {
        return Judgement(Verdict::kOpen,
                         fmt::format("the release that serves has answered {} of the {} requests "
                                     "that a comparison needs",
                                     old.answers, limits.requests_min));
    }
    const auto open = std::ranges::find(findings, Verdict::kOpen, &Finding::verdict);
    if (open != findings.end()) {
        return Judgement(Verdict::kOpen, fmt::format("{}; {}", open->is, open->limit));
    }
    return Judgement(Verdict::kGood,
                     fmt::format("{}; of the old release {}", to_string(canary), to_string(old)));
}

std::string_view to_string(Verdict verdict) {
    switch (verdict) {
        case Verdict::kOpen: return "open";
        case Verdict::kGood: return "good";
        case Verdict::kBad: return "bad";
    }
    return "open";
}

std::string to_string(const AnswerFigures& figures) {
    return fmt::format("{} % of {} answers failed, p99 {}",
                       percent(share_of(figures.failures, figures.answers)), figures.answers,
                       time_text(figures.p99()));
}

std::string describe(const service::UpdateAnalysis& limits) {
    const auto rate = [](uint32_t value) { return percent(value / double{service::kWholeRate}); };
    std::vector<std::string> parts;
    if (limits.error_rate_max < service::kWholeRate) {
        parts.push_back(
            fmt::format("at most {} % of its answers fail", rate(limits.error_rate_max)));
    }
    if (limits.error_rate_above_old_max < service::kWholeRate) {
        parts.push_back(fmt::format("its error rate is at most {} points above the old release's",
                                    rate(limits.error_rate_above_old_max)));
    }
    if (limits.p99_max != Duration::zero()) {
        parts.push_back(fmt::format("its p99 is at most {}", time_text(limits.p99_max)));
    }
    if (limits.p99_above_old_max != 0) {
        parts.push_back(fmt::format("its p99 is at most {} % above the old release's",
                                    limits.p99_above_old_max));
    }
    if (parts.empty()) return "any of its answers will do";
    return join(parts, ", ");
}

}  // namespace candela::lighthouse
