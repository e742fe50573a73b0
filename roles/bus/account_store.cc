#include "account_store.h"

#include <system_error>

#include "base/text.h"
#include "loop/file.h"

namespace candela::bus_role {

namespace {
constexpr size_t kJwtBytesMax = 1024 * 1024;
}

Result<std::vector<std::string>> read_jwts(const std::filesystem::path& folder) {
    std::vector<std::string> jwts;
    std::error_code error;
    if (!std::filesystem::exists(folder, error)) return jwts;
    for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end;
         it.increment(error)) {
        if (it->path().extension() != ".jwt") continue;
        CANDELA_TRY_ASSIGN(std::string text, read_file(it->path(), kJwtBytesMax));
        while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
        jwts.push_back(std::move(text));
    }
    if (error) return fail_errno("reading " + folder.string(), error.value());
    return jwts;
}

AccountStore::AccountStore(Loop& loop, std::filesystem::path folder)
    : loop_(loop), folder_(std::move(folder)), state_(std::make_shared<State>()) {}

AccountStore::~AccountStore() { state_->is_gone = true; }

void AccountStore::put(std::string account_key, std::string jwt, Done done) {
    state_->jobs.push_back(Job{folder_ / (account_key + ".jwt"), std::move(jwt), std::move(done)});
    run_next(loop_, state_);
}

void AccountStore::remove(std::string account_key, Done done) {
    state_->jobs.push_back(Job{folder_ / (account_key + ".jwt"), {}, std::move(done)});
    run_next(loop_, state_);
}

void AccountStore::run_next(Loop& loop, const std::shared_ptr<State>& state) {
    if (state->is_running || state->jobs.empty()) return;
    state->is_running = true;
    struct Running {
        explicit Running(Job j) : job(std::move(j)) {}
        Job job;
        Result<> result;
    };
    auto running = std::make_shared<Running>(std::move(state->jobs.front()));
    state->jobs.pop_front();
    loop.offload(
        [running] {
            const Job& job = running->job;
            running->result =
                job.jwt.empty() ? remove_file(job.file) : write_file(job.file, job.jwt, 0600);
        },
        [&loop, state, running] {
            state->is_running = false;
            if (!state->is_gone) running->job.done(std::move(running->result));
            run_next(loop, state);
        });
}

}  // namespace candela::bus_role
