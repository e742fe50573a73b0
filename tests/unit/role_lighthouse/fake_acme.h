#pragma once

// A small ACME server in a simulated world, whose answers a test can replace. It checks the form
// and the signature of each request.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "http/flow_server.h"
#include "loop/sim_loop.h"
#include "tls/signing_key.h"

namespace candela::lighthouse::test {

struct Answer {
    int status = 200;
    std::string body;
    http::Headers headers;
};

class FakeAcme final : public http::Handler {
public:
    FakeAcme(SimLoop& loop, const tls::SigningKey& key)
        : key_(key), server_(loop, *this, http::ServerOptions(), Logger()) {
        listener_ = loop.listen(Address::tcp("acme.test", 80), ListenOptions(),
                                [this](StreamPtr stream) { server_.accept(std::move(stream)); })
                        .value();
    }

    // By path: what is answered instead, as often as it is asked for.
    std::map<std::string, std::function<Answer()>> instead;
    std::string host = "a.example.org";
    std::string order_status = "pending";
    std::string authorization_status = "pending";
    bool gives_nonces = true;
    int nonces_refused = 0;  // so many of the next requests
    std::vector<std::string> asked;
    std::map<std::string, int> counts;
    std::function<void()> on_challenge = [] {};

    static std::string at(std::string_view path) { return "http://acme.test" + std::string(path); }

    Task<void> handle(http::ServerRequest& request) override;

private:
    Answer make_answer(http::ServerRequest& request, const std::string& path,
                       const std::string& body);
    Answer answer_signed(const std::string& path, const std::string& payload);
    std::string order() const;
    std::string authorization() const;

    const tls::SigningKey& key_;
    uint64_t nonces_ = 0;
    http::FlowServer server_;
    std::unique_ptr<Listener> listener_;
};

}  // namespace candela::lighthouse::test
