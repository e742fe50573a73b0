// A real nats-server in operator mode, with the identity of a candela cloud: the one installed, and Debian 13's 2.10
// beside it where ./dev could unpack that (packaging/dependencies.sh).

import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { freePort } from './ports.mjs';
import { ROOT } from './program.mjs';
import { until } from './wait.mjs';

export const NEWER_NATS_SERVER = path.join(ROOT, 'build/nats-server-2.10/usr/sbin/nats-server');

// "2.10.27", or null where there is no such program.
export function natsServerVersion(program = 'nats-server') {
  try {
    return execFileSync(program, ['--version']).toString().match(/v(\d+\.\d+\.\d+)/)[1];
  } catch {
    return null;
  }
}

export async function startNatsServer(t, bus, { program = 'nats-server', extra = '' } = {}) {
  const port = await freePort();
  const accounts = ['SYS', 'CANDELA', 'default'].map((name) => bus.account(name));
  const dir = path.join(bus.dir, `nats-${port}`);
  fs.mkdirSync(dir);
  const config = path.join(dir, 'nats.conf');
  fs.writeFileSync(config, `listen: "127.0.0.1:${port}"
operator: "${bus.file('operator.jwt')}"
system_account: ${accounts[0].key}
resolver: { type: full, dir: "${path.join(dir, 'jwt')}", allow_delete: true, interval: "2m" }
resolver_preload: {
${accounts.map(({ key, token }) => `  ${key}: "${token}"`).join('\n')}
}
${extra.replaceAll('DIR', dir)}
`);
  const log = path.join(dir, 'nats.log');
  const child = spawn(program, ['-c', config, '-l', log], { stdio: 'ignore' });
  const ended = new Promise((done) => { child.on('exit', done); child.on('error', done); });
  t.after(async () => { child.kill('SIGKILL'); await ended; });
  await until('nats-server to listen', () => new Promise((done) => {
    const socket = net.connect(port, '127.0.0.1', () => { socket.destroy(); done(true); });
    socket.on('error', () => done(false));
  }));
  return { pid: child.pid, address: `127.0.0.1:${port}`, port, log: () => fs.readFileSync(log, 'utf8') };
}
