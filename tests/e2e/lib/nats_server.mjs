// A real nats-server in operator mode, with the identity of a candela cloud.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { freePort } from './ports.mjs';
import { until } from './wait.mjs';

export async function startNatsServer(t, bus) {
  const port = await freePort();
  const accounts = ['SYS', 'CANDELA', 'default'].map((name) => bus.account(name));
  const config = path.join(bus.dir, 'nats.conf');
  fs.writeFileSync(config, `listen: "127.0.0.1:${port}"
operator: "${bus.file('operator.jwt')}"
system_account: ${accounts[0].key}
resolver: { type: full, dir: "${path.join(bus.dir, 'nats-jwt')}", allow_delete: true, interval: "2m" }
resolver_preload: {
${accounts.map(({ key, token }) => `  ${key}: "${token}"`).join('\n')}
}
`);
  const log = path.join(bus.dir, 'nats.log');
  const child = spawn('nats-server', ['-c', config, '-l', log], { stdio: 'ignore' });
  const ended = new Promise((done) => { child.on('exit', done); child.on('error', done); });
  t.after(async () => { child.kill('SIGKILL'); await ended; });
  await until('nats-server to listen', () => new Promise((done) => {
    const socket = net.connect(port, '127.0.0.1', () => { socket.destroy(); done(true); });
    socket.on('error', () => done(false));
  }));
  return { address: `127.0.0.1:${port}`, port, log: () => fs.readFileSync(log, 'utf8') };
}
