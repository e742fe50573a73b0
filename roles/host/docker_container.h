#pragma once

// What an engine is asked to make for an instance, as the body of a request. Pure.

#include <string>
#include <string_view>

#include "docker_api.h"
#include "driver.h"

namespace candela::host {

inline constexpr std::string_view kRunLabel = "candela.run";
inline constexpr std::string_view kInstanceLabel = "candela.instance";

// Where a container has its own files, in memory, gone with it.
inline constexpr std::string_view kContainerTemporary = "/tmp";

// The log of a container lies with the engine until we have taken it: so much of it at most.
inline constexpr std::string_view kContainerLogFileSize = "4m";
inline constexpr std::string_view kContainerLogFiles = "2";

// "POST /containers/create". `run_id`: of this data folder, by which its containers are found
// again. The limits are those to be kept; 0: none.
std::string container_body(const StartRequest& request, const InstanceLimits& limits,
                           const EngineInfo& engine, std::string_view run_id);
// "POST /containers/ID/exec", for a program beside; for a person's it takes input, too.
enum class ExecKind : uint8_t { kProbe, kPipes, kTerminal };
std::string exec_body(const StartRequest& request, ExecKind kind = ExecKind::kProbe);

// The highest level that services may require of containers of this engine, and what is missing for
// more.
std::string_view container_level(const EngineInfo& engine);

}  // namespace candela::host
