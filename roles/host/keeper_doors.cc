#include "keeper_doors.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "keeper/wire.h"
#include "keeper_session.h"

namespace candela::host {

namespace {

using keeper::Message;

struct Answer {
    keeper::FrameHead head;
    int32_t error = 0;
    uint8_t which = 0;
    uint8_t reserved[3] = {};
};
static_assert(sizeof(Answer) == 16);

struct Answered {
    uint8_t which = 0;
    Fd descriptors[2] = {Fd(-1), Fd(-1)};
};

Result<Answered> ask(const std::filesystem::path& folder, Message message) {
    CANDELA_TRY_ASSIGN(const Fd connection, connect_to_keeper(folder));
    keeper::FrameHead head;
    head.message = static_cast<uint8_t>(message);
    if (send(connection.get(), &head, sizeof(head), MSG_NOSIGNAL) != sizeof(head))
        return fail_errno("the instance's keeper", errno);
    Answer answer;
    iovec part{&answer, sizeof(answer)};
    alignas(cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))];
    msghdr got{};
    got.msg_iov = &part;
    got.msg_iovlen = 1;
    got.msg_control = control;
    got.msg_controllen = sizeof(control);
    ssize_t size = 0;
    do {
        size = recvmsg(connection.get(), &got, MSG_CMSG_CLOEXEC);
    } while (size < 0 && errno == EINTR);
    if (size < 0) return fail_errno("the instance's keeper", errno);
    Answered answered;
    // First what came along, so that it is closed whatever else is wrong.
    const cmsghdr* const came = CMSG_FIRSTHDR(&got);
    if (came != nullptr && came->cmsg_level == SOL_SOCKET && came->cmsg_type == SCM_RIGHTS) {
        const size_t count = (came->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count && i < 2; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(came) + i * sizeof(int), sizeof(fd));
            answered.descriptors[i] = Fd(fd);
        }
    }
    if (size != sizeof(answer) ||
        answer.head.message != static_cast<uint8_t>(Message::kDescriptors))
        return fail(Code::kUnsupported, "the instance's keeper does not answer");
    if (answer.error != 0) return fail_errno("connecting within its network", answer.error);
    answered.which = answer.which;
    return answered;
}

}  // namespace

Result<KeeperDoors> ask_doors(const std::filesystem::path& folder) {
    CANDELA_TRY_ASSIGN(Answered answered, ask(folder, Message::kDoors));
    KeeperDoors doors;
    size_t next = 0;
    if ((answered.which & 1) != 0) doors.outer = std::move(answered.descriptors[next++]);
    if ((answered.which & 2) != 0) doors.inner = std::move(answered.descriptors[next]);
    return doors;
}

Result<Fd> ask_connection(const std::filesystem::path& folder) {
    CANDELA_TRY_ASSIGN(Answered answered, ask(folder, Message::kReach));
    if (answered.descriptors[0].get() < 0)
        return fail(Code::kInternal, "the instance's keeper gives no connection");
    return std::move(answered.descriptors[0]);
}

}  // namespace candela::host
