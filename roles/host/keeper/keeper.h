#pragma once

// Keeps one instance: its parent and reaper, the reader of its output, the rememberer of how it
// ended. Talks to one host at a time, and goes on alone while there is none.
//
//   waiting for a plan → running → ended → released
//
// One thread, one poll() loop, memory of fixed size.

#include <poll.h>

#include "keeper/children.h"
#include "keeper/doors.h"
#include "keeper/link.h"
#include "keeper/plan.h"
#include "keeper/spool.h"

namespace candela::keeper {

class Keeper {
public:
    // `listener` and `folder` are descriptors: of the socket, and of the folder that it is in.
    Keeper(int listener, int folder, int signals, const Starter& starter,
           const Doors& doors = Doors())
        : listener_(listener),
          folder_(folder),
          signals_(signals),
          starter_(starter),
          doors_(doors) {}

    // Runs the plan, whose message came over `connection`, and returns when there is nothing left
    // to keep.
    int run(Plan& plan, int connection);
    // The same for what runs beside the instance: without a folder, and ends with its connection.
    int run_beside(Plan& plan, int connection);

private:
    void set_note(const char* bytes, size_t size);
    bool start(const Plan& plan);
    int loop();
    void turn();
    int timeout() const;

    void on_signal();
    void on_connection();
    void on_pending();
    void begin_beside();
    void attach(int fd);
    void on_frame(Message message, const char* bytes, size_t size);
    void on_host_gone();

    void read_output();
    void read_pipe(int& fd, uint8_t stream);
    void send_output();
    void reap();
    void terminate(bool is_own_wish);
    void kill_all();
    void look_at_the_time();
    void finish();
    void leave_behind();
    void write_exit_file();
    bool is_forgotten() const;
    bool may_drop(int64_t now) const;

    int listener_;
    int folder_;
    int signals_;
    Starter starter_;
    Doors doors_;
    const Plan* plan_ = nullptr;
    Link host_;
    int pending_ = -1;  // a connection that has not said what it is
    int64_t pending_since_ = 0;
    Spool spool_;
    Child child_;
    bool is_beside_ = false;
    bool ends_with_host_ = false;
    bool goes_by_itself_ = false;

    bool is_leader_gone_ = false;
    bool are_all_gone_ = false;
    bool is_terminating_ = false;
    bool is_killing_ = false;
    bool has_ended_ = false;    // and all output is in the spool
    bool is_end_sent_ = false;  // to the host that is attached
    bool is_released_ = false;
    bool is_exit_written_ = false;
    int64_t kill_at_ = 0;        // 0: nobody but the host says when
    int64_t last_progress_ = 0;  // when a host last took output
    int32_t code_ = 0;
    int32_t signal_ = 0;
    size_t note_size_ = 0;
    char note_[kNoteSizeMax];
};

}  // namespace candela::keeper
