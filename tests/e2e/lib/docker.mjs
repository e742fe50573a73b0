// A Docker engine of a test's own: a real dockerd in a folder of its own, with a bridge of its own and no rules in
// the machine's firewall. Spoken with over its socket by node's own HTTP.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { Program, isAlive, makeTempDir, removeDir } from './program.mjs';
import { sleep, until } from './wait.mjs';

const DOCKERD = '/usr/sbin/dockerd';
const BUSYBOX = '/bin/busybox';

// Why there can be none here; undefined where there can.
export function whyNoDocker() {
  if (process.getuid() !== 0) return 'only root can start dockerd';
  for (const file of [DOCKERD, BUSYBOX]) if (!fs.existsSync(file)) return `${file} is not there`;
  return undefined;
}

let bridges = 0;

export class Docker {
  static async start(t, { args = [] } = {}) {
    const docker = new Docker();
    docker.dir = makeTempDir('docker');
    docker.socket = path.join(docker.dir, 'docker.sock');
    docker.args = args;
    t.after(() => docker.end());
    docker.makeBridge();
    await docker.run();
    await docker.importImage('candela-test:1');
    return docker;
  }

  // Interfaces have short names; addresses are of a range for tests between networks (RFC 2544 §C.2.2).
  makeBridge() {
    this.bridge = `cdk${process.pid % 1_000_000}x${bridges++ % 100}`;
    for (let i = 0; ; i += 1) {
      this.network = `198.18.${(process.pid + i) % 256}`;
      const used = execFileSync('ip', ['-4', 'addr'], { encoding: 'utf8' });
      if (!used.includes(`${this.network}.`)) break;
      if (i === 256) throw new Error('no network is free for a bridge');
    }
    execFileSync('ip', ['link', 'add', this.bridge, 'type', 'bridge']);
    execFileSync('ip', ['addr', 'add', `${this.network}.1/24`, 'dev', this.bridge]);
    execFileSync('ip', ['link', 'set', this.bridge, 'up']);
  }

  async run() {
    const at = (name) => path.join(this.dir, name);
    // One that was killed took its containerd along, which here may stay a zombie and be taken for alive.
    fs.rmSync(at('exec/containerd/containerd.pid'), { force: true });
    this.program = new Program(DOCKERD, [
      '--storage-driver=vfs', `--data-root=${at('data')}`, `--exec-root=${at('exec')}`, `--pidfile=${at('docker.pid')}`,
      `--host=unix://${this.socket}`, '--iptables=false', '--ip6tables=false', '--ip-forward=false', '--ip-masq=false',
      `--bridge=${this.bridge}`, '--shutdown-timeout=2', ...this.args,
    ], { log: at('dockerd.log'), cwd: this.dir });
    await until('dockerd to answer', async () => {
      if (this.program.how) throw new Error(`dockerd ended: ${this.program.tail()}`);
      return (await this.ask('GET', '/_ping')).status === 200;
    }, { timeout: 60_000 });
  }

  // {status, text, json} of a request.
  ask(method, target, { body, type = 'application/json' } = {}) {
    return new Promise((done, failed) => {
      const request = http.request({ socketPath: this.socket, method, path: target, headers: { host: 'docker', ...(body ? { 'content-type': type } : {}) } }, (response) => {
        const parts = [];
        response.on('data', (part) => parts.push(part));
        response.on('error', failed);
        response.on('end', () => {
          const text = Buffer.concat(parts).toString();
          let json;
          try { json = JSON.parse(text); } catch { json = undefined; }
          done({ status: response.statusCode, text, json });
        });
      });
      request.on('error', failed);
      request.end(body);
    });
  }

  // A root of nothing but busybox and its names.
  static rootTar() {
    const root = makeTempDir('root');
    try {
      fs.chmodSync(root, 0o755);
      fs.mkdirSync(path.join(root, 'bin'));
      fs.mkdirSync(path.join(root, 'tmp'));
      fs.copyFileSync(BUSYBOX, path.join(root, 'bin/busybox'));
      const names = execFileSync(BUSYBOX, ['--list'], { encoding: 'utf8' }).trim().split('\n');
      for (const name of names) if (name !== 'busybox') fs.symlinkSync('busybox', path.join(root, 'bin', name));
      return execFileSync('tar', ['-c', '-C', root, '.'], { maxBuffer: 64 << 20 });
    } finally {
      removeDir(root);
    }
  }

  async importImage(name, changes = []) {
    const [repository, tag] = name.split(':');
    const query = changes.map((change) => `&changes=${encodeURIComponent(change)}`).join('');
    const answer = await this.ask('POST', `/images/create?fromSrc=-&repo=${repository}&tag=${tag}${query}`, { body: Docker.rootTar(), type: 'application/x-tar' });
    if (answer.status !== 200 || answer.text.includes('"error"')) throw new Error(`the image was not imported: ${answer.text}`);
  }

  async containers() {
    return (await this.ask('GET', '/containers/json?all=1')).json;
  }

  // What the engine says of the container of an instance; undefined where there is none.
  async container(instance) {
    const filters = encodeURIComponent(JSON.stringify({ label: [`candela.instance=${instance}`] }));
    const [found] = (await this.ask('GET', `/containers/json?all=1&filters=${filters}`)).json;
    return found && (await this.ask('GET', `/containers/${found.Id}/json`)).json;
  }

  pidOf(name) {
    const file = path.join(this.dir, name);
    return fs.existsSync(file) ? Number(fs.readFileSync(file, 'latin1')) : 0;
  }

  async end() {
    try {
      if (this.program.how) await this.run().catch(() => {});
      for (const { Id } of await this.containers()) await this.ask('DELETE', `/containers/${Id}?force=1`);
    } finally {
      const containerd = this.pidOf('exec/containerd/containerd.pid');
      await this.program.stop(30_000);
      // After a kill it is nobody's child, and does not end with the daemon.
      if (containerd && isAlive(containerd)) process.kill(containerd, 'SIGTERM');
      for (let i = 0; i < 100 && containerd && isAlive(containerd); i += 1) await sleep(50);
      const mounts = fs.readFileSync('/proc/self/mounts', 'latin1').split('\n').map((line) => line.split(' ')[1]).filter((mount) => mount?.startsWith(`${this.dir}/`));
      for (const mount of mounts.reverse()) execFileSync('umount', ['-l', mount]);
      execFileSync('ip', ['link', 'del', this.bridge]);
      removeDir(this.dir);
    }
  }
}
