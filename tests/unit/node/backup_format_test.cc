#include "node/backup_format.h"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include "loop/file.h"
#include "temp_folder.h"

namespace candela {
namespace {

std::string file_of(std::string_view path, std::string_view content, unsigned mode = 0600) {
    return backup_file_head(path, mode, content.size()) + std::string(content);
}

class World {
public:
    Result<> read(std::string_view bytes, size_t step = SIZE_MAX) {
        BackupReader reader(folder.path());
        while (!bytes.empty()) {
            const size_t count = std::min(step, bytes.size());
            CANDELA_TRY(reader.write(bytes.substr(0, count)));
            bytes.remove_prefix(count);
        }
        return reader.finish();
    }
    Code refused(std::string_view bytes) {
        const auto result = read(bytes);
        REQUIRE_FALSE(result);
        return result.error().code();
    }

    test::TempFolder folder;
};

TEST_CASE_METHOD(World, "files_come_out_as_they_went_in") {
    const std::string backup = file_of("identity/operator.seed", "SO…") +
                               file_of("lighthouse/state.db", std::string(100'000, 'x'), 0755) +
                               file_of("lighthouse/ca/empty", "") + backup_end(3);
    const size_t step = GENERATE(size_t{1}, size_t{1000}, SIZE_MAX);
    REQUIRE(read(backup, step));
    CHECK(read_file(folder / "identity/operator.seed").value() == "SO…");
    CHECK(read_file(folder / "lighthouse/state.db").value() == std::string(100'000, 'x'));
    CHECK(read_file(folder / "lighthouse/ca/empty").value().empty());
    struct stat info{};
    REQUIRE(::stat((folder / "lighthouse/state.db").c_str(), &info) == 0);
    CHECK((info.st_mode & 0777U) == 0700);  // nothing for others
}

TEST_CASE_METHOD(World, "names_that_lead_elsewhere_are_refused") {
    for (const char* path :
         {"/etc/passwd", "../x", "identity/../../x", "identity/./x", "identity//x", "identity",
          "identity/", "gateway/x", "", "lighthouse/a/../b", "lighthouse/.."}) {
        CAPTURE(path);
        CHECK(refused(file_of(path, "x") + backup_end(1)) == Code::kCorrupt);
    }
    REQUIRE(::symlink("/tmp", (folder / "identity").c_str()) == 0);
    CHECK_FALSE(read(file_of("identity/../x", "x")));
}

TEST_CASE_METHOD(World, "a_name_twice_is_refused") {
    CHECK(refused(file_of("identity/x", "1") + file_of("identity/x", "2") + backup_end(2)) ==
          Code::kCorrupt);
}

TEST_CASE_METHOD(World, "what_is_cut_off_or_goes_on_is_refused") {
    const std::string one = file_of("identity/x", "12345");
    CHECK(refused(one) == Code::kCorrupt);
    CHECK(refused(file_of("identity/y", "12345").substr(0, 60)) == Code::kCorrupt);
    CHECK(refused(file_of("identity/z", "1") + backup_end(2)) == Code::kCorrupt);
    CHECK(refused(backup_end(0) + "{}\n") == Code::kCorrupt);
    CHECK(refused("") == Code::kCorrupt);
    CHECK(refused("not JSON\n") == Code::kCorrupt);
    CHECK(refused(std::string(10'000, 'x')) == Code::kCorrupt);
    CHECK(refused("{\"path\": \"identity/n\", \"size\": -1}\n") == Code::kCorrupt);
}

}  // namespace
}  // namespace candela
