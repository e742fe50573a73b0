#include "service_metrics.h"

namespace candela::gateway {

ServiceMetrics::ServiceMetrics(Metrics& metrics, const std::string& service)
    : metrics_(metrics), service_(service) {
    static constexpr std::array<const char*, 6> kCodes{"aborted", "1xx", "2xx",
                                                       "3xx",     "4xx", "5xx"};
    for (size_t i = 0; i < kCodes.size(); ++i) {
        requests_[i] = &metrics.counter("candela_gateway_requests", "Requests by how they ended.",
                                        {{"service", service}, {"code", kCodes[i]}});
    }
    seconds_ = &metrics.histogram("candela_gateway_request_seconds",
                                  "From a request's head to the end of its answer.",
                                  {{"service", service}});
    const auto counter = [&](const char* name, const char* help) {
        return &metrics.counter(name, help, {{"service", service}});
    };
    received_bytes_ = counter("candela_gateway_received_bytes", "Bytes of requests' bodies.");
    sent_bytes_ = counter("candela_gateway_sent_bytes", "Bytes of answers' bodies.");
    connects_.counter = counter("candela_gateway_connects", "Connections begun to instances.");
    connect_failures_.counter = counter("candela_gateway_connect_failures",
                                        "Connections to instances that did not come about.");
    retries_.counter = counter("candela_gateway_retries", "Requests sent a second time.");
    holds_.counter = counter("candela_gateway_holds", "Requests that waited for an instance.");
    hold_failures_.counter = counter("candela_gateway_hold_failures",
                                     "Requests that waited in vain or found no place to wait.");
}

void ServiceMetrics::on_done(const http::ProxyRecord& record) {
    const auto status_class = static_cast<size_t>(record.status / 100);
    requests_[status_class < requests_.size() ? status_class : 5]->add();
    seconds_->observe(record.duration);
    if (record.cache != http::CacheResult::kNone) cache_counter(record.cache)->add();
    if (record.received_bytes > 0) received_bytes_->add(record.received_bytes);
    if (record.sent_bytes > 0) sent_bytes_->add(record.sent_bytes);
}

Counter* ServiceMetrics::cache_counter(http::CacheResult result) {
    static constexpr std::array<const char*, 6> kNames{"none",        "hit",  "stale",
                                                       "revalidated", "miss", "bypass"};
    const auto index = static_cast<size_t>(result);
    if (cached_[index] == nullptr) {
        cached_[index] = &metrics_.counter("candela_gateway_cache_requests",
                                           "Requests on routes with a cache, by what came of it.",
                                           {{"service", service_}, {"result", kNames[index]}});
    }
    return cached_[index];
}

void ServiceMetrics::take_over(const http::UpstreamCounters& counters) {
    const auto read = [](const std::atomic<uint64_t>& value) {
        return value.load(std::memory_order_relaxed);
    };
    connects_.follow(read(counters.connects));
    connect_failures_.follow(read(counters.connect_failures));
    retries_.follow(read(counters.retries));
    holds_.follow(read(counters.holds));
    hold_failures_.follow(read(counters.hold_failures));
}

}  // namespace candela::gateway
