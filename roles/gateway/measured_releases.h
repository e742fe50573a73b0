#pragma once

// What this gateway sees of releases that the lighthouse judges by it: for each release of a
// service that the route table names as measured, and each worker, the counts of its answers. Made
// with each table on the control loop; those of a measurement that goes on are the same objects.
// Counts begin with the measurement, and grow until its end: a heartbeat that is lost or comes
// twice changes nothing. Immutable but for the counts, which workers raise; any thread.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "http/answer_counts.h"
#include "proto/messages.h"

namespace candela::gateway {

class MeasuredReleases;
using MeasuredReleasesPtr = std::shared_ptr<const MeasuredReleases>;

class MeasuredReleases {
public:
    static MeasuredReleasesPtr of(const proto::RouteTable& table, const MeasuredReleases* previous,
                                  size_t workers);

    // Null: it is not measured.
    std::shared_ptr<http::AnswerCounts> counts(const proto::RouteService& service, uint64_t release,
                                               size_t worker) const;
    // What all workers have counted. Where there is more than a heartbeat holds, another part of it
    // at each `turn`.
    std::vector<proto::AnswerReading> readings(uint64_t turn) const;

private:
    struct Entry {
        Entry(const proto::RouteService& service, uint64_t number, size_t workers)
            : space(service.space),
              name(service.service),
              measure(service.measure),
              release(number),
              by_worker(workers) {}
        bool is_of(const proto::RouteService& service) const {
            return measure == service.measure && name == service.service && space == service.space;
        }
        std::string space;
        std::string name;
        uint64_t measure;
        uint64_t release;
        std::vector<http::AnswerCounts> by_worker;
    };
    static proto::AnswerReading read(const Entry& entry);

    std::vector<std::shared_ptr<Entry>> entries_;
};

}  // namespace candela::gateway
