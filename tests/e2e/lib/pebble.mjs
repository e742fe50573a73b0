// Debian's pebble, a real ACME server made for tests, and the DNS that it asks where names lead.

import dgram from 'node:dgram';
import fs from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import { Authority } from './certificates.mjs';
import { freePort } from './ports.mjs';
import { Program, run, tempDir } from './program.mjs';
import { until } from './wait.mjs';

export const hasPebble = (await run('sh', ['-c', 'command -v pebble'])).code === 0;

// Answers A questions with what `addressOf(name)` gives, now or later, and all others with nothing.
export async function startDns(t, addressOf) {
  const socket = dgram.createSocket('udp4');
  let isOpen = true;
  socket.on('message', async (message, from) => {
    const labels = [];
    let at = 12;
    while (message[at] > 0) {
      labels.push(message.toString('latin1', at + 1, at + 1 + message[at]));
      at += message[at] + 1;
    }
    const question = message.subarray(12, at + 5);
    const address = message.readUInt16BE(at + 1) === 1 ? await addressOf(labels.join('.').toLowerCase()) : undefined;
    if (!isOpen) return;
    const head = Buffer.from(message.subarray(0, 12));
    head.writeUInt16BE(0x8580, 2);
    head.writeUInt16BE(1, 4);
    head.writeUInt16BE(address ? 1 : 0, 6);
    head.writeUInt32BE(0, 8);
    const answer = address
      ? Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, ...address.split('.').map(Number)])
      : Buffer.alloc(0);
    socket.send(Buffer.concat([head, question, answer]), from.port, from.address);
  });
  await new Promise((done) => { socket.bind(0, '127.0.0.1', done); });
  t.after(() => { isOpen = false; socket.close(); });
  return `127.0.0.1:${socket.address().port}`;
}

export class Pebble {
  // It looks at hosts on these ports, and gives certificates that are good for so many seconds.
  static async start(t, { dns, httpPort, tlsPort, lifetime }) {
    const pebble = new Pebble();
    pebble.t = t;
    pebble.dir = tempDir(t, 'pebble');
    pebble.dns = dns;
    pebble.port = await freePort();
    pebble.management = await freePort();
    pebble.authority = await Authority.make(pebble.dir, 'pebble-ca');
    const own = await pebble.authority.issue('pebble');
    pebble.config = path.join(pebble.dir, 'config.json');
    fs.writeFileSync(pebble.config, JSON.stringify({
      pebble: {
        listenAddress: `127.0.0.1:${pebble.port}`, managementListenAddress: `127.0.0.1:${pebble.management}`,
        certificate: own.certFile, privateKey: own.keyFile, httpPort, tlsPort, ocspResponderURL: '',
        externalAccountBindingRequired: false, certificateValidityPeriod: lifetime,
      },
    }));
    pebble.directory = `https://localhost:${pebble.port}/dir`;
    t.after(() => pebble.stop());
    await pebble.run();
    return pebble;
  }

  // Without memory: each start is a new authority.
  async run() {
    this.program = new Program('pebble', ['-config', this.config, '-dnsserver', this.dns], {
      // Validation at once; one nonce in five is refused, as the default of 5 % seldom shows.
      log: path.join(this.dir, 'log'), env: { PEBBLE_VA_NOSLEEP: '1', PEBBLE_WFE_NONCEREJECT: '20' },
    });
    await until('pebble to answer', () => this.get(this.port, '/dir'));
    this.root = await this.get(this.management, '/roots/0');
  }

  stop() {
    return this.program.kill('SIGKILL');
  }

  log() {
    return this.program.output();
  }

  get(port, target) {
    return new Promise((done, fail) => {
      https.get({ host: '127.0.0.1', port, path: target, ca: this.authority.pem, agent: false }, (answer) => {
        let text = '';
        answer.on('data', (bytes) => { text += bytes; });
        answer.on('end', () => (answer.statusCode === 200 ? done(text) : fail(new Error(`${target}: ${answer.statusCode}`))));
      }).on('error', fail);
    });
  }
}
