#include "instance_values.h"

#include <signal.h>
#include <sys/stat.h>

#include <catch2/catch_test_macros.hpp>

#include "base/encoding.h"
#include "loop/file.h"
#include "loop/sim_loop.h"
#include "temp_folder.h"

namespace candela::host {
namespace {

namespace fs = std::filesystem;
using test::read_text;

const fs::path kMemory = "/dev/shm";

// A lighthouse that seals what it is asked for.
struct Sealing : ValueSource {
    virtual ~Sealing() {
        std::error_code ignored;
        fs::remove_all(root(), ignored);
    }
    SimWorld world{4};
    SimLoop& loop = world.add_loop("host");
    std::string run_id = "test-" + std::to_string(::getpid());
    std::map<std::string, std::string> contents;
    std::optional<Error> error;
    int pulls = 0;
    std::unique_ptr<InstanceValues> values = make();

    std::unique_ptr<InstanceValues> make(std::vector<fs::path> places = {kMemory}) {
        auto made = std::make_unique<InstanceValues>(loop, *this, "node-1", Logger());
        made->open(run_id, std::move(places));
        return made;
    }
    Task<Result<proto::ValueTable>> fetch(proto::ValuesPull pull) override {
        ++pulls;
        CHECK(pull.instance == "web-1");
        CHECK(pull.node == "node-1");
        if (error) co_return fail(*error);
        crypto::BoxPublicKey box{};
        REQUIRE(pull.box_key.size() == box.size());
        std::copy(pull.box_key.begin(), pull.box_key.end(), box.begin());
        proto::ValueTable table;
        for (const auto& [name, content] : contents) {
            table.values.push_back(
                proto::ValueContent("secret", name, 1, *crypto::seal(box, as_bytes(content))));
        }
        co_return table;
    }
    static Task<void> run(InstanceValues& values, proto::InstanceSpec spec,
                          std::optional<Result<InstanceValueSet>>& out) {
        out.emplace(co_await values.provide(std::move(spec), std::nullopt));
    }
    Result<InstanceValueSet> provide(const proto::InstanceSpec& spec) {
        std::optional<Result<InstanceValueSet>> out;
        TaskGroup tasks;
        tasks.spawn(run(*values, spec, out));
        REQUIRE(world.run_until([&] { return out.has_value(); }, 1min));
        return *out;
    }
    fs::path root() const { return kMemory / ("candela-" + run_id); }
};

proto::InstanceSpec spec_of(uint64_t version) {
    proto::InstanceSpec spec;
    spec.instance = "web-1";
    spec.values.push_back(proto::ValueUse("secret", "url", 1, "DATABASE_URL", "", 0400, ""));
    spec.values.push_back(proto::ValueUse("secret", "key", version, "", "tls.key", 0440, "SIGHUP"));
    return spec;
}

TEST_CASE_METHOD(Sealing, "values_come_sealed_and_lie_in_memory_only_with_their_modes") {
    contents = {{"url", "postgres://x"}, {"key", std::string("a\0b", 3)}};
    const auto set = provide(spec_of(1));
    REQUIRE(set);
    CHECK(set->environment == std::vector<std::string>{"DATABASE_URL=postgres://x"});
    CHECK(set->signals.empty());
    CHECK(set->folder == root() / "web-1" / "files");
    CHECK(read_text(set->folder / "tls.key") == std::string("a\0b", 3));
    struct stat info{};
    REQUIRE(::stat((set->folder / "tls.key").c_str(), &info) == 0);
    CHECK((info.st_mode & 0777) == 0440);
    REQUIRE(::stat(root().c_str(), &info) == 0);
    CHECK((info.st_mode & 0777) == 0700);
    values->forget("web-1");
    REQUIRE(world.run_until([&] { return !fs::exists(root() / "web-1"); }, 1min));
}

TEST_CASE_METHOD(Sealing, "a_host_that_is_started_anew_needs_no_lighthouse_for_what_it_has") {
    contents = {{"url", "postgres://x"}, {"key", "k"}};
    REQUIRE(provide(spec_of(1)));
    values = make();
    error = Error(Code::kUnreachable, "the bus is away");
    const auto set = provide(spec_of(1));
    REQUIRE(set);
    CHECK(set->environment == std::vector<std::string>{"DATABASE_URL=postgres://x"});
    CHECK(pulls == 1);
    // But for what it has not.
    const auto newer = provide(spec_of(2));
    REQUIRE_FALSE(newer);
    CHECK(newer.error().code() == Code::kUnreachable);
}

TEST_CASE_METHOD(Sealing, "a_changed_file_is_replaced_and_its_signal_is_due_once") {
    contents = {{"url", "postgres://x"}, {"key", "one"}};
    REQUIRE(provide(spec_of(1)));
    contents["key"] = "two";
    const auto set = provide(spec_of(2));
    REQUIRE(set);
    CHECK(set->signals == std::vector<int>{SIGHUP});
    CHECK(read_text(set->folder / "tls.key") == "two");
    CHECK(provide(spec_of(2))->signals.empty());
}

TEST_CASE_METHOD(Sealing, "what_can_not_be_given_is_a_clear_error") {
    contents = {{"url", "postgres://x"}};
    const auto missing = provide(spec_of(1));
    REQUIRE_FALSE(missing);
    CHECK(missing.error().message() == "the lighthouse did not send the secret key");
    contents = {{"url", std::string("a\0b", 3)}, {"key", "k"}};
    const auto nul = provide(spec_of(1));
    REQUIRE_FALSE(nul);
    CHECK(nul.error().message() ==
          "the secret url has a NUL byte and can't be a variable; let it be a file");
    proto::InstanceSpec spec = spec_of(1);
    spec.values[1].file = "../../escape";
    CHECK(provide(spec).error().code() == Code::kInvalid);
}

TEST_CASE_METHOD(Sealing, "without_a_file_system_in_memory_nothing_is_written") {
    const test::TempFolder disk;
    contents = {{"url", "postgres://x"}, {"key", "k"}};
    values = make({"/proc", "/nowhere"});
    const auto refused = provide(spec_of(1));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == Code::kUnsupported);
    CHECK(pulls == 0);
}

TEST_CASE_METHOD(Sealing, "a_folder_that_others_made_is_not_used") {
    REQUIRE(::mkdir(root().c_str(), 0700) == 0);
    REQUIRE(::chmod(root().c_str(), 0777) == 0);
    contents = {{"url", "postgres://x"}, {"key", "k"}};
    const auto refused = provide(spec_of(1));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().message().find("is not a folder of ours alone") != std::string::npos);
}

}  // namespace
}  // namespace candela::host
