#pragma once

// All drivers of a host as one: an instance that asks for a container goes to the engine's, every
// other one is a process. Lives on one loop; borrows both.

#include <memory>
#include <string>
#include <vector>

#include "driver.h"

namespace candela::host {

class Drivers final : public Driver {
public:
    Drivers(Driver& processes, Driver& containers)
        : processes_(processes), containers_(containers) {}

    Result<std::unique_ptr<Running>> start(const StartRequest& request,
                                           RunningHandler& handler) override {
        return (request.container ? containers_ : processes_).start(request, handler);
    }
    Task<Result<std::vector<FoundInstance>>> find() override {
        auto found = co_await processes_.find();
        if (!found) co_return fail(found.error());
        auto more = co_await containers_.find();
        if (!more) co_return fail(more.error());
        found->insert(found->end(), more->begin(), more->end());
        co_return std::move(*found);
    }
    std::unique_ptr<Running> adopt(const std::string& instance, RunningHandler& handler) override {
        auto running = processes_.adopt(instance, handler);
        return running != nullptr ? std::move(running) : containers_.adopt(instance, handler);
    }
    void let_go() override {
        processes_.let_go();
        containers_.let_go();
    }

private:
    Driver& processes_;
    Driver& containers_;
};

}  // namespace candela::host
