#pragma once

// The commands of a build within the walls that instances have, but for what a build must do: write
// to its own folders, take what memory and processes it needs, and reach the network unless it was
// told not to. Each command has a keeper, which ends it when we go, however that happens.

#include "build/workshop.h"
#include "process_driver.h"

namespace candela::host {

class BuildWorkshop final : public build::Workshop {
public:
    explicit BuildWorkshop(Loop& loop) : loop_(loop), driver_(loop, Logger()) {}

    Task<Result<>> open(std::string project, std::filesystem::path run_folder) override;
    std::optional<uint32_t> owner() const override;
    std::string describe() const override;
    bool can_shut_network() const override { return walls_.walls.has_own_network; }
    Task<Result<ExitStatus>> run(build::WorkOrder order, build::WorkListener& listener) override;

private:
    Loop& loop_;
    ProcessDriver driver_;
    WallSettings walls_;
    std::string project_;
};

// In memory: /tmp of a build. What is larger goes to TMPDIR, which is on disk.
inline constexpr uint64_t kBuildScratchBytes = 1ULL << 30;

}  // namespace candela::host
