// A service that means harm. It tries one thing after another that it must not be able to do, and says for each what
// came of it: "tried NAME: refused ERRNO" or "tried NAME: done". Nothing that it tries would hurt the machine if it worked.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void told(const char *name, int worked) {
  if (worked) printf("tried %s: done\n", name);
  else printf("tried %s: refused %s\n", name, strerrorname_np(errno));
  fflush(stdout);
}

static void read_file(const char *name, const char *path) {
  char text[16];
  errno = ENOENT;
  int fd = path ? open(path, O_RDONLY) : -1;
  told(name, fd >= 0 && read(fd, text, sizeof text) >= 0);
}

static void write_file(const char *name, const char *path) {
  int fd = open(path, O_WRONLY | O_CREAT, 0600);
  told(name, fd >= 0);
  if (fd >= 0) close(fd);
}

static void connect_to(const char *name, const char *path, int is_abstract) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (!path) { errno = ENOENT; told(name, 0); return; }
  strncpy(address.sun_path + is_abstract, path, sizeof address.sun_path - 2);
  socklen_t size = is_abstract ? offsetof(struct sockaddr_un, sun_path) + 1 + strlen(path) : sizeof address;
  told(name, connect(fd, (struct sockaddr *)&address, size) == 0);
}

static void proc_of(const char *name, const char *pid, const char *what) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%s/%s", pid ? pid : "0", what);
  read_file(name, path);
}

// In a child: what works there does not change what follows.
static void in_child(const char *name, long (*attempt)(void)) {
  int ends[2];
  if (pipe(ends)) return;
  if (fork() == 0) {
    errno = 0;
    int error = attempt() >= 0 ? 0 : errno;
    if (write(ends[1], &error, sizeof error) < 0) _exit(1);
    _exit(0);
  }
  int error = EIO;
  if (read(ends[0], &error, sizeof error) < 0) error = EIO;
  wait(NULL);
  close(ends[0]);
  close(ends[1]);
  errno = error;
  told(name, error == 0);
}

static long user_namespace(void) { return unshare(CLONE_NEWUSER); }
static long mount_namespace(void) { return unshare(CLONE_NEWNS); }
static long user_namespace_by_clone(void) {
  long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) _exit(0);
  return pid;
}
static long mounting(void) { return mount("none", "/tmp", "tmpfs", 0, NULL); }
static long changing_root(void) { return chroot("/tmp"); }
static long becoming_root(void) { return geteuid() == 0 ? 0 : setuid(0); }
static long tracing(void) { return ptrace(PTRACE_ATTACH, 1, 0, 0); }
static long reading_memory(void) {
  char text[8];
  struct iovec here = {text, 8}, there = {(void *)0x400000, 8};
  return process_vm_readv(1, &here, 1, &there, 1, 0);
}
static long loading_bpf(void) {
  union bpf_attr attr = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
  return syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof attr);
}
static long asking_for_keys(void) { return syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 1); }
static long io_uring(void) {
  char params[256] = {0};
  return syscall(SYS_io_uring_setup, 4, params);
}
static long raw_socket(void) { return socket(AF_INET, SOCK_RAW, 1); }
static long packet_socket(void) { return socket(AF_PACKET, SOCK_RAW, 0); }
static long naming_the_host(void) {
  char name[65];
  return gethostname(name, sizeof name) == 0 ? sethostname(name, strlen(name)) : -1;
}
static long a_device(void) { return mknod("/tmp/device", S_IFBLK | 0600, 0xfd00); }
static long giving_capabilities(void) { return syscall(SYS_setns, open("/proc/self/ns/mnt", O_RDONLY), 0); }
static long a_file_by_handle(void) {
  struct { struct file_handle head; char room[64]; } handle = {{8, 1}, {2}};
  int root = open("/", O_RDONLY);
  return open_by_handle_at(root, &handle.head, O_RDONLY);
}
static long a_set_uid_program(void) {
  // su asks for root's password only where it is root: otherwise it says that it may not.
  FILE *out = popen("/bin/su -c true root </dev/null 2>&1; /usr/bin/chfn --help >/dev/null 2>&1; grep NoNewPrivs:.*1 /proc/self/status", "r");
  char line[256], last[256] = "";
  while (out && fgets(line, sizeof line, out)) strcpy(last, line);
  if (out) pclose(out);
  errno = EPERM;
  return strstr(last, "NoNewPrivs") ? -1 : 0;
}
static long signalling_the_host(void) { return kill(atoi(getenv("HOST_PID")), 0); }
static long signalling_another(void) { return kill(atoi(getenv("OTHER_PID")), 0); }

static void forking(void) {
  int count = 0, error = 0;
  for (; count < 20000; ++count) {
    pid_t pid = fork();
    if (pid == 0) { pause(); _exit(0); }
    if (pid < 0) { error = errno; break; }
  }
  errno = error;
  printf("forked %d\n", count);
  told("a fork bomb", error == 0);
}

static void filling_disk(const char *name, const char *path) {
  static char block[1 << 20];
  int fd = open(path, O_WRONLY | O_CREAT, 0600), megabytes = 0;
  while (fd >= 0 && megabytes < 2000 && write(fd, block, sizeof block) == sizeof block) ++megabytes;
  printf("wrote %d MiB\n", megabytes);
  told(name, megabytes == 2000);
  if (fd >= 0) { close(fd); unlink(path); }
}

static void filling_memory(void) {
  int megabytes = 0;
  for (; megabytes < 2000; ++megabytes) {
    char *page = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) break;
    memset(page, 1, 1 << 20);
  }
  printf("took %d MiB\n", megabytes);
  told("filling memory", megabytes == 2000);
}

static void opening_everything(void) {
  int count = 0;
  while (count < 200000 && open("/dev/null", O_RDONLY) >= 0) ++count;
  printf("opened %d\n", count);
  told("all descriptors", count == 200000);
  close_range(3, ~0U, 0);
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  read_file("another's file", getenv("SECRET"));
  read_file("the host's credential", getenv("HOST_CREDENTIAL"));
  read_file("another's credential", getenv("OTHER_CREDENTIAL"));
  read_file("/etc/shadow", "/etc/shadow");
  read_file("the machine's memory", "/dev/mem");
  read_file("the kernel's log", "/dev/kmsg");
  read_file("the disk", "/dev/vda");
  connect_to("the lighthouse's socket", getenv("LIGHTHOUSE_SOCKET"), 0);
  connect_to("an abstract socket", getenv("ABSTRACT_SOCKET"), 1);
  proc_of("the host's environment", getenv("HOST_PID"), "environ");
  proc_of("another's environment", getenv("OTHER_PID"), "environ");
  proc_of("the keeper's memory", "1", "mem");
  proc_of("the keeper's root", "1", "root/etc/shadow");
  write_file("its bundle", "written");
  write_file("/usr", "/usr/written");
  write_file("core_pattern", "/proc/sys/kernel/core_pattern");
  write_file("sysrq", "/proc/sysrq-trigger");
  in_child("signalling the host", signalling_the_host);
  in_child("signalling another", signalling_another);
  in_child("a user namespace", user_namespace);
  in_child("a user namespace by clone", user_namespace_by_clone);
  in_child("a mount namespace", mount_namespace);
  in_child("mounting", mounting);
  in_child("chroot", changing_root);
  in_child("becoming root", becoming_root);
  in_child("a set-uid program", a_set_uid_program);
  in_child("ptrace", tracing);
  in_child("process_vm_readv", reading_memory);
  in_child("bpf", loading_bpf);
  in_child("keyctl", asking_for_keys);
  in_child("io_uring", io_uring);
  in_child("setns", giving_capabilities);
  in_child("a raw socket", raw_socket);
  in_child("a packet socket", packet_socket);
  in_child("sethostname", naming_the_host);
  in_child("a device", a_device);
  in_child("open_by_handle_at", a_file_by_handle);
  if (getenv("GREEDY")) {
    filling_disk("filling /tmp", "/tmp/full");
    filling_disk("filling its home", "/tmp/home/full");
    filling_disk("filling shared memory", "/dev/shm/full");
    opening_everything();
    filling_memory();
    forking();
  }
  printf("that was all\n");
  fflush(stdout);
  return 0;
}
