#include "monitoring/monitor_http.h"

#include <algorithm>
#include <array>

#include <nlohmann/json.hpp>

namespace candela::bus_role {

namespace {

constexpr std::array<std::string_view, 11> kPaths{
    "/varz",    "/connz",  "/subsz",    "/jsz",   "/accountz",      "/accstatz",
    "/healthz", "/routez", "/gatewayz", "/leafz", "/subscriptionsz"};

std::string index_page() {
    std::string out = "<!doctype html>\n<title>candela bus</title>\n<h1>candela bus</h1>\n<ul>\n";
    for (const std::string_view path : kPaths) {
        out += fmt::format("<li><a href=\"{}\">{}</a></li>\n", path.substr(1), path.substr(1));
    }
    return out + "</ul>\n";
}

// Where the asker is gone before its answer is there, nobody takes it.
struct Waiting {
    Completion<Result<Json>>* completion = nullptr;
};

}  // namespace

MonitorHttp::MonitorHttp(Monitor& monitor)
    : monitor_(monitor),
      server_(monitor.server().loop(), *this,
              http::ServerOptions{.connections_max = kConnectionsMax}, monitor.server().log()) {}

Result<std::unique_ptr<MonitorHttp>> MonitorHttp::open(Monitor& monitor, const Address& address) {
    std::unique_ptr<MonitorHttp> out(new MonitorHttp(monitor));
    auto listener = monitor.server().loop().listen(
        address, ListenOptions(),
        [raw = out.get()](StreamPtr stream) { raw->server_.accept(std::move(stream)); });
    if (!listener) {
        return fail(listener.error().in(
            fmt::format("the bus's monitoring ([bus] monitor = \"{}\")", address.to_string())));
    }
    out->listener_ = std::move(*listener);
    return out;
}

Task<void> MonitorHttp::handle(http::ServerRequest& request) {
    const std::string path = request.path();
    if (request.method() != "GET" && request.method() != "HEAD") {
        request.respond(405, "text/plain", "GET only\n");
        co_return;
    }
    if (path == "/") {
        monitor_.count_request(path);
        request.respond(200, "text/html; charset=utf-8", index_page());
        co_return;
    }
    if (std::find(kPaths.begin(), kPaths.end(), path) == kPaths.end()) {
        request.respond(404, "text/plain", "404 page not found\n");
        co_return;
    }
    monitor_.count_request(path);
    Monitor::Parameters parameters;
    for (const auto& [name, value] : request.query()) parameters.emplace(name, value);
    Completion<Result<Json>> completion;
    struct Detach {
        std::shared_ptr<Waiting> waiting;
        explicit Detach(std::shared_ptr<Waiting> w) : waiting(std::move(w)) {}
        ~Detach() { waiting->completion = nullptr; }
    };
    const auto waiting = std::make_shared<Waiting>();
    waiting->completion = &completion;
    const Detach detach(waiting);
    Monitor::Done done = [waiting](Result<Json> answer) {
        if (waiting->completion != nullptr) waiting->completion->complete(std::move(answer));
    };
    monitor_.ask(std::string_view(path).substr(1), parameters, std::move(done));
    const Result<Json> answer = co_await completion;
    respond(request, path, answer);
}

void MonitorHttp::respond(http::ServerRequest& request, const std::string& path,
                          const Result<Json>& answer) {
    if (!answer) {
        const int status = answer.error().code() == Code::kInvalid ? 400 : 404;
        request.respond(status, "text/plain; charset=utf-8", answer.error().message());
        return;
    }
    const bool is_ill = path == "/healthz" && answer->value("status", "") != "ok";
    const std::string body = path == "/healthz" ? dump_json(*answer) : dump_json_pretty(*answer);
    // Pages that show the bus's state ask by this (JSONP), as nats-server lets them.
    const auto callback = request.query("callback");
    const auto is_name = [](std::string_view text) {
        return !text.empty() && text.size() <= 128 &&
               std::all_of(text.begin(), text.end(), [](char c) {
                   return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '$';
               });
    };
    if (callback && is_name(*callback)) {
        request.respond(200, "application/javascript", fmt::format("{}({})", *callback, body));
        return;
    }
    request.respond(is_ill ? 503 : 200, "application/json", body);
}

}  // namespace candela::bus_role
