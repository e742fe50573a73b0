// A virtual machine that runs Debian by systemd, with cgroup v2: for what no test on a developer's machine or in a
// container can show. It is emulated (qemu's TCG), so it needs nothing of the processor and is some ten times slower. Its
// disk is made once (vm/make_image) and kept in ~/.cache/candela; what a test writes to it is gone with the machine.

import { execFileSync, spawn } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { ROOT, makeTempDir, removeDir, run } from './program.mjs';
import { sleep, within } from './wait.mjs';

const QEMU = 'qemu-system-x86_64';
const MAKE_IMAGE = path.join(ROOT, 'tests/e2e/vm/make_image');
const CACHE = path.join(process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache'), 'candela');
const CACHED_MAX = 4;

const has = (name) => (process.env.PATH ?? '').split(':').concat('/usr/sbin', '/sbin').some((dir) => fs.existsSync(path.join(dir, name)));
const codename = () => fs.readFileSync('/etc/os-release', 'utf8').match(/^VERSION_CODENAME=(\w+)/m)?.[1];

// Why there can be none here; undefined where there can.
export function whyNoVm() {
  if (process.arch !== 'x64') return 'the virtual machine is an x86-64 one';
  if (process.getuid() !== 0) return 'only root can make the disk of a virtual machine';
  const missing = [QEMU, 'mmdebstrap', 'mke2fs', 'debugfs', 'cpio', 'dpkg-deb'].filter((name) => !has(name));
  if (missing.length > 0) return `not installed: ${missing.join(', ')} (packaging/dependencies.sh)`;
  if (!['bookworm', 'trixie'].includes(codename())) return `nobody has tried to make a virtual machine of ${codename()}`;
  return undefined;
}

// The packages that a .deb needs, by name.
const dependencies = (deb) => execFileSync('dpkg-deb', ['-f', deb, 'Depends'], { encoding: 'utf8' })
  .split(',').map((entry) => entry.trim().split(/[ |(]/)[0]).filter(Boolean);

// Returns {dir} of a machine with what the .deb needs, or {unreachable: why} where the mirror can't be reached. `newer`: with
// a systemd newer than Debian 12's.
export async function vmImage(deb, { newer = false } = {}) {
  const suite = codename();
  const from = newer && suite === 'bookworm' ? 'bookworm-backports' : '';
  const packages = [...new Set(['systemd', 'systemd-sysv', 'dbus', 'nodejs', 'curl', 'ca-certificates', 'busybox-static', 'procps', 'tzdata', ...dependencies(deb)])].sort().join(',');
  const recipe = [suite, from, packages, ...['agent', 'make_image'].map((name) => fs.readFileSync(path.join(path.dirname(MAKE_IMAGE), name)))];
  const dir = path.join(CACHE, `vm-${crypto.createHash('sha256').update(recipe.join('\0')).digest('hex').slice(0, 16)}`);
  if (!fs.existsSync(path.join(dir, 'disk'))) {
    fs.mkdirSync(CACHE, { recursive: true });
    const made = await run('bash', [MAKE_IMAGE, dir, suite, packages, from], { timeout: 600_000 });
    if (made.code === 75) return { unreachable: made.stdout.trim() };
    if (made.code !== 0) throw new Error(`make_image: ${made.code}\n${made.stdout}${made.stderr}`);
  }
  const now = new Date();
  fs.utimesSync(dir, now, now);
  // Recipes change; what they made before is not needed any more.
  const cached = fs.readdirSync(CACHE).filter((name) => /^vm-[0-9a-f]{16}$/.test(name)).map((name) => path.join(CACHE, name));
  cached.sort((a, b) => fs.statSync(b).mtimeMs - fs.statSync(a).mtimeMs);
  for (const old of cached.slice(CACHED_MAX)) removeDir(old);
  return { dir };
}

export class Vm {
  // `files`: {name: path here}, found in /mnt of the machine.
  static async start(t, image, { files = {} } = {}) {
    const vm = new Vm();
    vm.dir = makeTempDir('vm');
    t.after(() => vm.end());
    vm.console = path.join(vm.dir, 'console.log');
    const disk = path.join(vm.dir, 'files.tar');
    for (const [name, file] of Object.entries(files)) {
      fs.copyFileSync(file, path.join(vm.dir, name));
      fs.chmodSync(path.join(vm.dir, name), fs.statSync(file).mode);
    }
    execFileSync('tar', ['-C', vm.dir, '-cf', disk, '--owner=0', '--group=0', '--record-size=1M', '--', ...Object.keys(files)]);
    const socket = path.join(vm.dir, 'agent.sock');
    const drive = (file, more) => ['-drive', `file=${file},format=raw,if=virtio,cache=unsafe${more}`];
    vm.qemu = spawn(QEMU, [
      '-machine', 'q35', '-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', '1536',
      '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot',
      '-kernel', path.join(image, 'kernel'), '-initrd', path.join(image, 'initrd'),
      '-append', 'console=ttyS0 rw quiet panic=-1 systemd.show_status=0 mitigations=off', '-serial', `file:${vm.console}`,
      ...drive(path.join(image, 'disk'), ',snapshot=on'), ...drive(disk, ',readonly=on'),
      '-device', 'virtio-serial', '-chardev', `socket,id=agent,path=${socket},server=on,wait=off`, '-device', 'virtserialport,chardev=agent,name=agent',
    ], { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, TMPDIR: vm.dir } });
    vm.stderr = '';
    vm.qemu.stderr.on('data', (bytes) => { vm.stderr += bytes; });
    vm.ended = new Promise((done) => { vm.qemu.on('exit', done); vm.qemu.on('error', done); });
    vm.ended.then((how) => {
      vm.how = how;
      for (const { fail, command } of vm.waiting.values()) fail(new Error(`the machine ended during ${command}: ${vm.tail()}`));
    });
    const ready = new Promise((done, fail) => vm.waiting.set('ready', { done, fail, command: 'its start' }));
    await vm.connect(socket);
    await within(180_000, 'the machine to start', ready).catch((error) => { throw new Error(`${error.message}\n${vm.tail()}`); });
    await vm.sh('tar -C /mnt -xf /dev/vdb');
    return vm;
  }

  waiting = new Map();
  asked = 0;

  async connect(path_) {
    for (;;) {
      if (this.how !== undefined) throw new Error(`qemu ended: ${this.stderr}`);
      this.socket = await new Promise((done) => {
        const socket = net.connect(path_, () => done(socket));
        socket.on('error', () => done(undefined));
      });
      if (this.socket) break;
      await sleep(50);
    }
    let text = '';
    this.socket.setEncoding('latin1');
    this.socket.on('data', (part) => {
      text += part;
      const lines = text.split('\n');
      text = lines.pop();
      for (const line of lines) {
        const [number, code, output] = line.split(' ');
        this.waiting.get(number)?.done({ code: Number(code), out: Buffer.from(output ?? '', 'base64').toString().trimEnd() });
        this.waiting.delete(number);
      }
    });
  }

  // Runs a command by bash and returns {code, out}; its output and errors come together.
  async run(command, { timeout = 120_000 } = {}) {
    this.asked += 1;
    const number = String(this.asked);
    const answer = new Promise((done, fail) => this.waiting.set(number, { done, fail, command }));
    this.socket.write(`${number} ${Buffer.from(command).toString('base64')}\n`);
    try {
      return await within(timeout, command, answer);
    } catch (error) {
      throw new Error(`${error.message}\nthe console's end: ${this.tail()}`);
    }
  }

  // The output of a command that has to succeed.
  async sh(command, options) {
    const { code, out } = await this.run(command, options);
    if (code !== 0) throw new Error(`${command}: exit code ${code}\n${out}`);
    return out;
  }

  // Writes a file there.
  put(file, content, mode = '644') {
    return this.sh(`install -D -m ${mode} /dev/stdin '${file}' <<<'' && base64 -d >'${file}' <<'END'\n${Buffer.from(content).toString('base64').replace(/.{76}/g, '$&\n')}\nEND`);
  }

  // What qemu has taken so far.
  cpuSeconds() {
    const fields = fs.readFileSync(`/proc/${this.qemu.pid}/stat`, 'latin1').split(') ').pop().split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  }

  tail(lines = 15) {
    const text = fs.existsSync(this.console) ? fs.readFileSync(this.console, 'utf8') : '';
    return text.trimEnd().split('\n').slice(-lines).join('\n');
  }

  async end() {
    this.socket?.destroy();
    if (this.how === undefined) this.qemu?.kill('SIGKILL');
    await this.ended;
    removeDir(this.dir);
  }
}
