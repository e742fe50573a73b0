#pragma once

// Sends the gateway's lines about requests to the lighthouse, so that `ctl logs` shows them with
// those of the services: a stream for each service (node/log_streams.h). Workers choose which lines
// go (AccessSampler) and hand them over once a round. Lives on the control loop.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bus/client.h"
#include "loop/file.h"
#include "node/context.h"
#include "node/log_delivery.h"

namespace candela::gateway {

// One line without its end.
struct AccessLine {
    std::string service;  // "space/service"
    std::string text;
    std::string trace_id;
    LineLevel level = LineLevel::kInfo;
};

// So many a second, and what must not be left out besides: errors, and requests whose client asked
// for a record (the sampled flag of W3C Trace Context). On its worker's loop.
class AccessSampler {
public:
    void set_rate(uint32_t lines_per_second) { rate_ = lines_per_second; }
    bool is_off() const { return rate_ == 0; }
    bool takes(int status, std::string_view traceparent, MonoTime now);
    uint64_t left_out() const { return left_out_; }

private:
    uint32_t rate_ = 0;
    double tokens_ = 0;
    MonoTime filled_at_;
    uint64_t left_out_ = 0;
};

class AccessShipper {
public:
    static constexpr Duration kIdleMax = 60s;  // of a service without requests
    static constexpr uint64_t kDiskBytesMax = 64 << 20;

    explicit AccessShipper(NodeContext& context);
    ~AccessShipper();

    Task<Result<>> start();
    void take(std::vector<AccessLine> lines);
    // What was taken is on disk when it returns.
    Task<void> flush() { return delivery_->streams().write_all(); }

private:
    struct Service {
        std::unique_ptr<LogStreams::Channel> channel;
        MonoTime used_at;
    };
    void close_idle();

    NodeContext& context_;
    std::unique_ptr<bus::Client> client_;
    std::optional<FileLock> lock_;  // of our folder: an upgrade has two gateways for a while
    std::unique_ptr<LogDelivery> delivery_;
    std::map<std::string, Service, std::less<>> services_;
    Timer idle_timer_;
};

}  // namespace candela::gateway
