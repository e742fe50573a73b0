// Certificate authorities and certificates, made by openssl.

import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { run } from './program.mjs';

async function openssl(...args) {
  const made = await run('openssl', args);
  if (made.code !== 0) throw new Error(made.stderr);
}

export class Authority {
  static async make(dir, name = 'ca') {
    const authority = new Authority();
    authority.dir = dir;
    authority.file = path.join(dir, `${name}.pem`);
    authority.keyFile = path.join(dir, `${name}.key`);
    await openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
      '-subj', `/CN=${name}`, '-keyout', authority.keyFile, '-out', authority.file);
    authority.pem = fs.readFileSync(authority.file, 'utf8');
    return authority;
  }

  // For 127.0.0.1 and localhost, or the DNS names given. Writes NAME.pem and NAME.key, over what was there.
  async issue(name, { days = 1, names } = {}) {
    const [certFile, keyFile, request, extensions] = ['pem', 'key', 'csr', 'ext'].map((end) => path.join(this.dir, `${name}.${end}`));
    const alternatives = names?.map((dns) => `DNS:${dns}`).join() ?? 'IP:127.0.0.1,DNS:localhost';
    fs.writeFileSync(extensions, `subjectAltName=${alternatives}\n`);
    await openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', `/CN=${name}`,
      '-keyout', keyFile, '-out', request);
    await openssl('x509', '-req', '-in', request, '-CA', this.file, '-CAkey', this.keyFile, '-CAcreateserial',
      '-days', String(days), '-extfile', extensions, '-out', certFile);
    return { certFile, keyFile, cert: fs.readFileSync(certFile, 'utf8'), key: fs.readFileSync(keyFile, 'utf8') };
  }
}

// A self-signed one for these names: NAME.crt and NAME.key. Returns its fingerprint.
export async function certificate(folder, name, ...names) {
  const file = path.join(folder, `${name}.crt`);
  await openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
    '-keyout', path.join(folder, `${name}.key`), '-out', file, '-subj', `/CN=${names[0]}`,
    '-addext', `subjectAltName=${names.map((one) => `DNS:${one}`).join(',')}`);
  return new crypto.X509Certificate(fs.readFileSync(file)).fingerprint256;
}
