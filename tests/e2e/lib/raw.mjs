// NATS by hand.

import net from 'node:net';
import { until } from './wait.mjs';

// A raw connection that keeps what it reads.
export class Raw {
  constructor(port) {
    this.text = '';
    this.ended = false;
    this.socket = net.connect(port, '127.0.0.1');
    this.socket.on('data', (bytes) => { this.text += bytes.toString('latin1'); });
    this.socket.on('close', () => { this.ended = true; });
    this.socket.on('error', () => { this.ended = true; });
  }

  async info() {
    await until('INFO', () => this.text.includes('\r\n'), { every: 2 });
    return JSON.parse(this.text.match(/^INFO (.*?) ?\r\n/)[1]);
  }

  connectLine(nonce, creds, options) {
    const sig = Buffer.from(creds.user.sign(Buffer.from(nonce))).toString('base64url');
    return `CONNECT ${JSON.stringify({ jwt: creds.token, sig, verbose: false, pedantic: false, protocol: 1, headers: true, no_responders: true, echo: true, ...options })}\r\n`;
  }

  // Sends, then a PING, and returns what came before its PONG, or before the end.
  async talk(text) {
    this.text = '';
    this.socket.write(Buffer.from(`${text}PING\r\n`, 'latin1'));
    // nats-server asks for the round trip time, and tells news of itself, when it likes.
    const said = () => this.text.replace(/INFO .*\r\n/g, '').replaceAll('PING\r\n', '');
    await until('the answer', () => said().endsWith('PONG\r\n') || this.ended, { every: 2 });
    return said().replace(/PONG\r\n$/, '') + (this.ended ? '<closed>' : '');
  }
}
