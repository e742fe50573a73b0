#include "node/endpoint.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/json.h"

namespace candela {

bool Readiness::is_ready() const {
    return started && !draining && std::all_of(roles.begin(), roles.end(), [](const Entry& entry) {
               return entry.status.ready;
           });
}

std::string Readiness::summary() const {
    if (draining) return "stopping";
    std::string out;
    for (const Entry& entry : roles) {
        if (entry.status.ready) continue;
        out += fmt::format("{}{}: {}", out.empty() ? "" : "; ", entry.role,
                           entry.status.detail.empty() ? "not ready" : entry.status.detail);
    }
    if (out.empty()) out = started ? "ready" : "starting";
    return out;
}

NodeEndpoint::NodeEndpoint(Loop& loop, std::string node_name, const Metrics& metrics, Ask ask,
                           Logger log)
    : node_name_(std::move(node_name)),
      metrics_(metrics),
      ask_(std::move(ask)),
      server_(loop, *this, http::ServerOptions{.connections_max = 64}, log) {}

Result<std::unique_ptr<NodeEndpoint>> NodeEndpoint::open(Loop& loop, const Address& address,
                                                         std::string node_name,
                                                         const Metrics& metrics, Ask ask,
                                                         Logger log) {
    std::unique_ptr<NodeEndpoint> endpoint(
        new NodeEndpoint(loop, std::move(node_name), metrics, std::move(ask), log));
    auto listener = loop.listen(address, ListenOptions(), [raw = endpoint.get()](StreamPtr stream) {
        raw->server_.accept(std::move(stream));
    });
    if (!listener) {
        return fail(listener.error().in(
            fmt::format("the node's endpoint ([node] endpoint = \"{}\")", address.to_string())));
    }
    endpoint->listener_ = std::move(*listener);
    return endpoint;
}

std::string NodeEndpoint::readiness_json(const Readiness& readiness) const {
    Json roles = Json::array();
    for (const Readiness::Entry& entry : readiness.roles) {
        roles.push_back(
            {{"name", entry.role}, {"ready", entry.status.ready}, {"detail", entry.status.detail}});
    }
    const Json body = {{"ready", readiness.is_ready()},
                       {"node", node_name_},
                       {"draining", readiness.draining},
                       {"summary", readiness.summary()},
                       {"roles", roles}};
    return dump_json(body) + "\n";
}

Task<void> NodeEndpoint::handle(http::ServerRequest& request) {
    const bool reads = request.method() == "GET" || request.method() == "HEAD";
    if (!reads) {
        request.respond(405, "text/plain", "GET only\n");
    } else if (request.path() == "/healthz") {
        request.respond(200, "text/plain", "ok\n");
    } else if (request.path() == "/readyz") {
        const Readiness readiness = ask_();
        request.respond(readiness.is_ready() ? 200 : 503, "application/json",
                        readiness_json(readiness));
    } else if (request.path() == "/metrics") {
        const std::string_view accepts = request.header("accept").value_or("");
        if (accepts.find("text/plain") != std::string_view::npos &&
            accepts.find("openmetrics") == std::string_view::npos) {
            request.respond(200, "text/plain; version=0.0.4; charset=utf-8",
                            metrics_.render(Metrics::Format::kPrometheus));
        } else {
            request.respond(200, "application/openmetrics-text; version=1.0.0; charset=utf-8",
                            metrics_.render());
        }
    } else {
        request.respond(404, "text/plain", "there are /healthz, /readyz and /metrics\n");
    }
    co_return;
}

}  // namespace candela
