#include "loop/runtime.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "base/check.h"

namespace candela {

Runtime::Runtime(unsigned workers) {
    CANDELA_CHECK(workers > 0);
    for (unsigned i = 0; i < workers; ++i) {
        loops_.push_back(std::make_unique<UvLoop>(hub_, &book_));
        views_.push_back(loops_.back().get());
    }
}

Runtime::~Runtime() = default;

void Runtime::run() {
    std::vector<std::thread> threads;
    for (size_t i = 1; i < loops_.size(); ++i) {
        threads.emplace_back([loop = loops_[i].get()] { loop->run(); });
    }
    loops_.front()->run();
    for (size_t i = 1; i < loops_.size(); ++i) loops_[i]->stop();
    for (std::thread& thread : threads) thread.join();
}

void Runtime::stop() { control().stop(); }

unsigned Runtime::usable_cores() {
    cpu_set_t set;
    CPU_ZERO(&set);
    double cores = 1;
    if (sched_getaffinity(0, sizeof set, &set) == 0) cores = CPU_COUNT(&set);
    // cgroup v2: "<quota> <period>" in microseconds, or "max <period>".
    std::ifstream file("/sys/fs/cgroup/cpu.max");
    double quota = 0;
    double period = 0;
    if (file >> quota >> period && period > 0) cores = std::min(cores, std::ceil(quota / period));
    return static_cast<unsigned>(std::max(1.0, cores));
}

}  // namespace candela
