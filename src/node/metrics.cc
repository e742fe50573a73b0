#include "node/metrics.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/check.h"

namespace candela {

size_t metric_slot() {
    static std::atomic<size_t> next{0};
    thread_local const size_t slot = next.fetch_add(1, std::memory_order_relaxed) % kMetricSlots;
    return slot;
}

uint64_t Counter::value() const {
    uint64_t sum = 0;
    for (const Slot& slot : slots_) sum += slot.value.load(std::memory_order_relaxed);
    return sum;
}

void Histogram::observe(Duration duration) {
    const double seconds = std::chrono::duration<double>(duration).count();
    const auto bound = std::lower_bound(kBoundsSeconds.begin(), kBoundsSeconds.end(), seconds);
    Slot& slot = slots_[metric_slot()];
    slot.counts[static_cast<size_t>(bound - kBoundsSeconds.begin())].fetch_add(
        1, std::memory_order_relaxed);
    const auto nanoseconds = static_cast<uint64_t>(std::max<int64_t>(duration.count(), 0));
    slot.sum_nanoseconds.fetch_add(nanoseconds, std::memory_order_relaxed);
}

Histogram::Snapshot Histogram::snapshot() const {
    Snapshot out;
    uint64_t nanoseconds = 0;
    for (const Slot& slot : slots_) {
        for (size_t i = 0; i < out.counts.size(); ++i) {
            out.counts[i] += slot.counts[i].load(std::memory_order_relaxed);
        }
        nanoseconds += slot.sum_nanoseconds.load(std::memory_order_relaxed);
    }
    for (const uint64_t count : out.counts) out.count += count;
    out.sum_seconds = static_cast<double>(nanoseconds) / 1e9;
    return out;
}

namespace {

// OpenMetrics §3.2: \, " and newline are escaped in label values; help texts likewise.
std::string escape(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == '\\' || c == '"') out += '\\';
        if (c == '\n') {
            out += "\\n";
        } else {
            out += c;
        }
    }
    return out;
}

std::string render_labels(const MetricLabels& labels) {
    std::string out;
    for (const auto& [name, value] : labels) {
        out += fmt::format("{}{}=\"{}\"", out.empty() ? "" : ",", name, escape(value));
    }
    return out;
}

std::string braces(const std::string& labels) {
    return labels.empty() ? std::string() : "{" + labels + "}";
}

bool is_metric_name(std::string_view name) {
    return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    });
}

// OpenMetrics §5.2: a bound that is whole has ".0" all the same, so that it is one text everywhere.
std::string number_text(double number) {
    std::string text = fmt::format("{}", number);
    if (text.find_first_of(".e") == std::string::npos) text += ".0";
    return text;
}

void render_histogram(std::string_view name, const std::string& labels,
                      const Histogram::Snapshot& data, std::string& out) {
    const std::string_view comma = labels.empty() ? "" : ",";
    uint64_t cumulative = 0;
    for (size_t i = 0; i < Histogram::kBoundsSeconds.size(); ++i) {
        cumulative += data.counts[i];
        out += fmt::format("{}_bucket{{{}{}le=\"{}\"}} {}\n", name, labels, comma,
                           number_text(Histogram::kBoundsSeconds[i]), cumulative);
    }
    out += fmt::format("{}_bucket{{{}{}le=\"+Inf\"}} {}\n", name, labels, comma, data.count);
    out += fmt::format("{}_sum{} {}\n", name, braces(labels), data.sum_seconds);
    out += fmt::format("{}_count{} {}\n", name, braces(labels), data.count);
}

}  // namespace

Metrics::Series& Metrics::series(std::string_view name, std::string_view help, Kind kind,
                                 MetricLabels labels) {
    CANDELA_CHECK(is_metric_name(name));
    auto family = families_.find(name);
    if (family == families_.end()) {
        Family made;
        made.kind = kind;
        made.help = help;
        family = families_.emplace(std::string(name), std::move(made)).first;
    }
    CANDELA_CHECK(family->second.kind == kind);
    auto& all = family->second.series;
    std::string key = render_labels(labels);
    auto found = all.find(key);
    if (found == all.end()) {
        if (all.size() >= kSeriesMax) key = render_labels({{"overflow", "true"}});
        found = all.try_emplace(std::move(key)).first;
    }
    return found->second;
}

Counter& Metrics::counter(std::string_view name, std::string_view help, MetricLabels labels) {
    const std::lock_guard lock(mutex_);
    Series& found = series(name, help, Kind::kCounter, std::move(labels));
    if (!found.counter) found.counter = std::make_unique<Counter>();
    return *found.counter;
}

Gauge& Metrics::gauge(std::string_view name, std::string_view help, MetricLabels labels) {
    const std::lock_guard lock(mutex_);
    Series& found = series(name, help, Kind::kGauge, std::move(labels));
    if (!found.gauge) found.gauge = std::make_unique<Gauge>();
    return *found.gauge;
}

Histogram& Metrics::histogram(std::string_view name, std::string_view help, MetricLabels labels) {
    const std::lock_guard lock(mutex_);
    Series& found = series(name, help, Kind::kHistogram, std::move(labels));
    if (!found.histogram) found.histogram = std::make_unique<Histogram>();
    return *found.histogram;
}

Metrics::Sampled Metrics::sampled_gauge(std::string_view name, std::string_view help,
                                        MetricLabels labels, std::function<double()> sample) {
    const std::lock_guard lock(mutex_);
    Series& found = series(name, help, Kind::kSampled, std::move(labels));
    found.sample = std::move(sample);
    found.sample_id = ++last_sample_id_;
    return Sampled(this, found.sample_id);
}

void Metrics::remove_sampled(uint64_t id) {
    const std::lock_guard lock(mutex_);
    for (auto& [name, family] : families_) {
        if (family.kind != Kind::kSampled) continue;
        std::erase_if(family.series, [&](const auto& item) { return item.second.sample_id == id; });
    }
}

Metrics::Sampled& Metrics::Sampled::operator=(Sampled&& other) noexcept {
    if (this != &other) {
        if (metrics_ != nullptr) metrics_->remove_sampled(id_);
        metrics_ = std::exchange(other.metrics_, nullptr);
        id_ = other.id_;
    }
    return *this;
}

Metrics::Sampled::~Sampled() {
    if (metrics_ != nullptr) metrics_->remove_sampled(id_);
}

std::string Metrics::render(Format format) const {
    const std::lock_guard lock(mutex_);
    std::string out;
    for (const auto& [name, family] : families_) {
        if (family.series.empty()) continue;
        const std::string_view type = family.kind == Kind::kCounter     ? "counter"
                                      : family.kind == Kind::kHistogram ? "histogram"
                                                                        : "gauge";
        const bool is_old = format == Format::kPrometheus;
        const std::string_view suffix = is_old && family.kind == Kind::kCounter ? "_total" : "";
        out += fmt::format("# TYPE {}{} {}\n# HELP {}{} {}\n", name, suffix, type, name, suffix,
                           escape(family.help));
        for (const auto& [labels, series] : family.series) {
            switch (family.kind) {
                case Kind::kCounter:
                    out += fmt::format("{}_total{} {}\n", name, braces(labels),
                                       series.counter->value());
                    break;
                case Kind::kGauge:
                    out += fmt::format("{}{} {}\n", name, braces(labels), series.gauge->value());
                    break;
                case Kind::kSampled:
                    out += fmt::format("{}{} {}\n", name, braces(labels), series.sample());
                    break;
                case Kind::kHistogram:
                    render_histogram(name, labels, series.histogram->snapshot(), out);
                    break;
            }
        }
    }
    if (format == Format::kOpenMetrics) out += "# EOF\n";
    return out;
}

}  // namespace candela
