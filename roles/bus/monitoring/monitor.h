#pragma once

// The bus's answers about itself, in the form of nats-server's monitoring endpoints, whoever asks:
// over HTTP (monitor_http.h) or in the system account (monitor_api.h). Each asks every loop for its
// part and then puts them together: an answer comes by callback, now or later. Control loop.
// Source: nats-server's server/monitor.go in behaviour.

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "monitoring/report.h"
#include "node/machine.h"
#include "server.h"

namespace candela::bus_role {

class JetStream;

class Monitor {
public:
    static constexpr uint64_t kRowsMax =
        4096;  // connections, subscriptions or accounts of an answer
    static constexpr uint64_t kRowsDefault = 1024;

    // kInvalid: what was asked for makes no sense.
    using Done = std::move_only_function<void(Result<Json>)>;
    // By the names of nats-server's URL parameters.
    using Parameters = std::map<std::string, std::string, std::less<>>;

    struct Facts {
        Address listen;
        std::optional<Address> http;
        std::string system_account;
        std::string streams_folder;
    };

    Monitor(Server& server, JetStream* streams, Facts facts);
    ~Monitor();
    Monitor(const Monitor&) = delete;
    Monitor& operator=(const Monitor&) = delete;

    // "varz", "connz", "subsz", "jsz", "accountz", "accstatz", "healthz", "statsz", "idz" and the
    // rest of what nats-server has for clusters, which is empty here. kNotFound: no such thing.
    void ask(std::string_view what, const Parameters& parameters, Done done);
    // Connections and traffic of one account, for events; of one that is not known, zeros.
    void ask_account(const std::string& account, std::move_only_function<void(AccountReport)> done);
    static Json account_statistics(std::string_view key, const AccountReport& report);
    void count_request(const std::string& path) { ++http_requests_[path]; }
    Server& server() { return server_; }

private:
    template <class Part>
    using PartsDone = std::move_only_function<void(std::vector<Part>)>;
    // Has every loop look at itself, and hands on what each has found, in their order.
    template <class Part>
    void gather(std::function<Part(Server&)> look, PartsDone<Part> done) {
        struct Gathering {
            std::vector<Part> parts;
            size_t missing = 0;
            PartsDone<Part> done;
        };
        const size_t loops = server_.links() == nullptr ? 1 : server_.links()->mesh().size();
        auto gathering = std::make_shared<Gathering>();
        gathering->parts.resize(loops);
        gathering->missing = loops - 1;
        gathering->done = std::move(done);
        gathering->parts[0] = look(server_);
        if (loops == 1) return gathering->done(std::move(gathering->parts));
        const std::shared_ptr<Mesh> mesh = server_.links()->shared_mesh();
        for (size_t i = 1; i < loops; ++i) {
            Mesh::post(mesh, i, [mesh, look, gathering, i, alive = alive_](Server& there) {
                auto part = std::make_shared<Part>(look(there));
                Mesh::post(mesh, 0, [part, gathering, i, alive](Server&) {
                    if (!*alive) return;
                    gathering->parts[i] = std::move(*part);
                    if (--gathering->missing == 0) gathering->done(std::move(gathering->parts));
                });
            });
        }
    }
    void ask_totals(std::string account, std::move_only_function<void(TotalsReport)> done);

    void varz(const Parameters& parameters, Done done);
    void statsz(const Parameters& parameters, Done done);
    void connz(const Parameters& parameters, Done done);
    void subsz(const Parameters& parameters, Done done);
    void accountz(const Parameters& parameters, Done done);
    void accstatz(const Parameters& parameters, Done done);
    void jsz(const Parameters& parameters, Done done);
    void healthz(const Parameters& parameters, Done done);

    Json head() const;
    Json varz_json(const TotalsReport& totals);
    Json statsz_json(const TotalsReport& totals);
    Json streams_json();
    Json account_json(const Account& account, const AccountReport& report);
    static Json slow_consumers_json(const TotalsReport& totals);
    static Json mappings_json(const auth::SubjectMappings& mappings);
    Result<Json> jsz_json(const Parameters& parameters);
    unsigned cpu_percent();
    Duration uptime() const;

    Server& server_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // the control loop's
    JetStream* const streams_;
    const Facts facts_;
    const WallTime started_at_;
    std::map<std::string, uint64_t> http_requests_;  // by path, of those that there are
    MonoTime cpu_at_;
    double cpu_seconds_ = 0;
    unsigned cpu_percent_ = 0;
};

// "1d2h3m4s" and "1.5ms", as nats-server writes how long something lasted.
std::string format_uptime(Duration duration);
std::string format_go_duration(Duration duration);

}  // namespace candela::bus_role
