#pragma once

// Starts the process that shall replace this one: not a child to be waited for, but one whose
// parent is the machine's (or container's) first process, as a service manager wants its main
// process to be. Blocks for a few milliseconds; belongs inside offload().

#include <string>
#include <vector>

#include "base/result.h"

namespace candela {

struct SuccessorOptions {
    std::string executable;                // a path; it is not looked for in PATH
    std::vector<std::string> arguments;    // the first is the program's own name
    std::vector<std::string> environment;  // NAME=value; nothing else is seen
    // Kept open under the same numbers. Besides them only 0, 1 and 2 are inherited.
    std::vector<int> descriptors;
};

// Returns its process id once it runs the executable; errors say why it could not be run.
Result<int> start_successor(const SuccessorOptions& options);

}  // namespace candela
