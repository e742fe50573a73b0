#pragma once

// The system calls that a service may make, as a program for the kernel. What is not on the list
// does not exist (ENOSYS), so that a runtime falls back to what it did before that call was
// invented; what only an attacker would ask for is refused (EPERM).

#include <string>

#include "base/result.h"

namespace candela::host {

// Blocking, for milliseconds. The bytes are an array of struct sock_filter.
Result<std::string> make_seccomp_filter();

}  // namespace candela::host
