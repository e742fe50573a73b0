#pragma once

// What a host and a keeper say to each other over the keeper's unix socket. A host may meet keepers
// of an older candela, and of a newer one after a downgrade: numbers are never used again for
// something else, and what a side does not know it skips. Both are on one machine: numbers are in
// its byte order. Used by the keeper, so nothing but libc in here.

#include <cstddef>
#include <cstdint>

namespace candela::keeper {

enum class Message : uint8_t {
    // From the host. A connection begins with one of the first three.
    kStart = 1,   // a plan: to a keeper that has been started a moment ago
    kAttach = 2,  // nothing: from now on this connection is the host; answered by kHello
    kExec = 3,    // a plan: run this beside the instance; ends with the connection
    kTerminate = 4,
    kKill = 5,
    kAck = 6,      // uint64_t position: output up to here need not be kept
    kNote = 7,     // what the next kHello will say
    kRelease = 8,  // the end is known: the keeper may go
    kEnd = 9,      // kill, and go without being released
    // A plan as of kExec, with three descriptors (SCM_RIGHTS) that become the program's first
    // three; where they are a terminal, it is the program's controlling one.
    kSession = 10,
    // Of an instance with a network of its own, answered by kDescriptors.
    kDoors = 11,  // nothing: the sockets that listen, the outer one first
    kReach = 12,  // nothing: a connection to the instance's port, made within; perhaps under way

    // From the keeper.
    kHello = 32,    // Hello, then the note
    kStarted = 33,  // int32_t pid, as the host sees it
    kFailed = 34,   // int32_t errno, then what could not be done
    kOutput = 35,   // uint64_t position behind it, uint8_t stream (1 or 2), then the bytes
    kDropped = 36,  // uint64_t bytes of output that there was no room for
    // int32_t errno, uint8_t which (1: the outer one, 2: the inner one, 4: a connection), with
    // those
    // descriptors (SCM_RIGHTS) in this order.
    kDescriptors = 38,
    kExited = 37,  // int32_t code, int32_t signal: everything has ended, all output was sent
};

struct FrameHead {
    uint32_t size = 0;  // of what follows
    uint8_t message = 0;
    uint8_t reserved[3] = {};
};
static_assert(sizeof(FrameHead) == 8);

enum class State : uint8_t { kRunning = 1, kEnded = 2 };

struct Hello {
    uint32_t version = 1;
    uint8_t state = 0;
    uint8_t reserved[3] = {};
    int32_t pid = 0;
    int32_t code = 0;
    int32_t signal = 0;
    uint32_t reserved2 = 0;
};
static_assert(sizeof(Hello) == 24);

// A plan is a list of entries, each with a head and that many bytes.
enum class Entry : uint16_t {
    kArgument = 1,    // of the command, in order
    kVariable = 2,    // NAME=value
    kDirectory = 3,   // where it starts
    kExecutable = 4,  // what is run in place of the first argument
    kNote = 5,
    kEndWithHost = 6,  // nothing: ends the instance when the host goes
    kGraceMs = 7,      // uint32_t: from SIGTERM to SIGKILL, where no host says when
    // uint32_t, of an instance with a network of its own: the port on which it listens there, and
    // on which it is to be had outside; and the one at which it is to find the bus.
    kOuterPort = 8,
    kInnerPort = 9,

    // The walls (keeper/sandbox.h). First what its root has, in order; without kNamespaces none of
    // it.
    kNamespaces = 16,  // uint32_t: CLONE_NEW…
    kHostName = 17,
    kReadOnly = 18,  // a path of the host, where it has it
    kWritable = 19,  // likewise
    kTmpfs = 20,     // uint64_t bytes at most, then the path
    kFile = 21,      // the path, then its content
    kFolder = 22,    // empty, and the program's own
    kDevices = 23,   // /dev
    kProc = 24,      // /proc

    // What each program is, and may.
    kIds = 32,           // uint32_t uid, uint32_t gid
    kConfined = 33,      // no new privileges, no capabilities
    kLimit = 34,         // uint32_t RLIMIT_…, uint32_t 0, uint64_t soft, uint64_t hard
    kOomScore = 35,      // int32_t
    kSeccomp = 36,       // sock_filter[]
    kLandlock = 37,      // uint64_t[]: struct landlock_ruleset_attr
    kLandlockRule = 38,  // uint64_t access, then the path
    kCgroup = 39,        // the folder of its cgroup
};

struct EntryHead {
    uint16_t entry = 0;
    uint16_t reserved = 0;
    uint32_t size = 0;
};
static_assert(sizeof(EntryHead) == 8);

inline constexpr size_t kPlanSizeMax = 2 << 20;
inline constexpr size_t kNoteSizeMax = 16 << 10;
inline constexpr size_t kOutputFrameMax = 32 << 10;  // bytes of output in one frame
// Output kept while no host takes it; beyond it the oldest goes, and is counted.
inline constexpr size_t kSpoolSizeMax = 4 << 20;

// Names in the keeper's folder.
inline constexpr const char* kSocketName = "socket";
inline constexpr const char* kExitName = "exit";  // "CODE SIGNAL\n", where no host took the end

}  // namespace candela::keeper
