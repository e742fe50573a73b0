// A program on a pseudo-terminal, by Python's pty module: what it draws, keys for it, another size.

import { spawn } from 'node:child_process';

// Descriptor 3 takes lines: "keys HEX", "size COLUMNS ROWS", "signal NUMBER"; descriptor 4 gives "pid N" and at the end
// "end STATUS RESTORED": whether the terminal is set as it was before.
const DRIVER = `
import fcntl, os, pty, select, signal, struct, sys, termios
columns, rows, words = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
def resize(fd, columns, rows): fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))
master, slave = pty.openpty()
resize(master, columns, rows)
before = termios.tcgetattr(slave)
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in range(3): os.dup2(slave, fd)
    for fd in (3, 4): os.close(fd)
    os.execvp(words[0], words)
os.write(4, b'pid %d\\n' % pid)
commands, orders, status = b'', 3, None
while status is None:
    ready, _, _ = select.select([master, orders], [], [], 0.05)
    if master in ready: os.write(1, os.read(master, 65536))
    if orders in ready:
        got = os.read(orders, 4096)
        commands += got
        while b'\\n' in commands:
            line, commands = commands.split(b'\\n', 1)
            what = line.decode().split()
            if what[0] == 'keys': os.write(master, bytes.fromhex(what[1]))
            if what[0] == 'size': resize(master, int(what[1]), int(what[2]))
            if what[0] == 'signal': os.kill(pid, int(what[1]))
    done, result = os.waitpid(pid, os.WNOHANG)
    if done: status = result
while select.select([master], [], [], 0.1)[0]: os.write(1, os.read(master, 65536))
after = termios.tcgetattr(slave)
os.write(4, b'end %d %d\\n' % (os.waitstatus_to_exitcode(status), before == after))
`;

export class Pty {
  constructor(t, words, { columns = 120, rows = 30, env = {} } = {}) {
    this.output = '';
    this.child = spawn('python3', ['-c', DRIVER, String(columns), String(rows), ...words], {
      // As at somebody's terminal, whatever the tests were started with.
      env: { ...process.env, NO_COLOR: '', TERM: 'xterm', ...env }, stdio: ['ignore', 'pipe', 'inherit', 'pipe', 'pipe'],
    });
    this.child.stdout.on('data', (bytes) => { this.output += bytes.toString(); });
    let told = '';
    this.ended = new Promise((done) => {
      this.child.stdio[4].on('data', (bytes) => { told += bytes; });
      this.child.on('exit', () => {
        const [, code, restored] = told.match(/end (-?\d+) (\d)/) ?? [];
        this.how = { code: Number(code), restored: restored === '1' };
        done(this.how);
      });
    });
    t.after(async () => {
      if (!this.how) this.order('signal 9');
      await this.ended;
    });
  }

  order(line) { this.child.stdio[3].write(`${line}\n`); }

  keys(text) { this.order(`keys ${Buffer.from(text).toString('hex')}`); }

  // What the last frame shows, without colours.
  frame() {
    return this.output.split('\x1b[H').pop().replace(/\x1b\[[0-9;?]*[a-zA-Z]/g, '').replaceAll('\r', '');
  }
}
