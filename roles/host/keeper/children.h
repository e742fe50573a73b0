#pragma once

// Starts a program, and ends everything that came of it: the keeper is the parent of all that its
// program leaves behind (PR_SET_CHILD_SUBREAPER, or PID 1 of a namespace), however often that
// forked and whatever sessions it made.

#include <sys/types.h>

#include "keeper/plan.h"
#include "keeper/sandbox.h"

namespace candela::keeper {

struct Child {
    pid_t pid = 0;       // as we see it
    pid_t host_pid = 0;  // as the host sees it
    int output = -1;     // our ends of its pipes
    int errors = -1;
};

struct Starter {
    int host_proc = -1;             // the host's /proc
    int executable = -1;            // in place of the first argument
    int cgroup = -1;                // the folder of the one that programs run in
    int session[3] = {-1, -1, -1};  // what its first three descriptors are to be, where not ours
};

// Returns when the program has taken over. The child leads a session of its own.
bool start_program(const Plan& plan, const Starter& starter, Child& child, Failure& failure);

// SIGKILL to every descendant, those too that left the group. To be repeated until reap() has none.
void kill_descendants(pid_t group);

// Whether somebody of the group, other than zombies that wait for us, is left.
bool is_group_empty(pid_t group);

}  // namespace candela::keeper
